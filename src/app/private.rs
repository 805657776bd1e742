//! Files and directories for the user of this process alone: how they are made, and how existing
//! ones are checked.

use rustix::{fs::OFlags, io::Errno, process::geteuid};
use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// The mode of files: the owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The mode of directories: the owner may do everything.
const DIRECTORY_MODE: u32 = 0o700;
/// The bits of the group and of all other users.
const OF_OTHERS: u32 = 0o077;
/// The bits of all other users.
const OF_EVERYBODY: u32 = 0o007;
/// The bits that let the group and other users write.
const WRITE_OF_OTHERS: u32 = 0o022;
/// The bit of a directory in which only the owner of a file may remove it.
const STICKY: u32 = 0o1000;
/// The user whom every other user trusts.
const ROOT: u32 = 0;

/// Why a file is not used. The text is to be read after the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It belongs to another user.
    #[error("belongs to another user (id {owner}), who can change what is in it")]
    Foreign {
        /// The user's id.
        owner: u32,
    },
    /// It is a link, so writing to it would change another file.
    #[error("is a symbolic link, which is not followed")]
    Link,
    /// It is not a regular file.
    #[error("is no file")]
    NoFile,
    /// It belongs to root, so this process cannot change its mode.
    #[error("belongs to root and is open to other users (mode {:04o})", .mode & 0o7777)]
    Open {
        /// The file's mode.
        mode: u32,
    },
}

/// Who can use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileAccess {
    /// Only its owner, who is trusted.
    Private,
    /// It belongs to this process's user, and others can use it.
    OursAndOpen,
    /// It belongs to root, and others can use it. This process needs that.
    RootsAndOpen,
    /// It belongs to another user.
    Foreign,
}

/// Who can use a file with this owner and mode; `me` is the user of this process.
const fn standing(owner: u32, mode: u32, me: u32) -> FileAccess {
    if owner != me && owner != ROOT {
        return FileAccess::Foreign;
    }
    match (mode & OF_OTHERS, owner == me) {
        (0, _) => FileAccess::Private,
        (_, true) => FileAccess::OursAndOpen,
        (_, false) => FileAccess::RootsAndOpen,
    }
}

/// True if other users can replace files in a directory with this owner and mode.
const fn is_shared(owner: u32, mode: u32, me: u32) -> bool {
    let is_foreign = owner != me && owner != ROOT;
    is_foreign || (mode & WRITE_OF_OTHERS != 0 && mode & STICKY == 0)
}

/// True if users other than this process's and root can replace files in this directory.
pub fn others_can_exchange_files(directory: &Metadata) -> bool {
    is_shared(directory.uid(), directory.mode(), me())
}

fn me() -> u32 {
    geteuid().as_raw()
}

fn standing_of(found: &Metadata) -> FileAccess {
    standing(found.uid(), found.mode(), me())
}

fn shown(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It is opened for reading only.
    Read,
    /// It is opened for reading and writing.
    Write,
}

/// Opens an existing file. Does not follow a link, and does not wait for the other end of a pipe.
///
/// # Errors
/// If there is no file, if it is a link ([`is_link`]), or if the system refuses.
pub(super) fn open(path: &Path, access: Access) -> io::Result<File> {
    options(access).open(path)
}

/// Opens a file for writing. If there is none, makes one with mode 0600. Does not follow a link.
///
/// # Errors
/// As [`open`].
pub(super) fn open_or_make(path: &Path) -> io::Result<File> {
    // Without `create`: in some directories the system refuses that for a file of another user, and
    // then the error would not tell the owner.
    let opened = open(path, Access::Write);
    if !opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return opened;
    }
    match make(path) {
        // Another process made it first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open(path, Access::Write),
        made => made,
    }
}

/// Makes an empty file with mode 0600.
///
/// # Errors
/// If the name exists, even as a link to nothing, or if the system refuses.
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

/// True if a file was not opened because it is a link.
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Checks an existing file, and says whether others can use it.
///
/// # Errors
/// [`Distrust`] if it is not a regular file, or belongs to another user.
pub fn judge(found: &Metadata) -> Result<IsOpen, Distrust> {
    if !found.is_file() {
        return Err(Distrust::NoFile);
    }
    match standing_of(found) {
        FileAccess::Private => Ok(IsOpen::No),
        FileAccess::OursAndOpen => Ok(IsOpen::Ours),
        FileAccess::RootsAndOpen => Ok(IsOpen::Roots),
        FileAccess::Foreign => Err(Distrust::Foreign { owner: found.uid() }),
    }
}

/// Checks only the owners: of a file, and of a link that leads to it.
///
/// # Errors
/// [`Distrust::Foreign`] if one of them is another user.
pub(super) fn are_trusted<'a>(
    found: impl IntoIterator<Item = &'a Metadata>,
) -> Result<(), Distrust> {
    match found.into_iter().find(|metadata| standing_of(metadata) == FileAccess::Foreign) {
        Some(foreign) => Err(Distrust::Foreign { owner: foreign.uid() }),
        None => Ok(()),
    }
}

/// Whether others than its owner can use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsOpen {
    /// Only its owner can.
    No,
    /// Others can, and this process can change that.
    Ours,
    /// Others can, and only root can change that.
    Roots,
}

/// Closes a file to others, if it is ours. If that fails, or if it belongs to root and is open to
/// all, logs a warning.
///
/// It does not open the file: a process that opens and closes a database file besides SQLite loses
/// SQLite's locks on it.
///
/// # Errors
/// [`Distrust`] if it is not a regular file, or belongs to another user.
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
        // Root chose a group that may use the file, and this process is in it.
        IsOpen::Roots => {}
    }
    Ok(())
}

/// Closes an open file to others, if it is ours. True if that was needed.
///
/// # Errors
/// [`Distrust`] if it is not a regular file, belongs to another user, or belongs to root and is
/// open to others. An error of the system if it refuses.
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

/// Makes a directory, and those above it, with mode 0700. An existing directory keeps its mode,
/// unless `is_ours` says that it is the daemon's own: then it is closed to others. Logs a warning
/// if others can replace files in it.
///
/// # Errors
/// If the system refuses.
pub(super) fn directory(path: &Path, is_ours: bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
        }
        Err(error) => return Err(error),
        Ok(found) => {
            if is_ours && found.is_dir() && standing_of(&found) == FileAccess::OursAndOpen {
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
    if others_can_exchange_files(&found) {
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
            (ME, 0o100_600, ME, FileAccess::Private),
            (ME, 0o100_400, ME, FileAccess::Private),
            (ME, 0o100_640, ME, FileAccess::OursAndOpen),
            (ME, 0o100_604, ME, FileAccess::OursAndOpen),
            (ME, 0o100_602, ME, FileAccess::OursAndOpen),
            (ROOT, 0o100_600, ME, FileAccess::Private),
            (ROOT, 0o100_640, ME, FileAccess::RootsAndOpen),
            (ROOT, 0o100_644, ROOT, FileAccess::OursAndOpen),
            (ME, 0o100_600, ROOT, FileAccess::Foreign),
            (65_534, 0o100_600, ME, FileAccess::Foreign),
            (65_534, 0o100_666, ME, FileAccess::Foreign),
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
