//! Where a command gets the admin token from.

use super::failure::Failure;
use crate::{
    app::{read_token, token_path},
    config::Secret,
};
use reqwest::header::HeaderValue;
use std::{
    convert::Infallible,
    env,
    fs::File,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The environment variable with the token.
const VARIABLE: &str = "POSTROOM_TOKEN";
/// The value of `--token` that means standard input.
const STDIN: &str = "-";
/// The source of a token that the configuration has.
const CONFIGURED: &str = "`admin.token` in the configuration";

/// The options for the admin token.
#[derive(clap::Args)]
pub(super) struct TokenArgs {
    /// Admin token of the daemon, `-` to read it from standard input. This option is visible to
    /// every user of this machine in the list of processes: use `POSTROOM_TOKEN` or `--token-file`
    /// [default: `POSTROOM_TOKEN`, `admin.token`, or the token that the daemon's first start made
    /// and kept]
    #[arg(long, value_name = "TOKEN", value_parser = secret, help_heading = "Daemon")]
    token: Option<Secret>,
    /// File with the admin token of the daemon
    #[arg(long, value_name = "FILE", conflicts_with = "token", help_heading = "Daemon")]
    token_file: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// The admin token, and where it comes from.
pub(super) struct Token {
    /// `None` if none was found. Then the request is sent without one, and the daemon refuses it if
    /// it wants one.
    pub(super) secret: Option<Secret>,
    pub(super) source: String,
}

impl TokenArgs {
    #[cfg(test)]
    pub(super) fn of(token: &str) -> Self {
        Self { token: Some(Secret::new(token)), token_file: None }
    }

    /// The token from an option or the environment; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or cannot be a token.
    pub(super) fn given(self) -> Result<Option<Token>, Failure> {
        let given = match (self.token, self.token_file) {
            (Some(token), _) if token.expose() == STDIN => {
                Some(read(&mut io::stdin().lock(), "standard input")?)
            }
            (Some(token), _) => Some(Token::from(token, "`--token`")),
            (None, Some(path)) => Some(in_file(&path)?),
            (None, None) => in_environment()?,
        };
        given.map(Token::checked).transpose()
    }
}

fn in_environment() -> Result<Option<Token>, Failure> {
    match env::var(VARIABLE) {
        Ok(text) => Ok(Some(Token::from(Secret::new(text.trim()), VARIABLE))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::Wrong(format!("the token from {VARIABLE} is no text")))
        }
    }
}

fn in_file(path: &Path) -> Result<Token, Failure> {
    let source = path.display().to_string();
    let mut file = File::open(path).map_err(|error| {
        Failure::Failed(format!("the token in {source} cannot be read: {error}"))
    })?;
    read(&mut file, &source)
}

fn read(from: &mut impl io::Read, source: &str) -> Result<Token, Failure> {
    let text = read_token(from).map_err(|error| {
        Failure::Failed(format!("the token from {source} cannot be read: {error}"))
    })?;
    Ok(Token::from(Secret::new(text), source))
}

impl Token {
    fn from(secret: Secret, source: &str) -> Self {
        Self { secret: Some(secret), source: source.to_owned() }
    }

    /// The token of a daemon: that of its configuration, else the one that its first start made.
    ///
    /// # Errors
    /// If it cannot be read, or cannot be a token.
    pub(super) fn of(configured: Option<&Secret>) -> Result<Self, Failure> {
        if let Some(secret) = configured {
            return Self::from(secret.clone(), CONFIGURED).checked();
        }
        let path = token_path();
        let source = path.display().to_string();
        let found = File::open(&path).and_then(|mut file| read_token(&mut file));
        match found {
            Ok(text) => Self::from(Secret::new(text), &source).checked(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { secret: None, source }),
            Err(error) => Err(Failure::Failed(format!(
                "the admin token in {source} cannot be read: {error}: run this as the daemon's user, or give \
                 the token by {VARIABLE} or --token-file"
            ))),
        }
    }

    /// True if the token is that of the configuration.
    pub(super) fn is_configured(&self) -> bool {
        self.source == CONFIGURED
    }

    fn checked(self) -> Result<Self, Failure> {
        let can_be_sent = |token: &Secret| {
            !token.expose().is_empty() && HeaderValue::from_str(token.expose()).is_ok()
        };
        match &self.secret {
            Some(secret) if !can_be_sent(secret) => Err(Failure::Wrong(format!(
                "the token from {} is empty or not one line of text",
                self.source
            ))),
            Some(_) | None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_by_its_source() {
        for text in ["", "a\nb"] {
            let checked = Token::from(Secret::new(text), "here").checked();
            let Err(Failure::Wrong(message)) = checked else { panic!("taken: {text:?}") };
            assert_eq!(message, "the token from here is empty or not one line of text");
        }
    }

    #[test]
    fn a_token_is_read_without_the_blanks_around_it() {
        let token = read(&mut "abc\r\n".as_bytes(), "here").ok().expect("a token");
        assert_eq!(token.secret.expect("a secret").expose(), "abc");
        assert!(read(&mut io::repeat(b'a'), "here").is_err());
    }
}
