//! The audit log: who changed what, and when. Rows are only added.

use crate::domain::{Id, UserRole};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{Tx, group, write_alone},
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

sql! {
    /// Adds rows.
    static PUT_AUDIT =
        "insert into audit (id, happened_at, actor, role, via, action, target, old_value, new_value, note, node, request_id) \
         select g.id, @in_ms(-g.waited_ms), g.actor, g.role, g.via, g.action, g.target, g.old_value, g.new_value, g.note, g.node, g.request_id \
         from @rows($1, id bigint, waited_ms bigint, actor text, role text, via text, action text, target text, old_value text, new_value text, \
           note text, node bigint, request_id text) g";
}

/// How a change came to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A file was changed.
    File,
    /// The process got SIGHUP.
    Signal,
    /// A program called the admin API.
    Api,
    /// A person ran a command, which calls the admin API.
    Command,
    /// A person who has signed in used a page.
    Page,
    /// A rule of Postroom: an override has expired, or the file took its place.
    Rule,
}

impl Via {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 6] =
        [Self::Api, Self::Command, Self::File, Self::Page, Self::Rule, Self::Signal];

    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Command => "command",
            Self::Page => "page",
            Self::Rule => "rule",
        }
    }
}

/// What the entries of this version say was done, in the order of their names.
pub const AUDIT_ACTIONS: [&str; 25] = [
    "config.refused",
    "config.reload",
    "delivery.resolve",
    "draft.approve",
    "draft.edit",
    "draft.regenerate",
    "draft.reject",
    "draft.snooze",
    "draft.undo",
    "job.cancel",
    "job.retry",
    "lead.erase",
    "lead.export",
    "lead.opt_out",
    "lead.opt_out_lift",
    "message.retag",
    "operation.start",
    "operation.stop",
    "pool.override",
    "pool.override_dropped",
    "pool.reset",
    "quarantine.discard",
    "quarantine.replay",
    "session.begin",
    "session.revoke",
];

/// One change, as it is written to the audit log. Secrets must be masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// A person's name, `file`, `signal` or `postroom`.
    pub actor: String,
    /// The role that the person has now; `None` if no person acts.
    pub role: Option<UserRole>,
    /// How it came.
    pub via: Via,
    /// What was done, such as `config.reload` or `pool.override`.
    pub action: &'static str,
    /// What it was done to: a configuration key, a job kind, an id.
    pub target: Option<String>,
    /// The value before.
    pub old_value: Option<String>,
    /// The value after.
    pub new_value: Option<String>,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// The id of the request that asked for it.
    pub request_id: Option<String>,
    /// When it was done. The row may have to wait for the database.
    #[serde(skip)]
    pub done_at: Instant,
}

impl AuditEntry {
    /// A row with who did what just now, and how it came. All else is empty.
    pub fn new(actor: impl Into<String>, via: Via, action: &'static str) -> Self {
        Self {
            actor: actor.into(),
            role: None,
            via,
            action,
            target: None,
            old_value: None,
            new_value: None,
            note: None,
            request_id: None,
            done_at: Instant::now(),
        }
    }
}

/// The handle for the audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    pub(super) db: Database,
}

#[derive(Serialize)]
struct AuditPut<'a> {
    id: Id,
    node: Id,
    /// How long ago it was done, by this process's clock. The database's clock gives the time.
    waited_ms: i64,
    #[serde(flatten)]
    entry: &'a AuditEntry,
}

impl Audit {
    /// Adds a row for each entry, in their order.
    ///
    /// # Errors
    /// If the database is unreachable; then no row is added.
    pub async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.db
            .call(|db| async move {
                let rows = rows(&db, &entries)?;
                write_alone(&db.connections().writer, &PUT_AUDIT, [rows]).await?;
                Ok(())
            })
            .await
    }
}

/// Adds a row for each entry in a transaction, so that it is there exactly if the change is.
pub(super) async fn add(tx: &Tx, db: &Database, entries: &[AuditEntry]) -> Result<(), StoreError> {
    tx.run(&PUT_AUDIT, [rows(db, entries)?]).await?;
    Ok(())
}

/// The parameter of [`PUT_AUDIT`].
fn rows(db: &Database, entries: &[AuditEntry]) -> Result<sea_orm::Value, StoreError> {
    let put =
        |entry| AuditPut { id: db.next_id(), node: db.node(), waited_ms: waited(entry), entry };
    group(&entries.iter().map(put).collect::<Vec<_>>())
}

/// How many milliseconds ago it was done.
fn waited(entry: &AuditEntry) -> i64 {
    i64::try_from(entry.done_at.elapsed().as_millis()).unwrap_or_default()
}
