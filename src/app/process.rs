//! Settings of the whole process, made before its first file and its first thread.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};
use std::io;

/// Closes the process to other users of the machine. Files that it makes are for its own user
/// alone, and a crash leaves no core dump, which would contain every secret.
///
/// # Errors
/// If the system refuses the limit.
pub(super) fn close_to_others() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}
