//! `[[clients]]`: the tenants, each with the channels that it uses.

use super::{
    channel::{ClientChannel, channels},
    error::Errors,
    hours::hours,
    layers::{Data, Table, TreeNode, merge},
    masking::quoted,
    reader::{SectionReader, Typed, from_text},
    schema::nearest,
    value::Rate,
};
use crate::domain::{
    ChannelFacts, Sentiment, auto_send::AutoReply, schedule::OpeningHours, template,
};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// The longest id of a client, which is part of paths, keys and rows.
const ID_CHARS_MAX: usize = 64;
/// The longest delay of an automatic answer.
const DELAY_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A client, which is a tenant of this installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its id: 1 to 64 of `a`–`z`, `0`–`9`, `-` and `_`, not starting with `_`. Unique.
    pub id: String,
    /// The name that is shown; the id if none is set.
    pub name: String,
    /// The client's time zone.
    pub timezone: TimeZone,
    /// Webhooks that it may post, over all channels; `None` means no limit.
    pub rate_limit: Option<Rate>,
    /// The most jobs of it that run at the same time; 0 means `supervisor.max_running_per_client`.
    pub max_running: u32,
    /// Which drafts are sent automatically, unless `auto_send.campaigns` says otherwise.
    pub auto_reply: AutoReply,
    /// When drafts are sent automatically.
    pub auto_send: AutoSend,
    /// The country of phone numbers without a country code: two capital letters.
    pub country: Option<String>,
    /// The name that signs its drafts.
    pub sender: Option<String>,
    /// The style in which a model writes its drafts, in words. Templates and the `local` analyst
    /// ignore it.
    pub reply_style: Option<String>,
    /// Words that describe the customers it wants. Each word in a lead's company or title raises
    /// the lead's fit.
    pub ideal_customer: Option<String>,
    /// Its own templates, by tag. Only tags for which drafts are made. All fields in them exist.
    pub templates: BTreeMap<String, String>,
    /// Its business hours.
    pub business_hours: OpeningHours,
    /// The channels that it uses, by name.
    pub channels: BTreeMap<String, ClientChannel>,
}

/// When drafts are sent automatically.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoSend {
    /// The least confidence that passes the gate, 0 to 1.
    pub threshold: f64,
    /// The least delay after the lead's message.
    pub delay_min: Duration,
    /// The greatest delay after the lead's message; not less than `delay_min`, at most 7 days.
    pub delay_max: Duration,
    /// The hours in which drafts are sent.
    pub schedule: Schedule,
    /// Exceptions to `auto_reply`, by the provider's id of the campaign.
    pub campaigns: BTreeMap<String, AutoReply>,
}

/// The hours in which drafts are sent automatically.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// They are sent at any hour.
    #[default]
    Always,
    /// They are sent in the client's business hours.
    BusinessHours,
    /// They are sent in these hours.
    Custom(OpeningHours),
}

impl Client {
    /// The channel with this name, if the client uses it.
    pub fn channel(&self, name: &str) -> Option<&ClientChannel> {
        self.channels.get(name)
    }

    /// Which drafts are sent automatically to leads of the campaign with this provider's id.
    pub fn auto_reply_in(&self, campaign: Option<&str>) -> AutoReply {
        let exception = campaign.and_then(|id| self.auto_send.campaigns.get(id));
        exception.copied().unwrap_or(self.auto_reply)
    }

    /// True if drafts of the channel may be sent automatically to leads of the campaign with this
    /// provider's id: the mode is not off, the client has settings for sending, and the channel
    /// lets rules send, or those settings say `automatic = true`.
    pub fn sends_by_rule(&self, channel: &ChannelFacts, campaign: Option<&str>) -> bool {
        let settings = self.channel(channel.name.0).and_then(|channel| channel.send.as_ref());
        let by_rule = channel.send.is_some_and(|send| send.by_rule);
        self.auto_reply_in(campaign) != AutoReply::Off
            && settings.is_some_and(|settings| settings.automatic || by_rule)
    }

    /// The hours in which drafts are sent automatically; `None` for any hour.
    pub const fn sending_hours(&self) -> Option<&OpeningHours> {
        match &self.auto_send.schedule {
            Schedule::Always => None,
            Schedule::BusinessHours => Some(&self.business_hours),
            Schedule::Custom(hours) => Some(hours),
        }
    }

    /// True if webhooks of the channel need no secret; see
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
from_text!(Schedule, "`\"always\"`, `\"business_hours\"` or a table", |text| match text {
    "always" => Some(Self::Always),
    "business_hours" => Some(Self::BusinessHours),
    _ => None,
});

/// The keys that a client does not inherit.
pub(super) const NOT_INHERITED: [&str; 3] = ["id", "name", "channels"];

/// Merges each client of the list over the one of `config/default.toml`, whose keys are the
/// defaults of all clients, except [`NOT_INHERITED`].
pub(super) fn inherit(clients: &mut TreeNode, default: Option<&TreeNode>) {
    let default = match default.map(|it| &it.data) {
        Some(Data::List(nodes)) => nodes.first().and_then(TreeNode::as_table),
        _ => None,
    };
    let mut base = default.cloned().unwrap_or_default();
    base.retain(|key, _| !NOT_INHERITED.contains(&key.as_str()));
    if let Data::List(nodes) = &mut clients.data {
        for node in nodes {
            if let Data::Table(table) = &mut node.data {
                let own = std::mem::replace(table, base.clone());
                merge(table, own);
            }
        }
    }
}

/// Reads all clients. `opening` is the setting by which other machines can post, if there is one.
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
    let is_allowed =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_-".contains(char);
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

fn client(section: &SectionReader<'_>, id: String, opening: Option<&str>) -> Client {
    // It was read while the section had no name.
    section.errors.expect(section.key("id"), String::EXPECTED);
    let name: Option<String> = section.get("name");
    Client {
        name: name.unwrap_or_else(|| id.clone()),
        timezone: section.read("timezone").unwrap_or(TimeZone::UTC),
        rate_limit: section.get("rate_limit"),
        max_running: section.get("max_running"),
        auto_reply: section.get("auto_reply"),
        auto_send: section
            .section("auto_send")
            .map(|section| auto_send(&section))
            .unwrap_or_default(),
        country: country(section),
        sender: section.get("sender"),
        reply_style: section.get("reply_style"),
        ideal_customer: section.get("ideal_customer"),
        templates: templates(section),
        business_hours: business_hours(section),
        channels: channels(section, &id, opening),
        id,
    }
}

fn country(section: &SectionReader<'_>) -> Option<String> {
    let country: String = section.get::<Option<String>>("country")?;
    if country.len() != 2 || !country.chars().all(|char| char.is_ascii_uppercase()) {
        let key = section.key("country");
        section.error(
            "country",
            format!(
                "`{key}` is {}: expected two capital letters, such as `\"DE\"`",
                quoted(&country)
            ),
        );
    }
    Some(country)
}

fn auto_send(section: &SectionReader<'_>) -> AutoSend {
    let delay = || Duration::ZERO..=DELAY_MAX;
    let (delay_min, delay_max) =
        (section.get_in("delay_min", delay()), section.get_in("delay_max", delay()));
    let (min_key, max_key) = (section.key("delay_min"), section.key("delay_max"));
    if delay_min > delay_max && !section.errors.has(&min_key) && !section.errors.has(&max_key) {
        let (min, max) =
            (humantime::format_duration(delay_min), humantime::format_duration(delay_max));
        let at = section.written("delay_min", "delay_max");
        section.error(at, format!("`{min_key}` ({min}) must not exceed `{max_key}` ({max})"));
    }
    let campaigns = section.section("campaigns").map(|campaigns| {
        let mode = |id: &String| Some((id.clone(), campaigns.read::<AutoReply>(id)?));
        campaigns.table.keys().filter_map(mode).collect()
    });
    AutoSend {
        threshold: section.get_in("threshold", 0.0..=1.0),
        delay_min,
        delay_max,
        schedule: schedule(section),
        campaigns: campaigns.unwrap_or_default(),
    }
}

fn templates(section: &SectionReader<'_>) -> BTreeMap<String, String> {
    let Some(section) = section.section("templates") else { return BTreeMap::new() };
    let drafted =
        || Sentiment::ALL.into_iter().filter(|tag| tag.gets_draft()).map(Sentiment::as_str);
    let mut templates = BTreeMap::new();
    for tag in section.table.keys() {
        if !drafted().any(|known| known == tag) {
            let known: Vec<&str> = drafted().collect();
            let known = nearest(tag, drafted()).map_or_else(
                || format!("templates are for `{}`", known.join("`, `")),
                |near| format!("the nearest known tag is `{near}`"),
            );
            section.error(
                tag,
                format!("`{}`: no draft is made for the tag `{tag}`: {known}", section.path),
            );
        } else if let Some(text) = section.read::<String>(tag) {
            if let Some((written, name)) = template::unknown_field(&text) {
                let known = nearest(name, template::FIELDS).map_or_else(
                    || format!("known are `{{{}}}`", template::FIELDS.join("}`, `{")),
                    |near| format!("the nearest known field is `{{{near}}}`"),
                );
                section.error(
                    tag,
                    format!("`{}`: unknown field `{written}`: {known}", section.key(tag)),
                );
            }
            templates.insert(tag.clone(), text);
        }
    }
    templates
}

fn business_hours(section: &SectionReader<'_>) -> OpeningHours {
    if let Some(table) = section.section("business_hours") {
        return hours(&table);
    }
    if section.table.contains_key("business_hours") {
        let key = section.key("business_hours");
        section.error("business_hours", format!("`{key}`: expected a table"));
    }
    OpeningHours::default()
}

fn schedule(section: &SectionReader<'_>) -> Schedule {
    match section.section("schedule") {
        Some(table) => {
            section.errors.expect(section.key("schedule"), Schedule::EXPECTED);
            Schedule::Custom(hours(&table))
        }
        None => section.get("schedule"),
    }
}
