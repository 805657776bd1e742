//! Tests of the whole configuration: layers, origins, errors.

use super::{layers::Data, schema::Shape, *};
use crate::domain::{
    ChannelName, Medium, ProviderServer, SendFacts, auto_send::AutoReply, schedule::OpeningHours,
};
use std::time::Duration;

/// The layers above the defaults: `toml` in a file of its own, then `env`.
pub(super) fn sources(toml: &str, env: &[(&str, &str)]) -> (Sources, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("test.toml");
    std::fs::write(&file, toml).expect("a file");
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (Sources { files: vec![file], env, ..Sources::default() }, dir)
}

pub(super) fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let (sources, _dir) = sources(toml, env);
    Config::load(&sources)
}

/// The errors, each as one line, without the directory.
pub(super) fn errors(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    let (sources, dir) = sources(toml, env);
    let errors = Config::load(&sources).expect_err("errors").to_string();
    let dir = format!("{}/", dir.path().display());
    errors.lines().map(|it| it.replace(&dir, "")).collect()
}

pub(super) fn only_error(toml: &str, env: &[(&str, &str)]) -> String {
    let errors = errors(toml, env);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap_or_default()
}

pub(super) fn sms(config: &Config) -> &ClientChannel {
    config.client("a").and_then(|it| it.channel("sms")).expect("the channel")
}

#[test]
fn the_defaults_are_as_promised() {
    let config = Config::load(&Sources::default()).expect("the defaults are valid");
    assert_eq!(config.server.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.body_limit, 2 << 20);
    assert_eq!(config.server.address_rate_limit, None);
    assert_eq!(config.database.url.expose(), "sqlite://data/postroom.db");
    assert_eq!((config.ingest.batch_max, config.ingest.queue), (1_000, 4_096));
    assert_eq!((config.ingest.batch_bytes, config.ingest.queue_bytes), (4 << 20, 64 << 20));
    assert_eq!(config.supervisor.lease, Duration::from_secs(5));
    let pool = config.pools.of("SMS_INBOUND_POST_PROCESS");
    assert_eq!((pool.size, pool.prefetch, pool.max_attempts), (8, 8, 5));
    assert_eq!(pool.backoff.cap, Duration::from_secs(900));
    let deliver = config.pools.of("DELIVER_REPLY");
    assert_eq!((deliver.size, deliver.max_attempts), (8, 8));
    assert_eq!(deliver.backoff.base, Duration::from_secs(30));
    assert!(config.admin.token.is_none() && config.sending.enabled);
    assert_eq!(config.sending.undo, Duration::from_secs(8));
    let demo = config.client("demo").expect("demo");
    assert_eq!((demo.name.as_str(), demo.timezone.iana_name()), ("Demo", Some("UTC")));
    assert_eq!((demo.country.as_deref(), demo.auto_reply), (None, AutoReply::Off));
    assert_eq!(demo.auto_send.delay_max, Duration::from_secs(420));
    let channels = ["email", "instantly", "linkedin", "smartlead", "sms"];
    assert_eq!(demo.channels.keys().collect::<Vec<_>>(), channels);
    assert!(channels.iter().all(|channel| demo.accepts_without_secret(channel)));
    assert!(!demo.accepts_without_secret("fax") && config.client("other").is_none());
}

/// Every key of `shape` is in `table`, and every key of `table` is in `shape`.
fn assert_same_keys(shape: &Shape, node: &TreeNode, path: &str) {
    match (shape, &node.data) {
        (Shape::Section(keys), Data::Table(table)) => {
            let mut known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
            known.sort_unstable();
            assert_eq!(known, table.keys().collect::<Vec<_>>(), "keys of `{path}`");
            for (key, shape) in *keys {
                assert_same_keys(shape, &table[*key], &schema::join(path, key));
            }
        }
        (Shape::Map(inner), Data::Table(table)) if path == "pools" => {
            assert_same_keys(inner, &table["default"], "pools.default");
        }
        (Shape::List(inner), Data::List(nodes)) => {
            nodes.iter().for_each(|node| assert_same_keys(inner, node, path));
        }
        _ => {}
    }
}

#[test]
fn the_default_file_and_the_schema_have_the_same_keys() {
    let errors = Errors::default();
    let table = layers::parse(DEFAULT_NAME, DEFAULT, true, &errors);
    schema::check_keys(&schema::ROOT, &table, "", &errors);
    assert_eq!(errors.or(()), Ok(()));
    let root = TreeNode { data: Data::Table(table), origin: Origin::new("test") };
    assert_same_keys(&schema::ROOT, &root, "");
    // The keys of a channel are optional, so the file describes them in comments.
    let Shape::Section(keys) = schema::CHANNEL else { panic!("a channel is a section") };
    for (key, _) in keys {
        assert!(
            DEFAULT.contains(&format!("\n#   {key} = ")),
            "`{key}` of a channel is not described"
        );
    }
}

#[test]
fn every_key_is_in_the_documentation() {
    let mut all = Vec::new();
    collect(&schema::ROOT, &mut all);
    let text = include_str!("../../docs/CONFIGURATION.md");
    for name in all {
        let is_there = text.contains(&format!("`{name}`")) || text.contains(&format!("`{name}."));
        assert!(is_there, "`{name}` is not in docs/CONFIGURATION.md");
    }
}

fn collect(shape: &Shape, names: &mut Vec<&'static str>) {
    match shape {
        Shape::Section(keys) => {
            for (key, shape) in *keys {
                names.push(key);
                collect(shape, names);
            }
        }
        Shape::Map(inner) | Shape::List(inner) => collect(inner, names),
        Shape::Value | Shape::Secret | Shape::Url | Shape::Free => {}
    }
}

#[test]
fn the_production_example_is_valid() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = include_str!("../../config/production.example.toml");
    // Its secrets are in files that exist only on a server.
    let text = text.replace("/run/secrets", &dir.path().display().to_string());
    for (_, rest) in text.match_indices("file = \"").map(|(at, it)| (at, &text[at + it.len()..])) {
        let path = &rest[..rest.find('"').expect("a quote")];
        let value = if path.ends_with("url") {
            "postgres://u:p@db/postroom\n"
        } else {
            "hunter2hunter2hunter2hunter2\n"
        };
        std::fs::write(path, value).expect("a file");
    }
    let config = load(&text, &[]).expect("valid");
    assert!(!config.database.url.is_sqlite() && config.clients.len() == 2);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn unknown_keys_name_their_line_and_the_nearest_known_key() {
    for (toml, expected) in [
        (
            "[server]\nbnd = \"x\"",
            "test.toml:2: unknown key `server.bnd`: the nearest known key is `server.bind`",
        ),
        (
            "\n\n[[client]]\nid = \"a\"",
            "test.toml:3: unknown key `client`: the nearest known key is `clients`",
        ),
        (
            "[server]\nlease = \"9s\"",
            "test.toml:2: unknown key `server.lease`: did you mean `supervisor.lease`",
        ),
        (
            "[sending]\nfoo = 1",
            "test.toml:2: unknown key `sending.foo`: known here are `enabled`, `undo`",
        ),
        (
            "pools.default.backoff = { base = \"1s\", cpa = \"2s\" }",
            "test.toml:1: unknown key `pools.default.backoff.cpa`: the nearest known key is `pools.default.backoff.cap`",
        ),
        (
            "[[clients]]\nid = \"a\"\n[clients.channels.sms]\nsecrets = \"x\"",
            "test.toml:4: unknown key `clients.channels.sms.secrets`: the nearest known key is `clients.channels.sms.secret`",
        ),
    ] {
        assert_eq!(only_error(toml, &[]), expected);
    }
}

#[test]
fn a_later_layer_wins_key_by_key_and_the_environment_over_all() {
    let toml = "[pools.default]\nsize = 4\nbackoff = { base = \"2s\" }\n[pools.SMS_INBOUND_POST_PROCESS]\ntimeout = \"5s\"";
    let env = [
        ("POSTROOM__POOLS__SMS_INBOUND_POST_PROCESS__SIZE", "3"),
        ("postroom__pools__lead_scoring_post_process__paused", "true"),
        ("POSTROOM__SERVER__BIND", "127.0.0.1:9"),
        ("POSTROOM__SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
        ("POSTROOM__CLIENTS", "[]"),
        ("POSTROOM__SERVER__ADDRESS_RATE_LIMIT", "5/s"),
        ("POSTROOM__ADMIN__TOKEN", "123456789012345678901234"),
        ("POSTROOM_TEST_DATABASE", "ignored"),
        ("PATH", "ignored"),
    ];
    let config = load(toml, &env).expect("valid");
    let sms = config.pools.of("SMS_INBOUND_POST_PROCESS");
    assert_eq!((sms.size, sms.prefetch, sms.timeout), (3, 3, Duration::from_secs(5)));
    assert_eq!(sms.backoff.base, Duration::from_secs(2));
    assert_eq!(sms.backoff.cap, Duration::from_secs(900));
    assert_eq!(config.pools.of("EMAIL_INBOUND_POST_PROCESS").size, 4);
    assert!(config.pools.of("LEAD_SCORING_POST_PROCESS").paused);
    assert_eq!(config.server.bind.port(), 9);
    let address = "10.1.1.1".parse().expect("an address");
    assert!(config.server.trusted_proxies.iter().any(|it| it.contains(address)));
    assert_eq!(config.admin.token.as_ref().expect("token").expose(), "123456789012345678901234");
}

#[test]
fn wrong_variables_are_errors() {
    for (name, value, expected) in [
        (
            "POSTROOM__SERVER__BNID",
            "x",
            "environment variable POSTROOM__SERVER__BNID: unknown key `server.bnid`: the nearest known key is `server.bind`",
        ),
        (
            "POSTROOM__CLIENTS__DEMO__NAME",
            "x",
            "environment variable POSTROOM__CLIENTS__DEMO__NAME: `clients` is a list: set `POSTROOM__CLIENTS` to the whole of it, as a TOML array",
        ),
        (
            "POSTROOM__INGEST__QUEUE",
            "many",
            "environment variable POSTROOM__INGEST__QUEUE: `ingest.queue` is `many`: expected a whole number",
        ),
        (
            "POSTROOM__INGEST",
            "5",
            "environment variable POSTROOM__INGEST: `ingest` is a section, so it takes a table and no single value",
        ),
        (
            "POSTROOM__SERVER__BIND__PORT",
            "1",
            "environment variable POSTROOM__SERVER__BIND__PORT: `server.bind` is a value and has no key `PORT` in it",
        ),
    ] {
        let errors = errors("", &[(name, value)]);
        assert_eq!(errors.first().map(String::as_str), Some(expected));
    }
}

#[test]
fn values_may_stand_in_variables_and_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "hunter2-hunter2-hunter2-\r\n").expect("a file");
    let toml = format!(
        "[admin]\ntoken = {{ file = {:?} }}\n[pools.default]\nsize = {{ env = \"SLOTS\" }}\n\
         [[clients]]\nid = \"a\"\nchannels.sms.secret = [\"one-one-one-one-\", {{ env = \"TWO\" }}]",
        file.display().to_string()
    );
    let config = load(&toml, &[("SLOTS", "6"), ("TWO", "two-two-two-two-")]).expect("valid");
    assert_eq!(config.admin.token.as_ref().expect("token").expose(), "hunter2-hunter2-hunter2-");
    assert_eq!(config.pools.of("X").size, 6);
    let secrets = &sms(&config).secrets;
    assert_eq!(
        secrets.iter().map(Secret::expose).collect::<Vec<_>>(),
        ["one-one-one-one-", "two-two-two-two-"]
    );

    let missing = only_error("[admin]\ntoken = { env = \"NOT_THERE\" }", &[]);
    assert_eq!(
        missing,
        "test.toml:2: `admin.token` refers to the environment variable `NOT_THERE`, which is not set"
    );
    let empty = only_error("[admin]\ntoken = { env = \"EMPTY\" }", &[("EMPTY", "\n")]);
    assert_eq!(
        empty,
        "test.toml:2: `admin.token` refers to the environment variable `EMPTY`, which is empty"
    );
    let gone = only_error("[admin]\ntoken = { file = \"/not/there\" }", &[]);
    assert!(gone.starts_with(
        "test.toml:2: `admin.token` refers to the file `/not/there`, which cannot be read: "
    ));
}

#[test]
fn a_secret_in_a_file_is_taken_without_what_editors_add_around_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    let toml = format!(
        "[[clients]]\nid = \"a\"\n[clients.channels.sms]\nsecret = {{ file = {path:?} }}\n\
         signature = {{ scheme = \"standard_webhooks\", secrets = [{{ file = {path:?} }}] }}"
    );
    for text in [
        "hunter2-hunter2-",
        "hunter2-hunter2- \t\n\n",
        "\u{feff}hunter2-hunter2-\r\n",
        "\u{feff} hunter2-hunter2-\u{a0}",
    ] {
        std::fs::write(&path, text).expect("a file");
        let config = load(&toml, &[]).expect("valid");
        let channel = sms(&config);
        assert_eq!(
            channel.secrets.iter().map(Secret::expose).collect::<Vec<_>>(),
            ["hunter2-hunter2-"]
        );
        let signature = channel.signature.as_ref().expect("a signature");
        assert_eq!(
            signature.secrets,
            [SigningSecret::parse("hunter2-hunter2-").expect("a secret")]
        );
    }
    std::fs::write(&path, "hunter2\nhunter3\n").expect("a file");
    let two = errors(&toml, &[]);
    assert!(
        two.iter().all(|error| error.contains("U+000A") && !error.contains("hunter")),
        "{two:?}"
    );
    assert_eq!(two.len(), 2, "{two:?}");
    for (bytes, word) in [(&b"h\0u\0n\0\xff\xfe"[..], "UTF-8"), (b"\xef\xbb\xbf \n", "empty")] {
        std::fs::write(&path, bytes).expect("a file");
        let refused = errors(&toml, &[]);
        assert!(refused.iter().any(|it| it.contains(word)), "{refused:?}");
    }
}

#[test]
fn a_file_of_the_configuration_may_begin_with_a_byte_order_mark() {
    let config = load("\u{feff}[server]\nworkers = 2\n", &[]).expect("valid");
    assert_eq!(config.server.workers, 2);
}

#[test]
fn what_a_later_layer_overrides_need_not_exist() {
    let toml = "[admin]\ntoken = { env = \"NOT_THERE\" }";
    let config =
        load(toml, &[("POSTROOM__ADMIN__TOKEN", "hunter2-hunter2-hunter2-")]).expect("valid");
    assert_eq!(config.admin.token.as_ref().expect("token").expose(), "hunter2-hunter2-hunter2-");
}

#[test]
fn urls_of_traces_and_alerts_that_cannot_work_are_errors() {
    for (toml, expected) in [
        (
            "telemetry.otlp_endpoint = \"x\"",
            "`telemetry.otlp_endpoint`: expected a URL such as `http://127.0.0.1:4318`",
        ),
        (
            "telemetry.trace_url = \"https://traces.example\"",
            "`telemetry.trace_url`: expected a URL such as `https://traces.example/trace/{trace_id}`",
        ),
        ("telemetry.sample = 1.5", "`telemetry.sample` is 1.5: it must be 0 to 1"),
        (
            "alerts.webhook = \"hunter2\"",
            "`alerts.webhook` is no URL: expected one such as `https://alerts.example.com/hook`",
        ),
        (
            "alerts.webhook = \"https://10.0.0.1/hunter2\"",
            "`alerts.webhook` is in a private network: set `allow_private = true` next to it if that is meant",
        ),
    ] {
        assert_eq!(only_error(toml, &[]), format!("test.toml:1: {expected}"), "{toml}");
    }
}

#[test]
fn values_without_a_unit_or_of_another_type_are_errors() {
    for (toml, expected) in [
        (
            "supervisor.tick = 5",
            "`supervisor.tick` is `5`: expected a duration with its unit, such as `\"30s\"`, `\"10ms\"` or `\"7d\"`",
        ),
        (
            "supervisor.tick = \"5\"",
            "`supervisor.tick` is `\"5\"`: expected a duration with its unit, such as `\"30s\"`, `\"10ms\"` or `\"7d\"`",
        ),
        (
            "server.body_limit = \"1000\"",
            "`server.body_limit` is `\"1000\"`: expected a size with its unit, such as `\"64KiB\"` or `\"1MiB\"`",
        ),
        (
            "server.address_rate_limit = \"5\"",
            "`server.address_rate_limit` is `\"5\"`: expected `\"off\"` or a rate, such as `\"50/s\"` or `\"600/m\"`",
        ),
        (
            "server.trusted_proxies = [\"x\"]",
            "`server.trusted_proxies` is a list: expected a list of addresses or blocks, such as `[\"10.0.0.0/8\"]`",
        ),
        (
            "server.bind = \"8080\"",
            "`server.bind` is `\"8080\"`: expected an address and port, such as `\"127.0.0.1:8080\"`",
        ),
        ("pools.default.size = 0", "`pools.default.size` is 0: it must be 1 to 10000"),
        ("pools.X.size = \"8\"", "`pools.X.size` is `\"8\"`: expected a whole number"),
        (
            "pools.default.prefetch = -1",
            "`pools.default.prefetch` is `-1`: expected `\"size\"` or a whole number from 0 to 10000",
        ),
        ("supervisor.tick = \"0s\"", "`supervisor.tick` is 0s: it must be 1ms to 5m"),
        ("supervisor.heartbeat = \"0s\"", "`supervisor.heartbeat` is 0s: it must be 10ms to 5m"),
        (
            "telemetry.format = \"xml\"",
            "`telemetry.format` is `\"xml\"`: expected `\"pretty\"` or `\"json\"`",
        ),
        (
            "analyst.provider = \"gpt\"",
            "`analyst.provider` is `\"gpt\"`: expected `\"local\"` or `\"openai\"`",
        ),
        (
            "analyst.fallback = \"openai\"",
            "`analyst.fallback` is `\"openai\"`: expected `\"none\"` or `\"local\"`",
        ),
        (
            "server.public_url = \"post\"",
            "`server.public_url`: expected a URL such as `https://post.example.com`",
        ),
        (
            "database.url = \"mysql://u:hunter2@db\"",
            "`database.url`: expected `\"sqlite://PATH\"` or `\"postgres://USER:PASSWORD@HOST/DATABASE\"`",
        ),
        ("admin.token = 5", "`admin.token`: expected a string"),
        ("server = 5", "`server` is a section, so it takes a table and no single value"),
        (
            "server.bind = { a = 1 }",
            "`server.bind` is a table: expected a value, or `{ env = \"NAME\" }` or `{ file = \"PATH\" }`",
        ),
    ] {
        assert_eq!(only_error(toml, &[]), format!("test.toml:1: {expected}"));
    }
}

#[test]
fn what_leads_wrote_goes_to_a_model_only_over_https_or_within_this_machine() {
    for url in [
        "https://api.openai.com/v1",
        "https://models.example:8443/openai/v1/",
        "http://127.0.0.1:11434/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000",
    ] {
        let config = load(&format!("analyst.base_url = \"{url}\""), &[]).expect(url);
        assert_eq!(config.analyst.base_url.as_ref().map(Secret::expose), Some(url));
    }
    for url in [
        "http://models.example/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example/v1",
        "https://models.example/v1?key=hunter2",
        "ftp://127.0.0.1",
        "models.example",
    ] {
        let error = only_error(&format!("analyst.base_url = \"{url}\""), &[]);
        assert!(error.starts_with("test.toml:1: `analyst.base_url`: expected"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_model_needs_a_server_a_name_and_openai_a_key() {
    let key = "api_key = \"sk-1234567890\"";
    for (keys, missing) in [
        ("", "api_key"),
        ("base_url = \"\"", "base_url"),
        (&format!("{key}, model = \" \""), "model"),
    ] {
        let comma = if keys.is_empty() { "" } else { ", " };
        let error = only_error(&format!("analyst = {{ provider = \"openai\"{comma}{keys} }}"), &[]);
        let expected = format!("`analyst.{missing}` is not set, and `analyst.provider` is a model");
        assert!(error.ends_with(&expected), "{error}");
    }
    for keys in
        [key, "base_url = \"http://127.0.0.1:1/v1\"", "base_url = \"https://models.example\""]
    {
        let config =
            load(&format!("analyst = {{ provider = \"openai\", {keys} }}"), &[]).expect(keys);
        assert_eq!(config.analyst.provider, AnalystProvider::Openai);
    }
}

#[test]
fn the_key_of_a_model_stands_in_its_own_place() {
    let toml =
        "analyst = { provider = \"openai\", base_url = \"https://u:hunter2@models.example/v1\" }";
    let expected =
        "`analyst.base_url` holds a user or a password: put the key into `analyst.api_key`";
    assert_eq!(only_error(toml, &[]), format!("test.toml:1: {expected}"));
}

#[test]
fn a_relation_that_does_not_hold_names_both_keys() {
    for (toml, expected) in [
        (
            "supervisor.heartbeat = \"2s\"",
            "test.toml:1: `supervisor.lease` (5s, the default) must exceed 3 × `supervisor.heartbeat` (2s, test.toml:1)",
        ),
        (
            "ingest.batch_bytes = \"65MiB\"",
            "test.toml:1: `ingest.batch_bytes` (65.0 MiB, test.toml:1) must not exceed `ingest.queue_bytes` (64.0 MiB, the default)",
        ),
        (
            "server.body_limit = \"65MiB\"",
            "test.toml:1: `server.body_limit` (65.0 MiB, test.toml:1) must not exceed `ingest.queue_bytes` (64.0 MiB, the default)",
        ),
        (
            "ingest.commit_lanes = 2",
            "test.toml:1: `ingest.commit_lanes` (2, test.toml:1) must be 1, since SQLite has one writer, with `database.url` (sqlite://data/postroom.db, the default)",
        ),
        (
            "restart.backoff.base = \"31s\"",
            "test.toml:1: `restart.backoff.cap` (30s) must not be less than `restart.backoff.base` (31s)",
        ),
    ] {
        assert_eq!(only_error(toml, &[]), expected);
    }
    assert!(load("ingest.commit_lanes = 2\ndatabase.url = \"postgres://db/x\"", &[]).is_ok());
}

#[test]
fn a_pool_that_cuts_off_a_call_is_warned_of_with_both_keys() {
    let client =
        "[[clients]]\nid = \"acme\"\n[clients.channels.sms]\nsend = { api_key = \"k\", timeout = ";
    for (pool, call, is_told) in [
        ("60s", "30s", false),
        ("60s", "50s", false),
        ("60s", "51s", true),
        ("20s", "10s", false),
        ("1ms", "10s", true),
    ] {
        for section in ["default", "DELIVER_REPLY"] {
            let toml = format!("[pools.{section}]\ntimeout = \"{pool}\"\n{client}\"{call}\" }}\n");
            let config = load(&toml, &[]).expect("valid");
            let of_call = config.warnings().iter().filter(|it| {
                ["`pools.DELIVER_REPLY.timeout`", "`clients.acme.channels.sms.send.timeout`"]
                    .iter()
                    .all(|key| it.message.contains(key))
            });
            assert_eq!(of_call.count() > 0, is_told, "{toml}");
        }
    }
    let nothing_is_sent = load("[pools.DELIVER_REPLY]\ntimeout = \"1ms\"", &[]).expect("valid");
    assert!(!nothing_is_sent.warnings().iter().any(|it| it.message.contains("DELIVER_REPLY")));
}

#[test]
fn a_channel_has_as_many_commit_lanes_as_suit_the_database() {
    let lanes = |toml: &str| load(toml, &[]).expect("valid").commit_lanes();
    let postgres = "database.url = \"postgres://db/x\"";
    assert_eq!((lanes(""), lanes("ingest.commit_lanes = 1")), (1, 1));
    assert_eq!(lanes(postgres), 2);
    assert_eq!(lanes(&format!("ingest.commit_lanes = 1\n{postgres}")), 1);
    assert_eq!(lanes(&format!("ingest.commit_lanes = 3\n{postgres}")), 3);
}

#[test]
fn several_errors_are_told_at_once() {
    let toml = "[server]\nbnd = 1\nbody_limit = 5\n[supervisor]\nheartbeat = \"x\"\n[[clients]]\nname = \"A\"";
    let errors = errors(toml, &[("POSTROOM__NOTHING__HERE", "1")]);
    assert_eq!(errors.len(), 5, "{errors:?}");
    for (error, start) in errors.iter().zip([
        "test.toml:2: unknown key `server.bnd`",
        "test.toml:3: `server.body_limit` is `5`",
        "test.toml:5: `supervisor.heartbeat` is `\"x\"`",
        "test.toml:6: a client without `id`",
        "environment variable POSTROOM__NOTHING__HERE: unknown key `nothing`",
    ]) {
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line_and_without_its_text() {
    let error = only_error("[admin]\ntoken = hunter2", &[]);
    assert!(error.starts_with("test.toml:2: not valid TOML: "), "{error}");
    assert!(!error.contains("hunter2"));
    let missing = Sources { files: vec!["/not/there.toml".into()], ..Sources::default() };
    let error = Config::load(&missing).expect_err("an error").to_string();
    assert!(error.starts_with("/not/there.toml: cannot read the configuration file: "), "{error}");
    assert!(error.ends_with("; write it, or name another one with `--config`"), "{error}");
}

#[test]
fn a_later_list_of_clients_replaces_the_earlier_one() {
    let toml = "[[clients]]\nid = \"acme\"\nchannels.sms = {}\n[[clients]]\nid = \"b-2\"\nrate_limit = \"600/m\"";
    let config = load(toml, &[]).expect("valid");
    let ids: Vec<&str> = config.clients.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["acme", "b-2"]);
    let acme = config.client("acme").expect("acme");
    assert_eq!((acme.name.as_str(), acme.auto_send.threshold), ("acme", 0.9));
    assert_eq!(acme.channels.keys().collect::<Vec<_>>(), ["sms"]);
    assert_eq!(
        config.client("b-2").and_then(|it| it.rate_limit).map(|it| it.count.get()),
        Some(600)
    );
    assert!(config.client("demo").is_none());
    let from_env = load(toml, &[("POSTROOM__CLIENTS", "[{ id = \"c\" }]")]).expect("valid");
    assert_eq!(from_env.clients.len(), 1);
    assert!(load("clients = []", &[]).expect("valid").clients.is_empty());
}

#[test]
fn clients_are_checked() {
    for (client, expected) in [
        (
            "id = \"_x\"",
            "test.toml:2: client id `_x`: expected 1 to 64 of `a`-`z`, `0`-`9`, `-` and `_`, not starting with `_`",
        ),
        (
            "id = \"a\"\n[[clients]]\nid = \"a\"",
            "test.toml:4: client `a` is there twice: every `id` must be unique",
        ),
        (
            "id = \"a\"\ntimezone = \"Mars/Base\"",
            "test.toml:3: `clients.a.timezone` is `\"Mars/Base\"`: expected a time zone of the system's IANA database, such as `\"Europe/Berlin\"`",
        ),
        (
            "id = \"a\"\ncountry = \"de\"",
            "test.toml:3: `clients.a.country` is `\"de\"`: expected two capital letters, such as `\"DE\"`",
        ),
        (
            "id = \"a\"\nauto_reply = \"on\"",
            "test.toml:3: `clients.a.auto_reply` is `\"on\"`: expected `\"off\"`, `\"gate\"` or `\"auto\"`",
        ),
        (
            "id = \"a\"\nauto_send.threshold = 1.5",
            "test.toml:3: `clients.a.auto_send.threshold` is 1.5: it must be 0 to 1",
        ),
        (
            "id = \"a\"\nauto_send.delay_min = \"9m\"",
            "test.toml:3: `clients.a.auto_send.delay_min` (9m) must not exceed `clients.a.auto_send.delay_max` (7m)",
        ),
        (
            "id = \"a\"\nauto_send.schedule = \"night\"",
            "test.toml:3: `clients.a.auto_send.schedule` is `\"night\"`: expected `\"always\"`, `\"business_hours\"` or a table",
        ),
        (
            "id = \"a\"\ntemplates.Intrested = \"x\"",
            "test.toml:3: `clients.a.templates`: no draft is made for the tag `Intrested`: the nearest known tag is `Interested`",
        ),
        (
            "id = \"a\"\nchannels.sms.secret = [\"\"]",
            "test.toml:3: `clients.a.channels.sms.secret`: expected a secret or a list of secrets, none of them empty",
        ),
        (
            "id = \"a\"\nchannels.sms.signature.secrets = [\"sixteen-letters!\"]",
            "test.toml:3: `clients.a.channels.sms.signature` has no `scheme`: expected `\"standard_webhooks\"` or `\"ghl\"`",
        ),
        (
            "id = \"a\"\nchannels.sms.signature.scheme = \"standard_webhooks\"",
            "test.toml:3: `clients.a.channels.sms.signature.scheme` is `\"standard_webhooks\"`, so `clients.a.channels.sms.signature.secrets` must hold a secret",
        ),
    ] {
        assert_eq!(only_error(&format!("[[clients]]\n{client}"), &[]), expected);
    }
}

#[test]
fn hours_and_templates_are_checked() {
    for (client, expected) in [
        (
            "id = \"a\"\nbusiness_hours.start = \"nine\"",
            "test.toml:3: `clients.a.business_hours.start` is `\"nine\"`: expected a time such as `\"09:00\"`",
        ),
        (
            "id = \"a\"\nbusiness_hours = 9",
            "test.toml:3: `clients.a.business_hours`: expected a table",
        ),
        (
            "id = \"a\"\nbusiness_hours.strat = \"09:00\"",
            "test.toml:3: unknown key `clients.a.business_hours.strat`: the nearest known key is `clients.a.business_hours.start`",
        ),
        (
            "id = \"a\"\nbusiness_hours.end = \"09:00\"",
            "test.toml:3: `clients.a.business_hours.start` and `clients.a.business_hours.end` are the same time: for the whole day, write `\"00:00\"` and `\"24:00\"`",
        ),
        (
            "id = \"a\"\nbusiness_hours.start = \"24:00\"",
            "test.toml:3: `clients.a.business_hours.start` is `\"24:00\"`: a day starts at `\"00:00\"`",
        ),
        (
            "id = \"a\"\nbusiness_hours.days = [\"mon\", \"thr\"]",
            "test.toml:3: `clients.a.business_hours.days`: `\"thr\"` is no day: known are `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`",
        ),
        (
            "id = \"a\"\nbusiness_hours.days = []",
            "test.toml:3: `clients.a.business_hours.days` is empty: there must be a day",
        ),
        (
            "id = \"a\"\nauto_send.schedule.timezone = \"Mars/Base\"",
            "test.toml:3: `clients.a.auto_send.schedule.timezone` is `\"Mars/Base\"`: expected a time zone of the system's IANA database, such as `\"Europe/Berlin\"`",
        ),
        (
            "id = \"a\"\nauto_send.schedule.closed = [\"2026-12-24\", \"2027-01-02..2026-12-27\"]",
            "test.toml:3: `clients.a.auto_send.schedule.closed`: `\"2027-01-02..2026-12-27\"` ends before it starts",
        ),
        (
            "id = \"a\"\nauto_send.schedule.holidays = [\"us\"]",
            "test.toml:3: `clients.a.auto_send.schedule.holidays`: no holidays are known of `\"us\"`: the nearest known code is `US`",
        ),
        (
            "id = \"a\"\nauto_send.schedule.holidays_except = [\"Christmas\"]",
            "test.toml:3: `clients.a.auto_send.schedule.holidays_except`: `\"Christmas\"` is no date: expected `\"2026-12-24\"`",
        ),
        (
            "id = \"a\"\ntemplates.Interested = \"Hi {frist_name}\"",
            "test.toml:3: `clients.a.templates.Interested`: unknown field `{frist_name}`: the nearest known field is `{first_name}`",
        ),
        (
            "id = \"a\"\ntemplates.Interested = \"On {day}\"",
            "test.toml:3: `clients.a.templates.Interested`: unknown field `{day}`: known are `{first_name}`, `{last_name}`, `{company_name}`, `{company}`, `{title}`, `{sender}`",
        ),
    ] {
        assert_eq!(only_error(&format!("[[clients]]\n{client}"), &[]), expected);
    }
}

#[test]
fn hours_are_read_from_their_table() {
    let config = load(
        "[[clients]]\nid = \"a\"\nauto_reply = \"gate\"\nauto_send.campaigns = { c1 = \"off\", c2 = \"auto\" }\n\
         auto_send.schedule = { days = [\"sat\", \"sun\"], start = \"20:00\", end = \"24:00\", \
         timezone = \"Asia/Kathmandu\", closed = [\"2026-12-26\", \"2027-01-01..2027-01-03\"], \
         holidays = [\"US\", \"DE\"], holidays_except = [\"2026-07-04\"] }\n\
         business_hours = { end = \"16:30\" }\n[[clients]]\nid = \"b\"\n\
         auto_send.schedule = \"business_hours\"",
        &[],
    );
    let config = config.expect("valid");
    let [a, b] = config.clients.as_slice() else { panic!("two clients") };
    let time = |text: &str| text.parse::<jiff::civil::Time>().expect("a time");
    let hours = a.sending_hours().expect("hours");
    assert_eq!((hours.days.len(), hours.start, hours.end), (2, time("20:00"), time("00:00")));
    assert_eq!((hours.closed.len(), hours.holidays.len()), (2, 2));
    assert_eq!(hours.holidays_except, ["2026-07-04".parse().expect("a date")]);
    assert!(hours.zone.is_some());
    assert_eq!((a.business_hours.start, a.business_hours.end), (time("09:00"), time("16:30")));
    assert_eq!(b.sending_hours(), Some(&OpeningHours::default()));
    let modes = [None, Some("c1"), Some("c2"), Some("c3")].map(|id| a.auto_reply_in(id));
    assert_eq!(modes, [AutoReply::Gate, AutoReply::Off, AutoReply::Auto, AutoReply::Gate]);
}

#[test]
fn a_rule_sends_over_a_channel_that_lets_it_or_whose_settings_say_so() {
    let sends = |client: &str, channel: &str| {
        let toml =
            format!("[[clients]]\nid = \"a\"\nauto_send.campaigns = {{ c1 = \"off\" }}\n{client}");
        let config = load(&toml, &[]).expect("valid");
        let by_rule = channel != "linkedin";
        let send = Some(SendFacts { server: ProviderServer::Shared("https://x.example"), by_rule });
        let channel = [facts("sms"), facts("linkedin")].into_iter().find(|it| it.name.0 == channel);
        let channel = ChannelFacts { send, ..channel.expect("one of them") };
        ["none", "c1"].map(|id| config.clients[0].sends_by_rule(&channel, Some(id)))
    };
    for (client, channel, expected) in [
        ("channels.sms.send.api_key = \"k\"", "sms", false),
        ("auto_reply = \"auto\"\nchannels.sms.send.api_key = \"k\"", "sms", true),
        ("auto_reply = \"gate\"\nchannels.sms.send.api_key = \"k\"", "sms", true),
        ("auto_reply = \"auto\"\nchannels.sms.account = \"x\"", "sms", false),
        ("auto_reply = \"auto\"", "sms", false),
        (
            "auto_reply = \"auto\"\nchannels.linkedin.send = { api_key = \"k\", base_url = \"https://x.example\" }",
            "linkedin",
            false,
        ),
        (
            "auto_reply = \"auto\"\nchannels.linkedin.send = { api_key = \"k\", base_url = \"https://x.example\", automatic = true }",
            "linkedin",
            true,
        ),
    ] {
        assert_eq!(sends(client, channel), [expected, false], "{client}");
    }
}

#[test]
fn the_lists_of_dates_are_bounded() {
    let closed = |list: &[String]| {
        format!("[[clients]]\nid = \"a\"\nbusiness_hours.closed = [\"{}\"]", list.join("\", \""))
    };
    let dates = vec!["2026-12-24".to_owned(); 200];
    let ranges = vec!["2026-12-24..2026-12-25".to_owned(); 50];
    assert!(load(&closed(&[dates.clone(), ranges.clone()].concat()), &[]).is_ok());
    for (more, expected) in [
        ([dates.clone(), vec!["2026-12-24".to_owned()]].concat(), "201 dates and 0 ranges"),
        (
            [ranges.clone(), vec!["2026-12-24..2026-12-24".to_owned()]].concat(),
            "0 dates and 51 ranges",
        ),
    ] {
        assert_eq!(
            only_error(&closed(&more), &[]),
            format!(
                "test.toml:3: `clients.a.business_hours.closed` has {expected}: at most 200 dates and 50 ranges"
            )
        );
    }
}

#[test]
fn the_names_of_the_daemon_are_host_names() {
    let hosts = |list: &str| load(&format!("server.hosts = [{list}]"), &[]);
    let config = hosts("\"Post.Example.com\", \"post\", \"bücher.example.\", \"a_b-c.d\"");
    assert_eq!(
        config.expect("valid").server.hosts,
        ["post.example.com", "post", "xn--bcher-kva.example", "a_b-c.d"]
    );
    for name in [
        "",
        ".",
        "*",
        "*.example.com",
        "a..b",
        "post:8080",
        "https://post",
        "post/x",
        "po st",
        "10.0.0.1",
        "[::1]",
        "::1",
        "u@post",
        "post,other",
        "post.example.com..",
    ] {
        let error = only_error(&format!("server.hosts = [\"{name}\"]"), &[]);
        assert!(
            error.starts_with("test.toml:1: `server.hosts[0]` is no host name"),
            "{name}: {error}"
        );
    }
    let config = load("", &[]).expect("valid");
    assert!(config.server.hosts.is_empty() && !config.admin.allow_plain);
    assert!(load("admin.allow_plain = true", &[]).expect("valid").admin.allow_plain);
}

#[test]
fn a_client_names_the_field_of_its_texts() {
    let of = |channel: &str, value: &str| {
        format!("[[clients]]\nid = \"a\"\n[clients.channels.{channel}]\ntext_field = \"{value}\"")
    };
    let config = load(&of("sms", "customData.what they said"), &[]).expect("valid");
    assert_eq!(sms(&config).text_field.as_deref(), Some("customData.what they said"));
    let config = load(&of("sms", ""), &[]).expect("valid");
    assert_eq!(sms(&config).text_field, None);
    for value in ["customData.", ".", "a..b"] {
        assert_eq!(
            only_error(&of("sms", value), &[]),
            format!(
                "test.toml:4: `clients.a.channels.sms.text_field` is `{value:?}`: expected names joined by dots, such as \
                 `\"customData.reply\"`"
            )
        );
    }
}

/// The facts of a channel of this name that cannot send.
fn facts(name: &'static str) -> ChannelFacts {
    ChannelFacts {
        name: ChannelName(name),
        medium: Medium::Mail,
        post_process: JobKind("READ"),
        identities: &[],
        settings: &[],
        send: None,
    }
}

#[test]
fn settings_of_a_channel_are_checked_against_what_it_says_of_itself() {
    let sends = |server| Some(SendFacts { server, by_rule: true });
    let shared = ProviderServer::Shared("https://api.example");
    let own = ProviderServer::OfCustomer("https://you.example");
    let channels = [
        ChannelFacts {
            settings: &["text_field", "send.version"],
            send: sends(shared),
            ..facts("sms")
        },
        ChannelFacts { send: sends(own), ..facts("email") },
        facts("fax"),
    ];
    let key = "api_key = \"hunter2\"";
    for (channel, lines, expected) in [
        ("sms", format!("text_field = \"x\"\nsend = {{ {key}, version = \"v3\" }}"), ""),
        ("email", format!("send = {{ {key}, base_url = \"https://x.example\" }}"), ""),
        ("fax", "account = \"7\"".to_owned(), ""),
        ("fax", "send = {}".to_owned(), ""),
        (
            "email",
            "text_field = \"x\"".to_owned(),
            "test.toml:4: `clients.a.channels.email.text_field`: only the channel `sms` has `text_field`",
        ),
        (
            "email",
            format!(
                "[clients.channels.email.send]\n{key}\nbase_url = \"https://x.example\"\nversion = \"v3\""
            ),
            "test.toml:7: `clients.a.channels.email.send.version`: only the channel `sms` has `version`",
        ),
        (
            "email",
            format!("send = {{ {key} }}"),
            "test.toml:4: `clients.a.channels.email.send` has no `base_url`: set the address of your server at \
             the provider, such as `https://you.example`",
        ),
        (
            "fax",
            format!("send = {{ {key} }}"),
            "test.toml:4: `clients.a.channels.fax.send`: the channel `fax` cannot send",
        ),
    ] {
        let toml = format!("[[clients]]\nid = \"a\"\n[clients.channels.{channel}]\n{lines}\n");
        let config = load(&toml, &[]).unwrap_or_else(|error| panic!("{lines}: {error}"));
        let found = config.check_channels(&channels).err().map(|it| it.to_string());
        let found = found.unwrap_or_default();
        assert!(found.ends_with(expected) && found.is_empty() == expected.is_empty(), "{found}");
    }
}

#[test]
fn kinds_and_channels_are_checked_against_the_registry() {
    let kinds = [JobKind("SMS_INBOUND_POST_PROCESS"), JobKind("SELF_CHECK")];
    let channels = [facts("sms"), facts("email")];
    let defaults = Config::load(&Sources::default()).expect("valid");
    assert_eq!(defaults.check_kinds(&kinds), Ok(()));
    assert_eq!(defaults.check_channels(&channels), Ok(()));
    let toml = "pools.sms_inbound.size = 2\npools.SELF_CHECK.size = 1\n[[clients]]\nid = \"a\"\nchannels.smss = {}\nchannels.fax = {}";
    let config = load(toml, &[]).expect("valid");
    let kinds = config.check_kinds(&kinds).expect_err("an error").to_string();
    assert!(
        kinds.ends_with("test.toml:1: unknown job kind in `pools.sms_inbound`: the nearest known job kind is `SMS_INBOUND_POST_PROCESS`"),
        "{kinds}"
    );
    let channels = config.check_channels(&channels).expect_err("errors");
    let messages: Vec<&str> = channels.0.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "unknown channel in `clients.a.channels.smss`: the nearest known channel is `sms`",
            "unknown channel in `clients.a.channels.fax`: known are `sms`, `email`",
        ]
    );
}
