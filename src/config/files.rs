//! Reads the files of a configuration: only regular files, and only up to a bound.

use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// The bits of a mode that let the group or everybody read.
const OTHERS_READ: u32 = 0o044;

/// The content of a file.
pub(super) struct FilesFound {
    pub(super) text: String,
    /// The file's permissions, if they let the group or everybody read it.
    pub(super) open_mode: Option<u32>,
}

/// Reads a regular file of at most `bytes_max` bytes.
///
/// It opens the file without waiting, since a pipe would block the process until somebody writes to
/// it. It checks the kind and the length of the opened file, since the name may stand for another
/// file by then.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<FilesFound, String> {
    // The kind is checked before opening, too: merely opening a device may have an effect.
    regular(&std::fs::metadata(path).map_err(|error| error.to_string())?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| io::Error::from(error).to_string())?);
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    regular(&metadata)?;
    let mut bytes = Vec::new();
    let limit = bytes_max.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(format!("it has more than {bytes_max} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(FilesFound { text, open_mode: (mode & OTHERS_READ != 0).then_some(mode) })
}

fn regular(metadata: &std::fs::Metadata) -> Result<(), String> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "a directory" } else { "a pipe, a socket or a device" };
    Err(format!("it is {what}: only regular files are read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_so_much_of_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("value");
        std::fs::write(&path, "12345678").expect("a file");
        assert_eq!(read_bounded(&path, 8).map(|it| it.text), Ok("12345678".to_owned()));
        let reason =
            |path: &Path, bytes_max| read_bounded(path, bytes_max).err().expect("an error");
        assert_eq!(reason(&path, 7), "it has more than 7 bytes");
        std::fs::write(&path, b"\xff\xfe").expect("a file");
        assert!(reason(&path, 7).contains("UTF-8"));
        assert!(reason(dir.path(), 7).contains("a directory"));
        assert!(reason(&dir.path().join("none"), 7).contains("No such file"));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("a pipe");
        for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/stdin")] {
            assert!(reason(path, 7).contains("only regular files"), "{}", path.display());
        }
        // The system gives its length as 0, and yet it has content.
        assert!(reason(Path::new("/proc/self/smaps"), 7).contains("more than 7 bytes"));
        // A link to a regular file is one: secret stores swap their files by links.
        let link = dir.path().join("link");
        std::fs::write(&path, "12345678").expect("a file");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert_eq!(read_bounded(&link, 8).map(|it| it.text), Ok("12345678".to_owned()));
    }

    #[test]
    fn the_mode_is_told_where_others_may_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("value");
        std::fs::write(&path, "x").expect("a file");
        for (mode, open) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some(0o640)),
            (0o604, Some(0o604)),
            (0o611, None),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(read_bounded(&path, 8).map(|it| it.open_mode), Ok(open), "{mode:o}");
        }
    }
}
