//! The quarantine's room: what each client holds there, counted with every change, so that its bound is known
//! without counting rows.
//!
//! Whoever changes which items are held locks the rooms of their clients first, in the order of clients, and
//! the items after them.

use crate::config::QuarantineBound;
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, column, group},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

sql! {
    /// Locks rooms, in the order of clients, and makes those that are not there. By primary key.
    static LOCK_ROOMS =
        "insert into quarantine_room (client_id, items, bytes) \
         select g.client_id, 0, 0 from @rows($1, client_id text) g where true order by g.client_id \
         on conflict (client_id) do update set items = quarantine_room.items \
         returning client_id, items, bytes";

    /// Writes rooms that are locked. By primary key.
    static WRITE_ROOMS =
        "update quarantine_room set items = g.items, bytes = g.bytes \
         from @rows($1, client_id text, items bigint, bytes bigint) g where quarantine_room.client_id = g.client_id";
}

/// What a client holds in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct RoomUsed {
    items: i64,
    bytes: i64,
}

impl RoomUsed {
    /// With one more item of `size` bytes.
    pub(in crate::store) const fn with(self, size: i64) -> Self {
        Self { items: self.items.saturating_add(1), bytes: self.bytes.saturating_add(size) }
    }

    /// With one item of `size` bytes less. What was held before it was counted is nothing.
    pub(in crate::store) fn without(self, size: i64) -> Self {
        let left = |held: i64, gone: i64| held.saturating_sub(gone).max(0);
        Self { items: left(self.items, 1), bytes: left(self.bytes, size) }
    }

    /// Whether it is within `bound`.
    pub(in crate::store) const fn is_within(self, bound: QuarantineBound) -> bool {
        self.items.unsigned_abs() <= bound.items && self.bytes.unsigned_abs() <= bound.bytes
    }
}

/// The rooms of some clients, locked.
#[derive(Debug, Default)]
pub(in crate::store) struct QuarantineRooms {
    held: BTreeMap<String, RoomUsed>,
    changed: BTreeSet<String>,
}

impl QuarantineRooms {
    /// Locks the rooms of `clients`.
    pub(in crate::store) async fn lock(
        tx: &Tx,
        clients: &BTreeSet<&str>,
    ) -> Result<Self, StoreError> {
        let mut rooms = Self::default();
        if clients.is_empty() {
            return Ok(rooms);
        }
        for row in tx.all(&LOCK_ROOMS, [column("client_id", clients)?]).await? {
            let held =
                RoomUsed { items: row.try_get("", "items")?, bytes: row.try_get("", "bytes")? };
            rooms.held.insert(row.try_get("", "client_id")?, held);
        }
        Ok(rooms)
    }

    /// What `client` holds.
    pub(in crate::store) fn of(&self, client: &str) -> RoomUsed {
        self.held.get(client).copied().unwrap_or_default()
    }

    /// Notes what `client` holds from now on.
    pub(in crate::store) fn set(&mut self, client: &str, held: RoomUsed) {
        if self.of(client) != held {
            self.held.insert(client.to_owned(), held);
            self.changed.insert(client.to_owned());
        }
    }

    /// Writes what has changed.
    pub(in crate::store) async fn write(&self, tx: &Tx) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            client_id: &'a str,
            items: i64,
            bytes: i64,
        }
        let row = |client_id| {
            let RoomUsed { items, bytes } = self.of(client_id);
            Row { client_id, items, bytes }
        };
        let rows: Vec<Row<'_>> = self.changed.iter().map(|it| row(it.as_str())).collect();
        if !rows.is_empty() {
            tx.run(&WRITE_ROOMS, [group(&rows)?]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_full_by_items_or_by_bytes() {
        let bound = QuarantineBound { items: 2, bytes: 100 };
        for (sizes, is_within) in [
            (&[][..], true),
            (&[50, 50], true),
            (&[1, 1, 1], false),
            (&[60, 41], false),
            (&[101], false),
            (&[0, 100], true),
        ] {
            let held = sizes.iter().fold(RoomUsed::default(), |held, size| held.with(*size));
            assert_eq!(held.is_within(bound), is_within, "{sizes:?}");
            let empty = sizes.iter().fold(held, |held, size| held.without(*size));
            assert_eq!(empty, RoomUsed::default());
            assert_eq!(empty.without(7), RoomUsed::default(), "never less than nothing");
        }
    }
}
