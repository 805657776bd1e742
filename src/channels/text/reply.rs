//! The new part of a mail's text (docs/RULES.md TEXT).

use super::{footer, quotes, shapes};

/// The new text, without quoted lines, forwarded mail, signature and footer. Empty if all is old.
pub fn new_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.lines().collect();
    let mut kept: Vec<&str> = Vec::new();
    // True once a line is kept that is not blank.
    let mut says_something = false;
    // `>` marks a quote only if something else says so, too: more such lines, or an introduction.
    let mut marks_quote = shapes::has_marked_quotes(&lines);
    let mut rest = lines.as_slice();
    while let Some((line, tail)) = rest.split_first() {
        let shown = shapes::shown(line);
        let mut next = tail;
        if matches!(shown, "--" | "—" | "–" | "__") || quotes::starts_older_mail(rest) {
            break;
        } else if let Some(taken) = quotes::attribution(rest) {
            next = rest.get(taken..).unwrap_or_default();
            if says_something || !is_quoted(next) {
                break;
            }
            marks_quote = true;
        } else if (shapes::is_marked(shown)
            && (marks_quote || shown.trim_matches('>').trim().is_empty()))
            || footer::is_device_line(shown)
        {
            // The line is old or a machine's, so it is dropped.
        } else if let Some(before) = quotes::before_attribution(line) {
            kept.push(before);
            break;
        } else {
            kept.push(line.trim_end());
            says_something |= !shown.is_empty();
        }
        rest = next;
    }
    footer::drop_footer(&mut kept);
    joined(&kept)
}

/// A text message or a chat message without the line that a phone adds by itself.
pub fn spoken(text: &str) -> String {
    let mut lines: Vec<&str> = text.trim().lines().collect();
    while lines.len() > 1
        && lines.last().is_some_and(|line| {
            let shown = shapes::shown(line);
            shown.is_empty()
                || matches!(shown, "--" | "—" | "–" | "__")
                || footer::is_device_line(shown)
        })
    {
        lines.pop();
    }
    lines.join("\n").trim().to_owned()
}

/// True if `lines` start with a marked quote. If there is no text above the quote, the answer is
/// below it.
fn is_quoted(lines: &[&str]) -> bool {
    let first = lines.iter().take(5).map(|line| line.trim()).find(|line| !line.is_empty());
    first.is_some_and(|line| line.starts_with('>'))
}

/// The lines as one text, with no more than one blank line in a row.
fn joined(lines: &[&str]) -> String {
    let (mut text, mut blanks) = (String::new(), 0);
    for line in lines {
        blanks = if line.trim().is_empty() { blanks + 1 } else { 0 };
        if blanks < 2 {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.trim().to_owned()
}
