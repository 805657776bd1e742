//! Tests with real databases, real HTTP and real processes. The rules alone are tested beside their code.

mod store;
mod support;
