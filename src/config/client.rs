//! `[[clients]]`: the tenants, and for each the channels that it uses.

use super::{
    channel::{ClientChannel, channels},
    error::Errors,
    layers::{Data, Table, TreeNode, merge},
    masking::quoted,
    reader::{SectionReader, Typed, from_text},
    schema::nearest,
    value::{Rate, Setting, Settings},
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

impl Client {
    /// The channel of that name, if the client uses it.
    pub fn channel(&self, name: &str) -> Option<&ClientChannel> {
        self.channels.get(name)
    }

    /// True where the channel's webhooks are taken without a secret; see
    /// [`ClientChannel::takes_anybody`].
    pub fn accepts_without_secret(&self, channel: &str) -> bool {
        self.channel(channel).is_some_and(|it| it.takes_anybody)
    }
}

from_text!(AutoReply, "`\"off\"`, `\"gate\"` or `\"auto\"`", |text| match text {
    "off" => Some(Self::Off),
    "gate" => Some(Self::Gate),
    "auto" => Some(Self::Auto),
    _ => None,
});
impl Typed for Schedule {
    const EXPECTED: &'static str = "`\"always\"`, `\"business_hours\"` or a table";
    fn from_node(node: &TreeNode) -> Option<Self> {
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
pub(super) fn inherit(clients: &mut TreeNode, default: Option<&TreeNode>) {
    let default = match default.map(|it| &it.data) {
        Some(Data::List(nodes)) => nodes.first().and_then(TreeNode::as_table),
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

/// Reads all clients. `opening` says by which setting others than this machine can post, if any.
pub(super) fn clients(list: &TreeNode, opening: Option<&str>, errors: &Errors) -> Vec<Client> {
    let Data::List(nodes) = &list.data else { return Vec::new() };
    let mut ids = HashSet::new();
    let mut clients = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(table) = node.as_table() else { continue };
        let Some(id) = id(table, index, node, errors) else { continue };
        let reader = SectionReader { path: format!("clients.{id}"), table, errors };
        if !ids.insert(id.clone()) {
            reader.error("id", format!("client `{id}` is there twice: every `id` must be unique"));
        }
        clients.push(client(&reader, id, opening));
    }
    clients
}

fn id(table: &Table, index: usize, node: &TreeNode, errors: &Errors) -> Option<String> {
    let path = format!("clients[{index}]");
    let reader = SectionReader { path: path.clone(), table, errors };
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

fn client(it: &SectionReader<'_>, id: String, opening: Option<&str>) -> Client {
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
        channels: channels(it, &id, opening),
        id,
    }
}

fn country(it: &SectionReader<'_>) -> Option<String> {
    let country: String = it.get::<Option<String>>("country")?;
    if country.len() != 2 || !country.chars().all(|it| it.is_ascii_uppercase()) {
        let key = it.key("country");
        it.error(
            "country",
            format!(
                "`{key}` is {}: expected two capital letters, such as `\"DE\"`",
                quoted(&country)
            ),
        );
    }
    Some(country)
}

fn auto_send(it: &SectionReader<'_>) -> AutoSend {
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

fn templates(it: &SectionReader<'_>) -> BTreeMap<String, String> {
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
fn business_hours(it: &SectionReader<'_>) -> Option<Settings> {
    let settings = it.settings("business_hours", |it| Setting::from_node("", it))?;
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
