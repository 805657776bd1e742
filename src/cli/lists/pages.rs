//! Asks for the pages of a list and prints them.

use super::{ColumnSpec, ListSpec, near, table_of};
use crate::cli::{
    admin::{Admin, AdminRefusal},
    failure::Failure,
    output::{self, Times, complain, line},
};
use serde_json::{Value, json};

/// Items on a page if all of a list is asked for: the most that a daemon gives.
const PAGE: &str = "500";

/// How a list is printed.
pub(super) enum ListForm {
    /// As a table of these columns.
    Table {
        /// The columns, from left to right.
        columns: Vec<ColumnSpec>,
        /// How times are printed.
        times: Times,
    },
    /// As one JSON document.
    Document,
    /// As JSON, one item a line.
    Lines,
}

/// The pages of a list, from the first that is asked for.
pub(in crate::cli) struct Pages<'a> {
    admin: &'a Admin,
    spec: &'a ListSpec,
    /// Without the cursor of pages behind the first.
    query: Vec<(&'static str, String)>,
    /// True if all pages are asked for, and not only one.
    wants_all: bool,
    next: NextPage,
}

enum NextPage {
    First,
    At(String),
    None,
}

impl<'a> Pages<'a> {
    /// The pages of what `query` selects.
    pub(in crate::cli) fn new(
        admin: &'a Admin,
        spec: &'a ListSpec,
        mut query: Vec<(&'static str, String)>,
        wants_all: bool,
    ) -> Self {
        if wants_all {
            query.push(("limit", PAGE.to_owned()));
        }
        Self { admin, spec, query, wants_all, next: NextPage::First }
    }

    /// The answer with the next page; `None` behind the last.
    pub(in crate::cli) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        let mut query = self.query.clone();
        match std::mem::replace(&mut self.next, NextPage::None) {
            NextPage::None => return Ok(None),
            NextPage::First => {}
            NextPage::At(cursor) => {
                query.retain(|(name, _)| *name != "cursor");
                query.push(("cursor", cursor));
            }
        }
        let answer = first_page(self.admin, self.spec, &query).await?;
        if let Some(cursor) = cursor_of(&answer).filter(|_| self.wants_all) {
            self.next = NextPage::At(cursor.to_owned());
        }
        Ok(Some(answer))
    }
}

/// The page that `query` asks for.
pub(super) async fn first_page(
    admin: &Admin,
    spec: &ListSpec,
    query: &[(&'static str, String)],
) -> Result<Value, Failure> {
    match admin.get(&[spec.path], query).await {
        Ok(answer) => Ok(answer),
        Err(refusal) => Err(explained(admin, spec, query, refusal).await),
    }
}

/// The failure for a page that was refused.
pub(super) async fn explained(
    admin: &Admin,
    spec: &ListSpec,
    query: &[(&'static str, String)],
    refusal: AdminRefusal,
) -> Failure {
    match refusal {
        AdminRefusal::This(refused) if refused.status == 404 => Failure::Failed(format!(
            "this daemon has no list of {}: it is older than this command",
            spec.plural
        )),
        AdminRefusal::This(refused) => near::with_meant(admin, spec, query, refused).await,
        AdminRefusal::All(_) | AdminRefusal::Token(_) | AdminRefusal::Away(_) => refusal.into(),
    }
}

fn cursor_of(answer: &Value) -> Option<&str> {
    answer.get("next_cursor").and_then(Value::as_str)
}

/// Prints the pages. Returns the number of items.
///
/// With [`ListForm::Lines`] and with tables, one page at a time is in memory.
pub(super) async fn print(mut pages: Pages<'_>, form: &ListForm) -> Result<usize, Failure> {
    let mut count = 0;
    let mut collected = Vec::new();
    let mut widths: Option<Vec<usize>> = None;
    let mut cursor = None;
    while let Some(mut answer) = pages.next().await? {
        let items = pages.admin.items(&answer)?;
        count += items.len();
        match form {
            ListForm::Document if !pages.wants_all => output::print_json(&answer)?,
            ListForm::Document => {
                let items = answer.get_mut("items").and_then(Value::as_array_mut);
                collected.append(items.unwrap_or(&mut Vec::new()));
            }
            ListForm::Lines => output::print_jsonl(items)?,
            ListForm::Table { columns, times } => {
                let table = table_of(items, columns, times);
                let table = match &widths {
                    Some(widths) => table.below(widths),
                    None => table,
                };
                widths = Some(table.widths());
                output::print_table(&table)?;
            }
        }
        if !pages.wants_all {
            cursor = cursor_of(&answer).map(line);
        }
    }
    match (form, cursor) {
        (ListForm::Document, _) if pages.wants_all => {
            output::print_json(&json!({"items": collected, "next_cursor": null}))?;
        }
        (ListForm::Table { .. } | ListForm::Lines, Some(cursor)) => {
            complain(&format!("there are more: add --all, or --cursor {cursor}"));
        }
        _ => {}
    }
    Ok(count)
}
