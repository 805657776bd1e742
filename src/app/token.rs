//! The token of the admin API. If none is configured, the first start makes one.

use super::{AppError, private};
use crate::{
    config::{Config, Secret},
    http::FallbackToken,
};
use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// The file that keeps the token if none is configured.
const TOKEN_FILE: &str = "data/admin.token";
/// The least characters of a token.
const CHARS_MIN: usize = 24;
/// The most bytes of a file with a token.
const BYTES_MAX: u64 = 4_096;
/// How long to wait for another process that writes the token.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// The pause between two tries to get the file's lock.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The file that keeps the token of the admin API, relative to the directory in which the daemon
/// was started.
pub fn token_path() -> PathBuf {
    PathBuf::from(TOKEN_FILE)
}

/// Reads a token, without the blanks around it.
///
/// # Errors
/// If it cannot be read, is longer than any token, or is not UTF-8.
pub fn read_token(from: &mut impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    let length = from.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|bytes| bytes > BYTES_MAX) {
        let what = format!("it has more than {BYTES_MAX} bytes, and a token is one short line");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    Ok(text.trim().to_owned())
}

/// Sees to it that there is a token: if none is configured, reads the one in the token file, or
/// makes that file with mode 0600. Once it is read, it stays the same until the end of the process.
/// True if it was made just now.
///
/// # Errors
/// If the file cannot be read or made, or holds no token that can be trusted.
pub(super) async fn ensure_token(
    config: &Config,
    fallback: &FallbackToken,
) -> Result<bool, AppError> {
    if config.admin.token.is_some() || fallback.is_set() {
        return Ok(false);
    }
    let (token, is_new) = kept(&token_path()).await?;
    fallback.set(token);
    Ok(is_new)
}

/// The token in this file, and true if it was made just now. Makes the file if there is none.
async fn kept(path: &Path) -> Result<(Secret, bool), AppError> {
    let failed = |source| AppError::File { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        private::directory(parent, true).map_err(failed)?;
    }
    // Usually the token exists already.
    match private::open(path, private::Access::Read) {
        Ok(mut file) => {
            let text = trusted(path, &mut file)?;
            if !text.is_empty() {
                return Ok((token(path, text)?, false));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unopened(path, error)),
    }
    // Otherwise make one, unless another process has just done so.
    let mut file = private::open_or_make(path).map_err(|error| unopened(path, error))?;
    wait_for_lock(&file).await.map_err(failed)?;
    let text = trusted(path, &mut file)?;
    if !text.is_empty() {
        return Ok((token(path, text)?, false));
    }
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    write(path, &mut file, &token).map_err(failed)?;
    tracing::info!(path = %path.display(), "made a token for the admin API");
    Ok((Secret::new(token), true))
}

/// Waits for the lock of the token file. If two processes start for the first time at once, the
/// second waits for the token of the first.
async fn wait_for_lock(file: &File) -> io::Result<()> {
    let until = Instant::now() + WRITTEN_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(TryLockError::WouldBlock) => {
                let what = "it is empty, and another process holds it: stop that one";
                return Err(io::Error::new(ErrorKind::WouldBlock, what));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The content of a token file that belongs to us. Closes the file to others.
///
/// # Errors
/// If the file cannot be read, or another user could have written it.
fn trusted(path: &Path, file: &mut File) -> Result<String, AppError> {
    let failed = |source| AppError::File { path: path.to_owned(), source };
    match private::close_opened(file).map_err(failed)? {
        Ok(false) => {}
        Ok(true) => tracing::warn!(
            path = %path.display(),
            "the admin token was open to other users: its mode is 0600 now. Whoever may have read it has it: delete \
             the file and start again for a new one"
        ),
        Err(distrust) => return Err(refused(path, &distrust.to_string())),
    }
    read_token(file).map_err(failed)
}

fn unopened(path: &Path, error: io::Error) -> AppError {
    match private::is_link(&error) {
        true => refused(path, &private::Distrust::Link.to_string()),
        false => AppError::File { path: path.to_owned(), source: error },
    }
}

fn token(path: &Path, text: String) -> Result<Secret, AppError> {
    let count = text.chars().count();
    if count < CHARS_MIN || text.chars().any(char::is_control) {
        let why = format!("holds no token: expected one line of {CHARS_MIN} characters or more");
        return Err(refused(path, &why));
    }
    Ok(Secret::new(text))
}

fn refused(path: &Path, why: &str) -> AppError {
    let why = format!(
        "{why}: remove it, so that the next start makes a token of its own, or set `admin.token`"
    );
    AppError::Refused { path: path.to_owned(), why }
}

/// Writes the token and syncs the file and its directory, so that it survives a crash.
fn write(path: &Path, file: &mut File, token: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_short_line() {
        let path = Path::new("t");
        for (text, is_token) in [
            ("0123456789abcdef01234567", true),
            ("κλειδίκλειδίκλειδίκλειδί", true),
            ("0123456789abcdef0123456", false),
            ("0123456789abcdef\n0123456789abcdef", false),
            ("", false),
        ] {
            assert_eq!(token(path, text.to_owned()).is_ok(), is_token, "{text}");
        }
        assert_eq!(read_token(&mut " a\r\n".as_bytes()).unwrap(), "a");
        assert!(read_token(&mut io::repeat(b'x')).is_err(), "read without an end");
        assert!(read_token(&mut [0xff_u8].as_slice()).is_err());
    }

    #[tokio::test]
    async fn starts_at_once_use_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("admin.token");
        let all = futures_util::future::join_all((0..8).map(|_| kept(&path))).await;
        let all: Vec<(Secret, bool)> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(all.iter().filter(|(_, is_new)| *is_new).count(), 1, "one has made it");
        let tokens: std::collections::HashSet<String> =
            all.into_iter().map(|(token, _)| token.expose().to_owned()).collect();
        assert_eq!(tokens.len(), 1);
        assert!(tokens.contains(std::fs::read_to_string(&path).unwrap().trim()));
    }
}
