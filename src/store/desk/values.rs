//! Finds the distinct values of a column by jumping from one to the next in an index. It takes one
//! step per value, however many rows there are.
//!
//! Lists read a page of each combination of values from an index that begins with them, so that a
//! rare value costs no more than a common one.

use super::jobs::count;
use crate::domain::Id;
use crate::store::engine::{
    Sql, StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{column, group, read},
};
use sea_orm::Value;
use serde::Serialize;
use std::collections::BTreeSet;

/// The clients that have rows in a table. By the index that begins with `client_id`.
macro_rules! clients {
    ($table:literal, $condition:literal) => {
        concat!(
            "with recursive c (client_id) as (select min(x.client_id) from ",
            $table,
            " x where ",
            $condition,
            " union all select (select min(x.client_id) from ",
            $table,
            " x where x.client_id > c.client_id and ",
            $condition,
            ") from c where c.client_id is not null) select c.client_id from c where c.client_id is not null"
        )
    };
}

/// The values of a column in the rows of clients. By the index that begins with `client_id` and
/// that column.
macro_rules! values {
    ($table:literal, $column:literal) => {
        concat!(
            "with recursive c (client_id, value) as (select g.client_id, (select min(x.",
            $column,
            ") from ",
            $table,
            " x where x.client_id = g.client_id) from @rows($1, client_id text) g \
             union all select c.client_id, (select min(x.",
            $column,
            ") from ",
            $table,
            " x where x.client_id = c.client_id and x.",
            $column,
            " > c.value) from c where c.value is not null) select c.client_id, c.value from c where c.value is not null"
        )
    };
}

/// The newest rows of `$table` for some leads, a page of each, behind a list's columns of `$row`.
/// Each other filter is off if its number is 0. The parameters are those of [`of_leads`], whose
/// third filter is `$third`. By the index of the table that begins with `lead_id`.
macro_rules! page_of_leads {
    ($table:literal, $row:literal, $third:literal) => {
        concat!(
            "@rows($3, lead_id bigint) g join ",
            $table,
            " ",
            $row,
            " on ",
            $row,
            ".id @each( \
               select x.id from ",
            $table,
            " x where x.lead_id = g.lead_id and x.id < $1 \
                 and ($4 = 0 or x.client_id in (select f.value from @rows($5, value text) f)) \
                 and ($6 = 0 or x.channel in (select f.value from @rows($7, value text) f)) \
                 and ($8 = 0 or x.",
            $third,
            " in (select f.value from @rows($9, value text) f)) \
               order by x.id desc limit $2) order by ",
            $row,
            ".id desc limit $2"
        )
    };
}
pub(super) use page_of_leads;

/// The newest rows of `$table` for some clients, channels and statuses, a page of each, behind a
/// list's columns of `$row`. By the index of the table over those and `id + 0`.
macro_rules! page_of_statuses {
    ($table:literal, $row:literal) => {
        concat!(
            "@rows($3, client_id text, channel text, status text) g join ",
            $table,
            " ",
            $row,
            " on ",
            $row,
            ".id @each( \
               select x.id from ",
            $table,
            " x where x.client_id = g.client_id and x.channel = g.channel and x.status = g.status \
                 and x.id + 0 < $1 order by x.id + 0 desc limit $2) order by ",
            $row,
            ".id desc limit $2"
        )
    };
}
pub(super) use page_of_statuses;

sql! {
    /// By `jobs_listed`.
    pub(in crate::store) static CLIENTS_OF_JOBS = clients!("jobs", "true");

    /// By `messages_listed`.
    pub(in crate::store) static CLIENTS_OF_MESSAGES = clients!("messages", "true");

    /// By `leads_listed`.
    pub(in crate::store) static CLIENTS_OF_LEADS = clients!("leads", "x.merged_into is null");

    /// By `drafts_listed`.
    pub(in crate::store) static CLIENTS_OF_DRAFTS = clients!("drafts", "true");

    /// By `quarantine_listed`.
    pub(in crate::store) static CLIENTS_OF_QUARANTINE = clients!("quarantine", "true");

    /// By `deliveries_listed`.
    pub(in crate::store) static CLIENTS_OF_DELIVERIES = clients!("deliveries", "true");

    /// By `jobs_listed`.
    pub(in crate::store) static KINDS_OF_JOBS = values!("jobs", "kind");

    /// By `messages_listed`.
    pub(in crate::store) static CHANNELS_OF_MESSAGES = values!("messages", "channel");

    /// By `drafts_listed`.
    pub(in crate::store) static CHANNELS_OF_DRAFTS = values!("drafts", "channel");

    /// By `deliveries_listed`.
    pub(in crate::store) static CHANNELS_OF_DELIVERIES = values!("deliveries", "channel");

    /// By `quarantine_listed`.
    pub(in crate::store) static CHANNELS_OF_QUARANTINE = values!("quarantine", "channel");
}

/// The requested clients, each once. If none are requested, those that `all` finds.
pub(super) async fn clients(
    reader: &Sessions,
    all: &Sql,
    given: &[String],
) -> Result<BTreeSet<String>, StoreError> {
    if !given.is_empty() {
        return Ok(given.iter().cloned().collect());
    }
    let rows = read(reader, all, []).await?;
    Ok(rows.iter().map(|row| row.try_get("", "client_id")).collect::<Result<_, _>>()?)
}

/// Each of `clients` with each of the `given` values. If none are given, with those that `all`
/// finds for the client.
pub(super) async fn pairs(
    reader: &Sessions,
    all: &Sql,
    clients: BTreeSet<String>,
    given: &[String],
) -> Result<BTreeSet<(String, String)>, StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        client_id: &'a str,
    }
    if !given.is_empty() {
        return Ok(each_with_each(&clients, given));
    }
    let rows: Vec<Row<'_>> = clients.iter().map(|client_id| Row { client_id }).collect();
    let mut pairs = BTreeSet::new();
    for row in read(reader, all, [group(&rows)?]).await? {
        pairs.insert((row.try_get("", "client_id")?, row.try_get("", "value")?));
    }
    Ok(pairs)
}

/// The parameters of a list of the rows of `leads`: `before` and `most`, the leads, and for each
/// further filter the number of its values and the values.
pub(super) fn of_leads(
    [before, most]: [Value; 2],
    leads: &[Id],
    [one, two, three]: [&[String]; 3],
) -> Result<[Value; 9], StoreError> {
    let leads: BTreeSet<Id> = leads.iter().copied().collect();
    Ok([
        before,
        most,
        column("lead_id", leads)?,
        count(one.len()),
        column("value", one)?,
        count(two.len()),
        column("value", two)?,
        count(three.len()),
        column("value", three)?,
    ])
}

/// All pairs of one of `some` and one of `others`.
pub(super) fn each_with_each<T: Clone + Ord>(
    some: &BTreeSet<T>,
    others: &[String],
) -> BTreeSet<(T, String)> {
    let with_all = |one: &T| {
        let one = one.clone();
        others.iter().map(move |other| (one.clone(), other.clone()))
    };
    some.iter().flat_map(with_all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_twice_is_looked_for_once() {
        let clients = BTreeSet::from(["a", "b"]);
        let kinds = ["K".to_owned(), "K".to_owned(), "L".to_owned()];
        let pairs = each_with_each(&clients, &kinds);
        assert_eq!(pairs.len(), 4);
        assert!(pairs.contains(&("b", "L".to_owned())));
    }
}
