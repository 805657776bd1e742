//! The quarantine room: how many items and bytes each client has in quarantine. Every change is
//! counted, so that the bound is checked without counting rows.
//!
//! A transaction that changes which items are held locks the rooms of their clients first, in the
//! order of clients, and then the items.

use crate::config::QuarantineBound;
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, column, group},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

sql! {
    /// Locks rooms in the order of clients, and makes those that are missing. By primary key.
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

/// How much room a client uses in quarantine.
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

    /// Without one item of `size` bytes. It never falls below 0: items that were stored before
    /// rooms were counted are not in it.
    pub(in crate::store) fn without(self, size: i64) -> Self {
        let left = |used: i64, gone: i64| used.saturating_sub(gone).max(0);
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
    /// By client: the room that it uses.
    used: BTreeMap<String, RoomUsed>,
    /// The clients whose row is to be written.
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
            let used =
                RoomUsed { items: row.try_get("", "items")?, bytes: row.try_get("", "bytes")? };
            rooms.used.insert(row.try_get("", "client_id")?, used);
        }
        Ok(rooms)
    }

    /// The room that `client` uses.
    pub(in crate::store) fn of(&self, client: &str) -> RoomUsed {
        self.used.get(client).copied().unwrap_or_default()
    }

    /// Notes the room that `client` uses from now on.
    pub(in crate::store) fn set(&mut self, client: &str, used: RoomUsed) {
        if self.of(client) != used {
            self.used.insert(client.to_owned(), used);
            self.changed.insert(client.to_owned());
        }
    }

    /// Writes the rooms that have changed.
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
        let rows: Vec<Row<'_>> = self.changed.iter().map(|client_id| row(client_id)).collect();
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
            let used = sizes.iter().fold(RoomUsed::default(), |used, size| used.with(*size));
            assert_eq!(used.is_within(bound), is_within, "{sizes:?}");
            let empty = sizes.iter().fold(used, |used, size| used.without(*size));
            assert_eq!(empty, RoomUsed::default());
            assert_eq!(empty.without(7), RoomUsed::default(), "never less than nothing");
        }
    }
}
