//! Every table that grows, filled with 100,000 rows or more. Most are common rows; the oldest rows
//! of a table are one of each rare kind.

use crate::{
    store::tools::{instant, numbers_from},
    support::{fixture::Fixture, leftovers::Leftover},
};

/// Rows of each table that grows.
pub(in crate::store) const ROWS: i64 = 100_000;
/// Rows of each that are there while plans are made that are kept later.
pub(in crate::store) const FIRST_ROWS: i64 = 60;

/// The client that has nearly all keys of messages. The others have one key each, and are so many
/// that the database expects few keys of a client even when the table is analysed.
pub(in crate::store) const OF_MANY_KEYS: &str = "c5";

/// Jobs `READY + n` are heads of their own lines, `-(READY + n)`.
pub(in crate::store) const READY: i64 = 100_000;
/// Of these the first wait in turn and their kind is paused,
pub(in crate::store) const PAUSED_COUNT: i64 = 60_000;
/// the next wait in turn, and those behind wait for their retry,
pub(in crate::store) const IN_TURN_COUNT: i64 = 80_000;
/// of which the last are due.
pub(in crate::store) const NOT_DUE_COUNT: i64 = 99_000;
/// Jobs `LATER + n` are due later, the first thousand now.
pub(in crate::store) const LATER: i64 = 300_000;
/// Jobs `BLOCKED + n` wait behind the heads of lines 1 to 1,000.
pub(in crate::store) const BLOCKED: i64 = 400_000;
/// Jobs `HEAD + n` are those heads.
pub(in crate::store) const HEAD: i64 = 500_000;
/// Jobs `HELD + n` are heads of a client at its cap.
pub(in crate::store) const HELD: i64 = 600_000;
/// Jobs `RUNNING + n` run, in their own lines.
pub(in crate::store) const RUNNING: i64 = 700_000;
/// The node that runs them.
pub(in crate::store) const NODE: i64 = 900;
/// V of `SELF_CHECK`: what runs has smaller turns, what waits has greater ones.
const V: i64 = 1_000;

/// Tables that do not grow with what is stored, and why.
pub(in crate::store) const SMALL: &[(&str, &str)] = &[
    ("counters", "one row a chore"),
    ("installation", "one row"),
    ("job_caps", "one row a capped client"),
    ("job_clients", "one row a client and kind"),
    ("job_clock", "one row a node and kind, folded when the node is gone"),
    ("job_counts", "one row a node, kind and state, folded when the node is gone"),
    ("leases", "one row a duty"),
    ("nodes", "one row a process, forgotten an hour after its end"),
    ("pool_overrides", "two rows a kind at most"),
    ("send_accounts", "one row a client and channel at most"),
    ("seaql_migrations", "one row a migration"),
];

/// Fills with the rows from number `first` to number `last`.
pub(in crate::store) async fn fill(db: &Fixture, first: i64, last: i64) {
    db.may_leave(Leftover::Anything, "each table is filled by itself");
    let of_all = Numbers { db, first, last };
    let of_some = |count: i64| Numbers { db, first, last: last.min(count) };
    let (yes, no) = if db.is_sqlite() { ("1", "0") } else { ("true", "false") };
    let now = instant(db, 0);
    // Providers tell the time in milliseconds.
    let written =
        if db.is_sqlite() { now.clone() } else { format!("date_trunc('milliseconds', {now})") };
    let client = "case when n = 1 then 'rare' else 'c' || (n % 50) end";
    let inbound = "SMS_INBOUND_POST_PROCESS";
    of_all
        .make(
            "leads (id, client_id, status, first_name, last_name, email, created_at, merged_into, last_message_at)",
            &format!(
                "n, {client}, case when n = 2 then 'blacklisted' else 'new' end, 'First' || n, 'Last', n || '@x.example', {now}, \
                 case when n % 50 = 49 then n - 1 end, case when n % 20 > 0 then {written} end"
            ),
        )
        .await;
    of_all
        .make(
            "lead_identities (client_id, kind, value, lead_id)",
            &format!("{client}, 'phone', '+1555' || n, n"),
        )
        .await;
    of_all
        .make(
            "messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, sender, recipients, cc, \
               attachments, automated, request_id, sent_at, created_at)",
            &format!(
                "n, {client}, n, case when n = 3 then 'linkedin' when n % 2 = 0 then 'sms' else 'email' end, \
                 case when n = 4 then 'outbound' else 'inbound' end, 'provider', 'hello', {yes}, '{{}}', '[]', '[]', '[]', {no}, \
                 'r' || n, {now}, {now}"
            ),
        )
        .await;
    of_all
        .make(
            "message_keys (client_id, channel, kind, key, message_id, first_seen, expires_at)",
            &format!(
                "case when n % 100 = 9 then 'k' || n else '{OF_MANY_KEYS}' end, 'sms', \
                 case when n % 10 = 0 then 'chat' else 'reply' end, 'key of a message ' || n, n, {now}, \
                 case when n % 100 = 7 then {} when n % 100 = 8 then {} end",
                instant(db, -3_600_000),
                instant(db, 3_600_000)
            ),
        )
        .await;
    of_all
        .make(
            "campaigns (id, client_id, channel, provider_id, name)",
            &format!("n, {client}, 'sms', 'p' || n, 'One'"),
        )
        .await;
    of_all
        .make(
            "drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at)",
            &format!(
                "n, {client}, n, n, 'sms', case when n = 5 then 'sent' when n > {FIRST_ROWS} and n % 5 = 1 then 'pending' else 'superseded' end, \
                 'x', '[]', {now}"
            ),
        )
        .await;
    of_all
        .make(
            "deliveries (id, client_id, lead_id, draft_id, message_id, channel, status, text_key, provider_id, created_at, job_id)",
            &format!("n, {client}, n, n, n, 'sms', case when n = 7 then 'uncertain' else 'sent' end, 'k' || n, 'p' || n, {now}, n"),
        )
        .await;
    of_all
        .make(
            "quarantine (id, client_id, channel, body_hash, reason, status, count, payload, request_id, received_at, last_received_at)",
            &format!(
                "n, {client}, 'sms', 'h' || n, 'unknown_event', \
                 case when n = 6 then 'replayed' when n > {FIRST_ROWS} and n % 10 = 0 then 'held' else 'discarded' end, 1, 'p', 'r' || n, {now}, {now}"
            ),
        )
        .await;
    of_all
        .make(
            "opt_outs (id, client_id, lead_id, opted_out_at, reason, source)",
            &format!("n, {client}, n, {now}, 'stop', 'words'"),
        )
        .await;
    of_all
        .make(
            "suppressed (client_id, identity_hash, opt_out_id)",
            &format!("{client}, 'hash ' || n, n"),
        )
        .await;
    of_all
        .make(
            "labelled_examples (id, client_id, lead_id, message_id, channel, kind, body, opt_out, decided_by, created_at)",
            &format!("n, {client}, n, n, 'sms', 'tag', 'x', {no}, 'dana', {now}"),
        )
        .await;
    of_all.make("quarantine_room (client_id, items, bytes)", "'room ' || n, 1, 1").await;
    of_all
        .make(
            "operations (id, action, filter, status, total, done, skipped, is_stopping, changed_by, node, created_at, updated_at)",
            &format!("n, 'retry', '{{}}', case when n = 8 then 'running' else 'done' end, 1, 1, 0, {no}, 'dana', 1, {now}, {now}"),
        )
        .await;
    of_all
        .make(
            "audit (id, happened_at, actor, via, action, target)",
            &format!(
                "n, {now}, case when n = 9 then 'rare' else 'dana' end, 'command', case when n = 9 then 'rare' else 'pool.override' end, \
                 'target ' || n"
            ),
        )
        .await;
    of_all
        .make(
            "model_calls (id, kind, feature, prompt, model, status, latency_ms, retry, client_id, lead_id, job_id, node, created_at)",
            &format!(
                "n, 'SELF_CHECK', case when n = 10 then 'draft' else 'classify' end, 'classify.v1', 'm', \
                 case when n = 10 then 'timeout' else 'ok' end, 900, 0, case when n = 10 then 'rare' else 'c1' end, n, n, 1, {now}"
            ),
        )
        .await;
    of_all
        .make(
            "sessions (id, hash, token_mark, user_name, actor, browser, created_at, used_at, expires_at, revoked_at)",
            &format!(
                "n, 'hash ' || n, 'mark', case when n = 11 then 'rare' else 'user ' || (n % 200) end, 'dana', 'Firefox', {now}, {now}, \
                 {now}, case when n = 12 then {now} end"
            ),
        )
        .await;
    let job = async |numbers: &Numbers<'_>, first: i64, kind: &str, client: &str, of: &str| {
        numbers
            .make(
                "jobs (id, kind, client_id, lead_id, subject_id, message_id, max_attempts, run_at, created_at)",
                &format!(
                    "{first} + n, {kind}, {client}, {of}, {first} + n, {of}, 5, {now}, {now}"
                ),
            )
            .await;
    };
    let kind = format!("case when n = 7 then 'RARE' else '{inbound}' end");
    job(&of_all, 0, &kind, client, "n").await;
    of_all
        .make(
            "job_attempts (job_id, run, spared, outcome, ended, finished_at)",
            &format!(
                "n, 1, 0, case when n = 8 then 'panic' when n > {FIRST_ROWS} and n % 10 = 0 then 'cancelled' else 'succeeded' end, {yes}, {now}"
            ),
        )
        .await;
    let kind = format!("case when n <= {PAUSED_COUNT} then 'PAUSED' else 'SELF_CHECK' end");
    job(&of_all, READY, &kind, client, "cast(null as bigint)").await;
    of_all
        .make(
            "job_ready (line, job_id, kind, client_id, turn, run_at)",
            &format!(
                "-({READY} + n), {READY} + n, {kind}, {client}, case when n <= {IN_TURN_COUNT} then {V} + 1 + n / 50 end, \
                 case when n > {NOT_DUE_COUNT} then {} when n > {IN_TURN_COUNT} then {} end",
                instant(db, -1_000),
                instant(db, 3_600_000)
            ),
        )
        .await;
    of_all
        .make(
            "job_later (job_id, run_at, line, kind, client_id, run, spared)",
            &format!(
                "{LATER} + n, case when n <= 1000 then {} else {} end, -({LATER} + n), 'SELF_CHECK', {client}, 0, 0",
                instant(db, -1_000),
                instant(db, 3_600_000)
            ),
        )
        .await;
    of_all
        .make(
            "job_blocked (line, pos, job_id, kind, client_id, run, spared)",
            &format!("n % 1000 + 1, n, {BLOCKED} + n, '{inbound}', {client}, 0, 0"),
        )
        .await;
    let of_heads = of_some(1_000);
    job(&of_heads, HEAD, &format!("'{inbound}'"), client, "n").await;
    of_heads
        .make(
            "job_ready (line, job_id, kind, client_id, turn)",
            &format!("n, {HEAD} + n, '{inbound}', {client}, {V} + 1 + n / 50"),
        )
        .await;
    let of_held = of_some(2_000);
    job(&of_held, HELD, "'SELF_CHECK'", "'capped'", "cast(null as bigint)").await;
    of_held
        .make(
            "job_ready (line, job_id, kind, client_id, held)",
            &format!("-({HELD} + n), {HELD} + n, 'SELF_CHECK', 'capped', {V} + 1 + n"),
        )
        .await;
    let of_running = of_some(400);
    job(&of_running, RUNNING, "'SELF_CHECK'", client, "cast(null as bigint)").await;
    of_running
        .make(
            "job_ready (line, job_id, kind, client_id, turn, run, node, locked_at)",
            &format!(
                "-({RUNNING} + n), {RUNNING} + n, 'SELF_CHECK', {client}, 1 + n / 50, 1, {NODE}, {now}"
            ),
        )
        .await;
    let of_clients = of_some(1_000);
    of_clients.make("job_caps (client_id, cap, admitted, held)", "'x' || n, 5, 0, 0").await;
    for kind in [inbound, "SELF_CHECK", "PAUSED"] {
        of_clients
            .make(
                "job_clients (client_id, kind, last_turn)",
                &format!("case when n <= 50 then 'c' || (n % 50) else 'x' || n end, '{kind}', n"),
            )
            .await;
    }
    of_clients
        .make("job_counts (node, kind, state, count)", "n, 'SELF_CHECK', 'succeeded', 1")
        .await;
    if first == 1 {
        let clock = "insert into job_clock (kind, node, turn) values ";
        let values =
            [inbound, "SELF_CHECK", "PAUSED"].map(|kind| format!("('{kind}', {NODE}, {V})"));
        db.execute(&format!("{clock}{}", values.join(", "))).await;
        db.execute(
            "insert into job_caps (client_id, cap, admitted, held) values ('capped', 5, 5, 2000)",
        )
        .await;
        db.execute(&format!(
            "insert into nodes (id, slot, role, started_at, seen_at) values ({NODE}, 900, 'all', {now}, {now})"
        ))
        .await;
    }
}

/// The numbers of the rows that are made.
struct Numbers<'a> {
    db: &'a Fixture,
    first: i64,
    last: i64,
}

impl Numbers<'_> {
    /// A row of `table` for each number `n`.
    async fn make(&self, table: &str, values: &str) {
        if self.first <= self.last {
            let numbers = numbers_from(self.db, self.first, self.last);
            self.db.execute(&format!("insert into {table} select {values} from {numbers}")).await;
        }
    }
}
