//! Warnings: what is allowed but unsafe.

use super::{
    Config,
    database_url::DatabaseUrl,
    error::Errors,
    layers::{Data, Origin, Table, TreeNode},
    masking::{names_a_secret, without_userinfo},
    schema::{ROOT, Shape},
    signing::PublicKey,
};
use crate::domain::{fairness::TRANSACTION_MAX, job::DELIVER_REPLY};
use humantime::format_duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Warns of what is unsafe in the whole configuration. `env` is the environment of the process.
pub(super) fn check(config: &Config, table: &Table, env: &[(String, String)], errors: &Errors) {
    let variable =
        |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, text)| text.clone());
    if let Some(host) = config.database.url.unverified_host(variable) {
        let origin =
            table.get("database").and_then(TreeNode::as_table).and_then(|it| it.get("url"));
        let message = format!(
            "`database.url`: the password and all messages go to `{host}`, and nothing checks that it is your \
             server: add `sslmode=verify-full`, and `sslrootcert=FILE` where its certificate is of an \
             authority of your own"
        );
        errors.warn(origin.map(|it| &it.origin), message);
    }
    let shared = shared_secrets(config).into_iter().chain(shared_keys(config));
    for message in shared.chain(cut_off_call(config)) {
        errors.warn(None, message);
    }
}

/// What an attempt to send needs besides its call: the time to mark it.
const MARK_MARGIN: Duration = TRANSACTION_MAX;

/// A warning if the pool that sends can cut off a call that its provider would still answer: then a
/// person must find out whether the answer was sent.
fn cut_off_call(config: &Config) -> Option<String> {
    let pool = config.pools.configured(DELIVER_REPLY.0).timeout;
    let calls = config.clients.iter().flat_map(|client| {
        client.channels.iter().filter_map(|(name, channel)| {
            Some((channel.send.as_ref()?.timeout, client.id.as_str(), name.as_str()))
        })
    });
    let (longest, client, channel) = calls.max()?;
    (pool < longest + MARK_MARGIN).then(|| {
        format!(
            "`pools.DELIVER_REPLY.timeout` ({}) should be at least {} longer than \
             `clients.{client}.channels.{channel}.send.timeout` ({}): an answer whose call is cut off may have \
             been sent, and a person must find out",
            format_duration(pool),
            format_duration(MARK_MARGIN),
            format_duration(longest),
        )
    })
}

/// A place of a secret: the client it belongs to (`None` for the operator), and the dotted key.
type SecretPlace<'a> = (Option<&'a str>, String);

/// A warning for each secret that two clients share, or a client and the operator.
fn shared_secrets(config: &Config) -> BTreeSet<String> {
    let mut places: BTreeMap<&[u8], BTreeSet<SecretPlace<'_>>> = BTreeMap::new();
    let mut add = |secret, owner, key: String| {
        places.entry(secret).or_default().insert((owner, key));
    };
    if let Some(token) = &config.admin.token {
        add(token.expose().as_bytes(), None, "admin.token".to_owned());
    }
    for user in &config.admin.users {
        add(user.token.expose().as_bytes(), None, format!("admin.users.{}.token", user.name));
    }
    for client in &config.clients {
        for (name, channel) in &client.channels {
            let path = format!("clients.{}.channels.{name}", client.id);
            for secret in &channel.secrets {
                add(secret.expose().as_bytes(), Some(&client.id), format!("{path}.secret"));
            }
            let signing = channel.signature.iter().flat_map(|it| &it.secrets);
            for key in signing.flat_map(|it| it.keys()) {
                add(key, Some(&client.id), format!("{path}.signature.secrets"));
            }
        }
    }
    let is_shared = |places: &&BTreeSet<SecretPlace<'_>>| owners(places).len() > 1;
    let shared = places.values().filter(is_shared).map(|places| {
        format!(
            "one secret stands at {}: whoever is given it for one of them has the others, too: give each its own",
            keys(places)
        )
    });
    shared.collect()
}

/// A warning for each public key that signs for two clients, unless the account in the body tells
/// them apart.
fn shared_keys(config: &Config) -> BTreeSet<String> {
    // The keys, their places, and whether the channels at all of these places have an account.
    let mut places: Vec<(&PublicKey, BTreeSet<SecretPlace<'_>>, bool)> = Vec::new();
    for client in &config.clients {
        for (name, channel) in &client.channels {
            let Some(key) =
                channel.signature.as_ref().and_then(|signature| signature.public_key.as_ref())
            else {
                continue;
            };
            let place = (
                Some(client.id.as_str()),
                format!("clients.{}.channels.{name}.signature.public_key", client.id),
            );
            let has_account = channel.account.is_some();
            match places.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, known, all_have_accounts)) => {
                    known.insert(place);
                    *all_have_accounts &= has_account;
                }
                None => places.push((key, BTreeSet::from([place]), has_account)),
            }
        }
    }
    let is_shared = |(_, places, all_have_accounts): &&(_, BTreeSet<SecretPlace<'_>>, bool)| {
        owners(places).len() > 1 && !all_have_accounts
    };
    let shared = places.iter().filter(is_shared).map(|(_, places, _)| {
        format!(
            "one key stands at {}: whoever signs for one of these clients can post for the others, too: set \
             `account` in each channel",
            keys(places)
        )
    });
    shared.collect()
}

fn owners<'a>(places: &BTreeSet<SecretPlace<'a>>) -> BTreeSet<Option<&'a str>> {
    places.iter().map(|it| it.0).collect()
}

fn keys(places: &BTreeSet<SecretPlace<'_>>) -> String {
    let keys: Vec<String> = places.iter().map(|(_, key)| format!("`{key}`")).collect();
    keys.join(", ")
}

/// Warns if the file `name`, which others than its owner may read, holds a secret in clear.
pub(super) fn literal_secrets(layer: &Table, name: &str, mode: u32, errors: &Errors) {
    if keys_hold_secret(&ROOT, layer) {
        let message = format!(
            "this file holds a secret, and others than its owner can read it (mode {mode:04o}): run \
             `chmod 600 {name}`, or put the secret elsewhere and write `{{ file = \"PATH\" }}` in its place"
        );
        errors.warn(Some(&Origin::new(name)), message);
    }
}

fn keys_hold_secret(shape: &Shape, table: &Table) -> bool {
    match shape {
        Shape::Section(known) => known
            .iter()
            .any(|(key, inner)| table.get(*key).is_some_and(|node| holds_secret(inner, node))),
        Shape::Map(inner) => table.values().any(|node| holds_secret(inner, node)),
        Shape::Free => table.iter().any(|(key, node)| {
            holds_secret(if names_a_secret(key) { &Shape::Secret } else { &Shape::Free }, node)
        }),
        // A table under a secret's key holds secrets, unless it is a reference: the name of a
        // variable or a file is not secret.
        Shape::Secret => {
            !super::references::is_reference(table)
                && table.values().any(|node| holds_secret(&Shape::Secret, node))
        }
        Shape::Value | Shape::Url | Shape::List(_) => false,
    }
}

/// True if `node`, as it is written in a file, shows a secret.
fn holds_secret(shape: &Shape, node: &TreeNode) -> bool {
    match (shape, &node.data) {
        (Shape::List(inner), Data::List(nodes)) => nodes.iter().any(|it| holds_secret(inner, it)),
        (_, Data::List(nodes)) => nodes.iter().any(|it| holds_secret(shape, it)),
        (_, Data::Table(table)) => keys_hold_secret(shape, table),
        (Shape::Secret, Data::Text(text)) => !text.is_empty(),
        (Shape::Secret, Data::Integer(_) | Data::Decimal(_)) => true,
        (Shape::Url, Data::Text(text)) => {
            DatabaseUrl::parse(text).is_ok_and(|url| url.to_string().contains(super::value::MASK))
        }
        (_, Data::Text(text)) => without_userinfo(text) != *text,
        (_, Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) | Data::Raw(_)) => false,
    }
}
