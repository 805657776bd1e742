//! The lists of the API give what matches, all of it, each once and in order, whatever is asked
//! for.

use super::{
    plans::filled::{self, BLOCKED, LATER},
    tools::{fill, instant, numbers},
};
use crate::support::leftovers::Leftover;
use crate::{on_both_databases, support::fixture::Fixture};
use postroom::{
    domain::{Id, JobStatus, LeadStatus, SearchTerms, Timestamp, job::SELF_CHECK},
    store::{
        DeliveryFilter, DraftFilter, JobFilter, LeadFilter, MessageFilter, Page, QuarantineFilter,
    },
};
use std::fmt::Debug;

/// Items on a page.
const LIMIT: usize = 7;

/// Reads pages to the end; no page is larger than was asked for.
async fn all_pages<C: Debug>(read: impl AsyncFn(Option<C>) -> Page<Id, C>) -> Vec<Id> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let Page { items, next } = read(cursor).await;
        assert!(items.len() <= LIMIT, "{} items", items.len());
        all.extend(items);
        match next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

fn ids_of<T, C>(page: Page<T, C>, id: impl Fn(&T) -> Id) -> Page<Id, C> {
    Page { items: page.items.iter().map(id).collect(), next: page.next }
}

/// ` and column in ('a', 'b')`, or nothing.
fn one_of(column: &str, values: &[&str]) -> String {
    match values {
        [] => String::new(),
        _ => format!(" and {column} in ('{}')", values.join("', '")),
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|it| (*it).to_owned()).collect()
}

/// The ids that a plain query gives.
async fn plainly(db: &Fixture, sql: &str) -> Vec<Id> {
    db.texts(sql).await.iter().map(|it| it.parse().unwrap()).collect()
}

const CLIENTS: [&[&str]; 4] = [&[], &["rare"], &["c7"], &["c7", "c8", "c7", "nobody"]];

on_both_databases! {
    async fn leads_are_listed_by_their_newest_message(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        // Some at the same instant.
        db.execute("update leads set last_message_at = (select last_message_at from leads where id = 11) where id % 3 = 0 and last_message_at is not null").await;
        for client in CLIENTS {
            for status in [&[][..], &["blacklisted"], &["new", "blacklisted", "new"]] {
                for text in [None, Some("first2"), Some("%"), Some("12@X.example")] {
                    let filter = LeadFilter {
                        client: owned(client),
                        status: status.iter().filter_map(|it| LeadStatus::parse(it)).collect(),
                        text: text.map(str::to_owned),
                    };
                    let found = all_pages(async |cursor| {
                        let page = db.store.desk().leads(filter.clone(), LIMIT, cursor).await;
                        ids_of(page.unwrap(), |it| it.lead.id)
                    })
                    .await;
                    let text = match text {
                        Some("%") => " and false".to_owned(),
                        Some(it) => format!(" and lower(first_name || ' ' || email) like '%{}%'", it.to_lowercase()),
                        None => String::new(),
                    };
                    let sql = format!(
                        "select cast(id as text) as found from leads where merged_into is null{}{}{text} \
                         order by last_message_at desc nulls last, id desc",
                        one_of("client_id", client),
                        one_of("status", status)
                    );
                    assert_eq!(found, plainly(&db, &sql).await, "{filter:?}");
                }
            }
        }
    }

    async fn messages_are_listed_newest_first(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        for client in CLIENTS {
            for channel in [&[][..], &["linkedin"], &["email", "sms"]] {
                for direction in [&[][..], &["outbound"], &["inbound", "outbound"]] {
                    for lead in [&[][..], &[3], &[3, 4, 107, 3]] {
                        let filter = MessageFilter {
                            client: owned(client),
                            lead: lead.to_vec(),
                            channel: owned(channel),
                            direction: owned(direction),
                        };
                        let found = all_pages(async |cursor| {
                            let page = db.store.desk().messages(filter.clone(), LIMIT, cursor).await;
                            ids_of(page.unwrap(), |it| it.row.id)
                        })
                        .await;
                        let leads: Vec<String> = lead.iter().map(ToString::to_string).collect();
                        let leads: Vec<&str> = leads.iter().map(String::as_str).collect();
                        let sql = format!(
                            "select cast(id as text) as found from messages where id > 0{}{}{}{} order by id desc",
                            one_of("client_id", client),
                            one_of("channel", channel),
                            one_of("direction", direction),
                            one_of("cast(lead_id as text)", &leads),
                        );
                        assert_eq!(found, plainly(&db, &sql).await, "{filter:?}");
                    }
                }
            }
        }
    }

    async fn quarantined_items_are_listed_newest_first(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        for client in CLIENTS {
            for channel in [&[][..], &["sms"], &["email"]] {
                for status in [&[][..], &["replayed"], &["held", "discarded"]] {
                    let filter = QuarantineFilter {
                        status: owned(status),
                        client: owned(client),
                        channel: owned(channel),
                        ..QuarantineFilter::default()
                    };
                    let found = all_pages(async |cursor| {
                        let page = db.store.desk().quarantine(filter.clone(), LIMIT, cursor).await;
                        ids_of(page.unwrap(), |it| it.id)
                    })
                    .await;
                    let sql = format!(
                        "select cast(id as text) as found from quarantine where id > 0{}{}{} order by id desc",
                        one_of("client_id", client),
                        one_of("channel", channel),
                        one_of("status", status)
                    );
                    assert_eq!(found, plainly(&db, &sql).await, "{filter:?}");
                }
            }
        }
    }

    async fn quarantined_items_are_listed_by_event_and_reason(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        db.execute("update quarantine set event_type = 'Paged' where id % 7 = 0").await;
        db.execute("update quarantine set reason = 'missing_field a, b' where id % 21 = 0").await;
        for client in CLIENTS {
            for event in [&[][..], &["Paged"], &[""], &["Paged", ""], &["nothing"]] {
                for reason in [&[][..], &["missing_field a, b"], &["unknown_event", "other"]] {
                    let filter = QuarantineFilter {
                        client: owned(client),
                        event_type: owned(event),
                        reason: owned(reason),
                        ..QuarantineFilter::default()
                    };
                    let found = all_pages(async |cursor| {
                        let page = db.store.desk().quarantine(filter.clone(), LIMIT, cursor).await;
                        ids_of(page.unwrap(), |it| it.id)
                    })
                    .await;
                    let sql = format!(
                        "select cast(id as text) as found from quarantine where id > 0{}{}{} order by id desc",
                        one_of("client_id", client),
                        one_of("coalesce(event_type, '')", event),
                        one_of("reason", reason)
                    );
                    assert_eq!(found, plainly(&db, &sql).await, "{filter:?}");
                }
            }
        }
    }

    async fn a_rare_event_is_found_behind_many_others(db: Fixture) {
        let now = instant(&db, 0);
        db.execute(&format!(
            "insert into quarantine (id, client_id, channel, body_hash, event_type, reason, status, count, payload, received_at, last_received_at) \
             select n, 'a', 'sms', 'h' || n, case when n < 3 then 'Rare' end, 'unknown_event', 'held', 1, 'p', {now}, {now} from {}",
            numbers(&db, 11_000)
        ))
        .await;
        let rare = QuarantineFilter { event_type: owned(&["Rare"]), ..QuarantineFilter::default() };
        let page = async |cursor| db.store.desk().quarantine(rare.clone(), 50, cursor).await.unwrap();
        let first = page(None).await;
        assert_eq!((first.items.len(), first.next), (0, Some(1_001)), "a read has an end");
        let second = page(first.next).await;
        let ids: Vec<i64> = second.items.iter().map(|it| it.id).collect();
        assert_eq!((ids, second.next), (vec![2, 1], None));
    }

    #[ignore = "long: `just long`"]
    async fn jobs_are_listed_newest_first(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        // Each row of the queue's tables is a job.
        for (table, first) in [("job_later", LATER), ("job_blocked", BLOCKED)] {
            db.execute(&format!(
                "insert into jobs (id, kind, client_id, lead_id, subject_id, max_attempts, run_at, created_at) \
                 select job_id, kind, client_id, case when line > 0 then line end, job_id, 5, {now}, {now} from {table} \
                 where job_id > {first}",
                now = instant(&db, 0)
            ))
            .await;
        }
        let status_of = "case when exists (select 1 from job_ready r where r.job_id = j.id and r.node is not null) then 'running' \
            when exists (select 1 from job_ready r where r.job_id = j.id) or exists (select 1 from job_blocked b where b.job_id = j.id) \
              or exists (select 1 from job_later l where l.job_id = j.id) then 'pending' \
            else (select case a.outcome when 'succeeded' then 'succeeded' when 'cancelled' then 'cancelled' else 'failed' end \
              from job_attempts a where a.job_id = j.id) end";
        for client in CLIENTS {
            for kind in [&[][..], &["RARE"], &["SELF_CHECK", "PAUSED"]] {
                for status in [
                    &[][..],
                    &["pending"],
                    &["running"],
                    &["failed"],
                    &["failed", "cancelled"],
                    &["succeeded"],
                    &["running", "cancelled"],
                    &["pending", "succeeded", "failed"],
                ] {
                    let filter = JobFilter {
                        status: status.iter().filter_map(|it| JobStatus::parse(it)).collect(),
                        kind: owned(kind),
                        client: owned(client),
                        ..JobFilter::default()
                    };
                    let found = all_pages(async |cursor| {
                        let page = db.store.desk().jobs(filter.clone(), LIMIT, cursor).await;
                        ids_of(page.unwrap(), |it| it.id)
                    })
                    .await;
                    let sql = format!(
                        "select cast(id as text) as found from jobs j where id > 0{}{}{} order by id desc",
                        one_of("client_id", client),
                        one_of("kind", kind),
                        one_of(status_of, status)
                    );
                    assert_eq!(found, plainly(&db, &sql).await, "{filter:?}");
                }
            }
        }
    }

    /// Fields that a list does not cut may have megabytes, too, and a page has up to 500 items.
    async fn a_page_holds_a_bounded_number_of_bytes(db: Fixture) {
        filled::fill(&db, 1, 20).await;
        let text = if db.is_sqlite() { "printf('%.*c', 3000000, 'x')" } else { "repeat('x', 3000000)" };
        db.execute(&format!("update messages set attachments = {text} where id <= 5")).await;
        db.execute("update messages set lead_id = 1").await;
        let desk = db.store.desk();
        for filter in [
            MessageFilter::default(),
            MessageFilter { lead: vec![1], ..MessageFilter::default() },
            MessageFilter { direction: owned(&["inbound", "outbound"]), ..MessageFilter::default() },
        ] {
            let first = desk.messages(filter.clone(), 200, None).await.unwrap();
            assert_eq!((first.items.len(), first.next), (17, Some(4)), "{filter:?}");
            let second = desk.messages(filter.clone(), 200, first.next).await.unwrap();
            assert_eq!((second.items.len(), second.next), (2, Some(2)));
            let last = desk.messages(filter, 200, second.next).await.unwrap();
            assert_eq!((last.items.len(), last.next), (1, None));
        }
        let lead = desk.lead(1).await.unwrap().unwrap();
        assert_eq!(lead.messages.len(), 17, "the newest of its thread");
    }

    async fn a_list_has_the_beginnings_of_long_texts(db: Fixture) {
        filled::fill(&db, 1, 5).await;
        let repeat = |count: usize| match db.is_sqlite() {
            _ if count == 0 => "''".to_owned(),
            // Four bytes a character.
            true => format!("replace(printf('%.*c', {count}, 'x'), 'x', '\u{1f600}')"),
            false => format!("repeat('\u{1f600}', {count})"),
        };
        for (id, body, subject, parts) in [
            (1, 2_000, 2_000, 0),
            (2, 2_001, 1, 0),
            (3, 1, 2_001, 0),
            (4, 1_000_000, 1, 0),
            (5, 1, 1, 2_001),
        ] {
            let (body, subject, parts) = (repeat(body), repeat(subject), repeat(parts));
            db.execute(&format!("update messages set lead_id = 1, body = {body}, subject = {subject} where id = {id}")).await;
            db.execute(&format!("update drafts set lead_id = 1, body = {body}, subject = {subject}, parts = '[' || {parts} || ']' where id = {id}"))
                .await;
        }
        let desk = db.store.desk();
        let beginning = |text: &str| text.chars().count().min(2_000);
        let messages = desk.messages(MessageFilter::default(), 5, None).await.unwrap().items;
        let of_lead = desk.lead(1).await.unwrap().unwrap();
        for list in [messages, of_lead.messages.into_iter().rev().collect()] {
            let cut: Vec<(Id, bool)> = list.iter().map(|it| (it.row.id, it.is_cut)).collect();
            assert_eq!(cut, [(5, false), (4, true), (3, true), (2, true), (1, false)]);
            for it in list {
                let whole = desk.message(it.row.id).await.unwrap().unwrap();
                assert_eq!(it.row.body.chars().count(), beginning(&whole.body));
                assert!(whole.body.starts_with(&it.row.body));
                let subject = it.row.subject.unwrap();
                assert_eq!(subject.chars().count(), beginning(&whole.subject.unwrap()));
            }
        }
        let drafts = desk.drafts(DraftFilter::default(), 5, None).await.unwrap().items;
        assert_eq!(drafts, of_lead.drafts);
        let cut: Vec<(Id, bool)> = drafts.iter().map(|it| (it.row.draft.id, it.is_cut)).collect();
        assert_eq!(cut, [(5, true), (4, true), (3, true), (2, true), (1, false)]);
        for it in drafts {
            let whole = desk.draft(it.row.draft.id).await.unwrap().unwrap();
            assert_eq!(it.row.draft.body.chars().count(), beginning(&whole.draft.body));
            assert_eq!(it.row.draft.parts, "[]");
            assert_eq!(whole.draft.parts.chars().count(), if whole.draft.id == 5 { 2_003 } else { 2 });
        }
    }

    #[ignore = "long: `just long`"]
    async fn drafts_and_deliveries_are_listed_by_any_filter(db: Fixture) {
        filled::fill(&db, 1, 300).await;
        for (table, status) in [("deliveries", "failed"), ("drafts", "sent")] {
            db.execute(&format!("update {table} set status = '{status}' where id in (7, 8, 57, 207)")).await;
            db.execute(&format!("update {table} set channel = 'email' where id in (8, 58, 108)")).await;
        }
        let desk = db.store.desk();
        for status in [&[][..], &["failed"], &["failed", "sent", "failed"], &["uncertain", "superseded"]] {
            for client in CLIENTS {
                for channel in [&[][..], &["email"], &["email", "sms", "linkedin"]] {
                    for lead in [&[][..], &[7, 8, 9, 8, 57]] {
                        let leads: Vec<String> = lead.iter().map(|it: &Id| it.to_string()).collect();
                        let of_leads = match leads.is_empty() {
                            true => String::new(),
                            false => format!(" and lead_id in ({})", leads.join(", ")),
                        };
                        let plain = |table: &str| format!(
                            "select cast(id as text) as found from {table} where true{}{}{}{of_leads} order by id desc",
                            one_of("status", status),
                            one_of("client_id", client),
                            one_of("channel", channel),
                        );
                        let filter = DeliveryFilter {
                            status: owned(status),
                            client: owned(client),
                            lead: lead.to_vec(),
                            channel: owned(channel),
                        };
                        let found = all_pages(async |cursor| {
                            let page = desk.deliveries(filter.clone(), LIMIT, cursor).await.unwrap();
                            ids_of(page, |it| it.id)
                        })
                        .await;
                        assert_eq!(found, plainly(&db, &plain("deliveries")).await, "{filter:?}");
                        let DeliveryFilter { status, client, lead, channel } = filter;
                        let filter = DraftFilter { status, client, lead, channel };
                        let found = all_pages(async |cursor| {
                            let page = desk.drafts(filter.clone(), LIMIT, cursor).await.unwrap();
                            ids_of(page, |it| it.row.draft.id)
                        })
                        .await;
                        assert_eq!(found, plainly(&db, &plain("drafts")).await, "{filter:?}");
                    }
                }
            }
        }
        assert_eq!(desk.delivery(8).await.unwrap().unwrap().channel, "email");
        assert_eq!(desk.delivery(999).await.unwrap(), None);
    }

    /// Merges and retries by hand add to one lead and one job without an end.
    async fn what_comes_with_an_item_has_a_bound(db: Fixture) {
        filled::fill(&db, 1, 3).await;
        db.execute(&format!(
            "insert into lead_identities (client_id, kind, value, lead_id) select 'c1', 'email', n || '@x.example', 2 from {}",
            numbers(&db, 1_500)
        ))
        .await;
        let (yes, now) = (if db.is_sqlite() { "1" } else { "true" }, instant(&db, 0));
        db.execute(&format!(
            "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
             select 2, 1 + n, 0, 'error', {yes}, {now} from {}",
            numbers(&db, 300)
        ))
        .await;
        let desk = db.store.desk();
        let leads = desk.leads(LeadFilter::default(), 50, None).await.unwrap().items;
        let mut known: Vec<(Id, usize)> =
            leads.iter().map(|it| (it.lead.id, it.identities.len())).collect();
        known.sort_unstable();
        assert_eq!(known, [(1, 1), (2, 100), (3, 1)]);
        let lead = desk.lead(2).await.unwrap().unwrap().entry;
        assert_eq!(lead.identities.len(), 1_000);
        let errors = desk.job(2).await.unwrap().unwrap().errors;
        let attempts: Vec<i64> = errors.iter().map(|it| it.attempt).collect();
        assert_eq!(attempts, (102..=301).collect::<Vec<i64>>(), "the newest, oldest first");
    }

    async fn a_search_finds_the_newest_leads_of_all_clients(db: Fixture) {
        filled::fill(&db, 1, 230).await;
        // A lead of each client. All leads of `c49` were merged into others.
        for (kind, value, of) in [("phone", "+13125550187", "n = 1 or n > 100"), ("ghl_contact", "13125550187", "n = 150")] {
            db.execute(&format!(
                "insert into lead_identities (client_id, kind, value, lead_id) \
                 select case when n = 1 then 'rare' else 'c' || (n % 50) end, '{kind}', '{value}', n from {} where {of}",
                numbers(&db, 150)
            ))
            .await;
        }
        let found = db.store.desk().search(SearchTerms::of("+1 (312) 555-0187")).await.unwrap();
        let leads: Vec<Id> = found.iter().map(|hit| hit.id).collect();
        let newest: Vec<Id> = (101..=150).rev().filter(|id| id % 50 != 49).collect();
        assert_eq!(leads, newest, "50 identities: one lead has two of them, and the oldest is left out");
        assert!(found.iter().all(|hit| hit.kind == "lead" && hit.lead_id == Some(hit.id)), "{found:?}");
        let of = |id: Id| found.iter().find(|hit| hit.id == id).unwrap();
        assert_eq!(of(148).client_id.as_deref(), Some("c48"));
        assert_eq!(of(148).found_by, "phone");
    }

    /// A job of one client stands behind more jobs of another than one statement reads.
    async fn a_job_that_waits_behind_many_is_found(db: Fixture) {
        db.may_leave(Leftover::Miscounted, "most jobs are made by hand");
        fill(&db, "rare", SELF_CHECK, 0, 1).await;
        let now = instant(&db, 0);
        for (table, values) in [
            ("jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at)", format!("'LARGE', 'large', 10 + n, 5, {now}, {now}")),
            ("job_ready (line, job_id, kind, client_id, turn)", "10 + n, 'LARGE', 'large', n".to_owned()),
        ] {
            let id = if table.starts_with("jobs") { "10 + n" } else { "-(10 + n)" };
            db.execute(&format!("insert into {table} select {id}, {values} from {}", numbers(&db, 45_000))).await;
        }
        let pending = JobFilter {
            status: vec![JobStatus::Pending],
            client: owned(&["rare"]),
            ..JobFilter::default()
        };
        let page = db.store.desk().jobs(pending, 50, None).await.unwrap();
        assert_eq!((page.items.len(), page.next), (1, None));
    }

    /// Each table of the queue has more rows than one portion of a count.
    #[ignore = "long: `just long`"]
    async fn a_long_backlog_is_counted_as_it_is(db: Fixture) {
        const ROWS: usize = 50_050;
        db.may_leave(Leftover::Anything, "the tables of the queue are filled by themselves");
        let (now, soon) = (instant(&db, 0), instant(&db, 3_600_000));
        let (hour_ago, long_ago) = (instant(&db, -3_600_000), instant(&db, -7_200_000));
        let of = "'K' || (n % 2), 'c' || (n % 3)";
        for (table, values) in [
            (
                "job_ready (line, job_id, kind, client_id, turn, due_at, node)",
                format!("-n, n, {of}, n, case when n = 50049 then {hour_ago} else {now} end, case when n % 1000 = 0 then 9 end"),
            ),
            ("job_blocked (line, pos, job_id, kind, client_id, run, spared)", format!("n % 7 + 1, n, 100000 + n, {of}, 0, 0")),
            (
                "job_later (job_id, run_at, line, kind, client_id, run, spared)",
                format!("200000 + n, case when n = 50050 then {long_ago} else {soon} end, -200000 - n, {of}, 0, 0"),
            ),
        ] {
            db.execute(&format!("insert into {table} select {values} from {}", numbers(&db, ROWS))).await;
        }
        let totals = db.store.desk().totals().await.unwrap();
        let counted: Vec<String> = totals
            .backlog
            .iter()
            .map(|it| format!("{} {} {} {}", it.kind, it.client_id, it.pending, it.running))
            .collect();
        let plain = "select kind || ' ' || client_id || ' ' || cast(sum(waits) as text) || ' ' || cast(sum(runs) as text) as found from ( \
            select kind, client_id, case when node is null then 1 else 0 end as waits, case when node is null then 0 else 1 end as runs \
              from job_ready union all select kind, client_id, 1, 0 from job_blocked union all select kind, client_id, 1, 0 from job_later) x \
            group by kind, client_id order by kind, client_id";
        assert_eq!(counted, db.texts(plain).await);
        assert_eq!(totals.balance().pending, 3 * 50_050 - 50);
        // The one that has been due longest, of all tables and portions.
        let ms = |of: &str| if db.is_sqlite() { of.to_owned() } else { format!("cast(extract(epoch from {of}) * 1000 as bigint)") };
        for (kind, client, oldest) in [
            ("K1", "c0", format!("select {} from job_ready", ms("min(due_at)"))),
            ("K0", "c1", format!("select {} from job_later", ms("min(run_at)"))),
        ] {
            let of_both = totals.backlog.iter().find(|it| it.kind == kind && it.client_id == client).unwrap();
            let oldest = Timestamp::from_millis(db.number(&oldest).await);
            assert_eq!(of_both.oldest_at, Some(oldest), "{kind} of {client}");
        }
    }
}
