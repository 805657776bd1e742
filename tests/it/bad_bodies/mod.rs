//! Wrong bodies, made systematically: every field of every known body, in every wrong way. New
//! samples, new events and new files in `tests/payloads` are included without a change here.

pub mod bases;
mod changes;
mod duties;
mod interpreted;
mod posted;
mod sound;
