//! Files and directories that are for the user of this process alone: how they are made, and how those are judged
//! that are there already.

use rustix::{fs::OFlags, io::Errno, process::geteuid};
use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Read and write for the owner.
const FILE_MODE: u32 = 0o600;
/// All for the owner.
const DIRECTORY_MODE: u32 = 0o700;
/// What group and others may do.
const OF_OTHERS: u32 = 0o077;
/// What everybody may do.
const OF_EVERYBODY: u32 = 0o007;
/// Writing, for group and others.
const WRITE_OF_OTHERS: u32 = 0o022;
/// In a directory: only its owner removes a file.
const STICKY: u32 = 0o1000;
/// Whom everybody on a machine trusts.
const ROOT: u32 = 0;

/// Why a file is not used: what is wrong with it, to be read behind its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    /// Somebody else made it.
    #[error("belongs to another user (id {owner}), who can change what is in it")]
    Foreign {
        /// Whose it is.
        owner: u32,
    },
    /// What is written there would be somewhere else.
    #[error("is a symbolic link, which is not followed")]
    Link,
    /// Nothing can be kept in it.
    #[error("is no file")]
    NoFile,
    /// It is root's, so that its mode cannot be changed here.
    #[error("belongs to root and is open to other users (mode {:04o})", .mode & 0o7777)]
    Open {
        /// Its mode.
        mode: u32,
    },
}

/// Who gets at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its owner alone, who is trusted.
    Private,
    /// It is ours, and others get at it.
    OursAndOpen,
    /// It is root's, and others get at it: without that, this process would not.
    RootsAndOpen,
    /// It is another user's.
    Foreign,
}

/// Who gets at a file of this owner and mode, where `me` is the user of this process.
const fn standing(owner: u32, mode: u32, me: u32) -> Standing {
    if owner != me && owner != ROOT {
        return Standing::Foreign;
    }
    match (mode & OF_OTHERS, owner == me) {
        (0, _) => Standing::Private,
        (_, true) => Standing::OursAndOpen,
        (_, false) => Standing::RootsAndOpen,
    }
}

/// Whether other users could exchange files in a directory of this owner and mode.
const fn is_shared(owner: u32, mode: u32, me: u32) -> bool {
    let is_foreign = owner != me && owner != ROOT;
    is_foreign || (mode & WRITE_OF_OTHERS != 0 && mode & STICKY == 0)
}

fn me() -> u32 {
    geteuid().as_raw()
}

fn standing_of(found: &Metadata) -> Standing {
    standing(found.uid(), found.mode(), me())
}

fn shown(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Only read.
    Read,
    /// Also written.
    Write,
}

/// Opens a file that is there. Follows no link, and does not wait for the other end of a pipe.
///
/// # Errors
/// When there is none, when it is a link ([`is_link`]), when the system refuses.
pub(super) fn open(path: &Path, access: Access) -> io::Result<File> {
    options(access).open(path)
}

/// Opens a file to be written, and makes one of mode 0600 where there is none. Follows no link.
///
/// # Errors
/// As [`open`].
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    // Not with `create`: the system refuses that for a file of another user in some directories, and this is to
    // say whose it is.
    let opened = open(path, Access::Write);
    if !opened.as_ref().is_err_and(|it| it.kind() == ErrorKind::NotFound) {
        return opened;
    }
    match make(path) {
        // Another process was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(path, Access::Write),
        made => made,
    }
}

/// Makes an empty file of mode 0600.
///
/// # Errors
/// When there is something of that name, also a link that leads nowhere; when the system refuses.
pub(super) fn make(path: &Path) -> io::Result<File> {
    options(Access::Write).create_new(true).mode(FILE_MODE).open(path)
}

fn options(access: Access) -> fs::OpenOptions {
    let mut options = File::options();
    options
        .read(true)
        .write(access == Access::Write)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Whether a file was not opened because it is a link.
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Judges a file that was found. One of ours that others get at is to be closed to them.
///
/// # Errors
/// [`Distrust`], where it is no file, or somebody else's.
pub(super) fn judge(found: &Metadata) -> Result<IsOpen, Distrust> {
    if !found.is_file() {
        return Err(Distrust::NoFile);
    }
    match standing_of(found) {
        Standing::Private => Ok(IsOpen::No),
        Standing::OursAndOpen => Ok(IsOpen::Ours),
        Standing::RootsAndOpen => Ok(IsOpen::Roots),
        Standing::Foreign => Err(Distrust::Foreign { owner: found.uid() }),
    }
}

/// Judges the owners alone: of a file, and of a link that leads to it.
///
/// # Errors
/// [`Distrust::Foreign`].
pub(super) fn are_trusted<'a>(
    found: impl IntoIterator<Item = &'a Metadata>,
) -> Result<(), Distrust> {
    match found.into_iter().find(|it| standing_of(it) == Standing::Foreign) {
        Some(foreign) => Err(Distrust::Foreign { owner: foreign.uid() }),
        None => Ok(()),
    }
}

/// Whether others than its owner get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IsOpen {
    /// They do not.
    No,
    /// They do, and this process can change it.
    Ours,
    /// They do, and only root can change it.
    Roots,
}

/// Judges a file by its name and closes it to others where it is ours; where that does not work or it is root's, the
/// log says so. The file is not opened: one that this process opens and closes beside SQLite loses SQLite's locks.
///
/// # Errors
/// [`Distrust`], where it is no file, or somebody else's.
pub(super) fn close(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    let (shown_path, mode) = (path.display(), shown(found.mode()));
    match judge(found)? {
        IsOpen::No => {}
        IsOpen::Ours => match fs::set_permissions(path, Permissions::from_mode(FILE_MODE)) {
            Ok(()) => tracing::info!(
                path = %shown_path,
                was = mode,
                "a file was open to other users: its mode is 0600 now"
            ),
            Err(error) => tracing::warn!(
                path = %shown_path,
                mode,
                %error,
                "a file is open to other users, and its mode cannot be changed"
            ),
        },
        IsOpen::Roots if found.mode() & OF_EVERYBODY != 0 => tracing::warn!(
            path = %shown_path,
            mode,
            "a file of root's is open to every user of the machine: take that away with `chmod o=`"
        ),
        // A group of root's choice, by which this process gets at it, too.
        IsOpen::Roots => {}
    }
    Ok(())
}

/// Closes an open file to others, where it is ours; true where that was needed.
///
/// # Errors
/// [`Distrust`], where it is no file, somebody else's, or root's and open to others; or the system's refusal.
pub(super) fn close_opened(file: &File) -> io::Result<Result<bool, Distrust>> {
    let found = file.metadata()?;
    Ok(match judge(&found) {
        Ok(IsOpen::No) => Ok(false),
        Ok(IsOpen::Ours) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            Ok(true)
        }
        Ok(IsOpen::Roots) => Err(Distrust::Open { mode: found.mode() }),
        Err(distrust) => Err(distrust),
    })
}

/// Makes a directory, and those above it, with mode 0700. One that is there stays as it is, unless it `is_ours` by
/// its name, too: then it is closed to others. The log says where others could exchange files in it.
///
/// # Errors
/// When the system refuses.
pub(super) fn directory(path: &Path, is_ours: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
        }
        Err(error) => return Err(error),
        Ok(found) => {
            if is_ours && found.is_dir() && standing_of(&found) == Standing::OursAndOpen {
                fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?;
                tracing::info!(
                    path = %path.display(),
                    was = shown(found.mode()),
                    "the data directory was open to other users: its mode is 0700 now"
                );
            }
        }
    }
    let found = fs::metadata(path)?;
    if is_shared(found.uid(), found.mode(), me()) {
        tracing::warn!(
            path = %path.display(),
            mode = shown(found.mode()),
            owner = found.uid(),
            "other users can exchange files in this directory: keep data in one that only the user of this \
             process can write to"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_user_and_of_root_are_trusted() {
        const ME: u32 = 1000;
        for (owner, mode, me, expected) in [
            (ME, 0o100_600, ME, Standing::Private),
            (ME, 0o100_400, ME, Standing::Private),
            (ME, 0o100_640, ME, Standing::OursAndOpen),
            (ME, 0o100_604, ME, Standing::OursAndOpen),
            (ME, 0o100_602, ME, Standing::OursAndOpen),
            (ROOT, 0o100_600, ME, Standing::Private),
            (ROOT, 0o100_640, ME, Standing::RootsAndOpen),
            (ROOT, 0o100_644, ROOT, Standing::OursAndOpen),
            (ME, 0o100_600, ROOT, Standing::Foreign),
            (65_534, 0o100_600, ME, Standing::Foreign),
            (65_534, 0o100_666, ME, Standing::Foreign),
        ] {
            assert_eq!(standing(owner, mode, me), expected, "{owner} {mode:o} {me}");
        }
    }

    #[test]
    fn a_directory_is_shared_where_others_could_exchange_files() {
        for (owner, mode, is) in [
            (7, 0o40_700, false),
            (7, 0o40_755, false),
            (7, 0o40_775, true),
            (7, 0o40_777, true),
            (7, 0o41_777, false),
            (ROOT, 0o40_750, false),
            (ROOT, 0o41_777, false),
            (8, 0o40_700, true),
            (8, 0o41_777, true),
        ] {
            assert_eq!(is_shared(owner, mode, 7), is, "{owner} {mode:o}");
        }
    }
}
