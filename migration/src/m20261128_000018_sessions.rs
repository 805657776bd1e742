//! Sessions of people who have signed in, and the key that signs their cookies.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// A cookie cannot be made from a row: `hash` is that of a random part, and `token_mark` that of
// what the cookie says about the token by which its owner signed in.
// `user_name` is the user of the configuration, and `actor` the name in the audit log.
const UP: &str = "
insert into installation (name, value) values ('session_key', @random_hex);
create table sessions (
    id @bigint primary key,
    hash text not null,
    token_mark text not null,
    user_name text not null,
    actor text not null,
    browser text not null,
    created_at @instant not null,
    used_at @instant not null,
    expires_at @instant not null,
    revoked_at @instant
);
create unique index sessions_by_hash on sessions (hash);
create index sessions_of_user on sessions (user_name, id);
create index sessions_revoked on sessions (hash) where revoked_at is not null;
";

const DOWN: &str = "
drop table sessions;
delete from installation where name = 'session_key';
";
