//! What of a mail's text is new (docs/RULES.md TEXT).

use super::{footer, quotes};

/// The new text: without quoted lines, what is forwarded, signature and footer. Empty if all is old.
pub fn new_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.lines().collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut rest = lines.as_slice();
    while let Some((line, tail)) = rest.split_first() {
        let shown = line.trim();
        let mut next = tail;
        if matches!(shown, "--" | "—" | "–" | "__") || quotes::starts_older_mail(rest) {
            break;
        } else if let Some(taken) = quotes::attribution(rest) {
            next = rest.get(taken..).unwrap_or_default();
            if !answers_below(&kept, next) {
                break;
            }
        } else if shown.starts_with('>') || footer::is_device_line(shown) {
            // Old, or a machine's: passed over.
        } else if let Some(before) = quotes::before_attribution(line) {
            kept.push(before);
            break;
        } else {
            kept.push(line.trim_end());
        }
        rest = next;
    }
    footer::drop_footer(&mut kept);
    joined(&kept)
}

/// True where nothing was written above "… wrote:", and what follows is marked as quoted: then the
/// answer stands below the quote.
fn answers_below(kept: &[&str], next: &[&str]) -> bool {
    let first = next.iter().take(5).map(|line| line.trim()).find(|line| !line.is_empty());
    first.is_some_and(|line| line.starts_with('>'))
        && kept.iter().all(|line| line.trim().is_empty())
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
