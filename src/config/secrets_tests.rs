//! Secrets are never shown in `config show`, in errors or in `Debug`. And the warnings about them.

use super::{schema::Shape, tests::sources, *};
use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

/// A part of every value that must not be shown.
const MARK: &str = "hunter2";
/// Long enough for a channel and for the admin token.
const SECRET: &str = "hunter2-hunter2-hunter2-";

/// Every key of the schema with its shape, dotted as in TOML.
fn keys() -> Vec<(String, &'static Shape)> {
    let mut keys = Vec::new();
    collect(&schema::ROOT, "", &mut keys);
    assert!(keys.len() > 70, "{}", keys.len());
    keys
}

fn collect(shape: &'static Shape, path: &str, keys: &mut Vec<(String, &'static Shape)>) {
    match shape {
        Shape::Section(known) => {
            known.iter().for_each(|(key, it)| collect(it, &schema::join(path, key), keys));
        }
        Shape::Map(inner) if path == "pools" => collect(inner, "pools.default", keys),
        Shape::Map(inner) if path.ends_with("channels") => {
            collect(inner, &schema::join(path, "sms"), keys);
        }
        Shape::Map(inner) => collect(inner, &schema::join(path, "Interested"), keys),
        Shape::List(inner) if path == "admin.users" => collect(inner, "users", keys),
        Shape::List(inner) => collect(inner, "", keys),
        Shape::Value | Shape::Secret | Shape::Url | Shape::Free => {
            keys.push((path.to_owned(), shape));
        }
    }
}

/// A configuration in which `value` stands at one key.
fn planted(key: &str, value: &str) -> String {
    match key.split_once('.') {
        // The keys of a client do not start with a section.
        Some((section, _)) if DEFAULT.contains(&format!("\n[{section}]")) || section == "pools" => {
            format!("{key} = {value}\n")
        }
        Some(("users", name)) => {
            let own = [
                ("name", "\"a\""),
                ("role", "\"viewer\""),
                ("token", "\"a-token-of-24-characters\""),
                ("clients", "[\"demo\"]"),
            ];
            let line = |(key, own): (&str, &str)| {
                format!("{key} = {}\n", if key == name { value } else { own })
            };
            format!("[[admin.users]]\n{}", own.map(line).concat())
        }
        _ if key == "id" => format!("[[clients]]\nid = {value}\n"),
        _ if key.contains("signature") => format!(
            "[[clients]]\nid = \"a\"\n[clients.channels.sms]\naccount = \"418\"\n\
             signature.scheme = \"standard_webhooks\"\n{}\n{} = {value}\n",
            if key.ends_with("secrets") { "" } else { "signature.secrets = \"sixteen-letters!\"" },
            key.trim_start_matches("channels.sms."),
        ),
        _ => format!("[[clients]]\nid = \"a\"\n{key} = {value}\n"),
    }
}

/// Everything that a person may be shown: the errors, or the values and the output of `Debug`.
fn told(toml: &str, env: &[(&str, &str)]) -> String {
    let (sources, _dir) = sources(toml, env);
    match (Config::load(&sources), Config::effective(&sources)) {
        (Ok(config), Ok(values)) => format!("{values:?} {config:?}"),
        (Err(errors), _) | (_, Err(errors)) => errors.to_string(),
    }
}

#[test]
fn no_url_is_shown_with_its_user_and_password_whatever_its_key() {
    let mut loaded = 0;
    for (key, shape) in keys() {
        for value in [
            "\"https://hunter2:hunter2@h.example/x?access_token=hunter2\"",
            "\"see //user:hunter2@h.example\"",
            "\"postgres://app:hunter2@db/x?sslmode=verify-full\"",
        ] {
            let toml = planted(&key, value);
            let (sources, _dir) = sources(&toml, &[]);
            if let Ok(values) = Config::effective(&sources) {
                loaded += 1;
                assert!(!format!("{values:?}").contains(MARK), "{toml}\n{values:?}");
            } else {
                let told = told(&toml, &[]);
                // A part of a path, such as a client's id, is shown unchanged.
                assert!(
                    !told.contains(MARK) || key == "id" || key == "users.name",
                    "{toml}\n{told}"
                );
            }
        }
        if matches!(shape, Shape::Free) {
            let toml =
                planted(&key, "{ x = [\"ftp://u:hunter2@h\"], base_url = \"ftp://u:hunter2@h\" }");
            assert!(!told(&toml, &[]).contains("u:hunter2"), "{toml}");
        }
    }
    // Texts, and the URLs themselves, are valid values: this many were loaded and shown.
    assert!(loaded > 25, "{loaded}");
}

#[test]
fn no_value_of_a_secrets_key_is_told_whatever_is_wrong_with_it() {
    let secrets =
        keys().into_iter().filter(|(_, shape)| matches!(shape, Shape::Secret | Shape::Url));
    let secrets: Vec<String> = secrets.map(|(key, _)| key).collect();
    assert_eq!(
        secrets,
        [
            "database.url",
            "analyst.api_key",
            "admin.token",
            "users.token",
            "alerts.webhook",
            "channels.sms.secret",
            "channels.sms.signature.secrets",
            "channels.sms.send.api_key",
        ]
    );
    for key in &secrets {
        for value in [
            "\"hunter2\"",
            "\"hunter2-hunter2-hunter2-\"",
            "\" hunter2\"",
            "\"hunter2\\n\"",
            "\"hunter2\\u0007\"",
            "[\"hunter2\"]",
            "[[\"hunter2\"]]",
            "[\"hunter2\", 5]",
            "{ a = \"hunter2\" }",
            "[{ a = \"hunter2\" }]",
            "\"whsec_hunter2\"",
            "\"v1,hunter2\"",
            "\"whpk_hunter2\"",
            "hunter2",
            "\"hunter2",
            "'hunter2\"",
            "hunter2-hunter2",
            "\"\"\"hunter2",
            "0xhunter2",
            "[hunter2]",
            "\"postgres://u:hunter2@db:x/y\"",
            "\"postgres://u:p@db/x?sslmode=hunter2\"",
            "\"sqlite://u:hunter2@db\"",
            "\"mysql://u:hunter2@db\"",
            "2.5_hunter2",
            "\"hunter2\" hunter2",
        ] {
            let told = told(&planted(key, value), &[]);
            assert!(!told.contains(MARK), "{key} = {value}: {told}");
        }
        for number in ["8642135797531", "8642135797531.5", "8642-13-57"] {
            let told = told(&planted(key, number), &[]);
            assert!(!told.contains("8642"), "{key} = {number}: {told}");
        }
    }
}

#[test]
fn no_secret_in_a_variable_is_told_whatever_is_wrong_with_it() {
    for variable in
        ["POSTROOM__DATABASE__URL", "POSTROOM__ADMIN__TOKEN", "POSTROOM__ANALYST__API_KEY"]
    {
        for value in [
            "hunter2",
            " hunter2",
            "[\"hunter2\"]",
            "{ a = \"hunter2\" }",
            "\"hunter2",
            "postgres://u:hunter2@h:x/",
        ] {
            let told = told("", &[(variable, value)]);
            assert!(!told.contains(MARK), "{variable}={value}: {told}");
        }
    }
    for clients in [
        "[{ id = \"a\", channels = { sms = { secret = \"hunter2\" } } }]",
        "[{ id = \"a\", channels = { sms = { secret = \"hunter2 } } }]",
        "[{ id = \"a\", channels = { sms = { secret = hunter2 } } }]",
        "{ id = \"a\", channels = { sms = { secret = \"hunter2\" } } }",
    ] {
        let told = told("", &[("POSTROOM__CLIENTS", clients)]);
        assert!(!told.contains(MARK), "{clients}: {told}");
    }
}

#[test]
fn a_secret_is_shown_as_one_and_what_is_not_set_as_empty() {
    let toml = format!(
        "database.url = \"postgres://u:hunter2@db/x\"\nadmin.token = \"{SECRET}\"\nanalyst.api_key = \"hunter2\"\n\
         [[clients]]\nid = \"a\"\n[clients.channels.sms]\nsecret = [\"{SECRET}\"]\naccount = \"loc\"\n\
         signature = {{ scheme = \"standard_webhooks\", secrets = \"{SECRET}\" }}\n\
         send = {{ api_key = \"hunter2\", base_url = \"https://x\" }}"
    );
    let (sources, dir) = sources(&toml, &[("POSTROOM__SERVER__WORKERS", "2")]);
    let config = Config::load(&sources).expect("valid");
    let effective = Config::effective(&sources).expect("valid");
    assert!(!format!("{config:?} {effective:?}").contains(MARK));
    let value = |key: &str| {
        let found = effective.iter().find(|value| value.key == key).expect(key);
        (found.value.as_str(), found.origin.replace(&format!("{}/", dir.path().display()), ""))
    };
    assert_eq!(value("admin.token"), ("\"***\"", "test.toml:2".to_owned()));
    assert_eq!(value("database.url"), ("\"postgres://u:***@db/x\"", "test.toml:1".to_owned()));
    assert_eq!(
        value("server.workers"),
        ("2", "environment variable POSTROOM__SERVER__WORKERS".to_owned())
    );
    assert_eq!(value("clients.a.channels.sms.account").0, "\"loc\"");
    assert_eq!(value("clients.a.channels.sms.secret").0, "[\"***\"]");
    assert_eq!(value("clients.a.channels.sms.signature.secrets").0, "\"***\"");
    assert_eq!(value("clients.a.channels.sms.send.api_key").0, "\"***\"");
    assert_eq!(value("clients.a.channels.sms.send.base_url").0, "\"https://x\"");
    assert!(value("supervisor.lease").1 == "the default");
    assert_eq!(value("clients.a.timezone").0, "\"UTC\"");
    let effective = Config::effective(&Sources::default()).expect("valid");
    let token = effective.iter().find(|value| value.key == "admin.token").expect("a token");
    assert_eq!(token.value, "\"\"");
}

#[test]
fn the_public_url_holds_no_user_and_no_password() {
    for url in ["https://u:hunter2@post.example.com", "https://hunter2@post.example.com/"] {
        let told = told(&format!("clients = []\nserver.public_url = \"{url}\""), &[]);
        assert!(
            told.contains("`server.public_url` holds a user") && !told.contains(MARK),
            "{told}"
        );
    }
}

/// The warnings of a configuration in a file of this mode, each as one line, without the directory.
fn warnings(toml: &str, mode: u32) -> Vec<String> {
    let (sources, dir) = sources(toml, &[("ELSEWHERE", SECRET)]);
    let file = sources.files.first().expect("a file");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("a mode");
    let config = Config::load(&sources).expect(toml);
    let dir = format!("{}/", dir.path().display());
    config.warnings().iter().map(|warning| warning.to_string().replace(&dir, "")).collect()
}

#[test]
fn a_file_with_a_secret_that_others_can_read_is_warned_of() {
    let sms = "[[clients]]\nid = \"a\"\n[clients.channels.sms]\n";
    for toml in [
        format!("admin.token = \"{SECRET}\""),
        "analyst.api_key = \"hunter2\"".to_owned(),
        "database.url = \"postgres://u:hunter2@localhost/x\"".to_owned(),
        "database.url = \"postgres://localhost/x?password=hunter2\"".to_owned(),
        "telemetry.otlp_endpoint = \"https://u:hunter2@h\"".to_owned(),
        format!("{sms}secret = \"{SECRET}\""),
        format!("{sms}secret = [{{ env = \"ELSEWHERE\" }}, \"{SECRET}\"]"),
        format!("{sms}signature = {{ scheme = \"standard_webhooks\", secrets = [\"{SECRET}\"] }}"),
        format!("{sms}send = {{ api_key = \"hunter2\" }}"),
    ] {
        for mode in [0o640, 0o604, 0o644, 0o660] {
            assert_eq!(
                warnings(&toml, mode),
                [format!(
                    "test.toml: this file holds a secret, and others than its owner can read it (mode 0{mode:o}): \
                     run `chmod 600 test.toml`, or put the secret elsewhere and write `{{ file = \"PATH\" }}` in \
                     its place"
                )],
                "{toml}"
            );
        }
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(warnings(&toml, mode), [""; 0], "{toml}");
        }
    }
    for toml in [
        String::new(),
        "admin.token = \"\"".to_owned(),
        "admin.token = { env = \"ELSEWHERE\" }".to_owned(),
        "database.url = \"postgres://u@localhost/x\"".to_owned(),
        format!("{sms}secret = {{ env = \"ELSEWHERE\" }}"),
        format!("{sms}secret = []"),
        format!("{sms}send = {{ api_key = {{ env = \"ELSEWHERE\" }}, base_url = \"https://h\" }}"),
        format!("{sms}account = \"hunter2\""),
    ] {
        assert_eq!(warnings(&toml, 0o644), [""; 0], "{toml}");
    }
}

#[test]
fn a_secret_of_two_clients_is_warned_of() {
    let client =
        |id: &str, channel: &str| format!("[[clients]]\nid = \"{id}\"\nchannels.{channel}\n");
    let one = |toml: &str| {
        let warnings = warnings(toml, 0o600);
        assert!(warnings.len() < 2, "{warnings:?}");
        assert!(!warnings.concat().contains(MARK), "{warnings:?}");
        warnings.into_iter().next()
    };
    let shared = |places: &str| {
        Some(format!(
            "one secret stands at {places}: whoever is given it for one of them has the others, too: give each its own"
        ))
    };
    let a = client("a", &format!("sms.secret = \"{SECRET}\""));
    let both = "`clients.a.channels.sms.secret`, `clients.b.channels.email.secret`";
    assert_eq!(
        one(&(a.clone()
            + &client("b", &format!("email.secret = [\"sixteen-letters!\", \"{SECRET}\"]")))),
        shared(both)
    );
    let signed =
        format!("sms.signature = {{ scheme = \"standard_webhooks\", secrets = \"{SECRET}\" }}");
    assert_eq!(
        one(&(a.clone() + &client("b", &signed))),
        shared("`clients.a.channels.sms.secret`, `clients.b.channels.sms.signature.secrets`")
    );
    assert_eq!(
        one(&format!("admin.token = \"{SECRET}\"\n{a}")),
        shared("`admin.token`, `clients.a.channels.sms.secret`")
    );
    // One client may use its own secret twice.
    assert_eq!(one(&format!("{a}channels.email.secret = \"{SECRET}\"\n")), None);
    assert_eq!(one(&(a + &client("b", "sms.secret = \"sixteen-letters!\""))), None);
    let key = "MCowBQYDK2VwAyEAJafb18WI3Zju5K3bRph63EFw5BhvYS2BkyHu0hohv44=";
    let ghl = |account: &str| {
        format!(
            "sms = {{ signature = {{ scheme = \"ghl\", public_key = \"{key}\" }}, account = \"{account}\" }}"
        )
    };
    let told = one(&(client("a", &ghl("1")) + &client("b", &ghl("")))).expect("a warning");
    assert!(
        told.contains("`clients.b.channels.sms.signature.public_key`")
            && told.contains("`account`")
    );
    assert_eq!(one(&(client("a", &ghl("1")) + &client("b", &ghl("2")))), None);
}

#[test]
fn a_database_elsewhere_whose_certificate_is_not_checked_is_warned_of() {
    let told = warnings("database.url = \"postgres://u@db.internal/x?sslmode=require\"", 0o600);
    assert_eq!(
        told,
        [
            "test.toml:1: `database.url`: the password and all messages go to `db.internal`, and nothing checks that it \
          is your server: add `sslmode=verify-full`, and `sslrootcert=FILE` where its certificate is of an authority \
          of your own"
        ]
    );
    for url in [
        "postgres://u@db.internal/x?sslmode=verify-full",
        "postgres://u@localhost/x",
        "sqlite://x.db",
    ] {
        assert_eq!(warnings(&format!("database.url = \"{url}\""), 0o600), [""; 0], "{url}");
    }
    let (sources, _dir) = sources("database.url = \"postgres:///x\"", &[("PGHOST", "db.internal")]);
    let config = Config::load(&sources).expect("valid");
    let told: BTreeSet<String> = config.warnings().iter().map(|it| it.message.clone()).collect();
    assert!(told.iter().all(|it| it.contains("`db.internal`")) && told.len() == 1, "{told:?}");
}
