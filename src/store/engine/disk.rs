//! The free space on the disk of a SQLite file, read at most once a second.
//!
//! If the disk is full, a SQLite database takes no write at all, not even one that would make room.
//! So webhooks are refused earlier, while there is still room for jobs, pruning and the write-ahead
//! log.

use super::connect::sqlite_path;
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The shortest time between two readings.
const READ_EVERY: Duration = Duration::from_secs(1);
/// At most this many bytes are kept free.
const FLOOR_MAX: u64 = 1 << 30;
/// On a smaller disk, this part is kept free: a twentieth.
const FLOOR_PART: u64 = 20;

/// How much room a disk has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    free: u64,
    total: u64,
}

impl Space {
    /// How many bytes are kept free.
    fn floor(self) -> u64 {
        (self.total / FLOOR_PART).min(FLOOR_MAX)
    }

    fn is_low(self) -> bool {
        self.free < self.floor()
    }
}

/// The disk of the database's file.
#[derive(Debug)]
pub(in crate::store) struct Disk {
    /// The directory of the file; `None` if the database is not a file on this machine.
    directory: Option<PathBuf>,
    /// The last reading: when, and what it found (`None` if it failed).
    last: Mutex<Option<(Instant, Option<Space>)>>,
}

impl Disk {
    /// The disk of the database of this URL.
    pub(in crate::store) fn of(url: &str) -> Self {
        let file = sqlite_path(url).and_then(|file| std::path::absolute(file).ok());
        let directory = file.and_then(|it| it.parent().map(PathBuf::from));
        Self { directory: directory.filter(|it| it.is_dir()), last: Mutex::new(None) }
    }

    /// Why no new webhooks may be stored; `None` if there is room, or if it is unknown.
    pub(in crate::store) fn trouble(&self) -> Option<String> {
        self.space().filter(|it| it.is_low()).map(described)
    }

    /// How much room there is, in words; `None` if it is unknown.
    pub(in crate::store) fn room(&self) -> Option<String> {
        self.space().map(in_words)
    }

    fn space(&self) -> Option<Space> {
        let directory = self.directory.as_ref()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, space)) if at.elapsed() < READ_EVERY => space,
            before => {
                let space = space_of(directory);
                log_change(before.and_then(|(_, space)| space), space);
                *last = Some((Instant::now(), space));
                space
            }
        }
    }
}

/// Why a daemon would store no new webhooks in the database of this URL: the disk of its file is
/// nearly full. `None` if there is room, if it is unknown, and on PostgreSQL.
pub fn disk_trouble(url: &str) -> Option<String> {
    Disk::of(url).trouble()
}

/// How much room the disk of the database's file has, in words. `None` if it is unknown, and on
/// PostgreSQL.
pub fn disk_room(url: &str) -> Option<String> {
    space_of(Disk::of(url).directory.as_ref()?).map(in_words)
}

/// How much room there is, and how much must be kept.
fn in_words(space: Space) -> String {
    let [free, total, floor] = [space.free, space.total, space.floor()]
        .map(|bytes| bytesize::ByteSize::b(bytes).to_string());
    format!("{free} of {total} are free, and webhooks are refused below {floor}")
}

/// Reads how much room there is; `None` if the system does not say.
fn space_of(directory: &PathBuf) -> Option<Space> {
    match rustix::fs::statvfs(directory) {
        Ok(stat) => Some(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        }),
        Err(error) => {
            tracing::debug!(%error, "the free space on the database's disk cannot be read");
            None
        }
    }
}

fn described(space: Space) -> String {
    let [free, floor] =
        [space.free, space.floor()].map(|bytes| bytesize::ByteSize::b(bytes).to_string());
    format!("its disk has {free} left, less than the {floor} that are kept free")
}

/// Logs when the disk becomes low, and when it has room again.
fn log_change(before: Option<Space>, now: Option<Space>) {
    let is_low = |space: Option<Space>| space.is_some_and(Space::is_low);
    match (is_low(before), now) {
        (false, Some(space)) if space.is_low() => {
            let why = described(space);
            tracing::warn!(why, "webhooks are answered 429 until there is more room");
        }
        (true, Some(space)) if !space.is_low() => {
            tracing::info!("the disk has room again: webhooks are taken");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_of_a_small_disk_and_a_gibibyte_of_a_large_one_are_kept_free() {
        const GIB: u64 = 1 << 30;
        for (free, total, is_low) in [
            (0, 0, false),
            (49, 1_000, true),
            (50, 1_000, false),
            (GIB - 1, 20 * GIB, true),
            (GIB, 20 * GIB, false),
            (GIB - 1, 4_000 * GIB, true),
            (GIB, 4_000 * GIB, false),
        ] {
            assert_eq!(Space { free, total }.is_low(), is_low, "{free} of {total}");
        }
    }

    #[test]
    fn only_a_sqlite_file_has_a_disk() {
        assert!(Disk::of("postgres://localhost/x").trouble().is_none());
        assert!(Disk::of("postgres://localhost/x").directory.is_none());
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("x.db").display());
        let room = disk_room(&url).expect("its disk");
        assert!(Disk::of(&url).room().is_some_and(|it| it.contains(" are free, ")));
        assert!(room.contains(" are free, and webhooks are refused below "), "{room}");
        assert_eq!(disk_room("postgres://localhost/x"), None);
        assert_eq!(Disk::of(&url).directory.as_deref(), Some(directory.path()));
    }
}
