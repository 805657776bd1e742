//! The machine: limits of the system, and the port.

use super::finding::Finding;
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};
use std::{io, net::SocketAddr};

/// With fewer open files, connections starve the database and the log.
const OPEN_FILES_LEAST: u64 = 128;
/// With fewer, bursts of webhooks are cut off.
const OPEN_FILES_GOOD: u64 = 4_096;

/// Checks how many files a daemon could open, if it is started as this command was. `of_daemon` is
/// the limit of the daemon that runs, if it is known.
pub(super) fn open_files(of_daemon: Option<u64>) -> Finding {
    match of_daemon {
        Some(limit) => judge_open_files(limit, "the daemon may open"),
        // A daemon raises its limit to the hard one.
        None => {
            let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
            judge_open_files(limit, "a daemon that is started from here may open")
        }
    }
}

fn judge_open_files(limit: u64, subject: &str) -> Finding {
    const CHECK: &str = "open files";
    const MEND: &str =
        "set `LimitNOFILE=65536` in the unit, or `ulimit -Hn 65536` before the start";
    let found = match limit {
        u64::MAX => format!("{subject} any number of files"),
        _ => format!("{subject} {limit} files"),
    };
    match limit {
        0..OPEN_FILES_LEAST => Finding::bad(CHECK, found, MEND),
        OPEN_FILES_LEAST..OPEN_FILES_GOOD => Finding::warn(CHECK, found, MEND),
        OPEN_FILES_GOOD.. => Finding::ok(CHECK, found),
    }
}

/// The most files that this process may open, by the system's list of its limits; `None` if the
/// system does not tell.
pub(super) fn open_files_of(pid: u32) -> Option<u64> {
    limit_in(&std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// The soft limit in the line `Max open files  1024  4096  files`.
fn limit_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Checks that this user can watch files. Without that a daemon looks at its configuration every
/// few seconds.
pub(super) fn file_watching() -> Finding {
    let limit = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let limits = limit("max_user_instances").zip(limit("max_user_watches"));
    let made = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC);
    judge_watching(made.map(drop), limits)
}

/// `limits`: the watchers and the watches that a user may have.
fn judge_watching(made: Result<(), Errno>, limits: Option<(u64, u64)>) -> Finding {
    const CHECK: &str = "file watching";
    match made {
        Ok(()) => {
            let limits = limits.map_or_else(String::new, |(watchers, watches)| {
                format!(": a user may have {watchers} watchers with {watches} watches")
            });
            Finding::ok(CHECK, format!("works{limits}"))
        }
        Err(Errno::MFILE) => Finding::warn(
            CHECK,
            "this user has no watch left: a daemon sees a changed file only some seconds later",
            "raise `fs.inotify.max_user_instances` (sysctl)",
        ),
        Err(error) => Finding::warn(
            CHECK,
            format!(
                "does not work ({error}): a daemon sees a changed file only some seconds later"
            ),
            "a changed file can be applied by `postroom reload`",
        ),
    }
}

/// Whether a daemon could listen on `bind`, if none answers there. `bound` is the result of an
/// attempt.
pub(super) fn port(bind: SocketAddr, bound: io::Result<()>) -> Finding {
    const CHECK: &str = "port";
    match bound {
        Ok(()) => Finding::ok(CHECK, format!("{bind} is free: no daemon runs here")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::bad(
            CHECK,
            format!("another program listens on {bind}"),
            "stop it, or set `server.bind`",
        ),
        Err(error) => Finding::bad(
            CHECK,
            format!("a daemon cannot listen on {bind}: {error}"),
            "set `server.bind` to an address of this machine, with a port above 1023",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Grade;

    #[test]
    fn few_open_files_are_bad() {
        for (limit, grade) in [
            (0, Grade::Bad),
            (127, Grade::Bad),
            (128, Grade::Warn),
            (4_095, Grade::Warn),
            (4_096, Grade::Ok),
            (u64::MAX, Grade::Ok),
        ] {
            assert_eq!(judge_open_files(limit, "it may open").grade, grade, "{limit}");
        }
    }

    #[test]
    fn the_limit_of_a_process_is_its_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(limit_in(limits), Some(1_024));
        assert_eq!(
            limit_in("Max open files            unlimited            unlimited   files"),
            Some(u64::MAX)
        );
        assert_eq!(limit_in("Max cpu time 1 1 seconds"), None);
        assert!(open_files_of(std::process::id()).is_some());
    }

    #[test]
    fn a_user_without_watches_is_warned() {
        assert_eq!(judge_watching(Ok(()), None).grade, Grade::Ok);
        let told = judge_watching(Ok(()), Some((128, 65_536))).found;
        assert_eq!(told, "works: a user may have 128 watchers with 65536 watches");
        assert!(judge_watching(Err(Errno::MFILE), None).mend.contains("max_user_instances"));
        assert_eq!(judge_watching(Err(Errno::NOSYS), None).grade, Grade::Warn);
    }

    #[test]
    fn a_port_that_another_program_has_is_bad() {
        let bind = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(port(bind, Ok(())).grade, Grade::Ok);
        let taken = port(bind, Err(io::ErrorKind::AddrInUse.into()));
        assert!(taken.grade == Grade::Bad && taken.found.contains("127.0.0.1:80"), "{taken:?}");
        assert_eq!(port(bind, Err(io::ErrorKind::PermissionDenied.into())).grade, Grade::Bad);
    }
}
