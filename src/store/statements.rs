//! All raw statements by name, so that tests can look at their plans.

use super::{
    connect, desk, feed, inbox, leads, ledger, lines, messages, nodes, queue, reader, sql::Sql,
    suspects,
};
use sea_orm::DatabaseBackend;

/// Every raw statement: its name, and its text for SQLite or PostgreSQL. The claim of SQLite is made for a
/// number of kinds; here it is the one for two.
pub fn statements(is_sqlite: bool) -> Vec<(&'static str, String)> {
    let backend = if is_sqlite { DatabaseBackend::Sqlite } else { DatabaseBackend::Postgres };
    let claim = if is_sqlite {
        queue::claim_sqlite_text(2)
    } else {
        queue::CLAIM_POSTGRES.text(backend).to_owned()
    };
    let mut all: Vec<(&'static str, String)> =
        ALL.iter().map(|(name, sql)| (*name, sql.text(backend).to_owned())).collect();
    all.push(("CLAIM", claim));
    all
}

macro_rules! named {
    ($($module:ident :: $name:ident),* $(,)?) => { &[$((stringify!($name), &$module::$name)),*] };
}

static ALL: &[(&str, &Sql)] = named![
    connect::READ_DURABILITY,
    desk::LIST_JOBS,
    desk::LIST_JOBS_OF_LEADS,
    desk::LIST_LEADS,
    desk::LIST_SUCCEEDED,
    desk::LIST_UNFINISHED,
    desk::LIST_UNSUCCESSFUL,
    desk::LOCK_TURNS,
    desk::LOWER_TURNS,
    desk::READ_BACKLOG,
    desk::READ_COUNTS,
    desk::READ_FAILURES,
    desk::READ_HELD,
    desk::READ_JOBS,
    desk::REOPEN_ATTEMPTS,
    desk::SETTLE_QUARANTINE,
    feed::READ_END,
    feed::READ_SUCCEEDED,
    inbox::PUT_KEYS,
    inbox::READ_KEYS,
    inbox::REPOINT_KEYS,
    inbox::READ_IDENTITIES,
    inbox::PUT_IDENTITIES,
    inbox::READ_CAMPAIGNS,
    inbox::PUT_CAMPAIGNS,
    inbox::RENAME_CAMPAIGNS,
    inbox::PUT_QUARANTINE,
    leads::LOCK_LEADS,
    leads::PUT_LEADS,
    leads::UPDATE_LEADS,
    leads::END_DRAFTS,
    ledger::LOCK_HEADS,
    ledger::READ_FOLLOWERS,
    ledger::DELETE_HEADS,
    ledger::DELETE_FOLLOWERS,
    ledger::PUT_ATTEMPTS,
    ledger::RETRY_HEADS,
    ledger::POSTPONE_HEADS,
    ledger::RELEASE_HEADS,
    ledger::UPDATE_MESSAGES,
    ledger::READ_HANDLES,
    ledger::PUT_DRAFTS,
    lines::PUT_JOBS,
    lines::READ_LINES,
    lines::TAKE_TURNS,
    lines::PUT_READY,
    lines::PUT_BLOCKED,
    lines::PUT_LATER,
    lines::ADD_COUNTS,
    messages::PUT_MESSAGES,
    messages::READ_FIRSTS,
    messages::READ_HINTED,
    messages::READ_SENTIMENTS,
    messages::SET_SENTIMENT,
    nodes::NEXT_NODE,
    nodes::READ_SLOTS,
    nodes::PUT_NODE,
    nodes::DELETE_NODES,
    nodes::BEAT,
    nodes::READ_NODES,
    nodes::READ_ID_FLOOR,
    queue::READ_CLOCK,
    queue::READ_DUE_RETRIES,
    queue::TAKE_DUE_TURNS,
    queue::LOCK_DUE_RETRIES,
    queue::TURN_HEADS,
    queue::READ_DUE_LATER,
    queue::TAKE_DUE_LATER,
    queue::READ_NEXT_DUE,
    queue::READ_ORPHANS,
    queue::READ_HELD_RUNS,
    queue::READ_HEADLESS,
    suspects::CLAIM_SUSPECT,
    reader::READ_CONVERSATION,
    reader::READ_TRANSCRIPT,
];
