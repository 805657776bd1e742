//! `postroom man`: manual pages of all commands.

use super::{failure::Failure, output};
use clap::Command;
use std::{fs, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// The directory to write to, such as `/usr/local/share/man/man1`; it is made if it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[cfg(test)]
impl ManArgs {
    /// The pages go to this directory.
    pub(super) fn to(directory: &std::path::Path) -> Self {
        Self { directory: directory.to_owned() }
    }
}

/// Writes a page for each command, `postroom-jobs-list.1`.
pub(super) fn run(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let directory = &args.directory;
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(|error| {
            Failure::Failed(format!("no manual pages in {}: {error}", directory.display()))
        })?;
    output::print(&format!("manual pages in {}", output::line(&directory.display().to_string())))
}
