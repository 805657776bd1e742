//! The command that shows the same as a page.

use super::{parts::copy_button, visit::Visit};
use maud::Markup;

/// A button that copies a command, with the filters of the page that are given under these names.
pub(super) fn copy_command(visit: &Visit, command: &str, filters: &[&str]) -> Markup {
    copy_labelled(visit, "Copy as command", command, filters)
}

/// The same with these words on the button.
pub(super) fn copy_labelled(visit: &Visit, label: &str, command: &str, filters: &[&str]) -> Markup {
    let given = filters.iter().filter_map(|name| Some((*name, visit.given(name)?)));
    copy_button(label, &with_options(command, given))
}

/// The command that posts a sample as a provider would, on the first channel that is configured.
pub(super) fn send_command(visit: &Visit) -> String {
    let config = visit.state().config.get();
    let channel = config.clients.iter().find_map(|it| it.channels.keys().next());
    channel.map_or_else(|| "postroom send sms".to_owned(), |it| format!("postroom send {it}"))
}

/// A command with options of these names and values.
pub(super) fn with_options<'a>(
    command: &str,
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = command.to_owned();
    for (name, value) in given {
        text.push_str(&format!(" --{name} {}", quoted(value)));
    }
    text
}

/// A command with what it is about.
pub(super) fn with_argument(command: &str, about: &str) -> String {
    format!("{command} {}", quoted(about))
}

/// A value as a shell takes it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:+@/".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_nothing_to_a_shell() {
        for (value, expected) in [
            ("+12125550123", "+12125550123"),
            ("a,b", "a,b"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("it's", "'it'\\''s'"),
            ("--yes", "'--yes'"),
            ("a\nb", "'a\nb'"),
        ] {
            let given = [("q", value)].into_iter();
            assert_eq!(with_options("x list", given), format!("x list --q {expected}"));
            assert_eq!(with_argument("x show", value), format!("x show {expected}"));
        }
    }
}
