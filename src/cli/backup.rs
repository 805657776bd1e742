//! `postroom backup`: a copy of the database while the daemon runs.

use super::{
    failure::Failure,
    files::Files,
    output::{self, line},
};
use crate::app;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct BackupArgs {
    /// The new file for the copy. It must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Copies a SQLite database. On PostgreSQL, tells which command does it. `files` are those given
/// before the command.
pub(super) fn run(args: BackupArgs, files: Files) -> Result<(), Failure> {
    let BackupArgs { file, files: own, json } = args;
    let config = own.over(files).load()?;
    if let Some(url) = config.database.url.for_tools() {
        return Err(Failure::Wrong(dump_command(&url, &file)));
    }
    let done = app::back_up(&config, &file)?;
    let name = file.display().to_string();
    if json {
        let took_ms = u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX);
        return output::print_json(&json!({"file": name, "bytes": done.bytes, "took_ms": took_ms}));
    }
    let size = bytesize::ByteSize::b(done.bytes);
    let seconds = done.took.as_secs_f64();
    output::print(&format!("{}: {size} in {seconds:.1} s, checked", line(&name)))
}

/// The message for a database on PostgreSQL.
fn dump_command(url: &str, file: &Path) -> String {
    let file = shell_word(&file.display().to_string());
    format!(
        "PostgreSQL is backed up by its own tool. Run this, with the password in PGPASSWORD or ~/.pgpass, and name \
         the server itself if a pooler stands in front of it:\n\n  \
         (umask 077; pg_dump --format=custom --file={file} --dbname={})",
        shell_word(url)
    )
}

/// `text` as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_if_they_must_be() {
        for (text, word) in [
            ("/var/backups/post-1.db", "/var/backups/post-1.db"),
            ("a b", "'a b'"),
            ("$(x)'y", r"'$(x)'\''y'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
        let told = dump_command("postgres://app@db/post?sslmode=require", Path::new("post.dump"));
        let command = "(umask 077; pg_dump --format=custom --file=post.dump \
                       --dbname='postgres://app@db/post?sslmode=require')";
        assert!(told.ends_with(command), "{told}");
    }
}
