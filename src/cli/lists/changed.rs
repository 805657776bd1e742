//! Changes objects one by one, by their ids.

use super::{ListSpec, Listed, near};
use crate::cli::{
    admin::{Admin, AdminRefusal, Remote},
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, TextTable, complain},
};
use serde_json::{Value, json};

/// What became of the objects that were to be changed.
pub(in crate::cli) struct Changes {
    /// The answers of the daemon.
    items: Vec<Value>,
    /// Why others were not changed.
    refused: Vec<String>,
}

/// Changes the objects of a list with these ids one by one, and prints these columns of them.
/// `files` are those given before the command.
///
/// # Errors
/// If the daemon cannot be asked, or one object was not changed.
pub(in crate::cli) fn change<L: Listed>(
    remote: Remote,
    files: Files,
    ids: &[String],
    columns: &[&str],
    each: impl AsyncFn(&Admin, &str) -> Result<Value, AdminRefusal>,
) -> Result<(), Failure> {
    let is_json = remote.json;
    let admin = remote.connect(files)?;
    let each = async |id: &str| each(&admin, id).await;
    block_on(change_each(&admin, &L::SPEC, ids, each))?.print(columns, is_json)
}

/// Asks for a change of each object. A refusal does not prevent the change of the next one, unless
/// the daemon would refuse all.
pub(in crate::cli) async fn change_each(
    admin: &Admin,
    spec: &ListSpec,
    ids: &[String],
    change: impl AsyncFn(&str) -> Result<Value, AdminRefusal>,
) -> Changes {
    let (mut items, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        match change(id).await {
            Ok(item) => items.push(item),
            Err(AdminRefusal::This(why)) => {
                let why = near::or_elsewhere(admin, spec, id, &why).await;
                let object = format!("{} {id}", spec.noun);
                refused.push(if why.contains(&object) { why } else { format!("{object}: {why}") });
            }
            Err(
                AdminRefusal::All(message)
                | AdminRefusal::Token(message)
                | AdminRefusal::Away(message),
            ) => {
                refused.push(message);
                break;
            }
        }
    }
    Changes { items, refused }
}

impl Changes {
    /// Prints the answers to stdout, each as `spelled` has it; the reasons for the others go to
    /// stderr. A single answer in JSON is that object.
    ///
    /// # Errors
    /// [`Failure::Told`] if there is no answer for one.
    pub(in crate::cli) fn print_as(
        self,
        is_json: bool,
        spelled: impl Fn(&Value) -> String,
    ) -> Result<(), Failure> {
        match self.items.as_slice() {
            [one] if is_json && self.refused.is_empty() => output::print_json(one)?,
            items if is_json => output::print_json(&json!({"items": items}))?,
            items => {
                for (number, item) in items.iter().enumerate() {
                    let gap = if number == 0 { "" } else { "\n" };
                    output::print(&format!("{gap}{}", spelled(item)))?;
                }
            }
        }
        self.tell_refused()
    }

    /// Prints the changed objects to stdout, and the reasons for the others to stderr.
    ///
    /// # Errors
    /// [`Failure::Told`] if one was not changed.
    pub(in crate::cli) fn print(self, columns: &[&str], is_json: bool) -> Result<(), Failure> {
        if is_json {
            output::print_json(&json!({"items": self.items}))?;
        } else if !self.items.is_empty() {
            output::print_table(&TextTable::new(columns, output::rows(&self.items, columns)))?;
        }
        self.tell_refused()
    }

    fn tell_refused(&self) -> Result<(), Failure> {
        for message in &self.refused {
            complain(&format!("error: {message}"));
        }
        if self.refused.is_empty() { Ok(()) } else { Err(Failure::Told) }
    }
}
