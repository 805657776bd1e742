//! Tests with real databases, real HTTP and real processes. The rules alone are tested beside their
//! code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    clippy::allow_attributes,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that meets what it does not expect fails"
)]

mod accounts;
mod alert_webhook;
mod api;
mod bad_bodies;
mod channels;
mod cli;
mod day;
mod decisions;
mod erasure;
mod explain;
mod g01_acknowledged_means_durable;
mod g02_no_duplicates;
mod g03_busy_is_not_broken;
mod g03_every_job_ends;
mod g03_live_and_dead;
mod g03_nodes;
mod g03_outages;
mod g06_failures_stay_where_they_are;
mod g06_neighbours;
mod g06_poison;
mod g06_restarts;
mod g06_stuck;
mod g07_fair_to_clients;
mod g09_bounded;
mod g10_clean_stop;
mod g11_pools;
mod hand_off;
mod harness;
mod idle;
mod janitor;
mod leftovers;
mod model;
mod nodes;
mod openapi;
mod operations;
mod operations_on_quarantine;
mod overrides;
mod own_daemon;
mod poolers;
mod providers;
mod security;
mod sixth_channel;
mod skips;
mod store;
mod support;
mod system;
mod traces;
mod tuning;
mod ui;
mod unusable;
mod webhooks;

/// As in `postroom`: this program is a daemon, too, and makes very many small values besides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
