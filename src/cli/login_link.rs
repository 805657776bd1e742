//! `postroom login-link`: signs a person in to the pages.

use super::{
    admin::Remote,
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, line},
};
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct LoginLinkArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(args: LoginLinkArgs, files: Files) -> Result<(), Failure> {
    let is_json = args.remote.json;
    let admin = args.remote.connect(files)?;
    let answer = block_on(admin.post(&["login-codes"], &[], None))??;
    if is_json {
        return output::print_json(&answer);
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    // The code stands behind a `#`, which no browser sends: it reaches no log on the way.
    let link = text("url").map_or_else(
        || format!("{}#{}", admin.page("login"), text("code").unwrap_or_default()),
        str::to_owned,
    );
    output::print(&line(&link))
}
