//! File descriptors: how many the process may open, and how many of them connections may take.
//!
//! The database, the log and the configuration need descriptors, too. So connections never take all that there are:
//! beyond their share another connection is closed for a new one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of each thread that serves HTTP, and of each connection to the database, that are not open yet.
const OF_THREAD: usize = 4;
/// Descriptors for what is opened now and then: files of the configuration, of SQLite, and calls to others.
const SPARE: usize = 16;
/// HttpConnections that are served however few descriptors there are.
const CONNECTIONS_MIN: usize = 8;
/// Where the system has no limit or does not say it.
const LIMIT_UNKNOWN: u64 = 1_024;

/// Raises the limit of open files to the most that the system allows this process. Each connection needs one, and the
/// usual limit (1,024) is there for programs that use `select`, which this is none of.
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

/// How many connections may be open at once where `threads` serve HTTP and the database may open `database` files.
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

/// Four fifths of the limit, or what others leave of it.
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
