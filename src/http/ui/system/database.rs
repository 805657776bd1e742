//! The database: what it is, what it holds, and whether it keeps what it was given.

use crate::{
    http::ui::{
        parts::{Sign, StateMark, Tone, duration, number, number_of, outside},
        visit::Visit,
    },
    store::DatabaseState,
};
use bytesize::ByteSize;
use maud::{Markup, html};

/// A transaction that has lasted for longer keeps the database from vacuuming what is gone.
const OLD_MS: i64 = 60_000;

/// The database, by what was read of it just now, as far as it answered.
pub(super) fn section(
    visit: &Visit,
    undurable: Option<&[String]>,
    state: Option<&DatabaseState>,
    is_fresh: bool,
) -> Markup {
    let store = &visit.state().store;
    let (busy, idle) = store.connections();
    html! {
        section aria-labelledby="database" {
            h2 #database { "Database" }
            dl.dl.ut {
                dt { "Kind" } dd { (store.database()) @if store.is_pooled() { ", behind a pooler" } }
                dt { "Version" } dd { (told(state.map(|it| outside(&it.version)))) }
                dt { "Size" } dd { (told(state.map(size))) }
                dt { "Oldest transaction" } dd { (oldest(state)) }
                dt { "Answers" } dd { (answer_mark(is_fresh)) }
                dt { "Connections" } dd { (number_of(busy)) " busy, " (number_of(idle)) " idle, of this node" }
                dt { "Outages seen" } dd { (number(i64::from(store.outages()))) }
                dt { "Durability" }
                dd {
                    @match undurable {
                        Some([]) => { "a commit is flushed before it is acknowledged" }
                        Some(off) => { b { "acknowledged webhooks may be lost: " (outside(&off.join(", "))) } }
                        None => span.z { "not known now" },
                    }
                }
                @if let Some(trouble) = store.disk_trouble() {
                    dt { "Disk" } dd { b { (outside(&trouble)) } }
                } @else if let Some(room) = store.disk_room() {
                    dt { "Disk" } dd { (outside(&room)) }
                }
                dt { "Migrations" } dd { (told(state.map(migrations))) }
            }
        }
    }
}

/// What is known; a dash if it is not.
fn told(known: Option<Markup>) -> Markup {
    known.unwrap_or_else(|| html! { span.z { "not known now" } })
}

fn size(state: &DatabaseState) -> Markup {
    let spelled = |bytes: u64| ByteSize::b(bytes).to_string();
    html! {
        (spelled(state.bytes)) ", indexes included"
        @if let Some(log) = state.log_bytes { "; write-ahead log " (spelled(log)) }
    }
}

fn oldest(state: Option<&DatabaseState>) -> Markup {
    match state {
        None => told(None),
        Some(DatabaseState { log_bytes: Some(_), .. }) => {
            html! { span.mut { "SQLite does not tell" } }
        }
        Some(DatabaseState { oldest_transaction_ms: Some(ms), .. }) if *ms > OLD_MS => {
            html! { b { (duration(*ms)) } ": it keeps vacuum from its work" }
        }
        Some(DatabaseState { oldest_transaction_ms: Some(ms), .. }) => {
            html! { (duration((*ms).max(0))) }
        }
        Some(_) => html! { "none is open" },
    }
}

fn migrations(state: &DatabaseState) -> Markup {
    html! { "all " (state.migrations) " are applied, the last is " span.mono { (state.last_migration) } }
}

fn answer_mark(is_fresh: bool) -> Markup {
    if is_fresh {
        StateMark::new(Tone::Good, Sign::Ok, "yes").quiet()
    } else {
        StateMark::new(Tone::Bad, Sign::Fail, "no").badge()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(log_bytes: Option<u64>, oldest_transaction_ms: Option<i64>) -> DatabaseState {
        DatabaseState {
            version: "X 1".to_owned(),
            bytes: 4_096,
            log_bytes,
            oldest_transaction_ms,
            migrations: 24,
            last_migration: "m1_last".to_owned(),
        }
    }

    #[test]
    fn each_database_tells_what_it_can() {
        let sqlite = state(Some(2_048), None);
        assert!(size(&sqlite).into_string().contains("; write-ahead log "));
        assert!(oldest(Some(&sqlite)).into_string().contains("does not tell"));
        for (oldest_ms, says) in [
            (None, "none is open"),
            (Some(-3), "0 ms"),
            (Some(5_000), "5.0 s"),
            (Some(61_000), "keeps vacuum"),
        ] {
            let postgres = state(None, oldest_ms);
            assert!(!size(&postgres).into_string().contains("log"));
            let shown = oldest(Some(&postgres)).into_string();
            assert!(shown.contains(says), "{shown}");
        }
        assert!(oldest(None).into_string().contains("not known now"));
        assert!(migrations(&sqlite).into_string().contains("all 24 are applied, the last is"));
    }
}
