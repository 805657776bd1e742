//! The HTTP side of the commands that talk to a running daemon.

use super::{
    failure::{Failure, chain},
    output::complain,
};
use crate::config::Config;
use reqwest::redirect::Policy;
use serde_json::Value;
use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use url::{Host, Url};

/// How long a connection to the daemon may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take, unless the request says otherwise. A daemon answers earlier: after
/// `server.request_timeout` at most.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `work` to its end on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Failed(format!("no runtime can be made: {error}")))?;
    Ok(runtime.block_on(work))
}

/// Parses `--url`.
///
/// # Errors
/// What was expected.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "expected such as `http://127.0.0.1:8080`";
    let url = Url::parse(text).map_err(|error| format!("{error}: {EXPECTED}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(EXPECTED.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("a name or password in it is not used: {EXPECTED}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`?` and `#` have no place in it: {EXPECTED}"));
    }
    Ok(url)
}

/// The URL of the daemon with this configuration.
///
/// # Errors
/// As [`url_at`].
pub(super) fn url_of(config: &Config) -> Result<Url, Failure> {
    url_at(config.server.bind, config.server.tls.is_some())
}

/// The URL of a daemon that listens at `bind`.
///
/// # Errors
/// If that does not tell it: the port is 0, or TLS needs a host name.
pub(super) fn url_at(bind: SocketAddr, has_tls: bool) -> Result<Url, Failure> {
    if bind.port() == 0 {
        let message = "`server.bind` has port 0, which is another one at every start: name the daemon with --url";
        return Err(Failure::Wrong(message.to_owned()));
    }
    if has_tls {
        let message = "`server.tls` is set, and no certificate names an address: name the daemon with \
                       --url https://…";
        return Err(Failure::Wrong(message.to_owned()));
    }
    // A daemon that listens on every address is reached at the loopback address.
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let url = format!("http://{}", SocketAddr::new(ip, bind.port()));
    Url::parse(&url)
        .map_err(|error| Failure::Failed(format!("no URL can be made of {url}: {error}")))
}

/// The URL of a path below `base`.
pub(super) fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Cannot fail: `parse_url` refuses URLs that cannot have a path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The URL without a slash at the end.
pub(super) fn shown(base: &Url) -> &str {
    base.as_str().trim_end_matches('/')
}

/// A client for the daemon at `base`. For this machine it ignores the proxies of the environment.
///
/// # Errors
/// If no client can be made.
pub(super) fn client(base: &Url, connections: usize) -> Result<reqwest::Client, Failure> {
    // Fails only if it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(connections)
            .redirect(Policy::none())
    };
    // Plain HTTP must work on a machine without root certificates, too.
    let is_plain = base.scheme() == "http";
    let built = if is_loopback(base) && is_plain {
        builder().no_proxy().tls_certs_only([]).build()
    } else if is_loopback(base) {
        builder().no_proxy().build()
    } else {
        match builder().build() {
            Err(_) if is_plain => builder().tls_certs_only([]).build(),
            built => built,
        }
    };
    built.map_err(|error| Failure::Failed(format!("no HTTP client can be made: {}", chain(&error))))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => false,
    }
}

/// Warns if the secret `what` is about to leave this machine in clear text.
pub(super) fn warn_if_in_clear(base: &Url, what: &str) {
    if is_in_clear(base) {
        complain(&format!(
            "warning: {what} goes to {} in clear text: everybody on the way can read it. Use https, or a tunnel",
            shown(base)
        ));
    }
}

fn is_in_clear(base: &Url) -> bool {
    base.scheme() == "http" && !is_loopback(base)
}

/// Why there was no answer within `timeout`, and what to do.
pub(super) fn no_answer(base: &Url, error: reqwest::Error, timeout: Duration) -> String {
    let base = shown(base);
    if error.is_connect() {
        let cause = root_cause(&error);
        format!(
            "no daemon answers at {base}: start one with `postroom serve`, or name another with --url ({cause})"
        )
    } else if error.is_timeout() {
        format!("{base} has not answered within {} s", timeout.as_secs())
    } else {
        format!("no answer from {base}: {}", chain(&error.without_url()))
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// A problem document, for people.
pub(super) struct ProblemText {
    /// The title, the detail and the field, on one line.
    pub(super) text: String,
    /// The parameter or field at fault.
    pub(super) field: Option<String>,
}

impl ProblemText {
    /// The problem in an answer; `None` if it has none.
    pub(super) fn of(body: &Value) -> Option<Self> {
        let part = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut text = part("title")?.to_owned();
        for (part, before, after) in [(part("detail"), ": ", ""), (part("field"), " (`", "`)")] {
            if let Some(part) = part {
                text.push_str(before);
                text.push_str(part);
                text.push_str(after);
            }
        }
        let field = part("field").map(str::to_owned);
        Some(Self { text: super::output::line(&text), field })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use serde_json::json;

    #[test]
    fn a_url_names_a_host_and_nothing_secret() {
        for text in ["http://127.0.0.1:8080", "https://postroom.example/below/", "http://[::1]:1"] {
            assert!(parse_url(text).is_ok(), "{text}");
        }
        for text in [
            "127.0.0.1:8080",
            "localhost",
            "ftp://localhost",
            "http://a:b@localhost",
            "http://localhost/?secret=x",
            "http://localhost#x",
            "data:text/plain,x",
        ] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_laid_below_and_encoded() {
        for (base, url) in [
            ("http://localhost:1", "http://localhost:1/api/v1/jobs/a%2Fb"),
            ("http://localhost:1/below/", "http://localhost:1/below/api/v1/jobs/a%2Fb"),
        ] {
            let base = parse_url(base).expect(base);
            assert_eq!(below(&base, &["api", "v1", "jobs", "a/b"]).as_str(), url);
        }
    }

    #[test]
    fn the_daemon_of_the_configuration_is_where_it_listens() {
        for (bind, url) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("0.0.0.0:81", Some("http://127.0.0.1:81")),
            ("[::]:81", Some("http://[::1]:81")),
            ("127.0.0.1:0", None),
        ] {
            let env = [
                ("POSTROOM__SERVER__BIND".to_owned(), bind.to_owned()),
                ("POSTROOM__CLIENTS".to_owned(), "[]".to_owned()),
            ];
            let sources = Sources { env: env.into(), ..Sources::default() };
            let config = Config::load(&sources).expect("valid");
            let found = url_of(&config).ok();
            assert_eq!(found.as_ref().map(shown), url, "{bind}");
        }
    }

    #[test]
    fn loopback_is_known_by_any_of_its_names() {
        for (url, is) in [
            ("http://localhost:1", true),
            ("http://127.1.2.3", true),
            ("http://[::1]", true),
            ("http://postroom.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&parse_url(url).expect(url)), is, "{url}");
        }
    }

    #[test]
    fn only_http_beyond_this_machine_is_in_clear() {
        for (url, is) in [
            ("http://127.0.0.1:8080", false),
            ("http://[::1]:8080", false),
            ("http://localhost:8080", false),
            ("https://postroom.example", false),
            ("http://postroom.example", true),
            ("http://10.0.0.1:8080", true),
        ] {
            assert_eq!(is_in_clear(&parse_url(url).expect(url)), is, "{url}");
        }
    }

    #[test]
    fn a_problem_says_its_title_detail_and_field() {
        let body = json!({"title": "Bad request", "detail": "no such status", "field": "status"});
        let text = |body: &Value| ProblemText::of(body).map(|it| it.text);
        assert_eq!(text(&body).as_deref(), Some("Bad request: no such status (`status`)"));
        let body = json!({"title": "Draining", "detail": null, "field": null});
        assert_eq!(text(&body).as_deref(), Some("Draining"));
        assert_eq!(text(&json!({"status": "ok"})), None);
    }
}
