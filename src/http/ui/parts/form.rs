//! Forms. A form works without the script: GET for filters, POST for what changes something.

use super::at;
use maud::{Markup, Render, html};

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::ui) enum ButtonLook {
    /// The one that the page is for.
    Primary,
    /// Any other.
    Usual,
    /// One that ends or removes something.
    Danger,
}

impl ButtonLook {
    const fn class(self) -> &'static str {
        match self {
            Self::Primary => "pri",
            Self::Usual => "usual",
            Self::Danger => "danger",
        }
    }
}

/// A button that sends its form.
pub(in crate::http::ui) fn button(look: ButtonLook, label: impl Render) -> Markup {
    html! { button.btn.(look.class()) { (label) } }
}

/// A link that looks like a small button, for the one thing to do in a note or a line.
pub(in crate::http::ui) fn link_button(href: &str, label: impl Render) -> Markup {
    html! { a.btn.tight href=(href) { (label) } }
}

/// A form that changes something, and then leads back to a page.
pub(in crate::http::ui) fn post_form(path: &str, content: impl Render) -> Markup {
    html! { form method="post" action=(at(path)) { (content) } }
}

/// A value that a form sends with the others.
pub(in crate::http::ui) fn hidden_input(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// A labelled control. An error stands beside it, and the control refers to it.
pub(in crate::http::ui) fn field(
    label: &str,
    name: &str,
    value: &str,
    placeholder: &str,
    error: Option<&str>,
) -> Markup {
    let error_id = format!("e-{name}");
    html! {
        label.f {
            (label)
            input name=(name) value=(value) placeholder=[Some(placeholder).filter(|it| !it.is_empty())]
                autocomplete="off" aria-invalid=[error.map(|_| "true")]
                aria-describedby=[error.map(|_| &error_id)] autofocus[error.is_some()];
            @if let Some(error) = error { span.err id=(error_id) { (error) } }
        }
    }
}

/// A labelled list of `(value, label)` to choose one from.
pub(in crate::http::ui) fn choice<'a>(
    label: &str,
    name: &str,
    chosen: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Markup {
    html! {
        label.f {
            (label)
            select name=(name) {
                @for (value, label) in options {
                    option value=(value) selected[value == chosen] { (label) }
                }
            }
        }
    }
}
