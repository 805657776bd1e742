//! SeaORM's view of Postroom's tables, for reading them.
//!
//! One file a table, and nothing but its columns: rules live in `domain`, statements that write live
//! with their callers. Migrations never import this crate; a test selects every column of every entity
//! from the migrated schema.

mod instant;

pub mod campaigns;
pub mod deliveries;
pub mod drafts;
pub mod job_attempts;
pub mod job_blocked;
pub mod job_later;
pub mod job_ready;
pub mod jobs;
pub mod lead_identities;
pub mod leads;
pub mod messages;
pub mod nodes;
pub mod quarantine;

pub use self::instant::Instant;
