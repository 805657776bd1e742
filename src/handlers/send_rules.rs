//! What the configuration in force says of a send.

use super::Deps;
use crate::{
    config::Client,
    domain::{Timestamp, schedule::zone_of},
    store::SendRules,
};
use jiff::tz::TimeZone;
use std::time::Duration;

/// The rules of a client, as they are when they are asked for.
pub(super) struct ConfigRules {
    pub(super) deps: Deps,
    pub(super) client_id: String,
}

impl SendRules for ConfigRules {
    fn is_enabled(&self) -> bool {
        self.deps.config.get().sending.enabled
    }

    fn has_settings(&self, channel: &str) -> bool {
        has_settings(self.deps.config.get().client(&self.client_id), channel)
    }

    fn is_automatic_allowed(&self, channel: &str, campaign: Option<&str>) -> bool {
        let config = self.deps.config.get();
        let client = config.client(&self.client_id);
        client
            .zip(self.deps.channel(channel))
            .is_some_and(|(client, channel)| client.sends_by_rule(&channel.facts(), campaign))
    }

    fn opens_in(&self, lead_zone: Option<&str>, now: Timestamp) -> Option<Duration> {
        opens_in(self.deps.config.get().client(&self.client_id), lead_zone, now)
    }
}

/// True if the client has settings for sending on the channel.
pub(super) fn has_settings(client: Option<&Client>, channel: &str) -> bool {
    let channel = client.and_then(|client| client.channel(channel));
    channel.is_some_and(|channel| channel.send.is_some())
}

/// How long after `now` the hours of the client are open in which a rule sends to a lead of this
/// time zone; zero if they are, `None` if no hour is open in the next
/// [`SEARCHED_DAYS`](crate::domain::schedule::SEARCHED_DAYS).
pub(super) fn opens_in(
    client: Option<&Client>,
    lead_zone: Option<&str>,
    now: Timestamp,
) -> Option<Duration> {
    let Some(hours) = client.and_then(Client::sending_hours) else { return Some(Duration::ZERO) };
    let zone = client.map_or(TimeZone::UTC, |client| client.timezone.clone());
    let open = hours.next_open(now, &zone_of(lead_zone, &zone))?;
    Some(Duration::from_millis(u64::try_from(open.millis_since(now)).unwrap_or_default()))
}
