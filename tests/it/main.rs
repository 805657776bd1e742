//! Tests with real databases, real HTTP and real processes. The rules alone are tested beside their code.

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

mod store;
mod support;
