//! The lists of the admin API as commands: `postroom jobs list`, `postroom leads show 7`.
//!
//! A list is described once, by a [`ListSpec`]: its path, filters and columns. [`Look`] makes
//! `list` and `show` of it. A command with more to do flattens [`ListArgs`] and [`ShowArgs`] into
//! its own subcommands.

mod args;
mod changed;
mod details;
mod fleet;
mod known;
mod near;
mod pages;
mod quarantine;
mod thread;
mod watch;

pub(super) use self::{
    args::{Filters, IdArg, IdsArg, ListArgs, NoteArg, ShowArgs, parse_interval},
    changed::{change, change_each},
    details::details,
    fleet::{ActorList, AuditList, ModelCallList, NodeList, ReceivedList},
    known::{
        ClientList, DeliveryList, DraftList, ExampleList, JobList, LeadList, MessageList,
        OperationList, PoolList, override_of,
    },
    near::Named,
    pages::Pages,
    quarantine::{HeldList, QuarantineList},
};

use super::{
    failure::Failure,
    files::Files,
    output::{TextTable, Times},
};
use clap::Subcommand;
use serde_json::Value;

/// A type that stands for one list.
pub(super) trait Listed: 'static {
    /// The description of the list.
    const SPEC: ListSpec;
}

/// All that the commands know of one list of the admin API.
#[derive(Clone, Copy)]
pub(super) struct ListSpec {
    /// The path below `/api/v1`, which is also the command.
    pub(super) path: &'static str,
    /// One object, for messages: `job`.
    pub(super) noun: &'static str,
    /// Several objects, for messages: `jobs`.
    pub(super) plural: &'static str,
    /// The order of the list, for the help: `the newest first`.
    pub(super) order: &'static str,
    /// The field that names an object.
    pub(super) id: &'static str,
    /// How one object is asked for.
    pub(super) show: ShowBy,
    /// What selects objects, as parameters of the query.
    pub(super) filters: &'static [FilterSpec],
    /// The fields that can be shown, in their order.
    pub(super) columns: &'static [ColumnSpec],
    /// What `show` prints below the fields: a text or tables, as lines.
    pub(super) below: fn(&Value, &Times) -> Vec<String>,
}

/// How one object of a list is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShowBy {
    /// By its path: `GET /jobs/{id}`.
    Path,
    /// It is looked for in the whole list, which is short: the API has no path for one.
    Search,
    /// It is the first of the page that begins with its id: the list is ordered by ids, the newest
    /// first, and the API has no path for one.
    Page,
}

/// What selects objects of a list.
#[derive(Clone, Copy)]
pub(super) struct FilterSpec {
    /// The option, without the dashes.
    pub(super) option: &'static str,
    /// The parameter of the API.
    pub(super) parameter: &'static str,
    /// The help, without a full stop.
    pub(super) help: &'static str,
    /// What the option takes.
    pub(super) values: FilterValues,
    /// The value if the option is not given.
    pub(super) default: Option<&'static str>,
}

/// What an option of a list takes.
#[derive(Clone, Copy)]
pub(super) enum FilterValues {
    /// One or several of these words, with their placeholder in the help.
    Words(&'static str, fn() -> Vec<&'static str>),
    /// One or several names, which the daemon checks.
    Names(Named),
    /// One text, with its placeholder in the help.
    Text(&'static str),
    /// One text, which may be empty.
    TextOrNone(&'static str),
}

/// A field of the objects of a list.
#[derive(Clone, Copy)]
pub(super) struct ColumnSpec {
    /// The field; with dots if it is within others: `score.overall`.
    pub(super) name: &'static str,
    /// Whether it is shown without `--columns`.
    is_default: bool,
    /// Whether its text may be long.
    is_long: bool,
    /// Whether instants in its text are printed as other times are.
    has_times: bool,
    /// Makes the cell of the object; `None`: the value of the field.
    cell: Option<fn(&Value) -> String>,
}

/// A column that is always shown.
pub(super) const fn column(name: &'static str) -> ColumnSpec {
    ColumnSpec { name, is_default: true, is_long: false, has_times: false, cell: None }
}

/// A column that is shown if it is asked for.
pub(super) const fn hidden(name: &'static str) -> ColumnSpec {
    ColumnSpec { is_default: false, ..column(name) }
}

impl ColumnSpec {
    /// The column holds long text: on a narrow terminal it is shortened before others.
    const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    /// Texts of the column name instants, which are printed as other times are.
    const fn with_times(self) -> Self {
        Self { has_times: true, ..self }
    }

    /// The cell is made from the whole object by `cell`.
    const fn of(self, cell: fn(&Value) -> String) -> Self {
        Self { cell: Some(cell), ..self }
    }

    /// The cell of an object.
    pub(super) fn cell(&self, item: &Value, times: &Times) -> String {
        let cell = match self.cell {
            Some(cell) => cell(item),
            None => times.cell(self.name, field(item, self.name)),
        };
        if self.has_times { times.within(&cell) } else { cell }
    }
}

/// The value of a field; dots lead into objects.
pub(super) fn field<'a>(item: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(item, |value, part| value.get(part))
}

impl ListSpec {
    /// The placeholder of an id in the help.
    const fn id_name(&self) -> &'static str {
        match self.id.as_bytes() {
            b"kind" => "KIND",
            b"name" => "NAME",
            _ => "ID",
        }
    }

    /// The columns that are shown without `--columns`.
    pub(super) fn default_columns(&self) -> Vec<ColumnSpec> {
        self.columns.iter().filter(|column| column.is_default).copied().collect()
    }

    /// The columns of these names.
    ///
    /// # Errors
    /// [`Failure::Wrong`] for a name that the list does not have, with the nearest one.
    fn columns_of(&self, names: &[String]) -> Result<Vec<ColumnSpec>, Failure> {
        if names.is_empty() {
            return Ok(self.default_columns());
        }
        let known = || self.columns.iter().map(|column| column.name);
        let column = |name: &String| {
            let found = self.columns.iter().find(|column| column.name == name).copied();
            found.ok_or_else(|| {
                let (path, meant) = (self.path, near::meant(name, known()));
                let has = if meant.is_empty() { ": it has" } else { " It has" };
                let known = known().collect::<Vec<_>>().join(", ");
                Failure::Wrong(format!("`{path}` has no column `{name}`{meant}{has} {known}"))
            })
        };
        let mut once = Vec::new();
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once.into_iter().map(column).collect()
    }
}

/// A table of objects with these columns.
pub(super) fn table_of(items: &[Value], columns: &[ColumnSpec], times: &Times) -> TextTable {
    let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let row = |item| columns.iter().map(|column| column.cell(item, times)).collect();
    TextTable::new(&header, items.iter().map(row))
        .with_long(columns.iter().map(|column| column.is_long).collect())
}

/// `list` and `show` of a list.
#[derive(Subcommand)]
pub(super) enum Look<L: Listed> {
    List(ListArgs<L>),
    Show(ShowArgs<L>),
}

impl<L: Listed> Look<L> {
    /// Runs the command. `files` are those given before it.
    pub(super) fn run(self, files: Files) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(files),
            Self::Show(args) => args.run(files),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    #[test]
    fn a_column_that_is_not_there_is_told_with_the_nearest() {
        let spec = JobList::SPEC;
        let names = ["id".to_owned(), "last_eror".to_owned()];
        let Err(Failure::Wrong(message)) = spec.columns_of(&names) else { panic!("taken") };
        assert!(message.contains("did you mean `last_error`?"), "{message}");
        assert!(message.ends_with("locked_by, last_error, trace_id"), "{message}");
        let chosen =
            spec.columns_of(&["run_at", "id", "run_at"].map(str::to_owned)).ok().expect("both");
        assert_eq!(chosen.iter().map(|it| it.name).collect::<Vec<_>>(), ["run_at", "id"]);
    }

    #[test]
    fn dots_lead_into_objects() {
        let item = serde_json::json!({"score": {"overall": 3}, "campaign": null});
        assert_eq!(output::text(field(&item, "score.overall")), "3");
        assert_eq!(output::text(field(&item, "campaign.name")), "-");
    }
}
