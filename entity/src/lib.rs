//! SeaORM's view of Postroom's tables, for reading them.
//!
//! Each file is a table, with nothing but its columns: rules are in `domain`, and statements that
//! write are in `store`. Migrations never use this crate. A test selects every column of every
//! entity from the migrated schema.

mod instant;

pub mod audit;
pub mod campaigns;
pub mod deliveries;
pub mod drafts;
pub mod job_attempts;
pub mod job_blocked;
pub mod job_later;
pub mod job_ready;
pub mod jobs;
pub mod labelled_examples;
pub mod lead_identities;
pub mod leads;
pub mod messages;
pub mod model_calls;
pub mod nodes;
pub mod operations;
pub mod pool_overrides;
pub mod quarantine;
pub mod send_accounts;
pub mod sessions;

pub use self::instant::Instant;
