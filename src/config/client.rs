//! `[[clients]]`: the tenants, and for each the channels that it uses.

use super::{
    error::Errors,
    layers::{Data, Node, Table, merge},
    reader::{Reader, Typed, from_text},
    schema::nearest,
    signing::{PublicKey, SigningSecret},
    value::{Rate, Secret, Setting, Settings},
};
use crate::domain::Sentiment;
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// A client's id is part of its webhooks' paths, of keys and of tables.
const ID_CHARS_MAX: usize = 64;
const DELAY_MAX: Duration = Duration::from_secs(7 * 86_400);
const WINDOW_MAX: Duration = Duration::from_secs(3_600);

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its id: 1 to 64 of `a`–`z`, `0`–`9`, `-` and `_`, not starting with `_`. Unique.
    pub id: String,
    /// As shown; the id where none is set.
    pub name: String,
    /// Its time zone.
    pub timezone: TimeZone,
    /// What it may post; `None` is no limit.
    pub rate_limit: Option<Rate>,
    /// Its jobs that run at once at the most; 0 is what `supervisor.max_running_per_client` says.
    pub max_running: u32,
    /// Whether its drafts are sent by themselves.
    pub auto_reply: AutoReply,
    /// When they are.
    pub auto_send: AutoSend,
    /// The country of phone numbers without a country code: two capital letters.
    pub country: Option<String>,
    /// Who signs its drafts.
    pub sender: Option<String>,
    /// How its drafts are to sound.
    pub reply_style: Option<String>,
    /// Words about whom it wants as a customer; they raise a lead's fit.
    pub ideal_customer: Option<String>,
    /// Its own templates, by tag; every tag here is one that gets a draft.
    pub templates: BTreeMap<String, String>,
    /// Its business hours, as written; `None` is Monday to Friday, 09:00 to 17:00.
    pub business_hours: Option<Settings>,
    /// The channels that it uses, by name.
    pub channels: BTreeMap<String, ClientChannel>,
}

/// Whether drafts are sent by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoReply {
    /// No: drafts only.
    #[default]
    Off,
    /// What passes the confidence gate.
    Gate,
    /// What passes the hard blocks.
    Auto,
}

/// When drafts are sent by themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoSend {
    /// The confidence that the gate wants, 0 to 1.
    pub threshold: f64,
    /// The least delay after the lead's message.
    pub delay_min: Duration,
    /// The greatest, not less than `delay_min`.
    pub delay_max: Duration,
    /// At which hours.
    pub schedule: Schedule,
    /// Other than `auto_reply` for some campaigns, by the provider's id.
    pub campaigns: BTreeMap<String, AutoReply>,
}

/// At which hours drafts are sent by themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// At any.
    #[default]
    Always,
    /// In the client's business hours.
    BusinessHours,
    /// As this table says, kept as written.
    Custom(Settings),
}

/// One channel of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientChannel {
    /// Shared secrets; any of them authenticates. Several for the time of a change.
    pub secrets: Vec<Secret>,
    /// Signatures that authenticate.
    pub signature: Option<Signature>,
    /// The provider account that is this client's; a body that names another is ignored.
    pub account: Option<String>,
    /// Events that are not known and yet ignored, not quarantined.
    pub ignore_events: Vec<String>,
    /// True where webhooks without a secret are taken although others than this machine can post.
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
    /// Signing secrets; at least one for Standard Webhooks.
    pub secrets: Vec<SigningSecret>,
    /// The public key; `None` is the provider's own, which is known.
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

impl Client {
    /// The channel of that name, if the client uses it.
    pub fn channel(&self, name: &str) -> Option<&ClientChannel> {
        self.channels.get(name)
    }

    /// True where the channel's webhooks are taken without a secret. That it may be so (a loopback
    /// address, or `allow_unauthenticated`) was checked when the configuration was loaded, against its own
    /// `server.bind`: who reloads must not load another `bind` than the one listened on.
    pub fn accepts_without_secret(&self, channel: &str) -> bool {
        self.channel(channel).is_some_and(|it| !it.has_authentication())
    }
}

impl ClientChannel {
    /// True where a secret or a signature is set; then every webhook needs one of them.
    pub fn has_authentication(&self) -> bool {
        !self.secrets.is_empty() || self.signature.is_some()
    }
}

from_text!(AutoReply, "`\"off\"`, `\"gate\"` or `\"auto\"`", |text| match text {
    "off" => Some(Self::Off),
    "gate" => Some(Self::Gate),
    "auto" => Some(Self::Auto),
    _ => None,
});
from_text!(SignatureScheme, "`\"standard_webhooks\"` or `\"ghl\"`", |text| match text {
    "standard_webhooks" => Some(Self::StandardWebhooks),
    "ghl" => Some(Self::Ghl),
    _ => None,
});

impl Typed for Schedule {
    const EXPECTED: &'static str = "`\"always\"`, `\"business_hours\"` or a table";
    fn from_node(node: &Node) -> Option<Self> {
        match node.as_text().as_deref() {
            Some("always") => Some(Self::Always),
            Some("business_hours") => Some(Self::BusinessHours),
            Some(_) => None,
            None => match Setting::from_node("", node) {
                Setting::Table(settings) => Some(Self::Custom(settings)),
                Setting::Text(_)
                | Setting::Secret(_)
                | Setting::Integer(_)
                | Setting::Decimal(_)
                | Setting::Flag(_)
                | Setting::List(_) => None,
            },
        }
    }
}

/// Lays each client of the list over the one of `config/default.toml`, whose keys are so the defaults
/// of all (but for its id, name and channels).
pub(super) fn inherit(clients: &mut Node, default: Option<&Node>) {
    let default = match default.map(|it| &it.data) {
        Some(Data::List(nodes)) => nodes.first().and_then(Node::as_table),
        _ => None,
    };
    let mut base = default.cloned().unwrap_or_default();
    base.retain(|key, _| !matches!(key.as_str(), "id" | "name" | "channels"));
    if let Data::List(nodes) = &mut clients.data {
        for node in nodes {
            if let Data::Table(table) = &mut node.data {
                let own = std::mem::replace(table, base.clone());
                merge(table, own);
            }
        }
    }
}

/// Reads all clients. `is_loopback` tells whether only this machine can post.
pub(super) fn clients(list: &Node, is_loopback: bool, errors: &Errors) -> Vec<Client> {
    let Data::List(nodes) = &list.data else { return Vec::new() };
    let mut ids = HashSet::new();
    let mut clients = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(table) = node.as_table() else { continue };
        let Some(id) = id(table, index, node, errors) else { continue };
        let reader = Reader { path: format!("clients.{id}"), table, errors };
        if !ids.insert(id.clone()) {
            reader.error("id", format!("client `{id}` is there twice: every `id` must be unique"));
        }
        clients.push(client(&reader, id, is_loopback));
    }
    clients
}

fn id(table: &Table, index: usize, node: &Node, errors: &Errors) -> Option<String> {
    let path = format!("clients[{index}]");
    let reader = Reader { path: path.clone(), table, errors };
    let Some(id_node) = table.get("id") else {
        errors.push(
            Some(&node.origin),
            &path,
            "a client without `id`: every `[[clients]]` needs one".into(),
        );
        return None;
    };
    let id: String = reader.read("id")?;
    let is_allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-".contains(it);
    let is_fine = (1..=ID_CHARS_MAX).contains(&id.len())
        && !id.starts_with('_')
        && id.chars().all(is_allowed);
    if !is_fine {
        let message = format!(
            "client id `{id}`: expected 1 to {ID_CHARS_MAX} of `a`-`z`, `0`-`9`, `-` and `_`, \
             not starting with `_`"
        );
        errors.push(Some(&id_node.origin), &reader.key("id"), message);
        return None;
    }
    Some(id)
}

fn client(it: &Reader<'_>, id: String, is_loopback: bool) -> Client {
    let name: Option<String> = it.get("name");
    Client {
        name: name.unwrap_or_else(|| id.clone()),
        timezone: it.read("timezone").unwrap_or(TimeZone::UTC),
        rate_limit: it.get("rate_limit"),
        max_running: it.get("max_running"),
        auto_reply: it.get("auto_reply"),
        auto_send: it.section("auto_send").map(|it| auto_send(&it)).unwrap_or_default(),
        country: country(it),
        sender: it.get("sender"),
        reply_style: it.get("reply_style"),
        ideal_customer: it.get("ideal_customer"),
        templates: templates(it),
        business_hours: business_hours(it),
        channels: channels(it, &id, is_loopback),
        id,
    }
}

fn country(it: &Reader<'_>) -> Option<String> {
    let country: String = it.get::<Option<String>>("country")?;
    if country.len() != 2 || !country.chars().all(|it| it.is_ascii_uppercase()) {
        let key = it.key("country");
        it.error(
            "country",
            format!("`{key}` is `{country:?}`: expected two capital letters, such as `\"DE\"`"),
        );
    }
    Some(country)
}

fn auto_send(it: &Reader<'_>) -> AutoSend {
    let delay = || Duration::ZERO..=DELAY_MAX;
    let (delay_min, delay_max) = (it.get_in("delay_min", delay()), it.get_in("delay_max", delay()));
    let (min_key, max_key) = (it.key("delay_min"), it.key("delay_max"));
    if delay_min > delay_max && !it.errors.has(&min_key) && !it.errors.has(&max_key) {
        let (min, max) =
            (humantime::format_duration(delay_min), humantime::format_duration(delay_max));
        let at = it.written("delay_min", "delay_max");
        it.error(at, format!("`{min_key}` ({min}) must not exceed `{max_key}` ({max})"));
    }
    let campaigns = it.section("campaigns").map(|it| {
        let mode = |id: &String| Some((id.clone(), it.read::<AutoReply>(id)?));
        it.table.keys().filter_map(mode).collect()
    });
    AutoSend {
        threshold: it.get_in("threshold", 0.0..=1.0),
        delay_min,
        delay_max,
        schedule: it.get("schedule"),
        campaigns: campaigns.unwrap_or_default(),
    }
}

fn templates(it: &Reader<'_>) -> BTreeMap<String, String> {
    let Some(it) = it.section("templates") else { return BTreeMap::new() };
    let drafted = || Sentiment::ALL.into_iter().filter(|it| it.gets_draft()).map(Sentiment::as_str);
    let mut templates = BTreeMap::new();
    for tag in it.table.keys() {
        if !drafted().any(|known| known == tag) {
            let known: Vec<&str> = drafted().collect();
            let known = nearest(tag, drafted()).map_or_else(
                || format!("templates are for `{}`", known.join("`, `")),
                |near| format!("the nearest known tag is `{near}`"),
            );
            it.error(tag, format!("`{}`: no draft is made for the tag `{tag}`: {known}", it.path));
        } else if let Some(text) = it.read(tag) {
            templates.insert(tag.clone(), text);
        }
    }
    templates
}

/// Kept as written; only that times are times is checked, since a wrong one would else show years later.
fn business_hours(it: &Reader<'_>) -> Option<Settings> {
    let settings = it.settings("business_hours")?;
    let it = it.section("business_hours")?;
    for key in ["start", "end"] {
        let Some(setting) = settings.get(key) else { continue };
        let is_time = setting.as_text().is_some_and(|it| it.parse::<jiff::civil::Time>().is_ok());
        if !is_time {
            it.error(key, format!("`{}`: expected a time such as `\"09:00\"`", it.key(key)));
        }
    }
    Some(settings)
}

fn channels(it: &Reader<'_>, client: &str, is_loopback: bool) -> BTreeMap<String, ClientChannel> {
    let Some(it) = it.section("channels") else { return BTreeMap::new() };
    let mut channels = BTreeMap::new();
    for name in it.table.keys() {
        let Some(section) = it.section(name) else { continue };
        let channel = channel(&section);
        let is_open = !channel.has_authentication()
            && !is_loopback
            && !channel.allow_unauthenticated
            && !section.table.contains_key("signature")
            && !section.errors.has(&section.key("secret"))
            && !section.errors.has(&section.key("allow_unauthenticated"));
        if is_open {
            let message = format!(
                "client `{client}`, channel `{name}` has no secret, and `server.bind` is not a \
                 loopback address: set `{path}.secret` or `{path}.signature`, or \
                 `{path}.allow_unauthenticated = true` to let anybody post",
                path = section.path
            );
            it.error(name, message);
        }
        channels.insert(name.clone(), channel);
    }
    channels
}

fn channel(it: &Reader<'_>) -> ClientChannel {
    ClientChannel {
        secrets: it.secrets("secret"),
        signature: it.section("signature").and_then(|it| signature(&it)),
        account: it.get("account"),
        ignore_events: it.get("ignore_events"),
        allow_unauthenticated: it.get("allow_unauthenticated"),
        text_field: text_field(it),
        send: it.settings("send"),
    }
}

fn text_field(it: &Reader<'_>) -> Option<String> {
    let path: String = it.get::<Option<String>>("text_field")?;
    let key = it.key("text_field");
    if !it.path.ends_with(".sms") {
        it.error("text_field", format!("`{key}`: only the channel `sms` has a `text_field`"));
    } else if path.split('.').any(|name| name.trim().is_empty()) {
        it.error(
            "text_field",
            format!("`{key}` is `{path:?}`: expected names joined by dots, such as `\"customData.reply\"`"),
        );
    }
    Some(path)
}

/// How old a signed webhook may be where `window` is not set: as Standard Webhooks advises.
const WINDOW: Duration = Duration::from_secs(300);

fn signature(it: &Reader<'_>) -> Option<Signature> {
    if it.table.is_empty() {
        return None;
    }
    if !it.table.contains_key("scheme") {
        let message =
            format!("`{}` has no `scheme`: expected {}", it.path, SignatureScheme::EXPECTED);
        let origin = it.table.values().next().map(|it| &it.origin);
        it.errors.push(origin, &it.path, message);
    }
    let secrets = signing_secrets(it);
    let window = it.read_in("window", Duration::from_secs(1)..=WINDOW_MAX).unwrap_or(WINDOW);
    let public_key = it.get::<Option<String>>("public_key").and_then(|text| public_key(it, &text));
    let scheme = it.read("scheme")?;
    let has_secrets = !secrets.is_empty() || it.errors.has(&it.key("secrets"));
    if scheme == SignatureScheme::StandardWebhooks && !has_secrets {
        let path = &it.path;
        it.error(
            "scheme",
            format!(
                "`{path}.scheme` is `\"standard_webhooks\"`, so `{path}.secrets` must hold a secret"
            ),
        );
    }
    Some(Signature { scheme, secrets, public_key, window })
}

fn signing_secrets(it: &Reader<'_>) -> Vec<SigningSecret> {
    let mut read = Vec::new();
    for (index, secret) in it.secrets("secrets").iter().enumerate() {
        match SigningSecret::parse(secret.expose()) {
            Ok(secret) => read.push(secret),
            Err(reason) => {
                it.error("secrets", format!("`{}[{index}]` {reason}", it.key("secrets")));
            }
        }
    }
    read
}

fn public_key(it: &Reader<'_>, text: &str) -> Option<PublicKey> {
    let key = PublicKey::parse(text);
    if key.is_none() && !it.errors.has(&it.key("public_key")) {
        let message = format!(
            "`{}` is no public key: expected one of Ed25519 or RSA, in PEM or as the base64 inside of it",
            it.key("public_key")
        );
        it.error("public_key", message);
    }
    key
}
