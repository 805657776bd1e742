//! The rules for everything that is made of a body.

use postroom::domain::{
    Event, Interpreted, NewMessage, NotUnderstood, Signal, Timestamp,
    event::{Address, Direction, MessageKey},
};

/// Longer than any name of an event.
const NAME_BYTES: usize = 200;
/// An index of PostgreSQL takes no more than 2,704 bytes a row.
const KEY_BYTES: usize = 1_100;
const DAY_MS: i64 = 86_400_000;

/// Says what is wrong with it, if anything. It was made of `size` bytes that came at `now`.
pub fn fault(
    made: &Result<Interpreted, NotUnderstood>,
    size: usize,
    now: Timestamp,
) -> Result<(), String> {
    match made {
        Ok(Interpreted::Ignored { event_type, reason, .. }) => {
            is(!reason.is_empty(), "a reason")?;
            name(event_type.as_deref())
        }
        Err(NotUnderstood { event_type, reason }) => {
            let path =
                ["missing_field ", "bad_field "].iter().find_map(|it| reason.strip_prefix(it));
            let word = ["unknown_event", "unknown_shape", "not_an_object", "unknown_text_field"]
                .contains(&reason.as_str());
            is(word || path.is_some_and(|it| !it.is_empty()), "a reason")?;
            name(event_type.as_deref())
        }
        Ok(Interpreted::Event(event)) => of_event(event, size, now),
    }
}

fn is(right: bool, what: &str) -> Result<(), String> {
    if right { Ok(()) } else { Err(what.to_owned()) }
}

fn name(event: Option<&str>) -> Result<(), String> {
    is(event.is_none_or(|it| it.len() <= NAME_BYTES && !it.contains('\0')), "the event's name")
}

/// Checks a stored word: not empty, without U+0000, and not longer than an index takes.
fn kept(word: &str, what: &str) -> Result<(), String> {
    let blank = |it: char| it.is_whitespace();
    is(!word.trim_matches(blank).is_empty(), &format!("{what} is empty"))?;
    is(word.len() <= KEY_BYTES && !word.contains('\0'), what)
}

fn of_event(event: &Event, size: usize, now: Timestamp) -> Result<(), String> {
    name(Some(&event.event_type))?;
    is(event.at.millis_since(now) <= DAY_MS, "a time to come")?;
    for identity in &event.identities {
        kept(&identity.value, "an identity")?;
    }
    for (number, identity) in event.identities.iter().enumerate() {
        is(
            !event.identities.iter().skip(number + 1).any(|it| it == identity),
            "one identity twice",
        )?;
    }
    let about = event.signal.about();
    let is_of_somebody = !event.identities.is_empty() || event.lead_of_chat.is_some();
    is(is_of_somebody || about.is_some_and(|it| !it.is_empty()), "nobody's event")?;
    about.into_iter().flatten().try_for_each(key)?;
    let words = [&event.lead_of_chat, &event.campaign.as_ref().map(|it| it.provider_id.clone())];
    words.into_iter().flatten().try_for_each(|it| kept(it, "a word"))?;
    let profile = &event.profile;
    let words = [
        &profile.first_name,
        &profile.last_name,
        &profile.company_name,
        &profile.title,
        &profile.email,
        &profile.phone,
        &profile.timezone,
    ];
    words.into_iter().flatten().try_for_each(|it| kept(it, "a word of the profile"))?;
    match &event.signal {
        Signal::Message(it) => message(it, size),
        Signal::Bounce { address, reason, .. } => {
            kept(address, "the address of a bounce")?;
            is(reason.as_ref().is_none_or(|it| it.chars().count() <= 1_000), "a bounce's reason")?;
            text(reason.as_deref(), size, "a bounce's reason")
        }
        Signal::OptOut { reason } => kept(reason, "the reason of an opt-out"),
        Signal::Edited { body, opt_out, .. } => {
            is(!body.trim().is_empty(), "an edit without a text")?;
            text(Some(body), size, "the body")?;
            opt_out.iter().try_for_each(|it| kept(it, "the words of an opt-out"))
        }
        Signal::Category { name, .. } => {
            name.iter().try_for_each(|it| kept(it, "a category's name"))
        }
        Signal::DoNotDisturb { .. }
        | Signal::Hint { .. }
        | Signal::Connected
        | Signal::Deleted { .. }
        | Signal::Failed { .. } => Ok(()),
    }
}

fn key(key: &MessageKey) -> Result<(), String> {
    kept(&key.key, "a message's key")
}

fn text(text: Option<&str>, size: usize, what: &str) -> Result<(), String> {
    is(text.is_none_or(|it| it.len() <= size), &format!("{what} is larger than what came"))?;
    is(text.is_none_or(|it| !it.contains('\0')), &format!("U+0000 in {what}"))
}

fn addresses(list: &[Address], size: usize) -> Result<(), String> {
    is(list.len() <= 1_000, "a long list")?;
    for one in list {
        is(one.address.as_ref().is_none_or(|it| !it.is_empty()), "an empty address")?;
        text(one.address.as_deref(), size, "an address")?;
        text(one.name.as_deref(), size, "a name")?;
    }
    Ok(())
}

fn message(message: &NewMessage, size: usize) -> Result<(), String> {
    is(!message.keys.is_empty(), "a message without a key")?;
    let keys = [&message.keys, &message.also_known_as, &message.stored_only];
    keys.into_iter().flatten().try_for_each(key)?;
    let inbound = message.direction == Direction::Inbound;
    is(inbound || message.opt_out.is_none(), "we opted out")?;
    is(inbound || message.hint.is_none(), "a hint on what we wrote")?;
    for (what, it) in [
        ("the body", Some(message.body.as_str())),
        ("the raw text", message.raw_text.as_deref()),
        ("the HTML", message.raw_html.as_deref()),
        ("the subject", message.subject.as_deref()),
    ] {
        text(it, size, what)?;
    }
    let raw = [&message.raw_text, &message.raw_html];
    let raw = raw.into_iter().flatten().map(String::len).max().unwrap_or_default();
    is(message.body.len() <= raw, "cleaning made the text longer")?;
    is(message.has_new_text || message.opt_out.is_none(), "an opt-out in what is not judged")?;
    message.provider_id.iter().try_for_each(|it| kept(it, "the provider's id"))?;
    message.opt_out.iter().try_for_each(|it| kept(it, "the words of an opt-out"))?;
    let handle = message.reply_handle.as_ref().map(|it| it.to_string()).unwrap_or_default();
    is(!handle.contains("\\u0000") && handle.len() <= 4 * KEY_BYTES, "the handle of the answer")?;
    addresses(std::slice::from_ref(&message.from), size)?;
    addresses(&message.to, size)?;
    addresses(&message.cc, size)?;
    is(message.attachments.len() <= 1_000, "a long list")?;
    for file in &message.attachments {
        for it in [&file.name, &file.r#type, &file.url] {
            text(it.as_deref(), size, "a file")?;
        }
    }
    Ok(())
}
