//! SQLite files with the schema of this version.

use super::process::Scratch;
use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path, process::Command, sync::OnceLock};

/// Writes a file with the schema of this version, and nothing in it.
///
/// It is a copy of one that was migrated once: migrating each costs a third of a start of the
/// daemon.
pub fn write_migrated(path: &Path) {
    static MIGRATED: OnceLock<Vec<u8>> = OnceLock::new();
    let migrated = MIGRATED.get_or_init(|| {
        let scratch = Scratch::new("migrated");
        let path = scratch.path().join("postroom.db");
        let migrate = Command::new(env!("CARGO_BIN_EXE_postroom"))
            .args(["migrate", "up"])
            .env("POSTROOM__DATABASE__URL", format!("sqlite://{}", path.display()))
            .output()
            .expect("postroom can be run");
        let complaint = String::from_utf8_lossy(&migrate.stderr);
        assert!(migrate.status.success(), "postroom migrate up: {complaint}");
        fs::read(path).expect("a database")
    });
    let file = fs::File::options().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut it| std::io::Write::write_all(&mut it, migrated));
    written.expect("the scratch directory can be written");
}
