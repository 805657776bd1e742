//! Watches the files of a configuration: by the system's events, and by looking at them.
//!
//! Directories are watched and not files, since editors and secret stores replace a file by
//! renaming another over it. An event only says that something may have changed.

use super::steps::{NameKind, steps};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    /// In nanoseconds since 1970.
    modified: i128,
}

impl FileStamp {
    /// The stamp of the file to which `path` leads; `None` if there is none.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let seconds = i128::from(metadata.mtime());
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: seconds * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        })
    }
}

/// The watch over the files of a configuration.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// `None` if the system gives none.
    watcher: Option<RecommendedWatcher>,
    /// The names whose events count.
    names: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The directories that are watched. Another directory of the same name has another stamp.
    directories: BTreeMap<PathBuf, Option<(u64, u64)>>,
    /// The files, with what was seen of each at the last look.
    files: BTreeMap<PathBuf, Option<FileStamp>>,
    /// The files that set something in what was accepted last.
    with_values: BTreeSet<PathBuf>,
    touched: Arc<Notify>,
    has_warned: bool,
}

impl FileWatch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let (names, touched) =
            (Arc::<Mutex<BTreeSet<PathBuf>>>::default(), Arc::<Notify>::default());
        let (known, told) = (names.clone(), touched.clone());
        let tell = move |event: notify::Result<notify::Event>| {
            if is_touch(event.as_ref(), &known.lock().unwrap_or_else(PoisonError::into_inner)) {
                told.notify_one();
            }
        };
        let mut watch = Self {
            watcher: None,
            names,
            directories: BTreeMap::new(),
            files: BTreeMap::new(),
            with_values: BTreeSet::new(),
            touched,
            has_warned: false,
        };
        match notify::recommended_watcher(tell) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => watch.warn(&error),
        }
        watch
    }

    /// Tells of each touch.
    pub(super) fn touched(&self) -> Arc<Notify> {
        self.touched.clone()
    }

    /// Watches these files from now on, and no others.
    pub(super) fn follow(&mut self, paths: &[PathBuf]) {
        self.files = paths
            .iter()
            .map(|path| {
                let path = absolute(path);
                let seen = FileStamp::of(&path);
                (path, seen)
            })
            .collect();
        self.renew();
    }

    /// Looks at the files. True if one is not as it was at the last look.
    pub(super) fn look(&mut self) -> bool {
        let mut is_changed = false;
        for (path, seen) in &mut self.files {
            let now = FileStamp::of(path);
            is_changed |= now != *seen;
            *seen = now;
        }
        self.renew();
        is_changed
    }

    /// Notes that a load was accepted in which these files set something.
    pub(super) fn accept(&mut self, with_values: &[PathBuf]) {
        self.with_values = with_values.iter().map(|path| absolute(path)).collect();
    }

    /// True if a file is missing or empty that set something when it was accepted: an editor may be
    /// at work.
    pub(super) fn is_unfinished(&self) -> bool {
        self.accepted().any(|(_, stamp)| stamp.is_none_or(|it| it.size == 0))
    }

    /// A file that is empty and set something when it was accepted.
    pub(super) fn emptied(&self) -> Option<&Path> {
        let is_empty = |stamp: &Option<FileStamp>| stamp.is_some_and(|it| it.size == 0);
        self.accepted().find(|(_, stamp)| is_empty(stamp)).map(|(path, _)| path.as_path())
    }

    /// A file that set something when it was accepted, and is not among those that were read now.
    pub(super) fn gone(&self, read: &[PathBuf]) -> Option<&Path> {
        let read: BTreeSet<PathBuf> = read.iter().map(|path| absolute(path)).collect();
        self.with_values.iter().find(|path| !read.contains(*path)).map(PathBuf::as_path)
    }

    /// The files that set something when they were accepted, with what was seen of them last.
    fn accepted(&self) -> impl Iterator<Item = (&PathBuf, &Option<FileStamp>)> {
        self.files.iter().filter(|(path, _)| self.with_values.contains(*path))
    }

    /// Watches the directories of all names that lead to the files now.
    fn renew(&mut self) {
        let names: BTreeSet<PathBuf> =
            self.files.keys().flat_map(|path| steps(path, kind_of)).collect();
        let wanted: BTreeMap<PathBuf, Option<(u64, u64)>> = names
            .iter()
            .filter_map(|name| name.parent())
            .map(|directory| (directory.to_owned(), identity(directory)))
            .collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let Some(watcher) = &mut self.watcher else { return };
        for (directory, known) in &self.directories {
            if wanted.get(directory) != Some(known) {
                // It may be gone, and its watch with it.
                watcher.unwatch(directory).ok();
            }
        }
        let mut failed = None;
        self.directories = wanted
            .into_iter()
            .filter(|(directory, known)| {
                if self.directories.get(directory) == Some(known) {
                    return true;
                }
                // What fails is tried again at the next look.
                let watched = watcher.watch(directory, RecursiveMode::NonRecursive);
                watched.map_err(|error| failed = Some(error)).is_ok()
            })
            .collect();
        if let Some(error) = failed {
            self.warn(&error);
        }
    }

    /// Says once that the system's events are missing.
    fn warn(&mut self, error: &notify::Error) {
        if !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                %error,
                "not all configuration files can be watched: a change may be seen a few seconds later"
            );
        }
    }
}

/// True if an event may mean that one of `names` has changed.
fn is_touch(event: Result<&notify::Event, &notify::Error>, names: &BTreeSet<PathBuf>) -> bool {
    match event {
        // The watcher has lost events.
        Err(_) => true,
        Ok(event) if event.need_rescan() || event.paths.is_empty() => true,
        Ok(event) => {
            // Reading a file changes nothing.
            !matches!(event.kind, EventKind::Access(_))
                && event.paths.iter().any(|path| names.contains(path))
        }
    }
}

/// Relative paths are of the directory in which the daemon was started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn kind_of(path: &Path) -> NameKind {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            fs::read_link(path).map_or(NameKind::Missing, NameKind::Link)
        }
        Ok(_) => NameKind::There,
        Err(_) => NameKind::Missing,
    }
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    fs::metadata(directory).ok().map(|it| (it.dev(), it.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, Event, Flag, ModifyKind};

    #[test]
    fn only_changes_of_the_names_are_touches() {
        let names = BTreeSet::from([PathBuf::from("/etc/a.toml")]);
        let event = |kind, path: &str| Event::new(kind).add_path(path.into());
        for (event, is) in [
            (event(EventKind::Create(CreateKind::File), "/etc/a.toml"), true),
            (event(EventKind::Modify(ModifyKind::Any), "/etc/a.toml"), true),
            (event(EventKind::Modify(ModifyKind::Any), "/etc/b.toml"), false),
            (event(EventKind::Access(AccessKind::Any), "/etc/a.toml"), false),
            (Event::new(EventKind::Other).set_flag(Flag::Rescan), true),
        ] {
            assert_eq!(is_touch(Ok(&event), &names), is, "{event:?}");
        }
        assert!(is_touch(Err(&notify::Error::generic("lost")), &names));
    }

    #[tokio::test]
    async fn a_file_that_appears_is_told_and_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config/local.toml");
        let mut watch = FileWatch::new();
        watch.follow(std::slice::from_ref(&path));
        assert!(!watch.look());
        fs::create_dir(directory.path().join("config")).unwrap();
        watch.touched().notified().await;
        // The directory is there, and the file is not.
        assert!(!watch.look());
        fs::write(&path, "a").unwrap();
        watch.touched().notified().await;
        assert!(watch.look() && !watch.look());
    }
}
