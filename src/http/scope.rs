//! What a person finds who sees some clients only (`[[admin.users]] clients`).
//!
//! Each path of the API and of the pages is one of four: a list that is limited to their clients, a
//! thing that belongs to a client, what is about the person alone, or what is about all clients.
//! The last is closed to them, and so is each path that is not known here. It is checked before a
//! handler runs, and lists are limited where their query is read.

use super::{
    api::parse_id,
    problem::{Cause, Problem},
    ui::Viewer,
};
use crate::{
    domain::Id,
    store::{OperationRow, SearchHit, Store, StoreError},
};
use serde_json::Value;

/// A client that is none: no id begins so. It limits a list to nothing.
const NOBODY: &str = "-";

/// What a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathScope<'a> {
    /// Things of clients. The list is limited where its query is read.
    List,
    /// A thing that belongs to a client: what it is called, and its id as it was given.
    Thing(&'static str, &'a str),
    /// A client.
    Client(&'a str),
    /// The person: their sessions, streams and settings. The handler checks what they name.
    Own,
    /// All clients.
    All,
}

/// What a path is about, below `/api/v1` or among the pages.
fn scope_of(path: &str) -> PathScope<'_> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    match words[..] {
        ["jobs", "retry" | "cancel"] | ["quarantine", "replay" | "discard"] => PathScope::List,
        ["jobs", id, ..] => PathScope::Thing("job", id),
        ["leads", id, ..] => PathScope::Thing("lead", id),
        ["messages", id] => PathScope::Thing("message", id),
        ["drafts", id, ..] => PathScope::Thing("draft", id),
        ["deliveries", id, ..] => PathScope::Thing("delivery", id),
        ["quarantine", id, ..] => PathScope::Thing("quarantine", id),
        ["operations", id, ..] => PathScope::Thing("operation", id),
        ["clients", id] => PathScope::Client(id),
        [
            "jobs" | "inbox" | "leads" | "messages" | "drafts" | "examples" | "deliveries"
            | "received" | "calls" | "quarantine" | "clients" | "search",
        ] => PathScope::List,
        ["events" | "look" | "login-codes" | "sessions"] | ["sessions", ..] => PathScope::Own,
        _ => PathScope::All,
    }
}

/// Lets a viewer make a request to this path, if they may see what it is about.
///
/// # Errors
/// 404 for a thing of another client, as if it were not there; 403 for what is about all clients;
/// if the database is away.
pub(super) async fn must_see(viewer: &Viewer, store: &Store, path: &str) -> Result<(), Problem> {
    if viewer.clients.is_none() {
        return Ok(());
    }
    match scope_of(path) {
        PathScope::List | PathScope::Own => Ok(()),
        PathScope::Client(id) if viewer.sees(id) => Ok(()),
        PathScope::Client(id) => Err(Problem::not_found(format!("there is no client {id}"))),
        PathScope::Thing(what, text) => {
            // An id that is spelled otherwise, `%37` for 7, is none: a handler would read it.
            if let Some(id) = parse_id(text)
                && is_seen(viewer, store, what, id).await?
            {
                return Ok(());
            }
            Err(Problem::not_found(format!("there is no {what} {text}")))
        }
        PathScope::All => Err(Problem::new(
            Cause::Forbidden,
            "this is about all clients, and you see some of them only",
        )),
    }
}

/// True if a thing belongs to a client that the viewer sees.
async fn is_seen(viewer: &Viewer, store: &Store, what: &str, id: Id) -> Result<bool, StoreError> {
    if what == "operation" {
        let operation = store.operations().show(id).await?;
        return Ok(operation.is_some_and(|it| viewer.sees_operation(&it)));
    }
    let found = store.desk().with_id(id).await?;
    Ok(found.iter().any(|hit| hit.kind == what && viewer.sees_hit(hit)))
}

impl Viewer {
    /// True if they may see what belongs to this client.
    pub(in crate::http) fn sees(&self, client: &str) -> bool {
        self.clients.as_ref().is_none_or(|clients| clients.iter().any(|it| it == client))
    }

    /// Limits a filter by clients to those that they see. An empty filter stands for all, so one
    /// that is limited to nothing names a client that is none.
    pub(in crate::http) fn limited(&self, filter: Vec<String>) -> Vec<String> {
        let Some(own) = &self.clients else { return filter };
        let seen: Vec<String> = match filter.is_empty() {
            true => own.to_vec(),
            false => filter.into_iter().filter(|it| self.sees(it)).collect(),
        };
        if seen.is_empty() { vec![NOBODY.to_owned()] } else { seen }
    }

    /// True if they may see what a search has found. What belongs to no client is of all.
    pub(in crate::http) fn sees_hit(&self, hit: &SearchHit) -> bool {
        match &hit.client_id {
            Some(client) => self.sees(client),
            None => self.clients.is_none(),
        }
    }

    /// True if they may see an operation: it is limited to clients that they see.
    pub(in crate::http) fn sees_operation(&self, operation: &OperationRow) -> bool {
        let filter: Value = serde_json::from_str(&operation.filter).unwrap_or_default();
        let clients = filter.get("client").and_then(Value::as_array);
        let clients = clients.map(Vec::as_slice).unwrap_or_default();
        let is_own = |client: &Value| client.as_str().is_some_and(|it| self.sees(it));
        self.clients.is_none() || (!clients.is_empty() && clients.iter().all(is_own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserRole;

    fn viewer(clients: Option<&[&str]>) -> Viewer {
        Viewer {
            name: "vic".to_owned(),
            role: UserRole::Operator,
            clients: clients.map(|it| it.iter().map(|id| (*id).to_owned()).collect()),
            user: "vic".to_owned(),
            session: None,
        }
    }

    #[test]
    fn each_path_is_about_a_list_a_thing_the_person_or_all() {
        for (path, scope) in [
            ("/jobs", PathScope::List),
            ("/jobs/", PathScope::List),
            ("/jobs/retry", PathScope::List),
            ("/jobs/7", PathScope::Thing("job", "7")),
            ("/jobs/7/explain", PathScope::Thing("job", "7")),
            ("/leads/7/opt-out", PathScope::Thing("lead", "7")),
            ("/quarantine/replay", PathScope::List),
            ("/quarantine/discard", PathScope::List),
            ("/quarantine/7/replay", PathScope::Thing("quarantine", "7")),
            ("/operations/7/cancel", PathScope::Thing("operation", "7")),
            ("/clients/acme", PathScope::Client("acme")),
            ("/sessions/7", PathScope::Own),
            ("/operations", PathScope::All),
            ("/overview", PathScope::All),
            ("/pools/SELF_CHECK", PathScope::All),
            ("/audit", PathScope::All),
            ("/something/new", PathScope::All),
            ("/", PathScope::All),
        ] {
            assert_eq!(scope_of(path), scope, "{path}");
        }
    }

    #[test]
    fn a_filter_is_limited_to_the_clients_that_are_seen() {
        let texts = |ids: &[&str]| ids.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (sees, given, limited) in [
            (None, &[][..], &[][..]),
            (None, &["acme"], &["acme"]),
            (Some(&["acme", "beta"][..]), &[], &["acme", "beta"]),
            (Some(&["acme"]), &["acme", "beta"], &["acme"]),
            (Some(&["acme"]), &["beta"], &[NOBODY]),
            (Some(&[]), &[], &[NOBODY]),
        ] {
            assert_eq!(viewer(sees).limited(texts(given)), texts(limited), "{sees:?} {given:?}");
        }
    }
}
