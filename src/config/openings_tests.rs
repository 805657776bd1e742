//! Who may post: a value that is missing, empty or wrong opens no channel.

use super::{
    tests::{errors, load, only_error, sms},
    *,
};
use proptest::{collection::vec, prelude::*, sample::select};

const PLACES: [(&str, &str); 2] = [("EMPTY", " \n"), ("GOOD", "a-secret-of-the-environment")];
/// 16 characters, and 16 bytes as base64.
const SIXTEEN: &str = "sixteen-letters!";
const WHSEC: &str = "whsec_c2VjcmV0LW9uZS1vZi0xNg==";
const ED25519: &str = "MCowBQYDK2VwAyEAJafb18WI3Zju5K3bRph63EFw5BhvYS2BkyHu0hohv44=";
const EC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==";

/// What a piece of a channel's section says about who may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Nothing.
    Nothing,
    /// A secret or a key is needed, and somebody can know it.
    Proof,
    /// The provider's signature is needed. It proves something only together with `account`.
    Published,
    /// The value is invalid, and the configuration is refused.
    Wrong,
    /// It depends on the text; only a configuration that loads is checked.
    Something,
}
use Says::{Nothing, Proof, Published, Something, Wrong};

fn secrets() -> Vec<(String, Says)> {
    let pieces = [
        ("", Nothing),
        ("secret = \"\"", Nothing),
        ("secret = []", Nothing),
        ("secret = [\"\"]", Wrong),
        ("secret = { env = \"EMPTY\" }", Wrong),
        ("secret = [{ env = \"EMPTY\" }]", Wrong),
        ("secret = { env = \"UNSET\" }", Wrong),
        ("secret = { file = \"/dev/null\" }", Wrong),
        ("secret = \" \"", Wrong),
        ("secret = \"                        \"", Wrong),
        ("secret = \"a\"", Wrong),
        ("secret = \"fifteen-letters\"", Wrong),
        ("secret = \"  fifteen-letters\"", Wrong),
        ("secret = \"***\"", Wrong),
        ("secret = \"****************\"", Wrong),
        ("secret = [\"sixteen-letters!\", \"***\"]", Wrong),
        ("secret = [\"sixteen-letters!\", \"\"]", Wrong),
        ("secret = 1234567890123456", Wrong),
        ("secret = true", Wrong),
        ("secret = {}", Wrong),
        ("secret = \"sixteen-letters!\"", Proof),
        ("secret = [\"sixteen-letters!\"]", Proof),
        ("secret = [\"sixteen-letters!\", { env = \"GOOD\" }]", Proof),
        ("secret = { env = \"GOOD\" }", Proof),
    ];
    pieces.map(|(text, says)| (text.to_owned(), says)).to_vec()
}

fn signatures() -> Vec<(String, Says)> {
    let standard = |secrets: &str| {
        format!("signature = {{ scheme = \"standard_webhooks\", secrets = {secrets} }}")
    };
    let ghl = |key: &str| format!("signature = {{ scheme = \"ghl\", public_key = {key} }}");
    let mut pieces = vec![
        (String::new(), Nothing),
        ("signature = {}".to_owned(), Wrong),
        ("[clients.channels.CHANNEL.signature]\n# scheme = \"ghl\"".to_owned(), Wrong),
        ("signature = { scheme = \"\" }".to_owned(), Wrong),
        ("signature = { scheme = \"none\" }".to_owned(), Wrong),
        ("signature = { scheme = { env = \"EMPTY\" } }".to_owned(), Wrong),
        (format!("signature = {{ secrets = [\"{WHSEC}\"] }}"), Wrong),
        (format!("signature = {{ public_key = \"{ED25519}\" }}"), Wrong),
        ("signature = { window = \"5m\" }".to_owned(), Wrong),
        ("signature = true".to_owned(), Wrong),
        ("signature = []".to_owned(), Wrong),
        ("signature = { scheme = \"standard_webhooks\" }".to_owned(), Wrong),
        ("signature = { scheme = \"ghl\" }".to_owned(), Published),
        (format!("signature = {{ scheme = \"ghl\", secrets = [\"{WHSEC}\"] }}"), Wrong),
    ];
    for wrong in [
        "[]",
        "\"\"",
        "[\"\"]",
        "{ env = \"EMPTY\" }",
        "[{ env = \"EMPTY\" }]",
        "\"whsec_\"",
        "\"v1,whsec_\"",
        "\"whsec_QQ==\"",
        "\"whsec_***\"",
        "\"***\"",
        "\"a\"",
        "\"fifteen-letters\"",
        "\"whsec_c2VjcmV0LW9mLTE1ISE=\"",
        "[\"sixteen-letters!\", \"whsec_\"]",
        "5",
    ] {
        pieces.push((standard(wrong), Wrong));
    }
    for right in [
        format!("\"{WHSEC}\""),
        format!("[\"{WHSEC}\", \"{SIXTEEN}\"]"),
        "{ env = \"GOOD\" }".into(),
    ] {
        pieces.push((standard(&right), Proof));
    }
    for wrong in
        ["\"\"", "\"nonsense\"", "{ env = \"EMPTY\" }", "\"***\"", &format!("\"{EC}\""), "[]"]
    {
        pieces.push((ghl(wrong), Wrong));
    }
    pieces.push((ghl(&format!("\"{ED25519}\"")), Proof));
    pieces
}

/// Settings of `server`, and whether they still let only this machine reach the daemon.
const BINDS: [(&str, bool); 10] = [
    ("127.0.0.1:8080", true),
    ("127.9.9.9:1", true),
    ("[::1]:8080", true),
    ("[::ffff:127.0.0.1]:8080", true),
    ("0.0.0.0:8080", false),
    ("[::]:8080", false),
    ("10.0.0.1:8080", false),
    ("[::ffff:0.0.0.0]:8080", false),
    ("[::ffff:10.0.0.1]:8080", false),
    ("[::127.0.0.1]:8080", false),
];
const PUBLIC_URLS: [(&str, bool); 3] = [
    ("", true),
    ("public_url = \"\"\n", true),
    ("public_url = \"https://post.example.com\"\n", false),
];
const PROXIES: [(&str, bool); 4] = [
    ("", true),
    ("trusted_proxies = []\n", true),
    ("trusted_proxies = [\"127.0.0.1\"]\n", false),
    ("trusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n", false),
];

fn server(bind: &str, public_url: &str, proxies: &str) -> String {
    format!("[server]\nbind = \"{bind}\"\n{public_url}{proxies}")
}

/// One channel of a generated configuration.
#[derive(Clone, Debug)]
struct Generated {
    secret: (String, Says),
    signature: (String, Says),
    /// The line of `account`, and whether it names an account; `None` if it is an error.
    account: (&'static str, Option<bool>),
    allow: Option<bool>,
}

impl Generated {
    fn toml(&self, name: &str) -> String {
        let allow = self.allow.map(|it| format!("allow_unauthenticated = {it}\n"));
        format!(
            "[clients.channels.{name}]\n{}{}\n{}\n{}\n",
            allow.unwrap_or_default(),
            self.account.0,
            self.secret.0,
            self.signature.0.replace("CHANNEL", name),
        )
    }

    /// Whether a configuration with this channel must load; `None` if that depends on its texts.
    fn is_fine(&self, is_local: bool) -> Option<bool> {
        let (secret, signature) = (self.secret.1, self.signature.1);
        let Some(has_account) = self.account.1 else { return Some(false) };
        if secret == Wrong || signature == Wrong || (signature == Published && !has_account) {
            return Some(false);
        }
        if secret == Something {
            return None;
        }
        let has_proof = secret == Proof || signature != Nothing;
        Some(has_proof || is_local || self.allow == Some(true))
    }
}

prop_compose! {
    fn a_secret()(which in 0..8, piece in select(secrets()), text in any::<String>()) -> (String, Says) {
        if which > 0 {
            return piece;
        }
        // TOML knows the escapes of JSON, but refuses an unescaped DEL.
        let text = serde_json::to_string(&text).expect("a string").replace('\u{7f}', "\\u007f");
        (format!("secret = {text}"), Something)
    }
}

prop_compose! {
    fn a_channel()(
        secret in a_secret(),
        // Half of the channels have no signature: otherwise hardly any configuration would load.
        signature in prop_oneof![Just((String::new(), Nothing)), select(signatures())],
        account in select(vec![
            ("", Some(false)), ("account = \"\"", Some(false)), ("account = \" \"", None),
            ("account = { env = \"EMPTY\" }", None), ("account = \"418\"", Some(true)),
        ]),
        allow in select(vec![None, Some(false), Some(true)]),
    ) -> Generated {
        Generated { secret, signature, account, allow }
    }
}

/// True if nobody can post on the channel without knowing something: a secret that is long enough,
/// or the key of a signature.
fn is_closed(channel: &ClientChannel) -> bool {
    let is_secret = |secret: &Secret| {
        let text = secret.expose();
        text.trim() == text && text.chars().count() >= 16 && text.chars().any(|char| char != '*')
    };
    assert!(channel.secrets.iter().all(is_secret), "a secret that is none");
    let is_signed = channel.signature.as_ref().map(|signature| match signature.scheme {
        // The shortest key is what 16 characters of base64 encode.
        SignatureScheme::StandardWebhooks => {
            let keys: Vec<&Vec<u8>> =
                signature.secrets.iter().flat_map(|secret| secret.keys()).collect();
            !keys.is_empty() && keys.iter().all(|key| key.len() >= 10)
        }
        SignatureScheme::Ghl => {
            signature.public_key.is_some()
                || channel.account.as_ref().is_some_and(|id| !id.trim().is_empty())
        }
    });
    assert_ne!(is_signed, Some(false), "a signature that proves nothing");
    !channel.secrets.is_empty() || is_signed == Some(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_loaded_is_closed_or_local_or_opened_by_name(
        bind in select(BINDS.to_vec()),
        public_url in select(PUBLIC_URLS.to_vec()),
        proxies in select(PROXIES.to_vec()),
        channels in vec(a_channel(), 1..3),
    ) {
        let is_local = bind.1 && public_url.1 && proxies.1;
        let mut toml = server(bind.0, public_url.0, proxies.0);
        toml += "[[clients]]\nid = \"a\"\n";
        for (name, channel) in ["sms", "instantly"].iter().zip(&channels) {
            toml += &channel.toml(name);
        }
        let loaded = load(&toml, &PLACES);
        let fine: Vec<Option<bool>> = channels.iter().map(|it| it.is_fine(is_local)).collect();
        if fine.contains(&Some(false)) {
            prop_assert!(loaded.is_err(), "{toml}");
        } else if fine.iter().all(Option::is_some) {
            prop_assert!(loaded.is_ok(), "{toml}\n{loaded:?}");
        }
        let Ok(config) = loaded else { return Ok(()) };
        prop_assert_eq!(config.is_local_only(), is_local);
        let client = config.client("a").expect("the client");
        for (name, channel) in &client.channels {
            let is_closed = is_closed(channel);
            prop_assert!(is_closed || channel.allow_unauthenticated || is_local, "{toml}");
            prop_assert_eq!(channel.takes_anybody, !is_closed, "{}", toml);
            prop_assert_eq!(client.accepts_without_secret(name), !is_closed);
        }
    }
}

#[test]
fn what_is_empty_opens_nothing() {
    let secrets = ["", "secret = []", "secret = \"\"", "secret = { env = \"EMPTY\" }"];
    let heading = "[clients.channels.sms.signature]";
    for server in [
        server("0.0.0.0:80", "", ""),
        server("[::]:80", "", ""),
        server("127.0.0.1:80", "public_url = \"https://post.example.com\"\n", ""),
        server("127.0.0.1:80", "", "trusted_proxies = [\"127.0.0.1\"]\n"),
    ] {
        for secret in secrets {
            for signature in ["", "signature = {}", heading] {
                let toml = format!(
                    "{server}[[clients]]\nid = \"a\"\n[clients.channels.sms]\n{secret}\n{signature}\n"
                );
                let errors = errors(&toml, &[("EMPTY", "")]);
                let is_clear = |error: &String| {
                    error.contains("clients.a.channels.sms.secret")
                        || error.contains("no `scheme`")
                        || error.contains("which is empty")
                };
                assert!(errors.iter().all(is_clear), "{toml}\n{errors:?}");
            }
        }
    }
    // Half a signature is an error even if only this machine can post, and even beside a valid
    // secret.
    for secret in ["", "secret = \"sixteen-letters!\""] {
        for signature in ["signature = {}", heading] {
            let toml =
                format!("[[clients]]\nid = \"a\"\n[clients.channels.sms]\n{secret}\n{signature}\n");
            let error = only_error(&toml, &[]);
            assert!(
                error.ends_with(
                    "`clients.a.channels.sms.signature` has no `scheme`: expected `\"standard_webhooks\"` or `\"ghl\"`"
                ),
                "{error}"
            );
            assert!(
                error.starts_with("test.toml:5: ") || error.starts_with("test.toml:4: "),
                "{error}"
            );
        }
    }
}

#[test]
fn without_a_secret_only_this_machine_may_post_unless_it_is_said_out_loud() {
    for (server, reason) in [
        ("bind = \"0.0.0.0:80\"", "`server.bind` is not a loopback address"),
        ("bind = \"[::ffff:10.0.0.1]:80\"", "`server.bind` is not a loopback address"),
        (
            "public_url = \"https://post.example.com\"",
            "`server.public_url` says that others than this machine reach the daemon",
        ),
        (
            "trusted_proxies = [\"127.0.0.1\"]",
            "`server.trusted_proxies` says that a proxy lets others reach the daemon",
        ),
    ] {
        let toml = format!("server.{server}\n[[clients]]\nid = \"a\"\n[clients.channels.sms]\n");
        assert_eq!(
            only_error(&toml, &[]),
            format!(
                "test.toml:4: client `a`, channel `sms` has no secret, and {reason}: set \
                 `clients.a.channels.sms.secret` or `clients.a.channels.sms.signature`, or \
                 `clients.a.channels.sms.allow_unauthenticated = true` to let anybody post"
            )
        );
        for (more, is_open) in [
            ("allow_unauthenticated = true", true),
            ("secret = \"sixteen-letters!\"", false),
            ("signature = { scheme = \"ghl\" }\naccount = \"418\"", false),
            ("secret = \"sixteen-letters!\"\nallow_unauthenticated = true", false),
        ] {
            let config = load(&format!("{toml}{more}"), &[]).expect(more);
            let client = config.client("a").expect("the client");
            assert_eq!(client.accepts_without_secret("sms"), is_open, "{more}");
            assert!(!config.is_local_only());
        }
    }
    // Each setting that opens the daemon makes the channels of the default client an error.
    for server in ["public_url = \"https://h\"", "trusted_proxies = [\"::1\"]", "bind = \"[::]:1\""]
    {
        assert_eq!(errors(&format!("server.{server}"), &[]).len(), 5, "{server}");
    }
    for server in ["public_url = \"\"", "trusted_proxies = []", "bind = \"[::ffff:127.0.0.1]:1\""] {
        let config = load(&format!("server.{server}"), &[]).expect(server);
        assert!(
            config.is_local_only()
                && config.client("demo").expect("demo").accepts_without_secret("sms")
        );
    }
}

#[test]
fn keys_and_secrets_that_are_none_are_refused_by_name() {
    let sms = |text: &str| format!("[[clients]]\nid = \"a\"\n[clients.channels.sms]\n{text}");
    let key = "clients.a.channels.sms";
    for (text, key, word) in [
        ("secret = \"a\"", format!("{key}.secret[0]"), "at least 16"),
        ("secret = \" \"", format!("{key}.secret[0]"), "blank"),
        ("secret = \"***\"", format!("{key}.secret[0]"), "`***`"),
        (
            "secret = [\"sixteen-letters!\", \"fifteen-letters\"]",
            format!("{key}.secret[1]"),
            "at least 16",
        ),
        (
            "signature = { scheme = \"standard_webhooks\", secrets = [\"whsec_\"] }",
            format!("{key}.signature.secrets[0]"),
            "empty",
        ),
        (
            "signature = { scheme = \"standard_webhooks\", secrets = [\"whsec_QQ==\"] }",
            format!("{key}.signature.secrets[0]"),
            "at least 16",
        ),
        // The provider's published key, written out.
        (
            "signature = { scheme = \"ghl\", public_key = \"MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=\" }",
            format!("{key}.signature"),
            "published key",
        ),
        (
            "signature = { scheme = \"ghl\", public_key = \"nonsense\" }\naccount = \"418\"",
            format!("{key}.signature.public_key"),
            "no public key",
        ),
        (
            "signature = { scheme = \"ghl\", public_key = \"\" }\naccount = \"418\"",
            format!("{key}.signature.public_key"),
            "no public key",
        ),
        ("signature = { scheme = \"ghl\" }", format!("{key}.account"), "published key"),
        (
            "signature = { scheme = \"ghl\", secrets = \"sixteen-letters!\" }\naccount = \"418\"",
            format!("{key}.signature.secrets"),
            "standard_webhooks",
        ),
    ] {
        let error = only_error(&sms(text), &[]);
        assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{text}: {error}");
    }
    let ec = format!("signature = {{ scheme = \"ghl\", public_key = \"{EC}\" }}");
    assert!(only_error(&sms(&ec), &[]).contains("Ed25519 or RSA"));
    for (token, word) in [
        ("a", "at least 24"),
        ("twenty-three-characters", "at least 24"),
        ("***", "`***`"),
        ("  ", "blank"),
    ] {
        let error = only_error(&format!("admin.token = \"{token}\""), &[]);
        assert!(
            error.starts_with("test.toml:1: `admin.token` ") && error.contains(word),
            "{error}"
        );
    }
    assert!(load("admin.token = \"twenty-four-characters--\"", &[]).is_ok());
    for api_key in ["***", " "] {
        let error = only_error(&format!("analyst.api_key = \"{api_key}\""), &[]);
        assert!(error.starts_with("test.toml:1: `analyst.api_key` is "), "{error}");
    }
}

#[test]
fn a_file_holds_one_secret_whatever_it_looks_like() {
    let toml = "[[clients]]\nid = \"a\"\nchannels.sms.secret = { env = \"LIST\" }";
    let config = load(toml, &[("LIST", "[\"one\", \"two\"] x")]).expect("valid");
    assert_eq!(sms(&config).secrets, [Secret::new("[\"one\", \"two\"] x")]);
    let config = load(toml, &[("LIST", "[\"one\", \"twooo\"]")]).expect("valid");
    assert_eq!(sms(&config).secrets, [Secret::new("[\"one\", \"twooo\"]")]);
    assert!(load(toml, &[("LIST", "[]")]).is_err());
}
