//! The bodies in `tests/payloads`, as providers send them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of each channel's provider.
pub const FOLDERS: [(&str, &str); 5] = [
    ("email", "emailbison"),
    ("sms", "ghl"),
    ("linkedin", "unipile"),
    ("smartlead", "smartlead"),
    ("instantly", "instantly"),
];

/// In this package's folder, or in one above it.
fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = package.ancestors().map(|it| it.join("tests/payloads"));
    folders.find(|it| it.is_dir()).expect("the payloads")
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

/// The text of a file.
pub fn read(file: &str) -> Vec<u8> {
    let path = folder().join(file);
    fs::read(&path).unwrap_or_else(|it| panic!("{}: {it}", path.display()))
}

/// The expected outcome of a body, from `tests/payloads/OUTCOMES.md`.
#[derive(Clone, Debug)]
pub struct Row {
    /// The body that was posted before it, if any.
    pub first: Option<String>,
    pub file: String,
    /// A word of the answer, or a status.
    pub outcome: String,
    /// `-` is none.
    pub reason: String,
    /// The direction of its message; for one after another, how many messages there are then. `-`
    /// is none.
    pub messages: String,
}

impl Row {
    /// The channel of its provider.
    pub fn channel(&self) -> &'static str {
        let (provider, _) = self.file.split_once('/').expect("a folder and a file");
        let found = FOLDERS.into_iter().find(|it| it.1 == provider);
        found.unwrap_or_else(|| panic!("no channel has {provider}")).0
    }
}

/// All rows of that page, in order.
pub fn outcomes() -> Vec<Row> {
    let page = String::from_utf8(read("OUTCOMES.md")).expect("a text");
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('/'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (first, rest) = match cells.len() {
            4 => (None, cells.as_slice()),
            5 => (cells.first().map(|it| (*it).to_owned()), cells.get(1..).unwrap_or_default()),
            _ => panic!("{line} has {} cells", cells.len()),
        };
        let [file, outcome, reason, messages] = rest else { panic!("{line}") };
        let [file, outcome, reason, messages] =
            [file, outcome, reason, messages].map(|it| (*it).to_owned());
        Row { first, file, outcome, reason, messages }
    };
    rows.map(row).collect()
}
