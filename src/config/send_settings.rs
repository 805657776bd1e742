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

/// The channels whose providers give each customer a server of its own, so that `base_url` has no
/// default.
const OWN_SERVERS: [(&str, &str); 2] =
    [("email", "https://dedi.emailbison.com"), ("linkedin", "https://api1.unipile.com:13111")];
/// `(key, the only channel that has it)`.
const OF_ONE_CHANNEL: [(&str, &str); 4] = [
    ("automatic", "linkedin"),
    ("sender_email_id", "email"),
    ("from_number", "sms"),
    ("version", "sms"),
];

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
    /// `LinkedIn` only: true if drafts may be sent by rule. Else a person sends each.
    pub automatic: bool,
    /// E-mail only: the mailbox that answers if a message does not say to which it came.
    pub sender_email_id: Option<String>,
    /// SMS only: the number that answers, if it is not the one that the provider chooses.
    pub from_number: Option<String>,
    /// SMS only: the version of the API, if it is not the one that Postroom is made for.
    pub version: Option<String>,
}

/// Reads the settings of the channel with this `name`. `None` if it has none, or if one that
/// sending needs is wrong, which is noted.
pub(super) fn send_settings(channel: &SectionReader<'_>, name: &str) -> Option<SendSettings> {
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
    for (key, only) in OF_ONE_CHANNEL {
        if section.table.contains_key(key) && name != only {
            let key_name = section.key(key);
            section.error(key, format!("`{key_name}`: only the channel `{only}` has `{key}`"));
        }
    }
    let missing = |key: &str, what: String| {
        if !section.table.contains_key(key) {
            channel.error("send", format!("`{}` has no `{key}`: {what}", section.path));
        }
    };
    missing("api_key", "set the key of the provider's API, or leave `send` out".to_owned());
    if let Some((_, example)) = OWN_SERVERS.iter().find(|(channel, _)| *channel == name) {
        let what = format!("set the address of your server at the provider, such as `{example}`");
        missing("base_url", what);
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
fn unreachable(url: &Url, allow_private: bool) -> Option<&'static str> {
    let class = url.host_str().and_then(class_of_host);
    let is_plain = url.scheme() == "http";
    match class {
        Some(AddressClass::Never) => {
            Some("names an address at which no server can be: expected that of the provider")
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
