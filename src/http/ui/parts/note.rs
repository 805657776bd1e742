//! What a page says about itself: notes, banners, empty lists, and where older rows are.

use super::{Sign, Tone, clock, mark::StateMark};
use crate::domain::Timestamp;
use maud::{Markup, Render, html};

/// A note over a page or a part: what is so in bold, then more about it, then one thing to do.
pub(in crate::http::ui) fn note(
    tone: Tone,
    what: impl Render,
    more: impl Render,
    action: Option<Markup>,
) -> Markup {
    html! {
        div.note.(tone.class()) {
            (tone.sign())
            div { b { (what) } " " (more) }
            @if let Some(action) = action { (action) }
        }
    }
}

/// A note that is read out at once: the page does not show what it should.
pub(in crate::http::ui) fn banner(what: impl Render, more: impl Render) -> Markup {
    html! { div role="alert" { (note(Tone::Bad, what, more, None)) } }
}

/// An empty list: what would be here, and what fills it.
pub(in crate::http::ui) fn empty(what: impl Render, more: impl Render) -> Markup {
    html! { div.box.pad { p { b { (what) } " " (more) } } }
}

/// A list on which nothing was found as far as was looked: how far that is, and the way to go on.
pub(in crate::http::ui) fn nothing_back_to(at: Timestamp, now: Timestamp, next: &str) -> Markup {
    html! {
        div.box.pad {
            p { b { "Nothing matches, back to " (clock(at, now)) "." } " What is older was not looked at yet." }
            p.ut { a.btn href=(next) rel="next" { "Go on" } }
        }
    }
}

/// A command or text to copy.
pub(in crate::http::ui) fn command(text: &str) -> Markup {
    html! {
        div.copy {
            pre tabindex="0" aria-label="Command" { code { (text) } }
            button.btn.tight type="button" data-copy hidden { (Sign::Copy) "Copy" }
        }
    }
}

/// A button that copies a command that does or shows the same as the page: `postroom jobs list …`.
/// It is there with the script only.
pub(in crate::http::ui) fn copy_button(label: &str, text: &str) -> Markup {
    html! { button.btn type="button" data-copy=(text) hidden { (Sign::Copy) (label) } }
}

/// Where the script announces rows that have come since the page was made. `here` is the address of
/// the page.
pub(in crate::http::ui) fn new_rows(here: &str) -> Markup {
    html! { a.sm href=(here) data-new data-key="." data-key-name="show what is new" hidden {} }
}

/// What stands below a list: the way to older rows, and what the list shows.
pub(in crate::http::ui) fn older(next: Option<&str>, shown: impl Render) -> Markup {
    html! {
        p.row.mt {
            @if let Some(next) = next { a.btn href=(next) rel="next" { "Older" } }
            span.sm.mut { (shown) }
        }
    }
}

impl Render for StateMark {
    fn render(&self) -> Markup {
        self.badge()
    }
}
