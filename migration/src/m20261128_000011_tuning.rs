//! What operators change while daemons run: overrides of pools, operations on many jobs, and the
//! audit log. And what each node says of itself.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// An override has a row for each key that it sets. `name` is `size` or `paused`, `value` is spelled
// as in a file, and `base` is the value of the file when the key was set.
const UP: &str = "
create table pool_overrides (
    kind text not null,
    name text not null,
    value text not null,
    base text not null,
    changed_by text not null,
    note text,
    changed_at @instant not null,
    expires_at @instant,
    primary key (kind, name)
);
create table operations (
    id @bigint primary key,
    action text not null,
    filter text not null,
    status text not null,
    total @bigint not null,
    done @bigint not null,
    skipped @bigint not null,
    reasons text,
    error text,
    is_stopping @bool not null,
    changed_by text not null,
    node @bigint not null,
    created_at @instant not null,
    updated_at @instant not null,
    finished_at @instant
);
create index operations_running on operations (node) where status = 'running';
create table audit (
    id @bigint primary key,
    happened_at @instant not null,
    actor text not null,
    via text not null,
    action text not null,
    target text,
    old_value text,
    new_value text,
    note text,
    node @bigint,
    request_id text
);
create index audit_by_action on audit (action, id);
create index audit_by_actor on audit (actor, id);
create index audit_by_target on audit (target, id);
alter table nodes add column status text;
";

const DOWN: &str = "
alter table nodes drop column status;
drop table audit;
drop table operations;
drop table pool_overrides;
";
