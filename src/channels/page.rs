//! The page about the channels, docs/CHANNELS.md, made from their tables and constants.

use super::AnyChannel;
use crate::domain::{Medium, ProviderServer, SendFacts};
use std::sync::Arc;

const HEAD: &str = "# Channels: which event does what\n\n\
    Made from the tables in `src/channels` (`UPDATE_DOCS=1 cargo test the_page_of_the_channels`); the rules\n\
    behind them are in `docs/RULES.md`. An outcome is that of an ordinary event whose lead, or message, is known.\n";

/// The page about these channels, in their order, in Markdown.
pub fn page(channels: &[Arc<dyn AnyChannel>]) -> String {
    let sections = channels.iter().map(|channel| section(channel.as_ref()));
    std::iter::once(HEAD.to_owned()).chain(sections).collect()
}

fn section(channel: &dyn AnyChannel) -> String {
    let mut text = format!("\n# {}\n\n| event | outcome | |\n|---|---|---|\n", channel.name());
    for row in channel.table() {
        text.extend(["| ", row.event, " | ", row.outcome, " | ", row.note, " |\n"]);
    }
    let secret = match (channel.secret_header(), channel.secret_field()) {
        (Some(header), _) => format!("`{header}`"),
        (None, Some(field)) => format!("the body's `{field}`"),
        (None, None) => "none".to_owned(),
    };
    let answer = match channel.medium() {
        Medium::Mail => "a mail".to_owned(),
        Medium::Text { parts, chars } => {
            format!("a text message of at most {parts} parts of at most {chars} characters")
        }
        Medium::Chat { chars } => format!("a message of at most {chars} characters"),
    };
    let sent = match channel.facts().send {
        None => "Answers are not sent.".to_owned(),
        Some(SendFacts { server, by_rule }) => {
            let server = match server {
                ProviderServer::Shared(url) => format!("`{url}`"),
                ProviderServer::OfCustomer(_) => "the customer's own server".to_owned(),
            };
            let rules = if by_rule { "" } else { ", by a person unless `automatic` is set" };
            format!("Answers are sent to {server}{rules}.")
        }
    };
    text + &format!(
        "| any other | | {} |\n\n\
         Inbound messages are worked through by `{}`. The provider's own place for the secret: {secret}. An answer is \
         {answer}. {sent}\n",
        channel.others(),
        channel.post_process(),
    )
}
