//! `/clients`: the tenants of the configuration, and what waits and runs for each.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, List},
    query::Query,
};
use crate::{
    config::{Client, ClientChannel, Config},
    store::Totals,
};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the ids of Postroom's own jobs begin with. No client of a configuration has such an id.
const OWN: char = '_';

/// `GET /clients`, in the order of their ids: those of the configuration, and those that are not in
/// it and have jobs. It also answers without the database; then `pending` and `running` are `null`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &["limit", "cursor"])?;
    let (config, totals) = (state.config.get(), state.totals().await.ok());
    let items = clients(&config, totals.as_deref());
    objects::object(List::by_name(items, &query, |it: &ClientJson<'_>| it.id.to_owned())?)
}

/// `GET /clients/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let (config, totals) = (state.config.get(), state.totals().await.ok());
    let all = clients(&config, totals.as_deref());
    let client = all.into_iter().find(|it| it.id == path.as_str());
    objects::object(client.ok_or_else(|| no_such("client", path))?)
}

fn clients<'a>(config: &'a Config, totals: Option<&'a Totals>) -> Vec<ClientJson<'a>> {
    // The jobs of each client: pending and running.
    let mut jobs: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for counted in totals.iter().flat_map(|it| &it.backlog) {
        let (pending, running) = jobs.entry(&counted.client_id).or_default();
        *pending += counted.pending;
        *running += counted.running;
    }
    let mut all: BTreeMap<&str, ClientJson<'_>> = jobs
        .keys()
        .filter(|id| !id.starts_with(OWN))
        .map(|id| (*id, ClientJson::unknown(id)))
        .collect();
    let caps = config.caps();
    for client in &config.clients {
        all.insert(&client.id, ClientJson::of(client, caps.get(&client.id).copied()));
    }
    for account in totals.iter().flat_map(|it| &it.accounts) {
        let client = all.get_mut(account.client_id.as_str());
        let mut channels = client.into_iter().flat_map(|it| &mut it.channels);
        if let Some(channel) = channels.find(|it| it.channel == account.channel) {
            channel.trouble = Some(&account.state);
        }
    }
    for client in all.values_mut() {
        let (pending, running) = jobs.get(client.id).copied().unwrap_or_default();
        client.pending = totals.map(|_| pending);
        client.running = totals.map(|_| running);
    }
    all.into_values().collect()
}

#[derive(Debug, PartialEq, Serialize)]
struct ClientJson<'a> {
    id: &'a str,
    name: &'a str,
    /// False if it only has jobs: its part of the configuration was taken out.
    configured: bool,
    timezone: Option<&'a str>,
    channels: Vec<ChannelOfClient<'a>>,
    auto_reply: Option<&'static str>,
    /// As it is written: `50/s`.
    rate_limit: Option<String>,
    /// The cap that applies; `null` if there is none.
    max_running: Option<u32>,
    pending: Option<i64>,
    running: Option<i64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct ChannelOfClient<'a> {
    channel: &'a str,
    /// Whether a webhook must show a secret or be signed.
    has_secret: bool,
    account: Option<&'a str>,
    /// `disconnected` or `rate_limited` if the account that sends is in trouble.
    trouble: Option<&'a str>,
}

impl<'a> ClientJson<'a> {
    fn unknown(id: &'a str) -> Self {
        Self {
            id,
            name: id,
            configured: false,
            timezone: None,
            channels: Vec::new(),
            auto_reply: None,
            rate_limit: None,
            max_running: None,
            pending: None,
            running: None,
        }
    }

    fn of(client: &'a Client, cap: Option<u32>) -> Self {
        let channel = |(name, channel): (&'a String, &'a ClientChannel)| {
            let (has_secret, account) = (channel.has_authentication(), channel.account.as_deref());
            ChannelOfClient { channel: name, has_secret, account, trouble: None }
        };
        Self {
            name: &client.name,
            configured: true,
            timezone: client.timezone.iana_name(),
            channels: client.channels.iter().map(channel).collect(),
            auto_reply: Some(client.auto_reply.as_str()),
            rate_limit: client.rate_limit.map(|it| it.to_string()),
            max_running: cap,
            ..Self::unknown(&client.id)
        }
    }
}
