//! The first steps, shown until the first webhook has come.

use crate::{
    config::ClientChannel,
    http::ui::{
        parts::{Sign, Tone, command},
        visit::Visit,
    },
};
use maud::{Markup, html};

/// Three steps to the first draft.
pub(super) fn steps(visit: &Visit) -> Markup {
    let database = database_name(visit.state().store.database());
    html! {
        ol.steps.box.sec {
            li.(Tone::Good.class()) {
                (Sign::Ok)
                div {
                    h2 { "Postroom runs" }
                    p { "Its database is " (database) ". Webhooks are taken, and jobs are worked off. Nothing has come in yet." }
                }
            }
            li {
                b { "2" }
                div {
                    h2 { "Post a message as a provider would" }
                    @match first_post(visit) {
                        Some((client, curl)) => {
                            p { "To the client " code { (client) } ". This page fills while you watch." }
                            (command(&curl))
                        },
                        None => p { "No client takes webhooks without a secret: post with the secret of one, or let its provider post." },
                    }
                }
            }
            li {
                b.mut { "3" }
                div {
                    h2 { "Decide the draft that comes of it" }
                    p.mut { "It appears in the " a href=(visit.to("/inbox")) { "Inbox" } " within a second, with an answer to approve or change." }
                }
            }
        }
        p.sm.mut.ut {
            "Then give each provider its address: " a href=(visit.to("/clients")) { "Clients" } " shows it for each channel."
        }
    }
}

/// The name of a database, as people write it.
pub(super) fn database_name(word: &str) -> &str {
    match word {
        "sqlite" => "SQLite",
        "postgres" | "postgresql" => "PostgreSQL",
        other => other,
    }
}

/// The client to post to, and the command that does it. The channel is the one that needs the
/// shortest message, of those that take webhooks without a secret.
fn first_post(visit: &Visit) -> Option<(String, String)> {
    let config = visit.state().config.get();
    let is_open = |channel: &ClientChannel| !channel.has_authentication();
    let mut found: Option<(String, String)> = None;
    for client in &config.clients {
        for (name, _) in client.channels.iter().filter(|it| is_open(it.1)) {
            let sample = visit.state().channels.get(name.as_str());
            let Some(sample) = sample.and_then(|it| it.channel.sample(None, 1)) else { continue };
            let command = curl(&visit.origin, name, &client.id, &sample.to_string());
            if found.as_ref().is_none_or(|it| command.len() < it.1.len()) {
                found = Some((client.id.clone(), command));
            }
        }
        if found.is_some() {
            break;
        }
    }
    found
}

fn curl(origin: &str, channel: &str, client: &str, body: &str) -> String {
    let body = body.replace('\'', "'\\''");
    format!("curl {origin}/webhooks/{channel}/{client} -d '{body}'")
}
