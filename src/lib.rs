//! Postroom takes the webhooks of sales-outreach providers, stores what they say, and works off the
//! jobs that each message needs.
//!
//! The modules stand in the order in which to read them, which is also the order of the map in
//! `docs/ARCHITECTURE.md`: first what all others use, then the way of a message, last what puts the
//! parts together. `docs/ARCHITECTURE.md` follows a message through them, and `tests/tidy.rs` says
//! which module may use which.

// What all others use.

// Words and rules: events, jobs, outcomes, leads. Plain values and pure functions.
pub mod domain;

// Settings: files and variables become one checked `Config`.
pub mod config;

// Logs, metrics, and the board on which actors show their state.
pub mod telemetry;

// How one actor tells another that something happened.
pub mod announcer;

// The way of a message.

// HTTP: webhooks, the admin API and health.
pub mod http;

// One folder per provider's channel: what its webhooks mean.
pub mod channels;

// Makes calls at providers, once each.
pub mod wire;

// Decides what a webhook becomes. One actor per channel commits webhooks in groups.
pub mod ingest;

// All SQL, on both databases.
pub mod store;

// What runs follows its files while it runs.
pub mod tuning;

// The actor that claims jobs, gives them to pools of handlers, and replaces actors that died.
pub mod supervisor;

// One file per job kind: what a job of it does, returned as effects.
pub mod handlers;

// Classifies messages, scores leads and drafts answers.
pub mod analyst;

// The actor that commits the effects of jobs with their completion.
pub mod recorder;

// What puts the parts together. No module above uses these.

// Plays the providers, for trying Postroom out and for its tests.
pub mod fake_provider;

// The list of all channels and job kinds.
pub mod registry;

// A running daemon: its start, its actors and its stop.
pub mod app;

// The commands of the `postroom` binary.
pub mod cli;
