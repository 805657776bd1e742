//! Which daemon a command asks, and with which token.
//!
//! Wrong files do not prevent it: commands are needed most when the files are wrong.

use super::{
    failure::Failure,
    http::{parse_url, shown, url_at},
    token::Token,
};
use crate::{
    app::DaemonAddress,
    config::{ConfigErrors, DaemonAccess, Sources},
};
use std::env;
use url::Url;

/// The environment variable with the URL.
const VARIABLE: &str = "POSTROOM_URL";

/// The option for the URL of the daemon.
#[derive(clap::Args, Default)]
pub(super) struct UrlArg {
    /// URL of the daemon [default: `POSTROOM_URL`, or the address where the daemon of the
    /// configuration listens]
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = "Daemon")]
    url: Option<Url>,
}

impl UrlArg {
    #[cfg(test)]
    pub(super) fn of(url: &str) -> Self {
        Self { url: Some(parse_url(url).expect("a URL")) }
    }

    /// The URL from the option or the environment; `None` if there is none.
    ///
    /// # Errors
    /// If the variable has no URL. The parser of the arguments does not read it, since it would
    /// print the option in the usage as if it were required.
    pub(super) fn given(self) -> Result<Option<Url>, Failure> {
        match (self.url, env::var(VARIABLE)) {
            (Some(url), _) => Ok(Some(url)),
            (None, Ok(text)) => {
                let url = parse_url(&text);
                url.map(Some).map_err(|why| Failure::Wrong(format!("{VARIABLE}: {why}")))
            }
            (None, Err(env::VarError::NotPresent)) => Ok(None),
            (None, Err(env::VarError::NotUnicode(_))) => {
                Err(Failure::Wrong(format!("{VARIABLE} is no text")))
            }
        }
    }
}

/// A daemon, and the token to show it.
pub(super) struct DaemonFound {
    pub(super) base: Url,
    pub(super) token: Token,
    /// What the person should know of the way by which it was found.
    pub(super) warnings: Vec<String>,
}

impl DaemonFound {
    /// Finds the daemon of these layers. What is `given` counts more.
    ///
    /// # Errors
    /// If the URL or the token cannot be found out.
    pub(super) fn find(
        url: Option<Url>,
        token: Option<Token>,
        sources: &Sources,
    ) -> Result<Self, Failure> {
        let (url, token) = match (url, token) {
            // The configuration is not read: it need not be valid, or exist.
            (Some(base), Some(token)) => return Ok(Self { base, token, warnings: Vec::new() }),
            given => given,
        };
        let access = DaemonAccess::read(sources);
        let mut warnings = Vec::new();
        let base = match url {
            Some(url) => url,
            None => address(&access, DaemonAddress::of_running(sources), &mut warnings)?,
        };
        warnings.extend(access.errors.as_ref().map(|errors| wrong_files(errors, &base)));
        let token = token.map_or_else(|| Token::of(access.token.as_ref()), Ok)?;
        Ok(Self { base, token, warnings })
    }
}

/// The URL of the daemon: where one that runs with these files says it listens, else `server.bind`.
fn address(
    access: &DaemonAccess,
    running: Option<DaemonAddress>,
    warnings: &mut Vec<String>,
) -> Result<Url, Failure> {
    let running = running.filter(|_| !access.is_bind_variable);
    match (running, access.bind) {
        (Some(running), bind) => {
            let base = url_at(running.bind, running.tls)?;
            if let Some(bind) = bind.filter(|bind| *bind != running.bind) {
                warnings.push(format!(
                    "`server.bind` is {bind} in the configuration, and the daemon of this directory listens at {} \
                     until it is restarted: that one is asked",
                    shown(&base)
                ));
            }
            Ok(base)
        }
        (None, Some(bind)) => url_at(bind, access.has_tls),
        (None, None) => {
            let errors = access.errors.as_ref().map(ToString::to_string).unwrap_or_default();
            Err(Failure::Config(format!(
                "{errors}\nerror: the configuration does not tell where the daemon listens: name it with --url or \
                 {VARIABLE}"
            )))
        }
    }
}

/// The warning for files that are wrong.
fn wrong_files(errors: &ConfigErrors, base: &Url) -> String {
    let first = errors.0.first().map(ToString::to_string).unwrap_or_default();
    let others = match errors.0.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more: `postroom config check`)", count - 1),
    };
    format!("{first}{others}. What can be read of the configuration is used to ask {}", shown(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::http::shown;

    #[test]
    fn a_daemon_that_runs_counts_more_than_a_changed_address() {
        let at = |text: &str| text.parse().expect(text);
        let access = |bind: Option<&str>, is_bind_variable| DaemonAccess {
            bind: bind.map(at),
            is_bind_variable,
            has_tls: false,
            token: None,
            errors: None,
        };
        let running = || {
            let text = "{\"bind\": \"0.0.0.0:81\", \"tls\": false, \"files\": []}";
            serde_json::from_str::<DaemonAddress>(text).expect("an address")
        };
        for (access, running, expected, warned) in [
            (access(Some("127.0.0.1:82"), false), None, Some("http://127.0.0.1:82"), 0),
            (access(Some("127.0.0.1:82"), false), Some(running()), Some("http://127.0.0.1:81"), 1),
            (access(Some("0.0.0.0:81"), false), Some(running()), Some("http://127.0.0.1:81"), 0),
            (access(None, false), Some(running()), Some("http://127.0.0.1:81"), 0),
            (access(Some("127.0.0.1:82"), true), Some(running()), Some("http://127.0.0.1:82"), 0),
            (access(None, false), None, None, 0),
        ] {
            let mut warnings = Vec::new();
            let found = address(&access, running, &mut warnings).ok();
            assert_eq!(found.as_ref().map(shown), expected);
            assert_eq!(warnings.len(), warned, "{warnings:?}");
        }
    }
}
