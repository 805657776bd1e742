//! A backup of a SQLite database, while a daemon uses it or not.

use super::{AppError, database_error, files::beside, private, process};
use crate::{
    config::Config,
    store::{self, StoreError, StoreRuntime},
};
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// The end of the name of a backup that is not finished.
const PART_ENDING: &str = ".part";

/// A finished backup.
#[derive(Clone, Copy, Debug)]
pub struct BackedUp {
    /// The size of the file.
    pub bytes: u64,
    /// How long it took, with its check.
    pub took: Duration,
}

/// Copies the SQLite database of this configuration to the new file `to`, with mode 0600. The copy
/// is of one moment, checked and flushed to the disk when this returns. If it fails, there is no
/// `to`.
///
/// # Errors
/// If the database is no SQLite file or cannot be read, `to` exists, its disk has no room, or the
/// copy is damaged.
pub fn back_up(config: &Config, to: &Path) -> Result<BackedUp, AppError> {
    process::close_to_others()?;
    let started = Instant::now();
    // Check both ends.
    let from = store::sqlite_path(config.database.url.expose()).ok_or_else(|| {
        let only = "only a SQLite file is copied; PostgreSQL has `pg_dump`".to_owned();
        database_error(config, StoreError::Unusable(only))
    })?;
    let size = fs::metadata(&from).map_err(|source| file_error(&from, source))?.len();
    let refused = |why: String| AppError::Refused { path: to.to_owned(), why };
    if fs::symlink_metadata(to).is_ok() {
        return Err(refused(
            "exists, and a backup overwrites nothing: name another file".to_owned(),
        ));
    }
    let directory = directory_of(to);
    let stat =
        rustix::fs::statvfs(&directory).map_err(|error| file_error(&directory, error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < size {
        let [free, size] = [free, size].map(|bytes| bytesize::ByteSize::b(bytes).to_string());
        return Err(refused(format!(
            "has no room: its disk has {free} free, and the database has {size}"
        )));
    }
    // Copy under another name, so that a backup that is broken off does not look like one.
    let part = Part::make(beside(to, PART_ENDING))?;
    let runtime = StoreRuntime::start()?;
    let (database, copy) = (&config.database, &part.0);
    runtime
        .handle()
        .block_on(store::back_up_sqlite(database, copy))
        .map_err(|source| database_error(config, source))?;
    File::open(copy).and_then(|it| it.sync_all()).map_err(|source| file_error(copy, source))?;
    let damaged = |source| AppError::Database { url: copy.display().to_string(), source };
    runtime.handle().block_on(store::check_copy(copy)).map_err(damaged)?;
    // Give it its name. Another backup to `to` would have met the other name.
    fs::rename(copy, to).map_err(|source| file_error(to, source))?;
    std::mem::forget(part);
    let synced = File::open(&directory).and_then(|it| it.sync_all());
    synced.map_err(|source| file_error(&directory, source))?;
    let bytes = fs::metadata(to).map_err(|source| file_error(to, source))?.len();
    Ok(BackedUp { bytes, took: started.elapsed() })
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The file of a backup that is not finished. Dropping it removes the file.
struct Part(PathBuf);

impl Part {
    /// Makes the empty file.
    fn make(path: PathBuf) -> Result<Self, AppError> {
        match private::make(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let why = "exists: another backup writes it, or one was broken off; then remove it";
                Err(AppError::Refused { path, why: why.to_owned() })
            }
            Err(source) => Err(file_error(&path, source)),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the unfinished backup is left behind");
        }
    }
}

fn file_error(path: &Path, source: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), source }
}
