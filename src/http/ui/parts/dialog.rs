//! Dialogs: what would be done, to how much, with examples, before it is done.
//!
//! The page is asked for with its question (`?ask=cancel`), and shows it as an open dialog. So it
//! works without the script, which only makes it modal.

use maud::{Markup, Render, html};

/// An open dialog. `leave` is the address of the page without it.
pub(in crate::http::ui) fn dialog(
    heading: &str,
    leave: &str,
    leave_word: &str,
    content: impl Render,
) -> Markup {
    html! {
        dialog open aria-labelledby="ask" {
            h2 #ask { (heading) }
            (content)
            p.mt { a.btn.quiet href=(leave) data-leave { (leave_word) } }
        }
    }
}
