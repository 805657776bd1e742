//! One channel of a client: what authenticates its webhooks, and how they are read.

use super::{
    layers::{Data, TreeNode},
    masking::quoted,
    reader::{SectionReader, Typed, from_text},
    send_settings::{SendSettings, send_settings},
    signing::{PublicKey, SigningSecret},
    strength::{CHANNEL_CHARS_MIN, flaw, unsendable},
    value::Secret,
};
use std::{collections::BTreeMap, time::Duration};

/// The default of `window`: how far from now the time of a signed webhook may lie. Standard
/// Webhooks advises five minutes.
const WINDOW: Duration = Duration::from_secs(300);
/// The default of `window` under `ghl`, whose retries carry the time of the first try and may come
/// a day later.
const GHL_WINDOW: Duration = Duration::from_secs(86_400);
/// The greatest `window` of a signature.
const WINDOW_MAX: Duration = Duration::from_secs(3_600);
/// The greatest `window` under `ghl`.
const GHL_WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

/// One channel of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientChannel {
    /// Shared secrets; any of them authenticates. There are several while a secret is changed.
    pub secrets: Vec<Secret>,
    /// How signatures authenticate a webhook; `None` if they are not checked.
    pub signature: Option<Signature>,
    /// True if a webhook needs neither a secret nor a signature. This is decided only here, when
    /// the configuration is loaded: with `allow_unauthenticated`, or if `server.bind` keeps all
    /// other machines out. A reload must therefore not change `server.bind`.
    pub takes_anybody: bool,
    /// The client's account at the provider; a body that names another account is ignored. Always
    /// set if the signature is by the provider's published key.
    pub account: Option<String>,
    /// Unknown events that are ignored instead of quarantined.
    pub ignore_events: Vec<String>,
    /// True if the operator allows webhooks without a secret even though other machines can post.
    /// It has no effect if a secret or a signature is set: see `takes_anybody`.
    pub allow_unauthenticated: bool,
    /// The field in which the client's workflows put the text of a message, as names joined by
    /// dots. Only some channels have it.
    pub text_field: Option<String>,
    /// The account that sends answers; `None` if nothing is sent.
    pub send: Option<SendSettings>,
}

/// How webhooks of a channel are signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// The scheme of the signatures.
    pub scheme: SignatureScheme,
    /// Signing secrets; at least one for Standard Webhooks, none for other schemes.
    pub secrets: Vec<SigningSecret>,
    /// The public key; `None` means the provider's published key, which is the same for all its
    /// customers.
    pub public_key: Option<PublicKey>,
    /// How far from now the time of a signed webhook may lie.
    pub window: Duration,
}

/// The kinds of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// HMAC in `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    StandardWebhooks,
    /// `GoHighLevel`'s `X-GHL-Signature` and `X-WH-Signature`.
    Ghl,
}

impl ClientChannel {
    /// True if a secret or a signature is set; then every webhook needs one of them.
    pub fn has_authentication(&self) -> bool {
        !self.secrets.is_empty() || self.signature.is_some()
    }
}

impl Signature {
    /// True if the key is the provider's published one. It proves that the provider sent a webhook,
    /// but not for which customer: only the account in the body says that.
    pub fn is_by_published_key(&self) -> bool {
        self.scheme == SignatureScheme::Ghl && self.public_key.is_none()
    }
}

from_text!(SignatureScheme, "`\"standard_webhooks\"` or `\"ghl\"`", |text| match text {
    "standard_webhooks" => Some(Self::StandardWebhooks),
    "ghl" => Some(Self::Ghl),
    _ => None,
});

/// Reads the channels of `client`. `opening` is the setting by which other machines can post, if
/// there is one.
pub(super) fn channels(
    section: &SectionReader<'_>,
    client: &str,
    opening: Option<&str>,
) -> BTreeMap<String, ClientChannel> {
    let Some(all) = section.section("channels") else { return BTreeMap::new() };
    let mut channels = BTreeMap::new();
    for name in all.table.keys() {
        let Some(section) = all.section(name) else { continue };
        let mut channel = channel(&section);
        let may_be_open = channel.allow_unauthenticated || opening.is_none();
        match takes_anybody(channel.has_authentication(), may_be_open) {
            Some(takes_anybody) => channel.takes_anybody = takes_anybody,
            None if has_error(&section) => {}
            None => {
                let message = format!(
                    "client `{client}`, channel `{name}` has no secret, and {opening}: set \
                     `{path}.secret` or `{path}.signature`, or \
                     `{path}.allow_unauthenticated = true` to let anybody post",
                    path = section.path,
                    opening = opening.unwrap_or_default(),
                );
                all.error(name, message);
            }
        }
        channels.insert(name.clone(), channel);
    }
    channels
}

/// Whether a channel takes webhooks without authentication. `None` if no authentication is set,
/// although the channel needs one; the caller notes that as an error.
const fn takes_anybody(has_authentication: bool, may_be_open: bool) -> Option<bool> {
    match (has_authentication, may_be_open) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

/// True if an error was noted for `key`.
fn is_noted(section: &SectionReader<'_>, key: &str) -> bool {
    section.errors.has(&section.key(key))
        || section.table.get(key).is_some_and(TreeNode::leads_nowhere)
}

/// True if an error was noted for a key that would authenticate: then it is wrong, not missing.
fn has_error(section: &SectionReader<'_>) -> bool {
    // A signature that could not be read has its error under one of its own keys.
    is_noted(section, "secret")
        || is_noted(section, "allow_unauthenticated")
        || section.table.contains_key("signature")
}

fn channel(section: &SectionReader<'_>) -> ClientChannel {
    let signature = signature(section);
    let account = account(section, signature.as_ref());
    ClientChannel {
        secrets: section.secrets("secret", |secret| flaw(secret, CHANNEL_CHARS_MIN)),
        signature,
        takes_anybody: false,
        account,
        ignore_events: section.get("ignore_events"),
        allow_unauthenticated: section.get("allow_unauthenticated"),
        text_field: text_field(section),
        send: send_settings(section),
    }
}

fn account(section: &SectionReader<'_>, signature: Option<&Signature>) -> Option<String> {
    let account: Option<String> = section.get("account");
    let key = section.key("account");
    if account.as_deref().is_some_and(|id| id.trim().is_empty()) {
        section.error(
            "account",
            format!("`{key}` is blank: expected the provider's id of the account"),
        );
    } else if account.is_none()
        && signature.is_some_and(Signature::is_by_published_key)
        // An account or a public key that could not be read has an error of its own.
        && !is_noted(section, "account")
        && !section.section("signature").is_some_and(|section| is_noted(&section, "public_key"))
    {
        let signature = section.key("signature");
        section.error(
            "signature",
            format!(
                "`{signature}` is by GoHighLevel's published key, which signs for all its customers: \
                 set `{key}` to the client's location, or `{signature}.public_key` to a key of its own"
            ),
        );
    }
    account
}

fn text_field(section: &SectionReader<'_>) -> Option<String> {
    let path: String = section.get::<Option<String>>("text_field")?;
    let key = section.key("text_field");
    if path.split('.').any(|name| name.trim().is_empty()) {
        section.error(
            "text_field",
            format!(
                "`{key}` is {}: expected names joined by dots, such as `\"customData.reply\"`",
                quoted(&path)
            ),
        );
    }
    Some(path)
}

/// `None` if the channel has no signature, or if an error was noted.
fn signature(channel: &SectionReader<'_>) -> Option<Signature> {
    let section = &channel.section("signature")?;
    if !section.table.contains_key("scheme") {
        let message =
            format!("`{}` has no `scheme`: expected {}", section.path, SignatureScheme::EXPECTED);
        channel.error("signature", message);
    }
    let secrets = signing_secrets(section);
    let scheme = section.read("scheme");
    let (default, most) = match scheme {
        Some(SignatureScheme::Ghl) => (GHL_WINDOW, GHL_WINDOW_MAX),
        Some(SignatureScheme::StandardWebhooks) | None => (WINDOW, WINDOW_MAX),
    };
    let window = section.read_in("window", Duration::from_secs(1)..=most).unwrap_or(default);
    let public_key =
        section.read::<String>("public_key").and_then(|text| public_key(section, &text));
    // The provider's published key counts as such even if it is written out.
    let public_key = public_key.filter(|key| !key.is_published());
    let scheme = scheme?;
    let has_secrets = section.errors.has(&section.key("secrets")) || !secrets.is_empty();
    let path = &section.path;
    match scheme {
        SignatureScheme::StandardWebhooks => {
            if !has_secrets && !section.table.get("secrets").is_some_and(TreeNode::leads_nowhere) {
                let message = format!(
                    "`{path}.scheme` is `\"standard_webhooks\"`, so `{path}.secrets` must hold a secret"
                );
                section.error("scheme", message);
            }
            if section.table.contains_key("public_key") {
                let message = format!(
                    "`{path}.public_key` is for the scheme `\"ghl\"`: with `\"standard_webhooks\"`, \
                     `{path}.secrets` alone count"
                );
                section.error("public_key", message);
            }
        }
        SignatureScheme::Ghl if !secrets.is_empty() => {
            let message = format!(
                "`{path}.secrets` are for the scheme `\"standard_webhooks\"`: with `\"ghl\"`, a public key \
                 alone counts"
            );
            section.error("secrets", message);
        }
        SignatureScheme::Ghl => {}
    }
    Some(Signature { scheme, secrets, public_key, window })
}

fn signing_secrets(section: &SectionReader<'_>) -> Vec<SigningSecret> {
    let mut read = Vec::new();
    let mut refuse = |secret: &str| {
        let parsed = unsendable(secret).map_or_else(|| SigningSecret::parse(secret), Err);
        parsed.map(|secret| read.push(secret)).err()
    };
    section.secrets("secrets", &mut refuse);
    read
}

fn public_key(section: &SectionReader<'_>, text: &str) -> Option<PublicKey> {
    let key = PublicKey::parse(text);
    let is_missing = section.table.get("public_key").is_some_and(TreeNode::leads_nowhere);
    if key.is_none() && !is_missing {
        let message = format!(
            "`{}` is no public key: expected one of Ed25519 or RSA (2048 to 8192 bits), in PEM or as the \
             base64 inside of it",
            section.key("public_key")
        );
        section.error("public_key", message);
    }
    key
}

impl TreeNode {
    /// True for a reference to an empty or missing variable or file, which was noted as an error.
    fn leads_nowhere(&self) -> bool {
        match &self.data {
            Data::Raw(raw) => raw.text.is_empty() && !raw.may_be_toml,
            Data::List(nodes) => nodes.iter().any(Self::leads_nowhere),
            Data::Text(_)
            | Data::Integer(_)
            | Data::Decimal(_)
            | Data::Flag(_)
            | Data::Table(_) => false,
        }
    }
}
