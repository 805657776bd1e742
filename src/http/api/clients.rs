//! `/clients`: the tenants of the configuration, and what waits and runs for each.

use super::{
    ApiResult, ApiState, if_read, no_such,
    objects::{self, List},
    query::Query,
};
use crate::{
    config::{Client, ClientChannel, Config},
    domain::{RejectReason, Timestamp},
    http::{
        admin,
        openapi::{ApiEndpoint, AutoReplyWord, PAGE, get},
    },
    store::{ClientNumbers, DecisionOfPerson, Totals, wall_clock},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The clients.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/clients", list)
            .says("The clients, by id")
            .takes(&PAGE)
            .answers::<List<ClientJson<'_>>>(),
        get("/clients/{id}", show).says("A client").answers::<ClientJson<'_>>(),
    ]
}

/// What the ids of Postroom's own jobs begin with. No client of a configuration has such an id.
const OWN: char = '_';
/// A channel is silent if nothing has come for this many times its usual pause, and for an hour.
const SILENT_TIMES: i64 = 5;
const SILENT_MIN_MS: i64 = 3_600_000;

/// The place of rejections without a reason.
const NO_REASON: &str = "none";

/// `GET /clients`, in the order of their ids: those of the configuration, and those that are not in
/// it and have jobs. It also answers without the database; then `pending` and `running` are `null`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PAGE)?;
    let viewer = admin::admit(&request).await?;
    let mut known = state.known_clients().await;
    known.read_facts(&state, |id| viewer.sees(id)).await;
    let mut items = known.list();
    items.retain(|it| viewer.sees(it.id));
    objects::object(List::by_name(items, &query, |it: &ClientJson<'_>| it.id.to_owned())?)
}

/// `GET /clients/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let mut known = state.known_clients().await;
    known.read_facts(&state, |id| id == path.as_str()).await;
    let client = known.list().into_iter().find(|it| it.id == path.as_str());
    let client = client.ok_or_else(|| no_such("client", &path))?;
    let decisions = if known.is_counted() { state.decisions_of(&path).await } else { None };
    objects::object(ClientJson { decisions, ..client })
}

/// The clients of a moment, and what is known of them.
#[derive(Clone, Debug)]
pub(in crate::http) struct KnownClients {
    config: Arc<Config>,
    /// `None` if the database is away.
    totals: Option<Arc<Totals>>,
    /// What is stored for those that were asked for; empty if the database is away.
    facts: Vec<ClientNumbers>,
    /// How long answers took, in milliseconds, by client.
    answer_times: HashMap<String, i64>,
    now: Timestamp,
}

impl ApiState {
    /// What people decided about the newest drafts of a client; `None` if it was not read.
    pub(in crate::http) async fn decisions_of(&self, client: &str) -> Option<DecisionsJson> {
        let channels = self.channels.iter().map(|it| it.0.to_owned()).collect();
        let decisions = self.desk.decisions_of(client.to_owned(), channels).await;
        Some(DecisionsJson::of(&if_read(decisions, "decisions of a client")?))
    }

    /// The clients of the configuration, and those that are not in it and have jobs.
    pub(in crate::http) async fn known_clients(&self) -> KnownClients {
        let totals = self.totals().await.ok();
        KnownClients {
            config: self.config.get(),
            totals,
            facts: Vec::new(),
            answer_times: HashMap::new(),
            now: wall_clock(),
        }
    }
}

impl KnownClients {
    /// Reads what is stored for the clients of which `is_wanted` is true. Nothing is read if the
    /// database is away.
    pub(in crate::http) async fn read_facts(
        &mut self,
        state: &ApiState,
        is_wanted: impl Fn(&str) -> bool,
    ) {
        let ids: Vec<String> =
            self.list().iter().map(|it| it.id.to_owned()).filter(|id| is_wanted(id)).collect();
        if self.totals.is_none() || ids.is_empty() {
            return;
        }
        let channels = state.channels.iter().map(|it| it.0.to_owned()).collect();
        let answering = self.answering(&ids);
        let (facts, answer_times) = tokio::join!(
            state.desk.client_numbers(ids, channels),
            state.desk.answer_times(answering)
        );
        self.facts = if_read(facts, "numbers of clients").unwrap_or_default();
        self.answer_times = if_read(answer_times, "times to answer of clients").unwrap_or_default();
    }

    /// The channels over which these clients send answers, as pairs of client and channel.
    fn answering(&self, ids: &[String]) -> Vec<(String, String)> {
        let clients = self.config.clients.iter().filter(|client| ids.contains(&client.id));
        let channels = clients.flat_map(|client| {
            let sends = client.channels.iter().filter(|it| it.1.send.is_some());
            sends.map(|(channel, _)| (client.id.clone(), channel.clone()))
        });
        channels.collect()
    }

    /// True if the database told how much waits.
    pub(in crate::http) const fn is_counted(&self) -> bool {
        self.totals.is_some()
    }

    /// In the order of their ids.
    pub(in crate::http) fn list(&self) -> Vec<ClientJson<'_>> {
        let mut all = clients(&self.config, self.totals.as_deref());
        for client in &mut all {
            let of: Vec<&ClientNumbers> =
                self.facts.iter().filter(|it| it.client_id == client.id).collect();
            for channel in &mut client.channels {
                let facts = of.iter().find(|it| it.channel == channel.channel);
                channel.last_inbound_at = facts.and_then(|it| it.last_inbound_at);
                channel.silent = facts.is_some_and(|it| is_silent(it, self.now));
            }
            if !of.is_empty() {
                client.drafts_pending = Some(of.iter().map(|it| it.drafts).sum());
                client.quarantined = Some(of.iter().map(|it| it.held).sum());
                client.uncertain = Some(of.iter().map(|it| it.uncertain).sum());
                client.received_in_hour = Some(of.iter().map(|it| it.received_in_hour).sum());
            }
            client.answer_ms = self.answer_times.get(client.id).copied();
            client.health = client.health_in_words();
        }
        all
    }
}

/// True if nothing has come for much longer than usual: perhaps the provider has switched its
/// webhook off.
fn is_silent(facts: &ClientNumbers, now: Timestamp) -> bool {
    let (Some(last), Some(usual)) = (facts.last_inbound_at, facts.usual_pause_ms) else {
        return false;
    };
    now.millis_since(last) > usual.saturating_mul(SILENT_TIMES).max(SILENT_MIN_MS)
}

fn clients<'a>(config: &'a Config, totals: Option<&'a Totals>) -> Vec<ClientJson<'a>> {
    // The jobs of each client: pending and running.
    let mut jobs: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for counted in totals.iter().flat_map(|it| &it.backlog) {
        let (pending, running) = jobs.entry(&counted.client_id).or_default();
        *pending += counted.pending;
        *running += counted.running;
    }
    let mut all: BTreeMap<&str, ClientJson<'_>> = jobs
        .keys()
        .filter(|id| !id.starts_with(OWN))
        .map(|id| (*id, ClientJson::unknown(id)))
        .collect();
    let caps = config.caps();
    for client in &config.clients {
        all.insert(&client.id, ClientJson::of(client, caps.get(&client.id).copied()));
    }
    for account in totals.iter().flat_map(|it| &it.accounts) {
        let client = all.get_mut(account.client_id.as_str());
        let mut channels = client.into_iter().flat_map(|it| &mut it.channels);
        if let Some(channel) = channels.find(|it| it.channel == account.channel) {
            channel.trouble = Some(&account.state);
        }
    }
    for client in all.values_mut() {
        let (pending, running) = jobs.get(client.id).copied().unwrap_or_default();
        client.pending = totals.map(|_| pending);
        client.running = totals.map(|_| running);
    }
    all.into_values().collect()
}

#[derive(Debug, PartialEq, JsonSchema, Serialize)]
pub(in crate::http) struct ClientJson<'a> {
    pub(in crate::http) id: &'a str,
    pub(in crate::http) name: &'a str,
    /// False if it only has jobs: its part of the configuration was taken out.
    pub(in crate::http) configured: bool,
    /// `well`, or all that is not, in words.
    pub(in crate::http) health: String,
    pub(in crate::http) timezone: Option<&'a str>,
    pub(in crate::http) channels: Vec<ChannelOfClient<'a>>,
    #[schemars(with = "Option<AutoReplyWord>")]
    pub(in crate::http) auto_reply: Option<&'static str>,
    /// As it is written: `50/s`.
    pub(in crate::http) rate_limit: Option<String>,
    /// The cap that applies; `null` if there is none.
    pub(in crate::http) max_running: Option<u32>,
    pub(in crate::http) pending: Option<i64>,
    pub(in crate::http) running: Option<i64>,
    /// Drafts, quarantined webhooks and sends that wait for a person; `null` without the database.
    /// Of each channel at most a thousand are counted.
    pub(in crate::http) drafts_pending: Option<i64>,
    pub(in crate::http) quarantined: Option<i64>,
    pub(in crate::http) uncertain: Option<i64>,
    /// Messages of leads that were stored within the last hour; of each channel at most a thousand
    /// are counted. `null` without the database.
    pub(in crate::http) received_in_hour: Option<i64>,
    /// How long its last answers took, from the message that is answered until they were sent: the
    /// median. `null` without an answer.
    pub(in crate::http) answer_ms: Option<i64>,
    /// What people decided about its drafts; `null` in the list, and without the database.
    pub(in crate::http) decisions: Option<DecisionsJson>,
}

/// What people decided about the newest drafts of a client, of which at most 200 are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub(in crate::http) struct DecisionsJson {
    pub(in crate::http) decided: usize,
    pub(in crate::http) rejected: usize,
    /// How many were rejected for each reason; `none` counts those without one.
    pub(in crate::http) reasons: BTreeMap<&'static str, usize>,
}

impl DecisionsJson {
    fn of(decisions: &[DecisionOfPerson]) -> Self {
        let mut counted = Self { decided: decisions.len(), ..Self::default() };
        for decision in decisions.iter().filter(|it| it.is_rejected) {
            let reason = decision.note.as_deref().and_then(RejectReason::of_note);
            counted.rejected += 1;
            *counted.reasons.entry(reason.map_or(NO_REASON, RejectReason::as_str)).or_default() +=
                1;
        }
        counted
    }
}

#[derive(Debug, PartialEq, JsonSchema, Serialize)]
pub(in crate::http) struct ChannelOfClient<'a> {
    pub(in crate::http) channel: &'a str,
    /// Whether a webhook must show a secret or be signed.
    pub(in crate::http) has_secret: bool,
    pub(in crate::http) account: Option<&'a str>,
    /// `disconnected` or `rate_limited` if the account that sends is in trouble.
    pub(in crate::http) trouble: Option<&'a str>,
    /// When the last message of a lead was stored.
    pub(in crate::http) last_inbound_at: Option<Timestamp>,
    /// True if that is much longer ago than usual.
    pub(in crate::http) silent: bool,
}

impl<'a> ClientJson<'a> {
    fn unknown(id: &'a str) -> Self {
        Self {
            id,
            name: id,
            configured: false,
            health: String::new(),
            timezone: None,
            channels: Vec::new(),
            auto_reply: None,
            rate_limit: None,
            max_running: None,
            pending: None,
            running: None,
            drafts_pending: None,
            quarantined: None,
            uncertain: None,
            received_in_hour: None,
            answer_ms: None,
            decisions: None,
        }
    }

    /// What is wrong, the worst first.
    fn health_in_words(&self) -> String {
        let mut wrong = Vec::new();
        if !self.configured {
            wrong.push("not in the configuration any more".to_owned());
        }
        let in_trouble = |state: &'static str| {
            self.channels.iter().filter(move |it| it.trouble == Some(state)).map(|it| it.channel)
        };
        wrong.extend(in_trouble("disconnected").map(|it| format!("{it} is disconnected")));
        if let Some(count @ 1..) = self.uncertain {
            let sends = if count == 1 { "send is" } else { "sends are" };
            wrong.push(format!("{count} {sends} uncertain"));
        }
        if let Some(count @ 1..) = self.quarantined {
            let webhooks = if count == 1 { "webhook was" } else { "webhooks were" };
            wrong.push(format!("{count} {webhooks} not understood"));
        }
        let silent = self.channels.iter().filter(|it| it.silent);
        wrong.extend(silent.map(|it| format!("{} is silent for longer than usual", it.channel)));
        wrong.extend(in_trouble("rate_limited").map(|it| format!("{it} is rate limited")));
        if wrong.is_empty() { "well".to_owned() } else { wrong.join("; ") }
    }

    fn of(client: &'a Client, cap: Option<u32>) -> Self {
        let channel = |(name, channel): (&'a String, &'a ClientChannel)| {
            let (has_secret, account) = (channel.has_authentication(), channel.account.as_deref());
            ChannelOfClient {
                channel: name,
                has_secret,
                account,
                trouble: None,
                last_inbound_at: None,
                silent: false,
            }
        };
        Self {
            name: &client.name,
            configured: true,
            timezone: client.timezone.iana_name(),
            channels: client.channels.iter().map(channel).collect(),
            auto_reply: Some(client.auto_reply.as_str()),
            rate_limit: client.rate_limit.map(|it| it.to_string()),
            max_running: cap,
            ..Self::unknown(&client.id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_silent_after_five_usual_pauses_and_an_hour() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        for (minutes, usual_minutes, expected) in [
            (59, Some(1), false),
            (61, Some(1), true),
            (61, Some(30), false),
            (151, Some(30), true),
            (9_999, None, false),
        ] {
            let facts = ClientNumbers {
                client_id: "acme".to_owned(),
                channel: "pager".to_owned(),
                last_inbound_at: Some(now.plus_millis(-minutes * 60_000)),
                usual_pause_ms: usual_minutes.map(|it: i64| it * 60_000),
                drafts: 0,
                held: 0,
                uncertain: 0,
                received_in_hour: 0,
            };
            assert_eq!(is_silent(&facts, now), expected, "{minutes} {usual_minutes:?}");
        }
    }

    #[test]
    fn rejections_are_counted_by_their_reasons() {
        let decision = |draft_id, note: Option<&str>| DecisionOfPerson {
            draft_id,
            is_rejected: note.is_some(),
            note: note.filter(|it| !it.is_empty()).map(str::to_owned),
        };
        let counted = DecisionsJson::of(&[
            decision(5, None),
            decision(4, Some("wrong tone: too pushy")),
            decision(3, Some("wrong tone")),
            decision(2, Some("")),
            decision(1, Some("in my own words")),
        ]);
        assert_eq!((counted.decided, counted.rejected), (5, 4));
        assert_eq!(counted.reasons, BTreeMap::from([("none", 2), ("wrong_tone", 2)]));
    }

    #[test]
    fn health_says_what_is_wrong_or_that_all_is_well() {
        let mut client = ClientJson { configured: true, ..ClientJson::unknown("acme") };
        assert_eq!(client.health_in_words(), "well");
        client.uncertain = Some(1);
        client.quarantined = Some(3);
        assert_eq!(client.health_in_words(), "1 send is uncertain; 3 webhooks were not understood");
        client.configured = false;
        assert!(client.health_in_words().starts_with("not in the configuration any more; 1 send"));
    }
}
