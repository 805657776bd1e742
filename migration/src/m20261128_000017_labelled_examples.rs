//! What people decided otherwise: tags that they changed, and drafts that they changed or rejected.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

in_sql!(Migration, UP, DOWN);

// `kind` is `tag`, `edited` or `rejected`. `was` and `became` are tags, or texts of a draft.
const UP: &str = "
create table labelled_examples (
    id @bigint primary key,
    client_id text not null,
    lead_id @bigint not null,
    message_id @bigint not null,
    draft_id @bigint,
    channel text not null,
    kind text not null,
    subject text,
    body text not null,
    tag text,
    opt_out @bool not null,
    automated @bool not null default @false,
    was text,
    became text,
    reason text,
    decided_by text not null,
    created_at @instant not null
);
create index labelled_examples_of_client on labelled_examples (client_id, id);
create index labelled_examples_of_lead on labelled_examples (lead_id, id);
";

const DOWN: &str = "
drop table labelled_examples;
";
