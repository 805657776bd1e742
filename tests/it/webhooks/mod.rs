//! What providers post, and what they are answered.

mod bad_input;
mod meanings;
mod packed;
mod payloads;
mod quarantine;
mod rules;
mod secrets;
mod sequences;
pub(crate) mod signed;
