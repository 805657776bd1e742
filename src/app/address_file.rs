//! The file in which a running daemon keeps the address on which it listens.
//!
//! A changed `server.bind` waits for a restart, so its files no longer tell where the daemon is.
//! The daemon holds the lock of this file as long as it runs: without the lock, the file is of a
//! daemon that has ended.

use super::{files::holder_of, private};
use crate::config::{Config, Loaded, Sources};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf, absolute},
};

/// The file, relative to the directory in which the daemon was started.
const ADDRESS_FILE: &str = "data/daemon.json";

/// Where the daemon of some files listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DaemonAddress {
    /// The address that it was started with.
    pub bind: SocketAddr,
    /// True if it listens over TLS.
    pub tls: bool,
    /// The files that it reads, as absolute paths, the lowest layer first.
    files: Vec<PathBuf>,
}

impl DaemonAddress {
    fn of(config: &Config, sources: &Sources) -> io::Result<Self> {
        Ok(Self {
            bind: config.server.bind,
            tls: config.server.tls.is_some(),
            files: files_of(sources)?,
        })
    }

    /// The address of a daemon that runs in this directory and reads the same files. `None` if
    /// there is none, or if another user could have written the file.
    pub fn of_running(sources: &Sources) -> Option<Self> {
        Self::kept_in(Path::new(ADDRESS_FILE), sources)
    }

    fn kept_in(path: &Path, sources: &Sources) -> Option<Self> {
        private::judge(&fs::symlink_metadata(path).ok()?).ok()?;
        holder_of(path)?;
        let address: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        // Another daemon in the same directory must not be taken for this one.
        (address.files == files_of(sources).ok()?).then_some(address)
    }
}

fn files_of(sources: &Sources) -> io::Result<Vec<PathBuf>> {
    sources.wanted().into_iter().map(absolute).collect()
}

/// Keeps the address of this daemon until the value is dropped. If that fails, commands find the
/// daemon by its configuration only, so the log tells it and the daemon runs all the same.
pub(super) fn keep_address(loaded: &Loaded) -> Option<File> {
    let path = Path::new(ADDRESS_FILE);
    kept(path, loaded).unwrap_or_else(|error| {
        tracing::info!(
            path = %path.display(),
            %error,
            "the address of this daemon cannot be kept: if `server.bind` changes, commands need --url until the restart"
        );
        None
    })
}

/// The locked file; `None` if another daemon in this directory holds it.
fn kept(path: &Path, loaded: &Loaded) -> io::Result<Option<File>> {
    let address = DaemonAddress::of(&loaded.config, loaded.sources())?;
    if let Some(parent) = path.parent() {
        private::directory(parent, true)?;
    }
    let mut file = private::open_or_make(path)?;
    private::close_opened(&file)?.map_err(io::Error::other)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(&address)?)?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_a_daemon_that_runs_with_the_same_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("daemon.json");
        let sources = Sources { has_local: true, ..Sources::default() };
        let loaded = Loaded::load(&sources).unwrap();
        assert_eq!(DaemonAddress::kept_in(&path, &sources), None);
        let held = kept(&path, &loaded).unwrap().expect("held by nobody");
        assert!(kept(&path, &loaded).unwrap().is_none(), "a second daemon holds nothing");
        let found = DaemonAddress::kept_in(&path, &sources).expect("an address");
        assert_eq!((found.bind, found.tls), (loaded.config.server.bind, false));
        let others = Sources { files: vec!["other.toml".into()], ..Sources::default() };
        assert_eq!(DaemonAddress::kept_in(&path, &others), None);
        drop(held);
        assert_eq!(DaemonAddress::kept_in(&path, &sources), None, "it has ended");
    }
}
