//! The bodies in `tests/payloads`, as providers send them.

use std::{fs, path::Path};

/// The folder of each channel's provider.
pub const FOLDERS: [(&str, &str); 5] = [
    ("email", "emailbison"),
    ("sms", "ghl"),
    ("linkedin", "unipile"),
    ("smartlead", "smartlead"),
    ("instantly", "instantly"),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads"))
}

/// The names of a channel's files, `ghl/workflow_sms-1.json` for one, in order.
pub fn files(channel: &str) -> Vec<String> {
    let (_, provider) = FOLDERS.into_iter().find(|it| it.0 == channel).expect("a provider");
    let entries = fs::read_dir(folder().join(provider)).expect("a folder of payloads");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a readable name");
    let mut names: Vec<String> =
        entries.map(|it| format!("{provider}/{}", name(it.expect("a file")))).collect();
    names.sort();
    assert!(!names.is_empty(), "{channel} has no payloads");
    names
}

/// What is in a file.
pub fn read(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    fs::read(&path).unwrap_or_else(|it| panic!("{}: {it}", path.display()))
}
