//! On SQLite: the database file, and the lock that keeps a second daemon off it.

use super::{
    AppError, database_error,
    private::{self, Distrust},
};
use crate::{
    config::Config,
    store::{self, StoreError},
};
use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The directory that `database.url` names by default.
const DATA_DIRECTORY: &str = "data";
/// The end of the name of the file that is locked.
const LOCK_ENDING: &str = ".lock";

/// On SQLite, takes the lock that keeps a second daemon off the database file; `None` on
/// PostgreSQL. The lock is held as long as the value lives.
///
/// Makes the database file if there is none, and closes it and the files beside it to other users.
///
/// # Errors
/// [`AppError::Locked`] if another daemon holds the lock. [`AppError::Database`] if the file cannot
/// be made, or belongs to another user.
pub(super) fn lock_database(config: &Config) -> Result<Option<File>, AppError> {
    let Some(path) = store::sqlite_path(config.database.url.expose()) else { return Ok(None) };
    let unusable = |what: String| database_error(config, StoreError::Unusable(what));
    let cannot_be_made = |what: &Path, error: &io::Error| {
        unusable(format!(
            "`{}` cannot be made: {error}: give the user of this process the right to write there, or name \
             another file in `database.url`",
            what.display()
        ))
    };
    // Check the database file and make its directory.
    let found = look(&path).map_err(&unusable)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        private::directory(parent, parent == Path::new(DATA_DIRECTORY))
            .map_err(|error| cannot_be_made(parent, &error))?;
    }
    // Take the lock.
    let name = lock_path(&path);
    let lock = private::open_or_make(&name).map_err(|error| match private::is_link(&error) {
        true => unusable(refused(&name, &Distrust::Link)),
        false => cannot_be_made(&name, &error),
    })?;
    let of_lock = lock.metadata().map_err(|source| file_error(&name, source))?;
    private::close(&name, &of_lock).map_err(|distrust| unusable(refused(&name, &distrust)))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AppError::Locked(path)),
        Err(TryLockError::Error(source)) => return Err(file_error(&name, source)),
    }
    // Make the database file, or close it to other users.
    match found {
        Some(found) => {
            private::close(&path, &found)
                .map_err(|distrust| unusable(refused(&path, &distrust)))?;
        }
        // SQLite gives its other files the mode of this one.
        None => drop(private::make(&path).map_err(|error| cannot_be_made(&path, &error))?),
    }
    // Close the files beside it. If the path is a link, SQLite keeps them where it leads.
    let real = fs::canonicalize(&path).map_err(|source| file_error(&path, source))?;
    for ending in ["-wal", "-shm"] {
        let name = beside(&real, ending);
        match fs::symlink_metadata(&name) {
            Ok(found) if found.is_symlink() => {
                return Err(unusable(refused(&name, &Distrust::Link)));
            }
            Ok(found) => {
                private::close(&name, &found)
                    .map_err(|distrust| unusable(refused(&name, &distrust)))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(file_error(&name, source)),
        }
    }
    Ok(Some(lock))
}

/// The database file, if it exists. A link to a file is allowed: an administrator may keep the file
/// elsewhere.
///
/// # Errors
/// What is wrong with the file, and what would be right.
fn look(path: &Path) -> Result<Option<Metadata>, String> {
    let Ok(named) = fs::symlink_metadata(path) else { return Ok(None) };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(_) if named.is_symlink() => {
            return Err(format!(
                "`{}` is a symbolic link that leads to no file: remove it, or name the file in `database.url`",
                path.display()
            ));
        }
        Err(error) => return Err(format!("`{}` cannot be looked at: {error}", path.display())),
    };
    if !found.is_file() {
        let what =
            if found.is_dir() { "a directory: name a file in it" } else { "no file: name one" };
        return Err(format!("`{}` is {what} in `database.url`", path.display()));
    }
    private::are_trusted([&named, &found]).map_err(|distrust| refused(path, &distrust))?;
    Ok(Some(found))
}

/// Why a file is not used, and what would be right.
fn refused(path: &Path, why: &Distrust) -> String {
    format!(
        "`{}` {why}: give it to the user of this process (`chown`), remove it, or name another file in `database.url`",
        path.display()
    )
}

/// The file whose lock keeps a second daemon off the SQLite file `path`.
pub fn lock_path(path: &Path) -> PathBuf {
    beside(path, LOCK_ENDING)
}

/// The process that holds the lock of the file; `None` if there is none, or if the system does not
/// tell. The lock itself is not touched: a start at that moment would fail.
pub fn holder_of(path: &Path) -> Option<u32> {
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).ok()?);
    holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// The process with a lock on the whole file of this inode, in the system's list of locks:
/// `7: FLOCK  ADVISORY  WRITE 4711 fd:01:131090 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    locks.lines().find_map(|lock| {
        let fields: Vec<&str> = lock.split_whitespace().collect();
        match fields.as_slice() {
            // A process that only waits has `->` in the second place.
            [_, "FLOCK", _, _, pid, file, ..] if file.rsplit(':').next() == Some(&inode) => {
                pid.parse().ok()
            }
            _ => None,
        }
    })
}

/// The path of the file beside `path` whose name is longer by `ending`.
pub(super) fn beside(path: &Path, ending: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn file_error(path: &Path, source: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_the_one_with_the_lock_on_that_file() {
        let locks = "1: POSIX  ADVISORY  READ 7 fd:01:99 128 128\n\
                     2: FLOCK  ADVISORY  WRITE 4711 fd:01:99 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4712 fd:01:98 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4713 fd:01:199 0 EOF\n";
        for (inode, pid) in [(99, Some(4711)), (98, None), (199, Some(4713)), (9, None)] {
            assert_eq!(holder_in(locks, inode), pid, "{inode}");
        }
        assert_eq!(holder_in("nonsense\n\n", 1), None);
    }
}
