//! The database file on SQLite, and the lock that keeps a second daemon off it.

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

/// On SQLite, the lock that keeps a second daemon off the file; held as long as the value lives. The database file is
/// made where there is none, and it and what belongs to it are closed to other users.
///
/// # Errors
/// [`AppError::Locked`] where another daemon holds it, [`AppError::Database`] where there can be no such file or it is
/// another user's.
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
    let found = look(&path).map_err(&unusable)?;
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        private::directory(parent, parent == Path::new(DATA_DIRECTORY))
            .map_err(|error| cannot_be_made(parent, &error))?;
    }
    let name = beside(&path, ".lock");
    let lock = private::open_or_make(&name).map_err(|error| match private::is_link(&error) {
        true => unusable(refused(&name, &Distrust::Link)),
        false => cannot_be_made(&name, &error),
    })?;
    let of_lock = lock.metadata().map_err(|source| file_error(&name, source))?;
    private::close(&name, &of_lock).map_err(|it| unusable(refused(&name, &it)))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(AppError::Locked(path)),
        Err(TryLockError::Error(source)) => return Err(file_error(&name, source)),
    }
    match found {
        Some(found) => {
            private::close(&path, &found).map_err(|it| unusable(refused(&path, &it)))?;
        }
        // SQLite makes its other files with the mode of this one.
        None => drop(private::make(&path).map_err(|error| cannot_be_made(&path, &error))?),
    }
    // SQLite follows a link to the database, and keeps its other files there.
    let real = fs::canonicalize(&path).map_err(|source| file_error(&path, source))?;
    for ending in ["-wal", "-shm"] {
        let name = beside(&real, ending);
        match fs::symlink_metadata(&name) {
            Ok(found) if found.is_symlink() => {
                return Err(unusable(refused(&name, &Distrust::Link)));
            }
            Ok(found) => {
                private::close(&name, &found).map_err(|it| unusable(refused(&name, &it)))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(file_error(&name, source)),
        }
    }
    Ok(Some(lock))
}

/// What is there under the name of the database; `None` where it is to be made. A link to a file is one of an
/// administrator who keeps it elsewhere.
///
/// # Errors
/// What is wrong with it, and what would be right.
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
    private::are_trusted([&named, &found]).map_err(|it| refused(path, &it))?;
    Ok(Some(found))
}

/// Why a file is not used, and what would be right.
fn refused(path: &Path, why: &Distrust) -> String {
    format!(
        "`{}` {why}: give it to the user of this process (`chown`), remove it, or name another file in `database.url`",
        path.display()
    )
}

/// The file beside `path` whose name has this ending more.
fn beside(path: &Path, ending: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn file_error(path: &Path, source: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), source }
}
