//! The pages of webhooks that were authentic and not understood: the tab of `/received` with what
//! can be done to many, and each of them.

mod groups;
mod many;
mod one;
mod tab;

pub(super) use self::{
    many::{discard as discard_many, leave as leave_many, replay as replay_many},
    one::{discard as discard_one, replay as replay_one, show as one},
    tab::{as_command, tab},
};

use super::parts::{Sign, StateMark, Tone, with_query};
use crate::http::{api::Query, problem::Problem};

/// The parameters of the list that forms send on and come back to.
pub(super) const KEPT: [&str; 5] = ["status", "client", "channel", "event_type", "reason"];
/// The parameters of the list, besides those of every page.
pub(super) const KNOWN: [&str; 9] =
    ["tab", "status", "channel", "event_type", "reason", "limit", "cursor", "ask", "operation"];

/// The list, with these parameters.
fn list_with<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    with_query("/received", [("tab", "quarantine")].into_iter().chain(pairs))
}

/// What the list was asked for, as a form sends it on.
///
/// # Errors
/// 400 for a text that is too long.
fn kept(query: &Query) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut pairs = Vec::new();
    for name in KEPT {
        if matches!(name, "event_type" | "reason") {
            // Commas do not part them, and an event may have no name.
            pairs.extend(query.whole(name)?.into_iter().map(|it| (name, it)));
        } else {
            let values = query.values(name).join(",");
            pairs.extend((!values.is_empty()).then_some((name, values)));
        }
    }
    Ok(pairs)
}

/// The list that a form came from, with the operation that it has started.
pub(super) fn back_to(pairs: &[(String, String)], operation: &str) -> String {
    let kept = pairs.iter().filter(|it| KEPT.contains(&it.0.as_str()));
    let kept = kept.map(|it| (it.0.as_str(), it.1.as_str()));
    list_with(kept.chain([("operation", operation)]))
}

/// The mark of an item's state.
fn mark(status: &str) -> StateMark {
    match status {
        "replayed" => StateMark::new(Tone::Good, Sign::Ok, "replayed"),
        "discarded" => StateMark::new(Tone::Wait, Sign::Cancelled, "discarded"),
        _ => StateMark::new(Tone::Warn, Sign::Held, "held"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn every_state_of_an_item_has_a_mark_of_its_own() {
        assert_told_apart(&["held", "replayed", "discarded"].map(mark), &[]);
    }

    #[test]
    fn a_form_leads_back_to_its_list() {
        let pairs = [("client", "acme"), ("event_type", ""), ("reason", "a, b"), ("count", "7")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected = "/received?tab=quarantine&client=acme&event_type=&reason=a,+b&operation=7";
        assert_eq!(back_to(&pairs, "7"), expected);
    }

    #[test]
    fn a_form_sends_on_what_the_list_was_asked_for() {
        let query = "client=acme,demo&event_type=&reason=a,+b&cursor=7";
        let query = Query::from_text(query, &["client", "event_type", "reason", "cursor"]);
        let kept = kept(&query.unwrap()).unwrap();
        let expected = [("client", "acme,demo"), ("event_type", ""), ("reason", "a, b")];
        assert_eq!(kept, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
