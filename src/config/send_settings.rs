//! `clients.channels.*.send`: the account through which a client's answers are sent.

use super::{
    reader::SectionReader,
    strength::{blank_or_masked, unsendable},
    value::Secret,
};
use crate::domain::reach::{AddressClass, class_of_host};
use std::time::Duration;
use url::Url;

/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The least `timeout`. Connecting alone may take 5 seconds, and must end before.
const TIMEOUT_MIN: Duration = Duration::from_secs(10);
/// The greatest `timeout`.
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// A client's account at the provider of a channel, for sending.
#[derive(Clone, Debug, PartialEq)]
pub struct SendSettings {
    /// The key of the provider's API. It fits into a header.
    pub api_key: Secret,
    /// The beginning of the URLs of the provider's API, without `/` at its end; `None` if it is the
    /// provider's usual one. It holds no user, password, query or fragment.
    pub base_url: Option<String>,
    /// How long a call may take, from the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// True if the server may be in a private network, and may then be asked without TLS.
    pub allow_private: bool,
    /// True if drafts may be sent by rule though the channel leaves sending to persons. Only such
    /// channels have it.
    pub automatic: bool,
    /// The mailbox that answers if a message does not say to which it came.
    pub sender_email_id: Option<String>,
    /// The number that answers, if it is not the one that the provider chooses.
    pub from_number: Option<String>,
    /// The version of the API, if it is not the one that Postroom is made for.
    pub version: Option<String>,
}

/// Reads the settings of a channel. `None` if it has none, or if one that sending needs is wrong,
/// which is noted. Which of the keys it has, and which it needs, only the channel itself knows:
/// that is checked by `Config::check_channels`.
pub(super) fn send_settings(channel: &SectionReader<'_>) -> Option<SendSettings> {
    let section = &channel.section("send")?;
    // All keys are read, so that all errors are told and each key has its type.
    let api_key = section.read_by("api_key", api_key);
    let allow_private = section.get("allow_private");
    let base_url = section.read_by("base_url", base_url);
    let timeout = section.read_in("timeout", TIMEOUT_MIN..=TIMEOUT_MAX);
    let automatic = section.get("automatic");
    let [sender_email_id, from_number, version] =
        ["sender_email_id", "from_number", "version"].map(|key| word(section, key));
    if section.table.is_empty() {
        return None;
    }
    if !section.table.contains_key("api_key") {
        let what = "set the key of the provider's API, or leave `send` out";
        channel.error("send", format!("`{}` has no `api_key`: {what}", section.path));
    }
    if let Some(url) = &base_url
        && let Some(flaw) = unreachable(url, allow_private)
    {
        section.error("base_url", format!("`{}` {flaw}", section.key("base_url")));
    }
    Some(SendSettings {
        api_key: api_key?,
        base_url: base_url.map(|url| url.as_str().trim_end_matches('/').to_owned()),
        timeout: timeout.unwrap_or(TIMEOUT),
        allow_private,
        automatic,
        sender_email_id,
        from_number,
        version,
    })
}

/// A word that goes into a header or a body as it is.
fn word(section: &SectionReader<'_>, key: &str) -> Option<String> {
    let word: String = section.get::<Option<String>>(key)?;
    if !word.chars().all(|char| char.is_ascii_graphic()) {
        let key_name = section.key(key);
        section.error(key, format!("`{key_name}`: expected letters, digits and signs, no blanks"));
    }
    Some(word)
}

fn api_key(text: &str) -> Result<Secret, String> {
    let flaw = blank_or_masked(text).or_else(|| unsendable(text)).or_else(|| {
        let is_ascii = text.chars().all(|char| char.is_ascii_graphic() || char == ' ');
        (!is_ascii).then(|| "holds a character that no header can carry".to_owned())
    });
    flaw.map_or_else(|| Ok(Secret::new(text)), |flaw| Err(format!(" {flaw}")))
}

fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!(" is no URL ({error}): expected one such as `https://api.example.com`")
    })?;
    let flaw = if !["https", "http"].contains(&url.scheme()) || url.host().is_none() {
        Some("must begin with `https://` and a host")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("holds a user or a password, which no provider takes: set `api_key`")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("holds `?` or `#`: only the beginning of the provider's URLs belongs here")
    } else {
        None
    };
    flaw.map_or(Ok(url), |flaw| Err(format!(" {flaw}")))
}

/// Why nothing could ever be sent to `url`, if its text alone shows that.
pub(super) fn unreachable(url: &Url, allow_private: bool) -> Option<&'static str> {
    let class = url.host_str().and_then(class_of_host);
    let is_plain = url.scheme() == "http";
    match class {
        Some(AddressClass::Never) => {
            Some("names an address at which no server can be: expected that of the receiver")
        }
        Some(AddressClass::Private) if !allow_private => {
            Some("is in a private network: set `allow_private = true` next to it if that is meant")
        }
        Some(AddressClass::Public) if is_plain => {
            Some("has no TLS, and goes to a public address: use `https://`")
        }
        Some(AddressClass::Private | AddressClass::Public) => None,
        None if is_plain && !allow_private => Some(
            "has no TLS: use `https://`, or set `allow_private = true` next to it for a server in \
             a private network",
        ),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{errors, load};

    /// A configuration whose client has this channel with these lines in `send`.
    fn toml(channel: &str, lines: &str) -> String {
        format!(
            "[[clients]]\nid = \"a\"\n[clients.channels.{channel}]\n\
             [clients.channels.{channel}.send]\n{lines}\n"
        )
    }

    fn read(channel: &str, lines: &str) -> Option<SendSettings> {
        let config = load(&toml(channel, lines), &[]).unwrap_or_else(|it| panic!("{lines}: {it}"));
        let client = config.clients.iter().find(|client| client.id == "a").expect("a client");
        client.channels[channel].send.clone()
    }

    #[test]
    fn a_key_alone_is_enough_if_the_provider_has_one_server_for_all() {
        for channel in ["sms", "smartlead", "instantly"] {
            let send = read(channel, "api_key = \"k-1\"").expect("settings");
            assert_eq!((send.api_key.expose(), send.base_url), ("k-1", None));
            assert_eq!(send.timeout, Duration::from_secs(30));
            assert!(!send.allow_private && !send.automatic);
        }
        assert_eq!(read("sms", ""), None);
    }

    #[test]
    fn all_keys_are_read() {
        let send = read(
            "linkedin",
            "api_key = \"k\"\nbase_url = \"https://api1.unipile.com:13111/\"\ntimeout = \"45s\"\nautomatic = true",
        )
        .expect("settings");
        assert_eq!(send.base_url.as_deref(), Some("https://api1.unipile.com:13111"));
        assert!(send.automatic && send.timeout == Duration::from_secs(45));
        let send = read("sms", "api_key = \"k\"\nfrom_number = \"+15550100\"\nversion = \"v3\"");
        let send = send.expect("settings");
        assert_eq!(send.from_number.as_deref(), Some("+15550100"));
        assert_eq!(send.version.as_deref(), Some("v3"));
        for url in ["http://127.0.0.1:9925", "http://mail.lan/x/", "https://10.0.0.1"] {
            let lines = format!(
                "api_key = \"k\"\nallow_private = true\nsender_email_id = \"12\"\nbase_url = \"{url}\""
            );
            let send = read("email", &lines).expect("settings");
            assert_eq!(send.base_url.as_deref(), Some(url.trim_end_matches('/')));
            assert_eq!(send.sender_email_id.as_deref(), Some("12"));
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_way_out() {
        let key = "api_key = \"hunter2\"\n";
        for (channel, lines, expected) in [
            ("sms", "timeout = \"30s\"", "has no `api_key`"),
            ("sms", "api_key = \"\"", "is blank"),
            ("sms", "api_key = \"***\"", "shown in place of a secret"),
            ("sms", "api_key = \"hunter2é\"", "no header can carry"),
            ("sms", "api_key = \"hunter2 \"", "begins or ends with a blank"),
            (
                "sms",
                "api_key = 7\napi_kye = \"x\"",
                "the nearest known key is `clients.channels.sms.send.api_key`",
            ),
            ("sms", &format!("{key}base_url = \"x\""), "is no URL"),
            ("sms", &format!("{key}base_url = \"ftp://h\""), "must begin with `https://`"),
            (
                "sms",
                &format!("{key}base_url = \"https://u:hunter2@h\""),
                "holds a user or a password",
            ),
            ("sms", &format!("{key}base_url = \"https://h/?a=hunter2\""), "holds `?` or `#`"),
            ("sms", &format!("{key}base_url = \"http://h.example\""), "has no TLS"),
            (
                "sms",
                &format!("{key}base_url = \"http://8.8.8.8\"\nallow_private = true"),
                "goes to a public address",
            ),
            (
                "sms",
                &format!("{key}base_url = \"https://127.0.0.1\""),
                "set `allow_private = true`",
            ),
            (
                "sms",
                &format!("{key}base_url = \"https://localhost:9925\""),
                "set `allow_private = true`",
            ),
            (
                "sms",
                &format!("{key}base_url = \"https://169.254.169.254\"\nallow_private = true"),
                "no server can be",
            ),
            ("sms", &format!("{key}timeout = \"9s\""), "it must be 10s to 2m"),
            ("sms", &format!("{key}from_number = \"+1 555\""), "no blanks"),
            ("sms", &format!("{key}automatic = \"yes\""), "expected `true` or `false`"),
        ] {
            let told = errors(&toml(channel, lines), &[]).join("\n");
            assert!(told.contains(expected), "{lines}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
