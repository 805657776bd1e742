//! One channel of a client: who may post on it, and what is special about it.

use super::{
    layers::{Data, TreeNode},
    masking::{SEND_SHOWN, quoted},
    reader::{SectionReader, Typed, from_text},
    signing::{PublicKey, SigningSecret},
    strength::{CHANNEL_CHARS_MIN, flaw, unsendable},
    value::{Secret, Setting, Settings},
};
use std::{collections::BTreeMap, time::Duration};

/// How old a signed webhook may be where `window` is not set: as Standard Webhooks advises.
const WINDOW: Duration = Duration::from_secs(300);
/// The same under `ghl`: a retry bears the time of the first try, and may come a day later.
const GHL_WINDOW: Duration = Duration::from_secs(86_400);
/// The most that `window` may be.
const WINDOW_MAX: Duration = Duration::from_secs(3_600);
/// The same under `ghl`, whose retries are signed as the first try was.
const GHL_WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

/// One channel of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientChannel {
    /// Shared secrets; any of them authenticates. Several for the time of a change.
    pub secrets: Vec<Secret>,
    /// Signatures that authenticate.
    pub signature: Option<Signature>,
    /// True where a webhook needs neither a secret nor a signature. Decided when the configuration
    /// is loaded and nowhere else: only with `allow_unauthenticated`, or where nothing but this
    /// machine can reach the daemon by its own `server.bind`. Whoever reloads must not load another
    /// `bind` than the one listened on.
    pub takes_anybody: bool,
    /// The provider account that is this client's; a body that names another is ignored. Set
    /// wherever the signature is by the provider's published key.
    pub account: Option<String>,
    /// Events that are not known and yet ignored, not quarantined.
    pub ignore_events: Vec<String>,
    /// True where the operator said that webhooks without a secret are taken although others than
    /// this machine can post. Alone it opens nothing: see `takes_anybody`.
    pub allow_unauthenticated: bool,
    /// Where the client's workflows put the text of a message, as names joined by dots; SMS only.
    pub text_field: Option<String>,
    /// What sending needs, kept as written.
    pub send: Option<Settings>,
}

/// How webhooks of a channel are signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// By which rules.
    pub scheme: SignatureScheme,
    /// Signing secrets; at least one for Standard Webhooks, none for other schemes.
    pub secrets: Vec<SigningSecret>,
    /// The public key; `None` is the provider's own, which is published and the same for all its
    /// customers.
    pub public_key: Option<PublicKey>,
    /// How old a signed webhook may be.
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
    /// True where a secret or a signature is set; then every webhook needs one of them.
    pub fn has_authentication(&self) -> bool {
        !self.secrets.is_empty() || self.signature.is_some()
    }
}

impl Signature {
    /// True where the key is the provider's own. It proves that the provider sent a webhook, and
    /// not for which of its customers: only the account in the body says that.
    pub fn is_by_published_key(&self) -> bool {
        self.scheme == SignatureScheme::Ghl && self.public_key.is_none()
    }
}

from_text!(SignatureScheme, "`\"standard_webhooks\"` or `\"ghl\"`", |text| match text {
    "standard_webhooks" => Some(Self::StandardWebhooks),
    "ghl" => Some(Self::Ghl),
    _ => None,
});

/// Reads the channels of `client`. `opening` says by which setting others than this machine can
/// post, if any.
pub(super) fn channels(
    it: &SectionReader<'_>,
    client: &str,
    opening: Option<&str>,
) -> BTreeMap<String, ClientChannel> {
    let Some(it) = it.section("channels") else { return BTreeMap::new() };
    let mut channels = BTreeMap::new();
    for name in it.table.keys() {
        let Some(section) = it.section(name) else { continue };
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
                it.error(name, message);
            }
        }
        channels.insert(name.clone(), channel);
    }
    channels
}

/// Whether a channel takes anybody's webhooks; `None` where it would and must not.
const fn takes_anybody(has_authentication: bool, may_be_open: bool) -> Option<bool> {
    match (has_authentication, may_be_open) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

/// True where an error was noted for what would authenticate: then it is not missing, but wrong.
fn has_error(it: &SectionReader<'_>) -> bool {
    let is_noted = |key: &str| {
        it.errors.has(&it.key(key)) || it.table.get(key).is_some_and(TreeNode::leads_nowhere)
    };
    // A signature that is there and not read was noted under one of its keys.
    is_noted("secret") || is_noted("allow_unauthenticated") || it.table.contains_key("signature")
}

fn channel(it: &SectionReader<'_>) -> ClientChannel {
    let signature = signature(it);
    let account = account(it, signature.as_ref());
    ClientChannel {
        secrets: it.secrets("secret", |secret| flaw(secret, CHANNEL_CHARS_MIN)),
        signature,
        takes_anybody: false,
        account,
        ignore_events: it.get("ignore_events"),
        allow_unauthenticated: it.get("allow_unauthenticated"),
        text_field: text_field(it),
        send: it.settings("send", |it| Setting::sealed(it, SEND_SHOWN)),
    }
}

fn account(it: &SectionReader<'_>, signature: Option<&Signature>) -> Option<String> {
    let account: Option<String> = it.get("account");
    let key = it.key("account");
    if account.as_deref().is_some_and(|it| it.trim().is_empty()) {
        it.error("account", format!("`{key}` is blank: expected the provider's id of the account"));
    } else if account.is_none()
        && signature.is_some_and(Signature::is_by_published_key)
        // Otherwise one of the two was told already.
        && !it.errors.has(&key)
        && !it.table.get("account").is_some_and(TreeNode::leads_nowhere)
        && !it.section("signature").is_some_and(|it| it.errors.has(&it.key("public_key")) || it.table.get("public_key").is_some_and(TreeNode::leads_nowhere))
    {
        let signature = it.key("signature");
        it.error(
            "signature",
            format!(
                "`{signature}` is by GoHighLevel's published key, which signs for all its customers: \
                 set `{key}` to the client's location, or `{signature}.public_key` to a key of its own"
            ),
        );
    }
    account
}

fn text_field(it: &SectionReader<'_>) -> Option<String> {
    let path: String = it.get::<Option<String>>("text_field")?;
    let key = it.key("text_field");
    if !it.path.ends_with(".sms") {
        it.error("text_field", format!("`{key}`: only the channel `sms` has a `text_field`"));
    } else if path.split('.').any(|name| name.trim().is_empty()) {
        it.error(
            "text_field",
            format!(
                "`{key}` is {}: expected names joined by dots, such as `\"customData.reply\"`",
                quoted(&path)
            ),
        );
    }
    Some(path)
}

/// `None` where there is none, or an error was noted.
fn signature(channel: &SectionReader<'_>) -> Option<Signature> {
    let it = &channel.section("signature")?;
    if !it.table.contains_key("scheme") {
        let message =
            format!("`{}` has no `scheme`: expected {}", it.path, SignatureScheme::EXPECTED);
        channel.error("signature", message);
    }
    let secrets = signing_secrets(it);
    let scheme = it.read("scheme");
    let (default, most) = match scheme {
        Some(SignatureScheme::Ghl) => (GHL_WINDOW, GHL_WINDOW_MAX),
        Some(SignatureScheme::StandardWebhooks) | None => (WINDOW, WINDOW_MAX),
    };
    let window = it.read_in("window", Duration::from_secs(1)..=most).unwrap_or(default);
    let public_key = it.read::<String>("public_key").and_then(|text| public_key(it, &text));
    // Written out, it is still the provider's own.
    let public_key = public_key.filter(|it| !it.is_published());
    let scheme = scheme?;
    let has_secrets = it.errors.has(&it.key("secrets")) || !secrets.is_empty();
    let path = &it.path;
    match scheme {
        SignatureScheme::StandardWebhooks => {
            if !has_secrets && !it.table.get("secrets").is_some_and(TreeNode::leads_nowhere) {
                let message = format!(
                    "`{path}.scheme` is `\"standard_webhooks\"`, so `{path}.secrets` must hold a secret"
                );
                it.error("scheme", message);
            }
            if it.table.contains_key("public_key") {
                let message = format!(
                    "`{path}.public_key` is for the scheme `\"ghl\"`: with `\"standard_webhooks\"`, \
                     `{path}.secrets` alone count"
                );
                it.error("public_key", message);
            }
        }
        SignatureScheme::Ghl if !secrets.is_empty() => {
            let message = format!(
                "`{path}.secrets` are for the scheme `\"standard_webhooks\"`: with `\"ghl\"`, a public key \
                 alone counts"
            );
            it.error("secrets", message);
        }
        SignatureScheme::Ghl => {}
    }
    Some(Signature { scheme, secrets, public_key, window })
}

fn signing_secrets(it: &SectionReader<'_>) -> Vec<SigningSecret> {
    let mut read = Vec::new();
    let mut refuse = |secret: &str| {
        let parsed = unsendable(secret).map_or_else(|| SigningSecret::parse(secret), Err);
        parsed.map(|it| read.push(it)).err()
    };
    it.secrets("secrets", &mut refuse);
    read
}

fn public_key(it: &SectionReader<'_>, text: &str) -> Option<PublicKey> {
    let key = PublicKey::parse(text);
    let is_missing = it.table.get("public_key").is_some_and(TreeNode::leads_nowhere);
    if key.is_none() && !is_missing {
        let message = format!(
            "`{}` is no public key: expected one of Ed25519 or RSA (2048 to 8192 bits), in PEM or as the \
             base64 inside of it",
            it.key("public_key")
        );
        it.error("public_key", message);
    }
    key
}

impl TreeNode {
    /// True for a reference to a variable or a file that holds nothing, which was noted as an
    /// error.
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
