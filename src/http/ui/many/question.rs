//! The question before many are changed, and how its answer is checked.

use super::ManyWords;
use crate::{
    http::{
        api::Query,
        problem::Problem,
        ui::{
            parts::{button, dialog, field, hidden_input, number_of, post_form},
            visit::{RefusedForm, Visit},
        },
    },
    store::OperationAction,
};
use maud::{Markup, html};

/// Of more than this, a person types the count.
const TYPED_ABOVE: u64 = 100;

/// The question before many are changed.
pub(in crate::http::ui) struct ManyQuestion {
    pub(in crate::http::ui) action: OperationAction,
    /// How many match.
    pub(in crate::http::ui) count: u64,
    /// False if there may be more.
    pub(in crate::http::ui) is_exact: bool,
    /// Some of those that match.
    pub(in crate::http::ui) examples: Vec<Markup>,
    /// What the list was asked for, as its form sends it on.
    pub(in crate::http::ui) kept: Vec<(&'static str, String)>,
}

impl ManyQuestion {
    /// The question as an open dialog, which is left for the address `leave`.
    pub(in crate::http::ui) fn dialog(&self, visit: &Visit, leave: &str) -> Markup {
        let ManyWords { verb, path, look, effect, only, .. } = ManyWords::of(self.action);
        let (count, noun) = (self.count, self.action.noun());
        if count == 0 && self.is_exact {
            let heading = format!("No {noun} to {}", self.action.as_str());
            let why = html! { p { "None that matches. " (only) } };
            return dialog(&heading, leave, "Back to the list", why);
        }
        let least = if self.is_exact { "" } else { "at least " };
        let nouns = if count == 1 { noun.to_owned() } else { format!("{noun}s") };
        let heading = format!("{verb} {least}{count} {nouns}?");
        let label = format!("{verb} {count} {nouns}");
        let shown = u64::try_from(self.examples.len()).unwrap_or(u64::MAX);
        let form = html! {
            @for (name, value) in &self.kept { (hidden_input(name, value)) }
            (hidden_input("count", &count.to_string()))
            @if count > TYPED_ABOVE {
                (field(
                    &format!("Type {count} to go on"), "typed", visit.typed("typed").unwrap_or_default(), "",
                    visit.wrong("typed")
                ))
            }
            p.mt { (button(look, &label)) }
        };
        let content = html! {
            p { (effect) }
            ul.sm.mt {
                @for example in &self.examples { li { (example) } }
                @if count > shown { li.mut { "and " (number_of(count - shown)) " more" } }
            }
            (post_form(path, form))
        };
        dialog(&heading, leave, "Leave them", content)
    }
}

/// What the form of the question says of the count.
pub(in crate::http::ui) enum CountTold {
    /// It was seen and, of many, typed.
    Right,
    /// So many match by now that it must be typed: the question is asked again.
    Grown,
    /// It was typed wrongly: the question is shown again, with the error.
    Mistyped(RefusedForm),
}

/// Compares the count that a form has shown, and that a person may have typed, with what matches
/// now.
///
/// # Errors
/// 400 if the form has no count; 409 if nothing matches any more.
pub(in crate::http::ui) fn count_told(
    query: &Query,
    action: OperationAction,
    (count, is_exact): (u64, bool),
) -> Result<CountTold, Problem> {
    let done = ManyWords::of(action).done.to_lowercase();
    let noun = action.noun();
    let shown = query.text("count")?.and_then(|it| it.parse::<u64>().ok());
    let shown =
        shown.ok_or_else(|| Problem::bad_request("count", "must be the count that was shown"))?;
    if count == 0 && is_exact {
        return Err(Problem::conflict(format!("no {noun} that matches can be {done}")));
    }
    if count > TYPED_ABOVE && shown <= TYPED_ABOVE {
        return Ok(CountTold::Grown);
    }
    let typed = query.text("typed")?;
    if shown <= TYPED_ABOVE || is_typed(typed, shown) {
        return Ok(CountTold::Right);
    }
    let detail =
        format!("more than {TYPED_ABOVE} {noun}s are {done} only if their count is typed: {shown}");
    let typed = vec![("typed", typed.unwrap_or_default().to_owned())];
    Ok(CountTold::Mistyped(RefusedForm::of(Problem::bad_request("typed", detail), typed)?))
}

/// True if the count was typed, with or without commas.
fn is_typed(typed: Option<&str>, count: u64) -> bool {
    let digits: Option<String> =
        typed.map(|it| it.chars().filter(|c| !matches!(c, ',' | ' ')).collect());
    digits.is_some_and(|it| it == count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::QuarantineAction;

    #[test]
    fn a_count_is_typed_as_it_is_shown() {
        for (typed, is_right) in [
            (Some("1204"), true),
            (Some(" 1,204 "), true),
            (Some("1205"), false),
            (Some("yes"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_typed(typed, 1_204), is_right, "{typed:?}");
        }
    }

    #[test]
    fn a_form_tells_the_count_that_was_shown() {
        let told = |form: &str, count: (u64, bool)| {
            let query = Query::from_text(form, &["count", "typed"]).unwrap();
            let action = OperationAction::Quarantine(QuarantineAction::Replay);
            match count_told(&query, action, count) {
                Ok(CountTold::Right) => "right".to_owned(),
                Ok(CountTold::Grown) => "grown".to_owned(),
                Ok(CountTold::Mistyped(_)) => "mistyped".to_owned(),
                Err(problem) => problem.detail().to_owned(),
            }
        };
        for (form, count, expected) in [
            ("count=3", (3, true), "right"),
            ("count=3", (100, true), "right"),
            ("count=3", (101, true), "grown"),
            ("count=101", (101, true), "mistyped"),
            ("count=101&typed=100", (101, true), "mistyped"),
            ("count=101&typed=101", (150, true), "right"),
            ("count=101&typed=101", (5, true), "right"),
            ("count=3", (0, true), "no webhook that matches can be replayed"),
            ("typed=3", (3, true), "must be the count that was shown"),
        ] {
            assert_eq!(told(form, count), expected, "{form} {count:?}");
        }
    }
}
