//! Files beside the database: the lock that keeps a second daemon off it, and the token of the admin API.

use super::{AppError, database_error};
use crate::{
    config::{self, Config},
    store::{self, StoreError},
};
use std::{
    fs::{File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Where the token of the admin API is kept where none is configured.
const TOKEN_FILE: &str = "data/admin.token";

/// Where the token of the admin API is kept: under the directory that the daemon was started in.
pub fn token_path() -> PathBuf {
    PathBuf::from(TOKEN_FILE)
}

/// On SQLite, the lock that keeps a second daemon off the file; held as long as the value lives.
///
/// # Errors
/// [`AppError::Locked`] where another daemon holds it, [`AppError::Database`] where there can be no such file.
pub(super) fn lock_database(config: &Config) -> Result<Option<File>, AppError> {
    let Some(path) = store::sqlite_path(config.database.url.expose()) else { return Ok(None) };
    let unusable = |what: String| database_error(config, StoreError::Unusable(what));
    // Only looked at: a file that this process opens and closes beside SQLite loses SQLite's locks.
    if let Ok(found) = std::fs::metadata(&path)
        && !found.is_file()
    {
        let what =
            if found.is_dir() { "a directory: name a file in it" } else { "no file: name one" };
        return Err(unusable(format!("`{}` is {what} in `database.url`", path.display())));
    }
    let cannot_be_made = |what: &Path, error: &io::Error| {
        unusable(format!(
            "`{}` cannot be made: {error}: give the user of this process the right to write there, or name \
             another file in `database.url`",
            what.display()
        ))
    };
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| cannot_be_made(parent, &error))?;
    }
    let mut name = path.clone().into_os_string();
    name.push(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| cannot_be_made(Path::new(&name), &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(AppError::Locked(path)),
        Err(TryLockError::Error(source)) => Err(file_error(Path::new(&name), source)),
    }
}

fn file_error(path: &Path, source: io::Error) -> AppError {
    AppError::File { path: path.to_owned(), source }
}

/// The configured token, or the one made at the first start and kept with mode 0600.
pub(super) fn admin_token(config: &Config) -> Result<config::Secret, AppError> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(token) = &config.admin.token {
        return Ok(token.clone());
    }
    let path = token_path();
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(config::Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file_error(&path, source)),
    }
    if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| file_error(parent, source))?;
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{token}"))
        .map_err(|source| file_error(&path, source))?;
    tracing::info!(path = %path.display(), "made a token for the admin API");
    Ok(config::Secret::new(token))
}
