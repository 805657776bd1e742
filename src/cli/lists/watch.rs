//! `--watch`: the list again and again, until Ctrl-C.

use super::{
    ListSpec,
    pages::{self, ListForm},
    table_of,
};
use crate::cli::{
    admin::{Admin, AdminRefusal},
    failure::Failure,
    output::{self, Times, complain},
};
use serde_json::Value;
use std::{collections::HashMap, fmt::Write as _, time::Duration};
use tokio::time::{MissedTickBehavior, interval};

/// Shows the list every `period` until Ctrl-C, which ends it with success.
///
/// A daemon that goes away is asked again. One that does not answer the first time is a failure.
pub(super) async fn run(
    admin: &Admin,
    spec: &ListSpec,
    query: Vec<(&'static str, String)>,
    form: &ListForm,
    period: Duration,
) -> Result<(), Failure> {
    tokio::select! {
        ended = repeat(admin, spec, query, form, period) => ended,
        stopped = tokio::signal::ctrl_c() => stopped.map_err(|error| {
            Failure::Failed(format!("Ctrl-C cannot be waited for: {error}"))
        }),
    }
}

async fn repeat(
    admin: &Admin,
    spec: &ListSpec,
    query: Vec<(&'static str, String)>,
    form: &ListForm,
    period: Duration,
) -> Result<(), Failure> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    let mut has_answered = false;
    let mut is_away = false;
    loop {
        ticks.tick().await;
        let answer = match admin.get(&[spec.path], &query).await {
            Ok(answer) => answer,
            Err(AdminRefusal::Away(message)) if has_answered => {
                if !is_away {
                    complain(&format!("{message}; it is asked again every {period:?}"));
                }
                is_away = true;
                continue;
            }
            Err(refusal) => return Err(pages::explained(admin, spec, &query, refusal).await),
        };
        if is_away {
            complain("the daemon answers again");
        }
        (has_answered, is_away) = (true, false);
        let items = admin.items(&answer)?;
        match (form, output::size_of_terminal()) {
            (ListForm::Table { columns, times }, Some(size)) => {
                let table = table_of(items, columns, times);
                paint(&table.text(Some(size.0), output::is_coloured()), size.1, period, times)?;
            }
            _ => output::print_jsonl(seen.changed(items, spec.id))?,
        }
    }
}

/// Paints the table over the one before. Lines below the last row of the terminal are left out.
fn paint(table: &str, rows: usize, period: Duration, times: &Times) -> Result<(), Failure> {
    let now = times.clock(output::now());
    let head = format!("{now}, every {}, Ctrl-C ends", humantime::format_duration(period));
    if output::is_dumb() {
        return output::print(&format!("{head}\n{table}\n"));
    }
    // Home; each line up to its end; the rest of the screen.
    let mut screen = String::from("\u{1b}[H");
    let lines = std::iter::once(head.as_str()).chain(table.lines());
    for line in lines.take(rows.saturating_sub(1)) {
        // Writing to a `String` does not fail.
        write!(screen, "{line}\u{1b}[K\r\n").ok();
    }
    screen.push_str("\u{1b}[J");
    output::print_raw(&screen)
}

/// The items as they were printed last, by id.
#[derive(Default)]
struct Seen(HashMap<String, Value>);

impl Seen {
    /// The items that are new or have changed since the last call, the last of the list first: in
    /// most lists that is the oldest. Remembers only what is in the list.
    fn changed<'a>(&mut self, items: &'a [Value], id: &str) -> Vec<&'a Value> {
        let mut before = std::mem::take(&mut self.0);
        let mut changed = Vec::new();
        for item in items.iter().rev() {
            let id = output::text(item.get(id));
            if before.remove(&id).as_ref() != Some(item) {
                changed.push(item);
            }
            self.0.insert(id, item.clone());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_new_or_has_changed_is_printed() {
        let item = |id: &str, status: &str| json!({"id": id, "status": status});
        let mut seen = Seen::default();
        let first = [item("2", "pending"), item("1", "running")];
        assert_eq!(seen.changed(&first, "id"), [&first[1], &first[0]]);
        assert!(seen.changed(&first, "id").is_empty());
        let next = [item("3", "pending"), item("2", "running"), item("1", "running")];
        assert_eq!(seen.changed(&next, "id"), [&next[1], &next[0]]);
        // An item that has left the list is new when it comes back.
        assert!(seen.changed(&next[..2], "id").is_empty());
        assert_eq!(seen.changed(&next, "id"), [&next[2]]);
    }
}
