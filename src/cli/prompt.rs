//! Questions to the person at the terminal.

use super::failure::Failure;
use std::io::{self, IsTerminal, Write};

/// Up to this number of objects the person types `yes`; above, the number.
const TYPED_ABOVE: u64 = 100;

/// What the person types to confirm a change of `count` objects.
pub(super) fn typed_for(count: u64) -> String {
    if count > TYPED_ABOVE { count.to_string() } else { "yes".to_owned() }
}

/// Asks for confirmation of `what`, a sentence about the consequences. The person types `word`.
///
/// # Errors
/// [`Failure::Wrong`] if stdin is no terminal: the command then needs `--yes`. [`Failure::Failed`]
/// if the person declines.
pub(super) fn confirm(what: &str, word: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = format!(
            "{what}, and there is no terminal to ask on: add --yes to do it without a question"
        );
        return Err(Failure::Wrong(message));
    }
    let mut err = io::stderr();
    let asked = write!(err, "{what}. Type `{word}` to go on: ").and_then(|()| err.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().read_line(&mut answer));
    match read {
        Ok(_) if answer.trim() == word => Ok(()),
        Ok(_) => Err(Failure::Failed("not confirmed: nothing was changed".to_owned())),
        Err(error) => Err(Failure::Failed(format!("no answer can be read: {error}"))),
    }
}
