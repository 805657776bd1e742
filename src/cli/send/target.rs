//! Finds where to post, for which client, and with which secret.

use crate::{
    channels::AnyChannel,
    cli::{
        failure::Failure,
        http::{below, client, url_of},
    },
    config::{Client, Config},
    domain::ChannelName,
    registry,
};
use reqwest::header::HeaderValue;
use std::sync::Arc;
use url::Url;

/// A client's webhook at a running daemon.
pub(super) struct Target {
    pub(super) http: reqwest::Client,
    /// The URL of the daemon.
    pub(super) base: Url,
    /// The URL of the webhook.
    pub(super) url: Url,
    pub(super) client: String,
    pub(super) channel: ChannelName,
    /// The value of `X-Webhook-Secret`; `None` if the configuration has no secret.
    pub(super) secret: Option<HeaderValue>,
    /// The provider's account that samples name.
    pub(super) account: Option<String>,
}

/// The channel with this name.
///
/// # Errors
/// If there is none.
pub(super) fn channel(name: &str) -> Result<Arc<dyn AnyChannel>, Failure> {
    let channels = registry::postroom().channels;
    let known = listed(channels.iter().map(|channel| channel.name().0));
    channels
        .into_iter()
        .find(|channel| channel.name().0 == name)
        .ok_or_else(|| Failure::Wrong(format!("there is no channel `{name}`: known are {known}")))
}

/// Completes the arguments from the configuration.
///
/// # Errors
/// If the configuration has no such client, or no client with the channel.
pub(super) fn find(
    config: &Config,
    channel: ChannelName,
    client_id: Option<&str>,
    url: Option<Url>,
    connections: u16,
) -> Result<Target, Failure> {
    let found = match client_id {
        Some(id) => config.client(id),
        None => Some(first_with(config, channel)?),
    };
    let id = match (found, client_id) {
        (Some(client), _) => client.id.clone(),
        // `--url` may name another daemon, which may have other clients.
        (None, Some(id)) if url.is_some() => id.to_owned(),
        (None, id) => return Err(no_client(config, id.unwrap_or_default())),
    };
    let base = url.map_or_else(|| url_of(config), Ok)?;
    Ok(Target {
        http: client(&base, connections.into())?,
        url: below(&base, &["webhooks", channel.0, &id]),
        base,
        secret: found.map(|client| secret(client, channel)).transpose()?.flatten(),
        account: found.and_then(|client| client.channel(channel.0)?.account.clone()),
        client: id,
        channel,
    })
}

fn first_with(config: &Config, channel: ChannelName) -> Result<&Client, Failure> {
    let mut clients = config.clients.iter();
    clients.find(|client| client.channel(channel.0).is_some()).ok_or_else(|| {
        Failure::Wrong(format!(
            "no client in the configuration has the channel `{channel}`: name the daemon's \
             configuration with --config, or the client with --client"
        ))
    })
}

fn no_client(config: &Config, id: &str) -> Failure {
    let known = listed(config.clients.iter().map(|client| client.id.as_str()));
    Failure::Wrong(format!(
        "there is no client `{id}` in the configuration: known are {known}; name the daemon's \
         configuration with --config"
    ))
}

/// The first of the channel's shared secrets.
fn secret(client: &Client, channel: ChannelName) -> Result<Option<HeaderValue>, Failure> {
    let Some(secret) = client.channel(channel.0).and_then(|channel| channel.secrets.first()) else {
        return Ok(None);
    };
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
        let key = format!("clients.{}.channels.{channel}.secret", client.id);
        Failure::Wrong(format!("`{key}` has characters that no header can carry"))
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Names in backticks, with commas.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Target {
    /// What was sent as authentication, for the message about a 401.
    pub(super) fn proof(&self) -> String {
        let Self { client, channel, .. } = self;
        if self.secret.is_some() {
            format!("sent with the secret of `clients.{client}.channels.{channel}`")
        } else {
            format!("sent without a secret: `clients.{client}.channels.{channel}` has none here")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const SMS: ChannelName = ChannelName("sms");

    fn config() -> Config {
        let clients = "[{ id = \"a\", channels = { instantly = {} } }, \
                        { id = \"b\", channels = { sms = { secret = [\"the-new-of-the-two\", \"the-old-of-the-two\"] } } }]";
        let env = vec![("POSTROOM__CLIENTS".to_owned(), clients.to_owned())];
        Config::load(&Sources { env, ..Sources::default() }).expect("valid")
    }

    fn found(client: Option<&str>, url: Option<&str>) -> Result<Target, String> {
        let url = url.map(|text| Url::parse(text).expect(text));
        find(&config(), SMS, client, url, 16).map_err(|failure| match failure {
            Failure::Wrong(message) => message,
            Failure::Failed(_)
            | Failure::Config(_)
            | Failure::Usage(_)
            | Failure::Told
            | Failure::Unwell
            | Failure::Interrupted
            | Failure::ReaderGone => "another failure".to_owned(),
        })
    }

    #[test]
    fn the_first_client_with_the_channel_is_it_by_default() {
        let target = found(None, None).expect("a target");
        assert_eq!(target.url.as_str(), "http://127.0.0.1:8080/webhooks/sms/b");
        assert_eq!(target.secret.expect("a secret"), "the-new-of-the-two");
    }

    #[test]
    fn a_client_without_a_secret_is_posted_for_without() {
        let target = found(Some("a"), Some("https://postroom.example/below")).expect("a target");
        assert_eq!(target.url.as_str(), "https://postroom.example/below/webhooks/sms/a");
        assert_eq!(target.secret, None);
        assert!(target.proof().contains("without a secret"));
    }

    #[test]
    fn an_unknown_client_is_refused_where_the_daemon_is_ones_own() {
        let message = found(Some("c"), None).err().expect("an error");
        assert!(
            message.starts_with("there is no client `c` in the configuration: known are `a`, `b`")
        );
        assert!(found(Some("c"), Some("http://localhost:1")).is_ok());
    }
}
