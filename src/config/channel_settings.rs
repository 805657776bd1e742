//! What only a channel itself can say about the settings that a client has for it.

use super::{Named, error::Errors};
use crate::domain::{ChannelFacts, ProviderServer, SendFacts};

/// Notes what is wrong with the settings of a client's channel, of which `channel` has the facts.
/// `all` are the channels that there are.
pub(super) fn check(named: &Named, channel: &ChannelFacts, all: &[ChannelFacts], errors: &Errors) {
    // 1. Settings of other channels.
    for (key, origin) in &named.keys {
        let has = |it: &&ChannelFacts| it.settings.contains(&key.as_str());
        let owners: Vec<&str> = all.iter().filter(has).map(|it| it.name.0).collect();
        if !owners.is_empty() && !owners.contains(&named.name.as_str()) {
            let path = format!("{}.{key}", named.key);
            let word = key.rsplit('.').next().unwrap_or(key);
            let owners = owners.join("` and `");
            let message = format!("`{path}`: only the channel `{owners}` has `{word}`");
            errors.push(Some(origin), &path, message);
        }
    }
    // 2. What sending needs.
    let Some(origin) = named.keys.get("send").filter(|_| named.keys.contains_key("send.api_key"))
    else {
        return;
    };
    let path = format!("{}.send", named.key);
    let message = match channel.send {
        None => format!("`{path}`: the channel `{}` cannot send", channel.name),
        Some(SendFacts { server: ProviderServer::OfCustomer(example), .. })
            if !named.keys.contains_key("send.base_url") =>
        {
            format!(
                "`{path}` has no `base_url`: set the address of your server at the provider, such as \
                 `{example}`"
            )
        }
        Some(_) => return,
    };
    errors.push(Some(origin), &path, message);
}
