//! What in an answer repeats what we had sent to that lead (docs/RULES.md TEXT): cut before
//! anything is stored or judged of it.

use super::known::Repeated;
use crate::{
    domain::{
        Id,
        event::Direction,
        opt_out::opt_out_words,
        quoted::{cut_what_repeats, may_repeat},
    },
    store::inbox::arrival::{Arrival, Cut, First},
};
use std::collections::HashMap;

/// A lead and a channel: what was sent there may be repeated there.
pub(crate) type ThreadKey = (Id, &'static str);

/// The thread of a message whose text is stored, if it comes to that: of a new one, and of the text
/// that a stored message came without.
fn thread_of(arrival: &Arrival<'_>, repeated: &HashMap<Id, Repeated>) -> Option<ThreadKey> {
    let lead_id = match arrival.first {
        Some(First::Stored(id)) => {
            let first = repeated.get(&id).map(|repeated| repeated.message);
            first.filter(|first| first.is_empty && first.is_inbound)?.lead_id
        }
        Some(First::InGroup(_)) => return None,
        None => arrival.lead?.lead_id,
    };
    Some((lead_id, arrival.inbound.channel.0))
}

/// The threads of the inbound messages that may repeat something, with duplicates.
pub(crate) fn threads(
    arrivals: &[Arrival<'_>],
    repeated: &HashMap<Id, Repeated>,
) -> impl Iterator<Item = ThreadKey> {
    arrivals.iter().filter(|arrival| is_answer(arrival)).filter_map(|it| thread_of(it, repeated))
}

fn is_answer(arrival: &Arrival<'_>) -> bool {
    arrival.message().is_some_and(|message| {
        message.direction == Direction::Inbound && message.has_new_text && may_repeat(&message.body)
    })
}

/// Cuts from the answers of the group what they repeat. `ours` holds what was sent before, by
/// thread; what the group itself has sent is added.
pub(crate) fn cut_quotes(
    arrivals: &mut [Arrival<'_>],
    repeated: &HashMap<Id, Repeated>,
    mut ours: HashMap<ThreadKey, Vec<String>>,
) {
    for arrival in arrivals.iter() {
        if let Some(message) = arrival.message()
            && message.direction == Direction::Outbound
            && let Some(thread) = thread_of(arrival, repeated)
        {
            ours.entry(thread).or_default().push(message.body.clone());
        }
    }
    for arrival in arrivals {
        let ours = thread_of(arrival, repeated).and_then(|thread| ours.get(&thread));
        if let Some(ours) = ours.filter(|_| is_answer(arrival)) {
            arrival.cut = cut_of(arrival, ours);
        }
    }
}

fn cut_of(arrival: &Arrival<'_>, ours: &[String]) -> Option<Cut> {
    let message = arrival.message()?;
    let body = cut_what_repeats(&message.body, ours.iter().map(String::as_str))?;
    let opt_out = opt_out_words(arrival.terms.medium, message.subject.as_deref(), &body);
    Some(Cut { body: (!body.is_empty()).then_some(body), opt_out })
}
