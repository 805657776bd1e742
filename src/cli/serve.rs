//! `postroom serve`: runs the daemon.

use super::{failure::Failure, files::Files};
use crate::{
    app::{self, Role},
    config::Loaded,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::process::ExitCode;

#[derive(clap::Args, Default)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    role: RoleArg,
    /// Run pools as the files say: do not apply overrides, and keep them for other nodes
    #[arg(long)]
    ignore_overrides: bool,
}

#[derive(clap::Args, Default)]
pub(super) struct RoleArg {
    /// What the daemon does: `ingest` only takes webhooks, `worker` only runs jobs [default: all]
    #[arg(long, value_name = "ROLE", value_parser = roles())]
    role: Option<Role>,
}

impl RoleArg {
    /// True if the option is given.
    pub(super) fn is_given(&self) -> bool {
        self.role.is_some()
    }
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["all", "ingest", "worker"]).try_map(|name| {
        name.parse::<Role>().map_err(|_| format!("`{name}` is not a role of this version"))
    })
}

/// Runs the daemon until it ends. `role` and `files` are those given before the command.
pub(super) fn run(args: ServeArgs, role: RoleArg, files: Files) -> Result<ExitCode, Failure> {
    let role = args.role.role.or(role.role).unwrap_or(Role::All);
    let loaded = Loaded::load(&args.files.over(files).sources())?;
    let exit = app::serve(loaded, role, args.ignore_overrides)?;
    Ok(ExitCode::from(exit.code()))
}
