//! A client of the admin API, for the commands that talk to a running daemon.

use super::{
    daemon::{DaemonFound, UrlArg},
    failure::Failure,
    files::Files,
    http::{ProblemText, below, client, no_answer, shown, warn_if_in_clear},
    operator,
    output::{TimeArgs, Times, complain, line},
    token::{Token, TokenArgs},
};
use crate::config::Sources;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::{fmt, time::Duration};
use url::Url;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream may last: for as long as the daemon gives it.
const STREAM_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3_600);
/// The header with the name of the person who asks, for the audit log.
const ACTOR: &str = "x-postroom-actor";

/// Which daemon to ask, and how to print its answer.
#[derive(clap::Args)]
pub(super) struct Remote {
    #[command(flatten)]
    url: UrlArg,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    files: Files,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    times: TimeArgs,
}

/// The admin API of a daemon. Each command makes one, with one connection.
pub(super) struct Admin {
    http: reqwest::Client,
    base: Url,
    token: Token,
}

/// Why the daemon did not do what was asked.
#[derive(Debug)]
pub(super) enum AdminRefusal {
    /// It refused this request.
    This(Refused),
    /// It is no daemon.
    All(String),
    /// It wants another token, and would refuse every request.
    Token(String),
    /// It does not answer.
    Away(String),
}

/// What a daemon says when it refuses a request.
#[derive(Debug)]
pub(super) struct Refused {
    /// The HTTP status.
    pub(super) status: u16,
    /// The parameter or field at fault.
    pub(super) field: Option<String>,
    /// The title and the detail of the problem.
    text: String,
}

impl Refused {
    /// The failure with this message. A value that the daemon does not take is wrong usage, like
    /// one that the command does not take.
    pub(super) fn failure(&self, message: String) -> Failure {
        if self.status == 400 { Failure::Wrong(message) } else { Failure::Failed(message) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AdminRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::This(refused) => refused.fmt(f),
            Self::All(message) | Self::Token(message) | Self::Away(message) => f.write_str(message),
        }
    }
}

impl From<AdminRefusal> for Failure {
    fn from(refusal: AdminRefusal) -> Self {
        match refusal {
            AdminRefusal::This(refused) => refused.failure(refused.to_string()),
            AdminRefusal::All(message)
            | AdminRefusal::Token(message)
            | AdminRefusal::Away(message) => Self::Failed(message),
        }
    }
}

impl Remote {
    /// The layers of the configuration. `files` are those given before the command.
    pub(super) fn sources(&self, files: &Files) -> Sources {
        self.files.clone().over(files.clone()).sources()
    }

    /// Finds the daemon's URL and its token, and warns if the configuration is wrong, or if the
    /// token would go out in clear text. `files` are those given before the command. Sends nothing
    /// yet.
    ///
    /// # Errors
    /// If the URL or the token cannot be found out.
    pub(super) fn connect(self, files: Files) -> Result<Admin, Failure> {
        let (admin, warnings) = self.found(files)?;
        for warning in warnings {
            complain(&line(&format!("warning: {warning}")));
        }
        if admin.token.secret.is_some() {
            warn_if_in_clear(&admin.base, "the admin token");
        }
        Ok(admin)
    }

    /// [`Self::connect`] without the warnings, for completions: they print nothing else.
    pub(super) fn admin(self, files: Files) -> Result<Admin, Failure> {
        self.found(files).map(|(admin, _)| admin)
    }

    fn found(self, files: Files) -> Result<(Admin, Vec<String>), Failure> {
        let Self { url, token, files: own, json: _, times: _ } = self;
        let (url, token, sources) = (url.given()?, token.given()?, own.over(files).sources());
        let DaemonFound { base, token, warnings } = DaemonFound::find(url, token, &sources)?;
        Ok((Admin { http: client(&base, 1)?, base, token }, warnings))
    }

    /// How the options say that times are printed.
    pub(super) fn times(&self) -> Times {
        self.times.times()
    }
}

impl Token {
    /// The message for an answer of 401.
    fn refused(&self, base: &Url) -> String {
        let (base, source) = (shown(base), &self.source);
        let not_applied = if self.is_configured() {
            ". If `admin.token` was changed and is not applied yet, send the daemon SIGHUP \
             (`systemctl kill -s HUP postroom`), or give the token of before"
        } else {
            ""
        };
        if self.secret.is_some() {
            format!(
                "the daemon at {base} refused the token from {source}: give its own by POSTROOM_TOKEN \
                 or --token-file, or name its configuration with --config{not_applied}"
            )
        } else {
            format!(
                "the daemon at {base} wants its admin token, and there is none: `admin.token` is not set \
                 in the configuration, and there is no {source} here: give it by POSTROOM_TOKEN or --token-file, name the \
                 daemon's configuration with --config, or run this where the daemon was started"
            )
        }
    }
}

impl Admin {
    /// Sends a GET; `path` follows `/api/v1`.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Value, AdminRefusal> {
        self.send(self.http.get(self.url(path)).query(query)).await
    }

    /// Sends a POST; `path` follows `/api/v1`.
    pub(super) async fn post(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, AdminRefusal> {
        let request = self.http.post(self.url(path)).query(query);
        self.send(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Sends a PATCH; `path` follows `/api/v1`.
    pub(super) async fn patch(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: &Value,
    ) -> Result<Value, AdminRefusal> {
        self.send(self.http.patch(self.url(path)).query(query).json(body)).await
    }

    /// Sends a DELETE; `path` follows `/api/v1`.
    pub(super) async fn delete(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Value, AdminRefusal> {
        self.send(self.http.delete(self.url(path)).query(query)).await
    }

    /// Sends a DELETE with a body; `path` follows `/api/v1`.
    pub(super) async fn delete_with(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, AdminRefusal> {
        self.send(self.http.delete(self.url(path)).json(body)).await
    }

    /// The checks of `/readyz`, whether the daemon is ready or not.
    pub(super) async fn ready(&self) -> Result<Value, AdminRefusal> {
        let request = self.http.get(below(&self.base, &["readyz"])).timeout(ANSWER_TIMEOUT);
        let away = |error| AdminRefusal::Away(no_answer(&self.base, error, ANSWER_TIMEOUT));
        let bytes = request.send().await.map_err(away)?.bytes().await.map_err(away)?;
        serde_json::from_slice(&bytes).map_err(|_| AdminRefusal::All(self.stranger("no JSON")))
    }

    /// The items of a list in an answer.
    ///
    /// # Errors
    /// If the answer has no list.
    pub(super) fn items<'a>(&self, answer: &'a Value) -> Result<&'a [Value], Failure> {
        let items = answer.get("items").and_then(Value::as_array);
        items.map(Vec::as_slice).ok_or_else(|| Failure::Failed(self.stranger("no list")))
    }

    /// True if the token is that of the configuration here.
    pub(super) fn has_configured_token(&self) -> bool {
        self.token.is_configured()
    }

    /// The address of a page of the daemon.
    pub(super) fn page(&self, path: &str) -> Url {
        below(&self.base, &[path])
    }

    fn url(&self, path: &[&str]) -> Url {
        below(&below(&self.base, &["api", "v1"]), path)
    }

    /// Sends a GET that is answered by a stream, which has no time limit; `path` follows `/api/v1`.
    pub(super) async fn open(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Response, AdminRefusal> {
        let request = self.signed(self.http.get(self.url(path)).query(query));
        let away = |error| AdminRefusal::Away(no_answer(&self.base, error, ANSWER_TIMEOUT));
        let answer = request.timeout(STREAM_TIMEOUT).send().await.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.map_err(away)?;
        match self.understood(status, &bytes) {
            Err(refusal) => Err(refusal),
            Ok(_) => Err(AdminRefusal::All(self.stranger(&format!("HTTP {status}")))),
        }
    }

    /// The request with the token and the name of the person who asks.
    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.token.secret {
            Some(secret) => request.bearer_auth(secret.expose()),
            None => request,
        };
        request.header(ACTOR, operator::name())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, AdminRefusal> {
        let request = self.signed(request).timeout(ANSWER_TIMEOUT);
        let away = |error| AdminRefusal::Away(no_answer(&self.base, error, ANSWER_TIMEOUT));
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(away)?;
        self.understood(status, &bytes)
    }

    /// The JSON of an answer, or why the daemon did not do what was asked.
    fn understood(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, AdminRefusal> {
        let body: Option<Value> = serde_json::from_slice(bytes).ok();
        if status == StatusCode::UNAUTHORIZED {
            return Err(AdminRefusal::Token(self.token.refused(&self.base)));
        }
        match body {
            Some(body) if status.is_success() => Ok(body),
            // A refusal that reports what was tried is an answer.
            Some(mut body) if body.get("report").is_some() => {
                Ok(body.get_mut("report").map(Value::take).unwrap_or_default())
            }
            None if status.is_success() => Err(AdminRefusal::All(self.stranger("no JSON"))),
            body => match body.as_ref().and_then(ProblemText::of) {
                Some(ProblemText { text, field }) => {
                    Err(AdminRefusal::This(Refused { status: status.as_u16(), field, text }))
                }
                None => Err(AdminRefusal::All(self.stranger(&format!("HTTP {status}")))),
            },
        }
    }

    /// The message for an answer that no Postroom daemon gives.
    fn stranger(&self, what: &str) -> String {
        let base = shown(&self.base);
        format!("{base} answered {what}: is it a Postroom daemon? Name another with --url")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::http::block_on;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// What the client makes of one answer.
    fn answered(head: &'static str, body: &'static str) -> Result<Value, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4096];
            let length = stream.read(&mut request).expect("a request");
            let answer = format!(
                "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("an answer");
            String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned()
        });
        let result = ask(&url);
        let request = server.join().expect("the server ends").to_ascii_lowercase();
        assert!(request.starts_with("get /api/v1/jobs?status=failed "), "{request}");
        assert!(request.contains("\r\nauthorization: bearer hunter2\r\n"), "{request}");
        result
    }

    fn ask(url: &str) -> Result<Value, String> {
        let remote = Remote {
            url: UrlArg::of(url),
            token: TokenArgs::of("hunter2"),
            files: Files::default(),
            json: false,
            times: TimeArgs::default(),
        };
        let admin = remote.connect(Files::default()).ok().expect("a client");
        let query = [("status", "failed".to_owned())];
        let answer = block_on(admin.get(&["jobs"], &query)).ok().expect("a runtime");
        answer.map_err(|refusal| match refusal {
            AdminRefusal::This(refused) => format!("this: {refused}"),
            AdminRefusal::All(message) | AdminRefusal::Token(message) => format!("all: {message}"),
            AdminRefusal::Away(message) => format!("away: {message}"),
        })
    }

    #[test]
    fn an_answer_is_taken_as_json() {
        assert_eq!(answered("200 OK", "{\"items\":[]}"), Ok(serde_json::json!({"items": []})));
    }

    #[test]
    fn a_refusal_says_what_the_daemon_says() {
        let body = "{\"title\":\"Bad request\",\"detail\":\"no such status\",\"field\":null}";
        let refused = answered("400 Bad Request", body).expect_err("a refusal");
        assert_eq!(refused, "this: Bad request: no such status");
    }

    #[test]
    fn a_wrong_token_is_told_by_its_source_and_never_shown() {
        let refused = answered("401 Unauthorized", "{}").expect_err("a refusal");
        assert!(refused.contains("refused the token from `--token`"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn who_is_no_daemon_is_told() {
        for (head, body, what) in [
            ("200 OK", "<html>", "answered no JSON"),
            ("502 Bad Gateway", "", "answered HTTP 502 Bad Gateway"),
            ("301 Moved Permanently", "", "answered HTTP 301"),
        ] {
            let refused = answered(head, body).expect_err("a refusal");
            assert!(refused.contains(what), "{refused}");
        }
    }

    #[test]
    fn a_daemon_that_is_away_is_told_with_what_to_do() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let refused = ask(&format!("http://{free}")).expect_err("no daemon");
        let start = format!(
            "away: no daemon answers at http://{free}: start one with `postroom serve`, or name another with --url"
        );
        assert!(refused.starts_with(&start), "{refused}");
    }
}
