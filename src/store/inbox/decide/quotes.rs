//! Cuts from answers the parts that repeat our own messages to that lead, before an answer is
//! stored or judged (docs/RULES.md TEXT).

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

/// A lead and a channel. An answer may repeat messages of its own thread only.
pub(crate) type ThreadKey = (Id, &'static str);

/// The thread of a message whose text will be stored: a new message, or the text for a stored
/// message that came without. `None` for all others.
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

/// The threads of the inbound messages that may repeat something. A thread may come several times.
pub(crate) fn threads(
    arrivals: &[Arrival<'_>],
    repeated: &HashMap<Id, Repeated>,
) -> impl Iterator<Item = ThreadKey> {
    let answers = arrivals.iter().filter(|arrival| is_answer(arrival));
    answers.filter_map(|arrival| thread_of(arrival, repeated))
}

/// True for an inbound message whose text may repeat one of ours.
fn is_answer(arrival: &Arrival<'_>) -> bool {
    arrival.message().is_some_and(|message| {
        message.direction == Direction::Inbound && message.has_new_text && may_repeat(&message.body)
    })
}

/// Cuts repeated parts from the answers of the group. `ours` are our stored messages by thread; our
/// messages in the group itself are added.
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
