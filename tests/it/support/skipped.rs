//! Tests that this machine cannot run, counted and named at the end of `cargo test`.
//!
//! libtest knows no test that is skipped while it runs: one that returns early has passed, and what
//! it printed is not shown. So a test that is skipped notes its name in a file, and
//! `tests/zz_skipped.rs`, which cargo runs last, prints what it finds there. The file belongs to
//! one `cargo test`: its name is that of the process that has started both programs.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    os::unix::process::parent_id,
    panic::Location,
    path::{Path, PathBuf},
    process, thread,
};

/// The variable that, set to 1, makes a missing server or tool a failure instead of a reason to
/// skip.
const REQUIRED_VARIABLE: &str = "POSTROOM_TEST_POSTGRES_REQUIRED";

/// Notes that the running test is skipped for lack of a server or a tool, or fails where they are
/// required.
#[track_caller]
pub fn skip_or_fail(why: &str) {
    let is_required = env::var(REQUIRED_VARIABLE).is_ok_and(|it| it == "1");
    assert!(!is_required, "{why}, and {REQUIRED_VARIABLE}=1");
    skip(why);
}

/// Notes that the running test is skipped, and says so on stderr, past the capture of libtest.
#[track_caller]
pub fn skip(why: &str) {
    let thread = thread::current();
    let name = match thread.name() {
        // Where tests run one at a time, they all run on the main thread.
        None | Some("main") => Location::caller().to_string(),
        Some(name) => name.to_owned(),
    };
    let file = record(parent_id());
    let folder = file.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).expect("the folder for temporary files can be written");
    let noted = fs::File::options().create(true).append(true).open(&file);
    // One write, so that tests that run at once do not mix their lines.
    let line = format!("{why}\t{name}\n");
    noted.and_then(|mut it| it.write_all(line.as_bytes())).expect("the record can be written");
    writeln!(io::stderr(), "test {name} ... skipped: {why}").ok();
}

/// A report, for a person, of the tests that were skipped by the programs that this process has
/// started. The record is deleted then.
pub fn told(starter: u32) -> String {
    let file = record(starter);
    let text = report(&fs::read_to_string(&file).unwrap_or_default());
    let folder = file.parent().expect("a file is in a folder");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Records of single test programs, for which nobody asked.
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().and_then(|it| it.parse().ok());
        let is_over = pid.is_none_or(|pid| run_of(pid) != name);
        if entry.path() == file || is_over {
            fs::remove_file(entry.path()).ok();
        }
    }
    text
}

/// One line for each reason, or one line if there is none.
fn report(record: &str) -> String {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (why, name) in record.lines().filter_map(|it| it.split_once('\t')) {
        tests.entry(why).or_default().push(name);
    }
    let mut report = String::new();
    for (why, names) in &mut tests {
        names.sort_unstable();
        names.dedup();
        let (count, names) = (names.len(), names.join(", "));
        let word = if count == 1 { "test" } else { "tests" };
        writeln!(report, "skipped: {count} {word}, because {why}: {names}").ok();
    }
    if report.is_empty() { "skipped: no test".to_owned() } else { report.trim_end().to_owned() }
}

fn record(starter: u32) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped").join(run_of(starter))
}

/// A process, and when it was started: numbers of processes come again.
fn run_of(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state …`: the start is the 22nd field, and a name may hold anything.
    let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    format!("{pid}-{}", start.unwrap_or("0"))
}

/// This process, as the programs that it starts know it.
pub fn own_id() -> u32 {
    process::id()
}
