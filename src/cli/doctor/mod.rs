//! `postroom doctor`: looks at all that a daemon needs, whether it runs or not, and says what to do
//! about what is not well. It changes nothing.
//!
//! Each check is one small function from what was found to a line; `finding.rs` says what a line
//! is.

mod daemon;
mod database;
mod files;
mod finding;
mod host;

use self::{
    daemon::Answering,
    finding::{Finding, Grade},
};
use super::{
    daemon::UrlArg,
    failure::Failure,
    files::Files,
    http::{block_on, url_of},
    output,
    token::{Token, TokenArgs},
};
use crate::config::{Loaded, Sources};
use std::{net::TcpListener, process::ExitCode};
use url::Url;

/// The exit code if something is bad.
const NOT_WELL: u8 = 3;

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    url: UrlArg,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks at everything, and prints what it finds. The exit code is 3 if something is bad. `files`
/// are those given before the command.
pub(super) fn run(args: DoctorArgs, files: Files) -> Result<ExitCode, Failure> {
    let DoctorArgs { url, token, files: own, json } = args;
    let sources = own.over(files).sources();
    let (url, token) = (url.given()?, token.given()?);
    let findings = block_on(examine(&sources, url, token))?;
    if json {
        output::print_json(&finding::document(&findings))?;
    } else {
        output::print(&finding::lines(&findings))?;
    }
    let is_bad = finding::worst(&findings) == Grade::Bad;
    Ok(if is_bad { ExitCode::from(NOT_WELL) } else { ExitCode::SUCCESS })
}

async fn examine(sources: &Sources, url: Option<Url>, token: Option<Token>) -> Vec<Finding> {
    let (loaded, mut findings) = files::configuration(sources);
    let Some(loaded) = loaded else {
        findings.push(host::open_files(None));
        findings.push(host::file_watching());
        return findings;
    };
    let config = &loaded.config;
    // The files and the database.
    findings.extend(files::secrets(&loaded, &sources.layers()));
    findings.extend(files::data(config));
    findings.push(files::disk(config));
    findings.extend(database::examine(config).await);
    // The machine.
    let holder = files::lock_holder(config);
    findings.push(host::open_files(holder.and_then(host::open_files_of)));
    findings.push(host::file_watching());
    // The daemon, and the way to it.
    findings.extend(running(&loaded, url, token, holder).await);
    findings.extend(daemon::public_url(&loaded).await);
    findings.push(Finding::ok("providers", "not asked: only a send asks one"));
    findings
}

/// The daemon that runs, or the port on which one could. `holder` is the process that holds the
/// lock of the SQLite file.
async fn running(
    loaded: &Loaded,
    url: Option<Url>,
    token: Option<Token>,
    holder: Option<u32>,
) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    let is_named = url.is_some();
    let base = match url.map_or_else(|| url_of(&loaded.config), Ok) {
        Ok(base) => base,
        Err(failure) => {
            return vec![Finding::warn(CHECK, "not asked", failure.to_string())];
        }
    };
    let token = match token.map_or_else(|| Token::of(loaded.config.admin.token.as_ref()), Ok) {
        Ok(token) => token,
        Err(failure) => return vec![Finding::bad("token", "not found", failure.to_string())],
    };
    let http = match daemon::http(&base) {
        Ok(http) => http,
        Err(finding) => return vec![finding],
    };
    match (daemon::answering(&http, &base).await, holder) {
        (Answering::Daemon, _) => daemon::examine(&http, &base, &token, loaded).await,
        (Answering::Nobody(why), Some(pid)) => vec![Finding::bad(
            CHECK,
            format!("process {pid} holds the database's lock, and {why}"),
            "see its log; if it was started with another `server.bind`, name it with --url",
        )],
        (Answering::Nobody(why), None) if is_named => {
            vec![Finding::bad(CHECK, why, "start it, or correct --url")]
        }
        (Answering::Nobody(_) | Answering::Other, None) if !is_named => {
            let bind = loaded.config.server.bind;
            vec![host::port(bind, TcpListener::bind(bind).map(drop))]
        }
        (Answering::Other | Answering::Nobody(_), _) => {
            let found = format!("another program answers at {base}");
            vec![Finding::bad(CHECK, found, "stop it, or set `server.bind`")]
        }
    }
}
