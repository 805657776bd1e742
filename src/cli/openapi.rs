//! `postroom openapi`: the HTTP API, for programs.

use super::{failure::Failure, output};
use crate::{http, registry};

/// Prints the document that a daemon of this version serves.
pub(super) fn run() -> Result<(), Failure> {
    let registry = registry::postroom();
    output::print_json(&http::openapi(&registry.vocabulary()))
}
