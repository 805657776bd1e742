//! File descriptors: how many the process may open, and how many of them connections may take.
//!
//! The database, the log and the configuration need descriptors, too. So connections never take all
//! of them: beyond their share, another connection is closed for a new one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors each thread that serves HTTP will still open.
const OF_THREAD: usize = 4;
/// Descriptors for what is opened now and then: files of the configuration and of SQLite, and calls
/// to other hosts.
const SPARE: usize = 16;
/// This many connections are served, however few descriptors there are.
const CONNECTIONS_MIN: usize = 8;
/// The limit that is assumed if the descriptors that are open cannot be counted.
const LIMIT_UNKNOWN: u64 = 1_024;

/// Raises the limit of open files to the most that the system allows this process. Each connection
/// needs a descriptor. The usual limit (1,024) protects programs that use `select`; this one does
/// not.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            %error,
            limit = current,
            "the limit of open files cannot be raised to the hard limit"
        );
    }
}

/// How many connections may be open at once if `threads` serve HTTP and the database may open
/// `database` files.
pub(super) fn connections_max(threads: usize, database: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Linux and the BSDs list them here.
    let open = std::fs::read_dir("/dev/fd").map_or(0, Iterator::count);
    let limit = if open == 0 { limit.min(LIMIT_UNKNOWN) } else { limit };
    let needed = open
        .saturating_add(threads.saturating_mul(OF_THREAD))
        .saturating_add(database)
        .saturating_add(SPARE);
    share(usize::try_from(limit).unwrap_or(usize::MAX), needed)
}

/// Four fifths of the limit, but no more than is left beside what others need.
fn share(limit: usize, needed: usize) -> usize {
    (limit / 5 * 4).min(limit.saturating_sub(needed)).max(CONNECTIONS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_four_fifths_and_never_what_others_need() {
        for (limit, needed, most) in [
            (1_024, 100, 816),
            (1_024, 400, 624),
            (128, 90, 38),
            (128, 200, 8),
            (1_048_576, 100, 838_860),
            (usize::MAX, 100, usize::MAX / 5 * 4),
        ] {
            assert_eq!(share(limit, needed), most, "{limit} {needed}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(connections_max(2, 30) >= CONNECTIONS_MIN);
    }
}
