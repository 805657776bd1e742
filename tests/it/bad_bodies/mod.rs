//! Bodies that are wrong, systematically: every field of every body that we know of, in every way
//! that is wrong. New samples, new events and new files in `tests/payloads` are taken in by
//! themselves.

pub mod bases;
mod changes;
mod duties;
mod interpreted;
mod posted;
mod sound;
