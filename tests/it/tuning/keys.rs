//! Each key of the configuration is changed in a running daemon, from A to B and back to A, and
//! each time its effect is observed, not only its value.
//!
//! Every key of the schema has a row here or in `starts`. A new key without one fails
//! `every_key_has_a_row`.

use super::{
    effects::{
        ACCOUNT, Effect, FITS, KEYS, OPEN, PATIENCE, SECRETS, SIGNING, USERS_TOKENS, World, client,
        signed, sms_channel, user,
    },
    effects_of_sending::{CAMPAIGN, PROVIDERS, automatic, closed_hours, open_hours, sending},
    starts,
};
use postroom::{
    config::{Applies, known_keys},
    tuning::ReloadOutcome,
};
use std::collections::BTreeSet;

/// A key that applies in a running daemon.
struct Row {
    /// The pattern of the schema.
    key: &'static str,
    /// The configuration over the base, A and B.
    configs: [String; 2],
    /// The effect under A, and under B.
    seen: [&'static str; 2],
    effect: Effect,
}

macro_rules! row {
    ($key:literal, $a:expr, $b:expr, [$seen_a:literal, $seen_b:literal], $effect:ident) => {
        Row {
            key: $key,
            configs: [$a.into(), $b.into()],
            seen: [$seen_a, $seen_b],
            effect: |world| Box::pin(world.$effect()),
        }
    };
}

fn of_server() -> Vec<Row> {
    let proxies = |proxies: &str| {
        format!(
            "server = {{ address_rate_limit = \"1/h\", trusted_proxies = [{proxies}] }}\n{}",
            client("")
        )
    };
    vec![
        row!(
            "server.body_limit",
            "server.body_limit = \"8KiB\"",
            "server.body_limit = \"1KiB\"",
            ["200", "413"],
            long_text
        ),
        row!(
            "server.request_timeout",
            "server.request_timeout = \"9s\"",
            "server.request_timeout = \"50ms\"",
            ["200", "429"],
            slow_commit
        ),
        row!(
            "server.address_rate_limit",
            "server.address_rate_limit = \"off\"",
            "server.address_rate_limit = \"1/h\"",
            ["200", "429"],
            second_post
        ),
        row!(
            "server.trusted_proxies",
            proxies(""),
            proxies("\"127.0.0.1\""),
            ["429", "200"],
            second_sender
        ),
        row!(
            "server.public_url",
            "server.public_url = \"\"",
            "server.public_url = \"https://post.example.com\"",
            ["421", "200"],
            public_name
        ),
        row!(
            "server.hosts",
            "server.hosts = []",
            "server.hosts = [\"post.internal\"]",
            ["421", "200"],
            internal_name
        ),
        row!(
            "admin.allow_plain",
            "admin.allow_plain = false",
            "admin.allow_plain = true",
            ["403", "200"],
            asked_from_outside
        ),
        row!(
            "admin.token",
            "",
            "admin.token = \"another-token-of-24-characters\"",
            ["200", "401"],
            old_token
        ),
        row!(
            "admin.users.*.name",
            user("dana", "viewer", USERS_TOKENS[0]),
            user("kim", "viewer", USERS_TOKENS[0]),
            ["dana", "kim"],
            user_in_code
        ),
        row!(
            "admin.users.*.role",
            user("dana", "viewer", USERS_TOKENS[0]),
            user("dana", "operator", USERS_TOKENS[0]),
            ["403", "404"],
            users_change
        ),
        row!(
            "admin.users.*.token",
            user("dana", "viewer", USERS_TOKENS[0]),
            user("dana", "viewer", USERS_TOKENS[1]),
            ["200", "401"],
            users_token
        ),
        row!(
            "admin.users.*.clients",
            user("dana", "viewer", USERS_TOKENS[0]),
            user("dana", "viewer", USERS_TOKENS[0]) + "clients = [\"quick\"]\n",
            ["200", "403"],
            users_token
        ),
    ]
}

fn of_ingest() -> Vec<Row> {
    let queue_bytes = |bytes: &str| {
        format!(
            "server.body_limit = \"4KiB\"\ningest = {{ batch_bytes = \"1KiB\", queue_bytes = \"{bytes}\" }}"
        )
    };
    vec![
        row!(
            "ingest.batch_max",
            "ingest.batch_max = 1000",
            "ingest.batch_max = 1",
            ["1", "5"],
            groups
        ),
        row!(
            "ingest.batch_bytes",
            "ingest.batch_bytes = \"4MiB\"",
            "ingest.batch_bytes = \"1KiB\"",
            ["1", "5"],
            groups
        ),
        row!(
            "ingest.queue",
            "ingest.queue = 4096",
            "ingest.queue = 1",
            ["all wait", "429"],
            refused_while_full
        ),
        row!(
            "ingest.queue_bytes",
            queue_bytes("64KiB"),
            queue_bytes("4KiB"),
            ["all wait", "429"],
            refused_while_full
        ),
        row!(
            "ingest.quarantine_items",
            "ingest.quarantine_items = 1000",
            "ingest.quarantine_items = 1",
            ["quarantined", "429"],
            unknown_event
        ),
        row!(
            "ingest.quarantine_bytes",
            "ingest.quarantine_bytes = \"1GiB\"",
            "ingest.quarantine_bytes = \"1KiB\"",
            ["quarantined", "429"],
            unknown_event
        ),
    ]
}

fn of_jobs() -> Vec<Row> {
    let pool = |keys: &str| format!("[pools.HOLDS]\n{keys}");
    let backoff = |base: &str, cap: &str| {
        format!("pools.FAILS.backoff = {{ base = \"{base}\", cap = \"{cap}\" }}")
    };
    vec![
        row!(
            "supervisor.tick",
            "supervisor.tick = \"20ms\"",
            "supervisor.tick = \"5m\"",
            ["soon", "later"],
            found
        ),
        row!(
            "supervisor.max_running_per_client",
            "supervisor.max_running_per_client = 0",
            "supervisor.max_running_per_client = 1",
            ["3", "1"],
            at_once
        ),
        row!(
            "clients.*.max_running",
            client("max_running = 0"),
            client("max_running = 2"),
            ["3", "2"],
            at_once
        ),
        row!("pools.*.size", pool("size = 8"), pool("size = 2"), ["3", "2"], at_once),
        row!("pools.*.paused", pool("paused = false"), pool("paused = true"), ["3", "0"], at_once),
        row!(
            "pools.*.prefetch",
            pool("size = 1\nprefetch = 3"),
            pool("size = 1\nprefetch = 0"),
            ["4", "1"],
            claimed
        ),
        row!(
            "pools.*.timeout",
            pool("timeout = \"1m\""),
            pool("timeout = \"50ms\""),
            ["runs on", "cut off"],
            hanging
        ),
        row!(
            "pools.*.max_attempts",
            "pools.default.max_attempts = 5",
            "pools.default.max_attempts = 2",
            ["5 5", "5 2"],
            attempts
        ),
        row!(
            "pools.*.backoff.base",
            backoff("10ms", "12h"),
            backoff("1h", "12h"),
            ["0", "120"],
            retry_minutes
        ),
        row!(
            "pools.*.backoff.cap",
            backoff("1h", "12h"),
            backoff("1h", "1h"),
            ["120", "60"],
            retry_minutes
        ),
    ]
}

fn of_restarts() -> Vec<Row> {
    let restart = |most: u32, window: &str, base: &str, cap: &str| {
        format!(
            "[restart]\nmax_restarts = {most}\nwindow = \"{window}\"\nbackoff = {{ base = \"{base}\", cap = \"{cap}\" }}"
        )
    };
    vec![
        row!(
            "restart.max_restarts",
            restart(1_000, "1h", "2s", "2s"),
            restart(0, "1h", "2s", "2s"),
            ["at once", "waits"],
            slot_after_a_panic
        ),
        row!(
            "restart.window",
            restart(2, "1ms", "2s", "2s"),
            restart(2, "1h", "2s", "2s"),
            ["at once", "waits"],
            slot_after_three_panics
        ),
        row!(
            "restart.backoff.base",
            restart(0, "1h", "50ms", "3s"),
            restart(0, "1h", "3s", "3s"),
            ["short", "long"],
            pause
        ),
        row!(
            "restart.backoff.cap",
            restart(0, "1h", "100ms", "100ms"),
            restart(0, "1h", "100ms", "1h"),
            ["stay", "grow"],
            pauses
        ),
    ]
}

fn of_retention() -> Vec<Row> {
    vec![
        row!(
            "retention.succeeded",
            "retention.succeeded = \"7d\"",
            "retention.succeeded = \"1h\"",
            ["kept", "pruned"],
            succeeded_job
        ),
        row!(
            "retention.failed",
            "retention.failed = \"7d\"",
            "retention.failed = \"1h\"",
            ["kept", "pruned"],
            failed_job
        ),
        row!(
            "retention.quarantine",
            "retention.quarantine = \"7d\"",
            "retention.quarantine = \"1h\"",
            ["kept", "pruned"],
            old_quarantine
        ),
        row!(
            "retention.payloads",
            "retention.payloads = \"7d\"",
            "retention.payloads = \"1h\"",
            ["kept", "pruned"],
            old_payload
        ),
    ]
}

fn of_clients() -> Vec<Row> {
    let template = |text: &str| {
        let tags = [
            "Interested",
            "Information Requested",
            "Follow Up",
            "Call Requested",
            "Meeting Requested",
        ];
        let lines: Vec<String> = tags.iter().map(|tag| format!("\"{tag}\" = \"{text}\"")).collect();
        client(&format!("templates = {{ {} }}", lines.join(", ")))
    };
    let secret = |secret: &str| sms_channel(&format!("secret = \"{secret}\""));
    let standard = |secret: &str, window: &str| {
        signed(&format!(
            "scheme = \"standard_webhooks\", secrets = \"{secret}\", window = \"{window}\""
        ))
    };
    let key = |key: &str| {
        sms_channel(&format!("signature = {{ scheme = \"ghl\", public_key = \"{key}\" }}"))
    };
    let open = |keys: &str| sms_channel(&format!("{OPEN}\n{keys}"));
    vec![
        row!(
            "clients.*.id",
            client(""),
            format!("{}[[clients]]\nid = \"b\"\n[clients.channels.sms]\n{OPEN}", client("")),
            ["401", "200"],
            new_client
        ),
        row!(
            "clients.*.name",
            client("name = \"Acme\""),
            client("name = \"Acme Ltd\""),
            ["Acme", "Acme Ltd"],
            name_of_client
        ),
        row!(
            "clients.*.rate_limit",
            client("rate_limit = \"off\""),
            client("rate_limit = \"1/h\""),
            ["200", "429"],
            second_post
        ),
        row!(
            "clients.*.country",
            client("country = \"\""),
            client("country = \"DE\""),
            ["not by number", "by number"],
            national_number
        ),
        row!(
            "clients.*.sender",
            client("sender = \"\""),
            client("sender = \"Zoe of Acme\""),
            ["by nobody", "by Zoe"],
            signed_draft
        ),
        row!(
            "clients.*.templates.*",
            client(""),
            template("our own words"),
            ["built in", "own"],
            own_template
        ),
        row!(
            "clients.*.ideal_customer",
            client("ideal_customer = \"bakeries\""),
            client("ideal_customer = \"forwarding\""),
            ["3", "4"],
            fit
        ),
        row!(
            "clients.*.channels.*.secret",
            secret(SECRETS[0]),
            secret(SECRETS[1]),
            ["200", "401"],
            first_secret
        ),
        row!(
            "clients.*.channels.*.signature.scheme",
            standard(SIGNING[0], "1h"),
            signed("scheme = \"ghl\""),
            ["200", "401"],
            signed_lately
        ),
        row!(
            "clients.*.channels.*.signature.secrets",
            standard(SIGNING[0], "1h"),
            standard(SIGNING[1], "1h"),
            ["200", "401"],
            signed_lately
        ),
        row!(
            "clients.*.channels.*.signature.window",
            standard(SIGNING[0], "1h"),
            standard(SIGNING[0], "5m"),
            ["200", "401"],
            signed_lately
        ),
        row!(
            "clients.*.channels.*.signature.public_key",
            key(&KEYS[0].1),
            key(&KEYS[1].1),
            ["200", "401"],
            signed_with_key
        ),
        row!(
            "clients.*.channels.*.account",
            open(&format!("account = \"{ACCOUNT}\"")),
            open("account = \"ANOTHER\""),
            ["accepted", "ignored"],
            of_account
        ),
        row!(
            "clients.*.channels.*.ignore_events",
            open("ignore_events = []"),
            open("ignore_events = [\"BrandNew\"]"),
            ["quarantined", "ignored"],
            brand_new_event
        ),
        row!(
            "clients.*.channels.*.allow_unauthenticated",
            open(""),
            sms_channel(""),
            ["200", "401"],
            forwarded
        ),
        row!(
            "clients.*.channels.*.text_field",
            open(""),
            open("text_field = \"customData.reply\""),
            ["quarantined", "accepted"],
            own_field
        ),
    ]
}

/// The keys of a model. The server gives the fit that the path, the model or the key names, and the
/// rules give 3.
fn of_analyst() -> Vec<Row> {
    let model = |path: &str, keys: &str| {
        let url = FITS.url(path);
        format!("[analyst]\nprovider = \"openai\"\nbase_url = \"{url}\"\n{keys}")
    };
    let named = |name: &str| format!("model = \"{name}\"");
    let keyed = |key: &str| format!("api_key = \"{key}\"");
    let late = |timeout: &str| format!("fallback = \"local\"\ntimeout = \"{timeout}\"");
    let at_once = |most: u32| format!("max_concurrent = {most}");
    vec![
        row!("analyst.provider", "", model("fit-1", ""), ["3", "1"], fit),
        row!("analyst.base_url", model("fit-1", ""), model("fit-2", ""), ["1", "2"], fit),
        row!(
            "analyst.model",
            model("any", &named("fit-1")),
            model("any", &named("fit-2")),
            ["1", "2"],
            fit
        ),
        row!(
            "analyst.api_key",
            model("any", &keyed("fit-1-of-this-key")),
            model("any", &keyed("fit-2-of-this-key")),
            ["1", "2"],
            fit
        ),
        row!(
            "analyst.fallback",
            model("broken", "fallback = \"local\""),
            model("broken", "fallback = \"none\""),
            ["3", "none"],
            fit_if_any
        ),
        row!(
            "analyst.timeout",
            model("late-fit-1", &late("10s")),
            model("late-fit-1", &late("100ms")),
            ["1", "3"],
            fit
        ),
        row!(
            "analyst.max_concurrent",
            model("late-fit-1", &at_once(8)),
            model("late-fit-1", &at_once(1)),
            ["several", "one"],
            asked_at_once
        ),
        row!(
            "clients.*.reply_style",
            model("styled", "") + &client("reply_style = \"\""),
            model("styled", "") + &client("reply_style = \"short and warm\""),
            ["none", "short and warm"],
            style_of_draft
        ),
    ]
}

/// The keys of answers that are sent.
fn of_sending() -> Vec<Row> {
    let auto = |auto_send: &str| sending(&automatic("auto", auto_send), "", "");
    let of = |channel: &str, more: &str| sending(&automatic("auto", ""), channel, more);
    let hours = |hours: &str, zone: &str| {
        let keys = automatic("auto", "schedule = \"business_hours\"");
        sending(&format!("{keys}\nbusiness_hours = {{ {hours} }}\n{zone}"), "", "")
    };
    let zone = |zone: &str| hours(&closed_hours(), &format!("timezone = \"{zone}\""));
    let gate =
        |threshold: &str| sending(&automatic("gate", &format!("threshold = {threshold}")), "", "");
    let delay =
        |min: &str, max: &str| auto(&format!("delay_min = \"{min}\", delay_max = \"{max}\""));
    let switch = |is_on: &str| format!("sending.enabled = {is_on}\n{}", auto(""));
    let undo = |time: &str| {
        format!("sending.undo = \"{time}\"\n{}", sending(&automatic("off", ""), "", ""))
    };
    vec![
        row!("sending.enabled", switch("true"), switch("false"), ["sent", "skipped"], fate),
        row!("sending.undo", undo("0s"), undo("10m"), ["sent", "may be taken back"], approved),
        row!(
            "clients.*.auto_reply",
            auto(""),
            sending(&automatic("off", ""), "", ""),
            ["sent", "skipped"],
            fate
        ),
        row!(
            "clients.*.auto_send.threshold",
            gate("0.9"),
            gate("0.99"),
            ["sent", "reviewed"],
            fate
        ),
        row!(
            "clients.*.auto_send.delay_min",
            delay("0s", "60m"),
            delay("60m", "60m"),
            ["less", "an hour"],
            wait
        ),
        row!(
            "clients.*.auto_send.delay_max",
            delay("60m", "60m"),
            delay("60m", "7d"),
            ["an hour", "more"],
            wait
        ),
        row!(
            "clients.*.auto_send.schedule",
            auto(""),
            auto(&format!("schedule = {{ {} }}", closed_hours())),
            ["sent", "later"],
            fate
        ),
        row!(
            "clients.*.auto_send.campaigns.*",
            auto(""),
            auto(&format!("campaigns = {{ \"{CAMPAIGN}\" = \"off\" }}")),
            ["sent", "skipped"],
            fate
        ),
        row!(
            "clients.*.business_hours",
            hours(&open_hours(), ""),
            hours(&closed_hours(), ""),
            ["sent", "later"],
            fate
        ),
        row!(
            "clients.*.timezone",
            zone("Europe/Berlin"),
            zone("America/New_York"),
            ["Europe/Berlin", "America/New_York"],
            zone
        ),
        row!(
            "clients.*.channels.*.send.api_key",
            of("instantly", "api_key = \"k-1\""),
            of("instantly", "api_key = \"k-2\""),
            ["first", "second"],
            key_of_provider
        ),
        row!(
            "clients.*.channels.*.send.base_url",
            of("instantly", &format!("base_url = \"{}\"", PROVIDERS[0].1)),
            of("instantly", &format!("base_url = \"{}\"", PROVIDERS[1].1)),
            ["first", "second"],
            provider
        ),
        row!(
            "clients.*.channels.*.send.automatic",
            of("linkedin", "automatic = true"),
            of("linkedin", "automatic = false"),
            ["sent", "skipped"],
            fate_in_a_chat
        ),
        row!(
            "clients.*.channels.*.send.sender_email_id",
            of("email", "sender_email_id = \"317\""),
            of("email", "sender_email_id = \"318\""),
            ["317", "318"],
            mailbox
        ),
        row!(
            "clients.*.channels.*.send.from_number",
            of("sms", ""),
            of("sms", "from_number = \"+13125550100\""),
            ["none", "named"],
            number_of_sender
        ),
        row!(
            "clients.*.channels.*.send.version",
            of("sms", ""),
            of("sms", "version = \"2030-01-01\""),
            ["usual", "2030"],
            version_of_provider
        ),
    ]
}

/// Keys whose effect other tests observe. A call lasts 10 seconds before a `timeout` ends it
/// (`providers::transport::a_server_that_never_answers_is_lost`), and without `allow_private` the
/// configuration of a provider on this machine is refused (`config::send_settings`), or the call is
/// (`providers::transport::no_call_goes_where_it_may_not`). `traces` and `alert_webhook` observe
/// the keys of `telemetry` and `alerts`.
const SEEN_ELSEWHERE: &[&str] = &[
    "clients.*.channels.*.send.timeout",
    "clients.*.channels.*.send.allow_private",
    "telemetry.sample",
    "telemetry.trace_url",
    "alerts.webhook",
    "alerts.allow_private",
];

fn all_rows() -> Vec<Row> {
    let all = [
        of_server(),
        of_ingest(),
        of_jobs(),
        of_restarts(),
        of_retention(),
        of_clients(),
        of_analyst(),
        of_sending(),
    ];
    all.into_iter().flatten().collect()
}

/// Changes each key of these rows from A to B and back, and observes the effect.
async fn check(rows: Vec<Row>) {
    let world = World::start().await;
    for row in rows {
        for turn in [0, 1, 0] {
            let key = row.key;
            let report = world.daemon.reload(&row.configs[turn]).await;
            assert_ne!(report.outcome, ReloadOutcome::Refused, "{key}: {:?}", report.errors);
            assert!(report.pending.is_empty(), "{key}: {:?}", report.pending);
            let started = tokio::time::Instant::now();
            loop {
                let seen = (row.effect)(&world).await;
                if seen == row.seen[turn] {
                    break;
                }
                let is_late = started.elapsed() > PATIENCE;
                assert!(
                    !is_late,
                    "{key}: {seen}, not {}, under {}",
                    row.seen[turn], row.configs[turn]
                );
            }
        }
    }
}

macro_rules! checks {
    ($($name:ident => $rows:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            check($rows()).await;
        }
    )*};
}

checks! {
    keys_of_the_server_and_the_admin_api_apply_at_once => of_server,
    keys_of_ingest_apply_at_once => of_ingest,
    keys_of_jobs_apply_at_once => of_jobs,
    keys_of_restarts_apply_at_once => of_restarts,
    keys_of_retention_apply_at_once => of_retention,
    keys_of_clients_apply_at_once => of_clients,
    keys_of_the_analyst_apply_at_once => of_analyst,
    keys_of_sending_apply_at_once => of_sending,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_its_key_is_refused_and_the_old_analyst_runs_on() {
    let world = World::start().await;
    let hash = world.daemon.reload("analyst.provider = \"local\"").await.hash.clone();
    let report = world.daemon.reload("analyst.provider = \"openai\"").await;
    assert_eq!((report.outcome, &report.hash), (ReloadOutcome::Refused, &hash));
    assert_eq!(report.errors[0].key.as_deref(), Some("analyst.api_key"));
    assert_eq!(world.fit().await, "3", "the old one scores");
    let report = world.daemon.reload("analyst.provider = \"local\"").await;
    assert_eq!((report.outcome, &report.hash), (ReloadOutcome::Unchanged, &hash));
}

#[test]
fn every_key_has_a_row() {
    let rows = all_rows();
    let live = rows.iter().map(|it| it.key).chain(starts::LIVE.iter().copied());
    let at_start = starts::RESTART.iter().copied();
    let mut named: Vec<&str> = live.chain(at_start).collect();
    named.extend(SEEN_ELSEWHERE);
    let once: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(once.len(), named.len(), "a key has two rows");
    let known = known_keys();
    let keys: BTreeSet<&str> = known.iter().map(|it| it.pattern.as_str()).collect();
    assert_eq!(once, keys);
    for key in &known {
        let pattern = key.pattern.as_str();
        let at_start = starts::RESTART.contains(&pattern);
        assert_eq!(key.applies == Applies::Restart, at_start, "{pattern}: when it applies");
    }
}
