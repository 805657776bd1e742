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

/// Keeps the memory of the process in small pages. The allocator gives pages back and takes them
/// again all the time; huge pages would be cleared whole each time, and under load the daemon held
/// twice the memory (docs/PERFORMANCE.md). Where the system refuses, a warning says so, and the
/// daemon takes more memory.
#[cfg(target_os = "linux")]
pub(crate) fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "the system keeps huge pages, so the daemon takes more memory");
    }
}

/// Other systems have no huge pages of which a process knows nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn use_small_pages() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::transparent_huge_pages_are_disabled;

    #[test]
    fn a_process_of_small_pages_gets_no_huge_ones() {
        use_small_pages();
        assert!(transparent_huge_pages_are_disabled().unwrap());
    }
}
