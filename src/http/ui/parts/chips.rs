//! Chips: the values of one filter, each a link that turns it on or off.

use super::{StateMark, number::spelled};
use maud::{Markup, html};

/// One value of a filter.
pub(in crate::http::ui) struct Chip {
    /// The mark of the value, with its word.
    pub(in crate::http::ui) mark: StateMark,
    /// How many rows it would show, if that is known without counting rows.
    pub(in crate::http::ui) count: Option<i64>,
    /// True if the page shows this value now.
    pub(in crate::http::ui) is_on: bool,
    /// The address of the page with the value turned.
    pub(in crate::http::ui) href: String,
}

/// The values of one filter; `label` says which.
pub(in crate::http::ui) fn chips(label: &str, chips: &[Chip]) -> Markup {
    html! {
        ul.chips aria-label=(label) {
            @for chip in chips {
                li {
                    a.(chip.mark.tone.class()) href=(chip.href) aria-current=[chip.is_on.then_some("true")] {
                        (chip.mark.sign) (chip.mark.word)
                        @if let Some(count) = chip.count { " " b { (spelled(count)) } }
                    }
                }
            }
        }
    }
}

/// One of few views of a page.
pub(in crate::http::ui) struct Segment<'a> {
    pub(in crate::http::ui) word: &'a str,
    pub(in crate::http::ui) is_on: bool,
    pub(in crate::http::ui) href: String,
}

/// The views of a page, of which one is shown.
pub(in crate::http::ui) fn segments(label: &str, segments: &[Segment<'_>]) -> Markup {
    html! {
        ul.seg aria-label=(label) {
            @for segment in segments {
                li {
                    a href=(segment.href) aria-current=[segment.is_on.then_some("true")] {
                        (segment.word)
                    }
                }
            }
        }
    }
}
