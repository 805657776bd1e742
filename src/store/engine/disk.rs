//! The disk of a SQLite file: how much of it is free, read at most once a second.
//!
//! A SQLite database that meets a full disk takes no write at all, not even one that would make room.
//! So new webhooks stop earlier, while jobs, pruning and the write-ahead log still have room.

use super::connect::sqlite_path;
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The shortest time between two readings.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The greatest number of bytes that is kept free.
const FLOOR_MAX: u64 = 1 << 30;
/// The part of a smaller disk that is kept free: a twentieth.
const FLOOR_PART: u64 = 20;

/// How much room a disk has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Space {
    free: u64,
    total: u64,
}

impl Space {
    /// How many bytes are to be kept free.
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
    /// The directory of the file; `None` where the database is no file here.
    directory: Option<PathBuf>,
    last: Mutex<Option<(Instant, Option<Space>)>>,
}

impl Disk {
    /// The disk of the database of this URL.
    pub(in crate::store) fn of(url: &str) -> Self {
        let file = sqlite_path(url).and_then(|it| std::path::absolute(it).ok());
        let directory = file.and_then(|it| it.parent().map(PathBuf::from));
        Self { directory: directory.filter(|it| it.is_dir()), last: Mutex::new(None) }
    }

    /// Why it may take no new webhooks; `None` when it has room, or when nobody can tell.
    pub(in crate::store) fn trouble(&self) -> Option<String> {
        let directory = self.directory.as_ref()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let space = match *last {
            Some((at, space)) if at.elapsed() < LOOK_EVERY => space,
            before => {
                let space = look(directory);
                tell(before.and_then(|it| it.1), space);
                *last = Some((Instant::now(), space));
                space
            }
        };
        space.filter(|it| it.is_low()).map(described)
    }
}

fn look(directory: &PathBuf) -> Option<Space> {
    match rustix::fs::statvfs(directory) {
        Ok(it) => Some(Space {
            free: it.f_bavail.saturating_mul(it.f_frsize),
            total: it.f_blocks.saturating_mul(it.f_frsize),
        }),
        Err(error) => {
            tracing::debug!(%error, "nobody can tell how much of the database's disk is free");
            None
        }
    }
}

fn described(it: Space) -> String {
    let [free, floor] = [it.free, it.floor()].map(|it| bytesize::ByteSize::b(it).to_string());
    format!("its disk has {free} left, less than the {floor} that are kept free")
}

fn tell(before: Option<Space>, now: Option<Space>) {
    let is_low = |it: Option<Space>| it.is_some_and(Space::is_low);
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
        assert_eq!(Disk::of(&url).directory.as_deref(), Some(directory.path()));
    }
}
