//! Leads under their row locks: read once, changed in memory by the rules of `domain::lead`, and
//! written once.

use super::opt_outs::{self, NewOptOut, OptedOut};
use crate::domain::{
    Id, LeadProfile, LeadStatus, OptOutSource, Sentiment, Timestamp,
    lead::{Barriers, Standing, is_newer},
    order::Restriction,
};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{Tx, flag, group},
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

sql! {
    /// Locks leads in the order of ids, and reads the columns that may change. A lead that is gone
    /// has no row. By primary key.
    static LOCK_LEADS =
        "select id, client_id, status, sentiment, first_name, last_name, company_name, title, email, phone, timezone, campaign_id, \
           @ms(opted_out_at) as opted_out_at, opted_out_channel, opted_out_message_id, opted_out_reason, \
           @ms(bounced_at) as bounced_at, bounced_address, bounced_reason, case when sms_dnd then 1 else 0 end as sms_dnd, \
           @ms(sms_dnd_at) as sms_dnd_at, @ms(category_at) as category_at, \
           @ms(connected_at) as connected_at, @ms(snoozed_until) as snoozed_until, fit, intent, overall, score_reason, \
           @ms(scored_at) as scored_at, \
           @ms(last_message_at) as last_message_at, @ms(last_inbound_at) as last_inbound_at, \
           @ms(last_outbound_at) as last_outbound_at, newest_inbound_id, category, merged_into \
         from leads where id @ids($1) order by id @for_update";

    /// Makes leads. Their ids are new, so it waits for no lock.
    static PUT_LEADS =
        "insert into leads (id, client_id, status, sentiment, first_name, last_name, company_name, title, email, phone, timezone, \
           campaign_id, opted_out_at, opted_out_channel, opted_out_message_id, opted_out_reason, bounced_at, bounced_address, \
           bounced_reason, sms_dnd, connected_at, last_message_at, last_inbound_at, last_outbound_at, newest_inbound_id, category, \
           sms_dnd_at, category_at, created_at) \
         select g.id, g.client_id, g.status, g.sentiment, g.first_name, g.last_name, g.company_name, g.title, g.email, g.phone, \
           g.timezone, g.campaign_id, g.opted_out_at, g.opted_out_channel, g.opted_out_message_id, g.opted_out_reason, g.bounced_at, \
           g.bounced_address, g.bounced_reason, g.sms_dnd, g.connected_at, g.last_message_at, g.last_inbound_at, g.last_outbound_at, \
           g.newest_inbound_id, g.category, g.sms_dnd_at, g.category_at, @now \
         from @rows($1, id bigint, client_id text, status text, sentiment text, first_name text, last_name text, company_name text, \
           title text, email text, phone text, timezone text, campaign_id bigint, opted_out_at instant, opted_out_channel text, \
           opted_out_message_id bigint, opted_out_reason text, bounced_at instant, bounced_address text, bounced_reason text, sms_dnd boolean, \
           connected_at instant, last_message_at instant, last_inbound_at instant, last_outbound_at instant, \
           newest_inbound_id bigint, category text, sms_dnd_at instant, category_at instant) g";

    /// Writes leads that are locked. By primary key.
    static UPDATE_LEADS =
        "update leads set status = g.status, sentiment = g.sentiment, first_name = g.first_name, last_name = g.last_name, \
           company_name = g.company_name, title = g.title, email = g.email, phone = g.phone, timezone = g.timezone, \
           campaign_id = g.campaign_id, opted_out_at = g.opted_out_at, opted_out_channel = g.opted_out_channel, \
           opted_out_message_id = g.opted_out_message_id, opted_out_reason = g.opted_out_reason, bounced_at = g.bounced_at, \
           bounced_address = g.bounced_address, bounced_reason = g.bounced_reason, sms_dnd = g.sms_dnd, \
           connected_at = g.connected_at, snoozed_until = g.snoozed_until, fit = g.fit, intent = g.intent, overall = g.overall, \
           score_reason = g.score_reason, \
           scored_at = g.scored_at, last_message_at = g.last_message_at, last_inbound_at = g.last_inbound_at, \
           last_outbound_at = g.last_outbound_at, newest_inbound_id = g.newest_inbound_id, category = g.category, \
           sms_dnd_at = g.sms_dnd_at, category_at = g.category_at \
         from @rows($1, id bigint, status text, sentiment text, first_name text, last_name text, company_name text, title text, \
           email text, phone text, timezone text, campaign_id bigint, opted_out_at instant, opted_out_channel text, \
           opted_out_message_id bigint, opted_out_reason text, bounced_at instant, bounced_address text, bounced_reason text, \
           sms_dnd boolean, connected_at instant, snoozed_until instant, fit integer, intent integer, overall integer, \
           score_reason text, scored_at instant, \
           last_message_at instant, last_inbound_at instant, last_outbound_at instant, newest_inbound_id bigint, category text, \
           sms_dnd_at instant, category_at instant) g \
         where leads.id = g.id";
}

/// A lead as it is while its row is locked.
#[derive(Clone, Debug)]
pub(in crate::store) struct Lead {
    pub(in crate::store) id: Id,
    pub(in crate::store) client_id: String,
    pub(in crate::store) standing: Standing,
    pub(in crate::store) profile: LeadProfile,
    pub(in crate::store) campaign_id: Option<Id>,
    pub(in crate::store) opted_out: Option<OptedOut>,
    /// The opt-outs that it got in this transaction.
    new_opt_outs: Vec<NewOptOut>,
    pub(in crate::store) bounced: Option<Bounced>,
    /// When it accepted an invitation on LinkedIn.
    pub(in crate::store) connected_at: Option<Timestamp>,
    pub(in crate::store) snoozed_until: Option<Timestamp>,
    pub(in crate::store) score: Option<LeadScore>,
    pub(in crate::store) last_message_at: Option<Timestamp>,
    pub(in crate::store) last_outbound_at: Option<Timestamp>,
    /// The newest inbound message: its time as its provider tells it, then its id.
    pub(in crate::store) newest_inbound: Option<(Timestamp, Id)>,
    /// The category that a person or a provider gave it.
    pub(in crate::store) category: Option<String>,
    /// The time of the event that set the category.
    pub(in crate::store) category_at: Option<Timestamp>,
    /// The time of the event that set its do-not-disturb flag for SMS.
    pub(in crate::store) sms_dnd_at: Option<Timestamp>,
    /// The lead into which it was merged. Then nothing of this one changes any more.
    pub(in crate::store) merged_into: Option<Id>,
    /// True if it is not stored yet.
    is_new: bool,
    /// True if it is to be written.
    is_changed: bool,
}

/// The bounce of a lead's address.
#[derive(Clone, Debug)]
pub(in crate::store) struct Bounced {
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) address: String,
    pub(in crate::store) reason: Option<String>,
}

/// A lead's score, 1–4 each.
#[derive(Clone, Debug)]
pub(in crate::store) struct LeadScore {
    pub(in crate::store) fit: i32,
    pub(in crate::store) intent: i32,
    pub(in crate::store) overall: i32,
    pub(in crate::store) reason: String,
    pub(in crate::store) at: Timestamp,
}

impl Lead {
    /// A lead that does not exist yet.
    pub(in crate::store) fn new(id: Id, client_id: &str) -> Self {
        Self {
            id,
            client_id: client_id.to_owned(),
            standing: Standing::NEW,
            profile: LeadProfile::default(),
            campaign_id: None,
            opted_out: None,
            new_opt_outs: Vec::new(),
            bounced: None,
            connected_at: None,
            snoozed_until: None,
            score: None,
            last_message_at: None,
            last_outbound_at: None,
            newest_inbound: None,
            category: None,
            category_at: None,
            sms_dnd_at: None,
            merged_into: None,
            is_new: true,
            is_changed: true,
        }
    }

    /// Marks it as changed, and returns it for changes.
    pub(in crate::store) const fn change(&mut self) -> &mut Self {
        self.is_changed = true;
        self
    }

    /// Fills in the parts of its profile and the campaign that are not known yet. Never overwrites.
    pub(in crate::store) fn fill_in(&mut self, told: &LeadProfile, campaign_id: Option<Id>) {
        let mut is_changed = self.campaign_id.is_none() && campaign_id.is_some();
        let profile = &mut self.profile;
        let pairs = [
            (&mut profile.first_name, &told.first_name),
            (&mut profile.last_name, &told.last_name),
            (&mut profile.company_name, &told.company_name),
            (&mut profile.title, &told.title),
            (&mut profile.email, &told.email),
            (&mut profile.phone, &told.phone),
            (&mut profile.timezone, &told.timezone),
        ];
        for (known, told) in pairs {
            if known.is_none() && told.is_some() {
                known.clone_from(told);
                is_changed = true;
            }
        }
        self.campaign_id = self.campaign_id.or(campaign_id);
        self.is_changed |= is_changed;
    }

    /// True if its newest inbound message is this one, by the provider's clock.
    pub(in crate::store) fn is_newest(&self, message_id: Id) -> bool {
        self.newest_inbound.is_some_and(|(_, id)| id == message_id)
    }

    /// True if an inbound message with this time and id would be its newest.
    pub(in crate::store) fn would_be_newest(&self, at: Timestamp, id: Id) -> bool {
        is_newer((at, id), self.newest_inbound)
    }

    /// Opts it out. False if it had opted out before: then the demand is noted, and the lead goes
    /// on to show the oldest one. `by` is the person who noted it, if one did.
    pub(in crate::store) fn opt_out(
        &mut self,
        fact: OptedOut,
        source: OptOutSource,
        by: Option<&str>,
    ) -> bool {
        let is_first = !self.standing.barriers.opted_out;
        if self.opted_out.as_ref().is_none_or(|shown| fact.at < shown.at) {
            self.standing = self.standing.opted_out();
            self.opted_out = Some(fact.clone());
            self.is_changed = true;
        }
        self.note_opt_out(NewOptOut { fact, source, by: by.map(str::to_owned) });
        is_first
    }

    /// Notes an opt-out that is to be stored, unless the same one is noted already.
    fn note_opt_out(&mut self, new: NewOptOut) {
        if !self.new_opt_outs.iter().any(|known| known.is_same(&new)) {
            self.new_opt_outs.push(new);
        }
    }

    /// Lifts its opt-outs. `verdicts` are those on its inbound messages, from the oldest to the
    /// newest.
    pub(in crate::store) fn lift_opt_out(&mut self, verdicts: impl IntoIterator<Item = Sentiment>) {
        self.standing = self.standing.opt_out_lifted(verdicts);
        self.opted_out = None;
        self.is_changed = true;
    }

    /// Its do-not-disturb flag for SMS, and since when it is known.
    pub(in crate::store) const fn sms_dnd(&self) -> Restriction {
        Restriction { is_on: self.standing.barriers.sms_dnd, as_of: self.sms_dnd_at }
    }

    /// Sets its do-not-disturb flag for SMS.
    pub(in crate::store) const fn set_sms_dnd(&mut self, flag: Restriction) {
        self.standing.barriers.sms_dnd = flag.is_on;
        self.sms_dnd_at = flag.as_of;
        self.is_changed = true;
    }

    /// Takes over the state of another lead, which was found to be the same person (docs/RULES.md
    /// P13).
    pub(in crate::store) fn absorb(&mut self, other: &Self) {
        let newest = self.newest_inbound;
        let other_is_newer = other.newest_inbound.is_some_and(|told| is_newer(told, newest));
        let sms_dnd = self.sms_dnd().merged(other.sms_dnd());
        self.standing = self.standing.merged(other.standing, other_is_newer);
        self.set_sms_dnd(sms_dnd);
        self.fill_in(&other.profile, other.campaign_id);
        self.opted_out = [self.opted_out.take(), other.opted_out.clone()]
            .into_iter()
            .flatten()
            .min_by_key(|it| it.at);
        for new in &other.new_opt_outs {
            self.note_opt_out(new.clone());
        }
        self.bounced = self.bounced.take().or_else(|| other.bounced.clone());
        self.connected_at = [self.connected_at, other.connected_at].into_iter().flatten().min();
        if self.category.is_none() {
            self.category.clone_from(&other.category);
            self.category_at = self.category_at.max(other.category_at);
        }
        if other_is_newer {
            self.snoozed_until = other.snoozed_until;
            self.newest_inbound = other.newest_inbound;
        }
        if self.score.is_none() || (other_is_newer && other.score.is_some()) {
            self.score.clone_from(&other.score);
        }
        self.last_message_at = self.last_message_at.max(other.last_message_at);
        self.last_outbound_at = self.last_outbound_at.max(other.last_outbound_at);
        self.is_changed = true;
    }

    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let instant = |column: &str| -> Result<Option<Timestamp>, StoreError> {
            Ok(row.try_get::<Option<i64>>("", column)?.map(Timestamp::from_millis))
        };
        let text = |column: &str| -> Result<Option<String>, StoreError> {
            Ok(row.try_get::<Option<String>>("", column)?)
        };
        let status: String = row.try_get("", "status")?;
        let opted_out = instant("opted_out_at")?;
        let bounced = instant("bounced_at")?;
        let scored_at = instant("scored_at")?;
        let last_inbound_at = instant("last_inbound_at")?;
        let newest_inbound_id: Option<Id> = row.try_get("", "newest_inbound_id")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            client_id: row.try_get("", "client_id")?,
            standing: Standing {
                status: LeadStatus::parse(&status).unwrap_or(LeadStatus::New),
                sentiment: text("sentiment")?.and_then(|word| Sentiment::parse(&word)),
                barriers: Barriers {
                    opted_out: opted_out.is_some(),
                    bounced: bounced.is_some(),
                    sms_dnd: flag(row, "sms_dnd")?,
                },
            },
            profile: LeadProfile {
                first_name: text("first_name")?,
                last_name: text("last_name")?,
                company_name: text("company_name")?,
                title: text("title")?,
                email: text("email")?,
                phone: text("phone")?,
                timezone: text("timezone")?,
            },
            campaign_id: row.try_get("", "campaign_id")?,
            opted_out: opted_out.map(|at| OptedOut::from_row(row, at)).transpose()?,
            new_opt_outs: Vec::new(),
            bounced: match bounced {
                Some(at) => Some(Bounced {
                    at,
                    address: text("bounced_address")?.unwrap_or_default(),
                    reason: text("bounced_reason")?,
                }),
                None => None,
            },
            connected_at: instant("connected_at")?,
            snoozed_until: instant("snoozed_until")?,
            score: match scored_at {
                Some(at) => Some(LeadScore {
                    fit: row.try_get("", "fit")?,
                    intent: row.try_get("", "intent")?,
                    overall: row.try_get("", "overall")?,
                    reason: text("score_reason")?.unwrap_or_default(),
                    at,
                }),
                None => None,
            },
            last_message_at: instant("last_message_at")?,
            last_outbound_at: instant("last_outbound_at")?,
            newest_inbound: last_inbound_at.zip(newest_inbound_id),
            category: text("category")?,
            category_at: instant("category_at")?,
            sms_dnd_at: instant("sms_dnd_at")?,
            merged_into: row.try_get("", "merged_into")?,
            is_new: false,
            is_changed: false,
        })
    }
}

/// The leads of a transaction, locked; keyed by id.
#[derive(Debug, Default)]
pub(in crate::store) struct Leads(HashMap<Id, Lead>);

/// The leads into which leads of a transaction were merged. They have to be locked, too, in the
/// order of ids. When a transaction finds such a lead, it notes it here, and is repeated. The list
/// outlives the repetitions.
#[derive(Debug, Default)]
pub(in crate::store) struct Followed(Mutex<BTreeSet<Id>>);

impl Followed {
    /// A list with the leads that are known already.
    pub(in crate::store) const fn of(ids: BTreeSet<Id>) -> Self {
        Self(Mutex::new(ids))
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leads {
    /// Locks the leads with these ids, in the order of ids.
    pub(in crate::store) async fn lock(tx: &Tx, ids: &BTreeSet<Id>) -> Result<Self, StoreError> {
        let mut leads = HashMap::new();
        if !ids.is_empty() {
            let ids: Vec<Id> = ids.iter().copied().collect();
            for row in tx.all(&LOCK_LEADS, [group(&ids)?]).await? {
                let lead = Lead::from_row(&row)?;
                leads.insert(lead.id, lead);
            }
        }
        Ok(Self(leads))
    }

    /// Locks the same leads, and those into which some of them were merged.
    ///
    /// # Errors
    /// A conflict if one of the latter was not in `followed`. It is noted there, so that the
    /// repetition of the transaction locks it.
    pub(in crate::store) async fn lock_following(
        tx: &Tx,
        ids: &BTreeSet<Id>,
        followed: &Followed,
    ) -> Result<Self, StoreError> {
        let known = followed.ids().clone();
        let leads = Self::lock(tx, &ids.union(&known).copied().collect()).await?;
        let targets = leads.0.values().filter_map(|lead| lead.merged_into);
        let missing: Vec<Id> = targets.filter(|id| !leads.0.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(leads);
        }
        followed.ids().extend(missing);
        Err(StoreError::Conflict("a lead was merged into another".to_owned()))
    }

    /// Adds a lead that is not stored yet.
    pub(in crate::store) fn add(&mut self, lead: Lead) {
        self.0.insert(lead.id, lead);
    }

    /// Takes out a lead that is merged into another one.
    pub(in crate::store) fn take(&mut self, id: Id) -> Option<Lead> {
        self.0.remove(&id)
    }

    /// The lead with this id, or the lead into which it was merged.
    pub(in crate::store) fn get_mut(&mut self, id: Id) -> Option<&mut Lead> {
        self.0.get_mut(&self.resolve(id))
    }

    /// The id of the lead into which `id` was merged, or `id` itself.
    pub(in crate::store) fn resolve(&self, id: Id) -> Id {
        self.0.get(&id).and_then(|lead| lead.merged_into).unwrap_or(id)
    }

    /// True if one of the leads was merged into another.
    pub(in crate::store) fn has_merged(&self) -> bool {
        self.0.values().any(|lead| lead.merged_into.is_some())
    }

    /// True if the lead is locked, or new.
    pub(in crate::store) fn has(&self, id: Id) -> bool {
        self.0.contains_key(&id)
    }

    /// True if the lead is not stored yet.
    pub(in crate::store) fn is_new(&self, id: Id) -> bool {
        self.0.get(&id).is_some_and(|lead| lead.is_new)
    }

    /// Writes the leads that are new or have changed, and the opt-outs that they got.
    pub(in crate::store) async fn write(&self, db: &Database, tx: &Tx) -> Result<(), StoreError> {
        let rows = |is_new: bool| -> Vec<LeadRow<'_>> {
            let chosen = self.0.values().filter(|lead| lead.is_changed && lead.is_new == is_new);
            let mut rows: Vec<LeadRow<'_>> = chosen.map(LeadRow::of).collect();
            rows.sort_unstable_by_key(|row| row.id);
            rows
        };
        let (new, changed) = (rows(true), rows(false));
        if !new.is_empty() {
            tx.run(&PUT_LEADS, [group(&new)?]).await?;
        }
        if !changed.is_empty() {
            tx.run(&UPDATE_LEADS, [group(&changed)?]).await?;
        }
        let mut new_opt_outs: Vec<(&str, Id, &NewOptOut)> = Vec::new();
        for lead in self.0.values() {
            new_opt_outs.extend(
                lead.new_opt_outs.iter().map(|new| (lead.client_id.as_str(), lead.id, new)),
            );
        }
        opt_outs::put(db, tx, &new_opt_outs).await
    }
}

#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct LeadRow<'a> {
    id: Id,
    client_id: &'a str,
    status: &'static str,
    sentiment: Option<&'static str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    company_name: Option<&'a str>,
    title: Option<&'a str>,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    timezone: Option<&'a str>,
    campaign_id: Option<Id>,
    opted_out_at: Option<i64>,
    opted_out_channel: Option<&'a str>,
    opted_out_message_id: Option<Id>,
    opted_out_reason: Option<&'a str>,
    bounced_at: Option<i64>,
    bounced_address: Option<&'a str>,
    bounced_reason: Option<&'a str>,
    sms_dnd: bool,
    connected_at: Option<i64>,
    snoozed_until: Option<i64>,
    fit: Option<i32>,
    intent: Option<i32>,
    overall: Option<i32>,
    score_reason: Option<&'a str>,
    scored_at: Option<i64>,
    last_message_at: Option<i64>,
    last_inbound_at: Option<i64>,
    last_outbound_at: Option<i64>,
    newest_inbound_id: Option<Id>,
    category: Option<&'a str>,
    category_at: Option<i64>,
    sms_dnd_at: Option<i64>,
}

impl<'a> LeadRow<'a> {
    fn of(lead: &'a Lead) -> Self {
        let (opted_out, bounced) = (lead.opted_out.as_ref(), lead.bounced.as_ref());
        let score = lead.score.as_ref();
        Self {
            id: lead.id,
            client_id: &lead.client_id,
            status: lead.standing.status.as_str(),
            sentiment: lead.standing.sentiment.map(Sentiment::as_str),
            first_name: lead.profile.first_name.as_deref(),
            last_name: lead.profile.last_name.as_deref(),
            company_name: lead.profile.company_name.as_deref(),
            title: lead.profile.title.as_deref(),
            email: lead.profile.email.as_deref(),
            phone: lead.profile.phone.as_deref(),
            timezone: lead.profile.timezone.as_deref(),
            campaign_id: lead.campaign_id,
            opted_out_at: opted_out.map(|fact| fact.at.as_millis()),
            opted_out_channel: opted_out.and_then(|fact| fact.channel.as_deref()),
            opted_out_message_id: opted_out.and_then(|fact| fact.message_id),
            opted_out_reason: opted_out.map(|fact| fact.reason.as_str()),
            bounced_at: bounced.map(|fact| fact.at.as_millis()),
            bounced_address: bounced.map(|fact| fact.address.as_str()),
            bounced_reason: bounced.and_then(|fact| fact.reason.as_deref()),
            sms_dnd: lead.standing.barriers.sms_dnd,
            connected_at: lead.connected_at.map(Timestamp::as_millis),
            snoozed_until: lead.snoozed_until.map(Timestamp::as_millis),
            fit: score.map(|it| it.fit),
            intent: score.map(|it| it.intent),
            overall: score.map(|it| it.overall),
            score_reason: score.map(|score| score.reason.as_str()),
            scored_at: score.map(|score| score.at.as_millis()),
            last_message_at: lead.last_message_at.map(Timestamp::as_millis),
            last_inbound_at: lead.newest_inbound.map(|(at, _)| at.as_millis()),
            last_outbound_at: lead.last_outbound_at.map(Timestamp::as_millis),
            newest_inbound_id: lead.newest_inbound.map(|(_, id)| id),
            category: lead.category.as_deref(),
            category_at: lead.category_at.map(Timestamp::as_millis),
            sms_dnd_at: lead.sms_dnd_at.map(Timestamp::as_millis),
        }
    }
}
