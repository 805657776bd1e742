//! Postroom takes the webhooks of sales-outreach providers, stores what they say, and works off what each
//! message needs.
//!
//! The modules by what they are for; `docs/ARCHITECTURE.md` follows a message through them.

// The sides: words and rules, settings, and what the daemon tells about itself.
pub mod config;
pub mod domain;
pub mod telemetry;

// The way of a message.
pub mod analyst;
pub mod channels;
pub mod handlers;
pub mod http;
pub mod ingest;
pub mod recorder;
pub mod store;
pub mod supervisor;

// Composition: used by nobody above.
pub mod app;
pub mod cli;
pub mod registry;
