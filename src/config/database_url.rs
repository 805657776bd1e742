//! `database.url`: checked in full when the configuration is loaded. The driver would complain only
//! later, and would log the values.

use super::{
    reach::is_loopback,
    schema::nearest,
    value::{MASK, Secret},
};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, fmt, net::IpAddr};

/// The error for a text that is not the URL of a database.
const EXPECTED: &str =
    "expected `\"sqlite://PATH\"` or `\"postgres://USER:PASSWORD@HOST/DATABASE\"`";
/// The error for a database in memory.
const NO_MEMORY: &str = "is in memory, and all would be lost with the process: name a file";
/// How special characters in a user or password are written.
const ENCODED: &str = "in a user or password, write `%2F` for `/`, `%3F` for `?`, `%23` for `#`, `%40` for `@`, `%25` for `%`";

/// A parameter that a URL may have.
struct Parameter {
    name: &'static str,
    /// What an error says was expected.
    expected: &'static str,
    /// True for a valid value.
    is_right: fn(&str) -> bool,
    /// True if its value may be shown.
    is_public: bool,
}

const fn parameter(
    name: &'static str,
    expected: &'static str,
    is_right: fn(&str) -> bool,
) -> Parameter {
    Parameter { name, expected, is_right, is_public: true }
}

const fn secret(name: &'static str) -> Parameter {
    Parameter { name, expected: "", is_right: any, is_public: false }
}

const fn any(_: &str) -> bool {
    true
}

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const SSL_EXPECTED: &str =
    "expected `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`";

fn is_ssl_mode(value: &str) -> bool {
    SSL_MODES.iter().any(|mode| mode.eq_ignore_ascii_case(value))
}

/// The parameters that the driver knows for PostgreSQL.
const POSTGRES: &[Parameter] = &[
    parameter("sslmode", SSL_EXPECTED, is_ssl_mode),
    parameter("ssl-mode", SSL_EXPECTED, is_ssl_mode),
    parameter("sslrootcert", "", any),
    parameter("ssl-root-cert", "", any),
    parameter("ssl-ca", "", any),
    parameter("sslcert", "", any),
    parameter("ssl-cert", "", any),
    parameter("sslkey", "", any),
    parameter("ssl-key", "", any),
    parameter("host", "", any),
    parameter("hostaddr", "expected an IP address", |text| text.parse::<IpAddr>().is_ok()),
    parameter("port", "expected 1 to 65535", |text| text.parse::<u16>().is_ok_and(|port| port > 0)),
    parameter("dbname", "", any),
    parameter("user", "", any),
    secret("password"),
    parameter("application_name", "", any),
    secret("options"),
    parameter("statement-cache-capacity", "expected a whole number", |text| {
        text.parse::<usize>().is_ok()
    }),
];

/// How PostgreSQL's own tools spell a parameter of the driver; `None` if they do not know it, or if
/// it may be secret.
fn name_for_tools(name: &str) -> Option<&'static str> {
    match name {
        "ssl-mode" => Some("sslmode"),
        "ssl-root-cert" | "ssl-ca" => Some("sslrootcert"),
        "ssl-cert" => Some("sslcert"),
        "ssl-key" => Some("sslkey"),
        "statement-cache-capacity" => None,
        _ => {
            let known = POSTGRES.iter().find(|it| it.name == name && it.is_public);
            known.map(|it| it.name)
        }
    }
}

/// The parameters that the driver knows for SQLite.
const SQLITE: &[Parameter] = &[
    parameter("mode", "expected `rw` or `rwc`: Postroom reads and writes", |text| {
        matches!(text, "rw" | "rwc")
    }),
    parameter("cache", "expected `shared` or `private`", |text| {
        matches!(text, "shared" | "private")
    }),
    parameter("immutable", "expected `false`: Postroom reads and writes", |text| {
        matches!(text, "false" | "0")
    }),
    parameter("vfs", "", any),
];

/// The address of the database. `Debug` and `Display` hide everything that may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Secret);

impl DatabaseUrl {
    /// Parses `sqlite://PATH` or `postgres://…`.
    ///
    /// # Errors
    /// What is wrong and what would be right, to be put after the key's name. It names parameters,
    /// and shows no value.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("sqlite:") && text.contains(":memory:") {
            return Err(format!(" {NO_MEMORY}"));
        }
        match text.split_once("://") {
            Some(("sqlite", rest)) if !rest.is_empty() => sqlite(rest)?,
            Some(("postgres" | "postgresql", _)) => postgres(text)?,
            Some(_) | None => return Err(format!(": {EXPECTED}")),
        }
        Ok(Self(Secret::new(text)))
    }

    /// The whole URL, for connecting.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The host that gets the password and all data without proof of its identity: PostgreSQL on
    /// another machine, without `sslmode=verify-full`. `variable` looks up an environment variable
    /// that the driver reads.
    pub(super) fn unverified_host(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        if self.is_sqlite() {
            return None;
        }
        let url = url::Url::parse(self.expose()).ok()?;
        let written = url.host_str().filter(|it| !it.is_empty());
        let written = written.map(|host| percent_decode_str(host).decode_utf8_lossy().into_owned());
        let (mut hosts, mut mode): (Vec<String>, _) = (written.into_iter().collect(), None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "host" | "hostaddr" => hosts.push(value.into_owned()),
                "sslmode" | "ssl-mode" => mode = Some(value.into_owned()),
                _ => {}
            }
        }
        // The driver prefers a socket to every host, and the last host to the others.
        let has_socket = hosts.iter().any(|it| it.starts_with('/'));
        let host = hosts.pop().or_else(|| variable("PGHOSTADDR")).or_else(|| variable("PGHOST"))?;
        let mode = mode.or_else(|| variable("PGSSLMODE")).unwrap_or_default();
        let is_safe =
            has_socket || is_this_machine(&host) || mode.eq_ignore_ascii_case("verify-full");
        (!is_safe).then_some(host)
    }

    /// The URL for PostgreSQL's own tools, such as `pg_dump`. It has no password and nothing else
    /// that may be secret, and only parameters that these tools know. `None` for SQLite.
    pub fn for_tools(&self) -> Option<String> {
        if self.is_sqlite() {
            return None;
        }
        let mut url = url::Url::parse(self.expose()).ok()?;
        // A URL without a host has no password, and refuses a change of it.
        if url.password().is_some() {
            url.set_password(None).ok()?;
        }
        let known = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            Some((name_for_tools(&name)?, value.into_owned()))
        };
        let pairs: Vec<(&str, String)> = url.query_pairs().filter_map(known).collect();
        url.set_query(None);
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        // These tools do not read `+` as a blank. A quote would end the word of a shell.
        let (before, query) = url.as_str().split_once('?').unwrap_or((url.as_str(), ""));
        let mark = if query.is_empty() { "" } else { "?" };
        Some(format!("{before}{mark}{}", query.replace('+', "%20")).replace('\'', "%27"))
    }

    /// True for the embedded database (`sqlite://`).
    pub fn is_sqlite(&self) -> bool {
        self.expose().starts_with("sqlite:")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sqlite() {
            f.write_str(self.expose())
        } else {
            f.write_str(masked(self.expose()).as_deref().unwrap_or(MASK))
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// True for a socket's path, `localhost` and loopback addresses.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(is_loopback)
}

fn sqlite(rest: &str) -> Result<(), String> {
    let (path, query) =
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let is_server =
        path.split('/').next().is_some_and(|start| start.contains(':') && start.contains('@'));
    if is_server {
        return Err(
            ": a server's address is written `postgres://USER:PASSWORD@HOST/DATABASE`".into()
        );
    }
    if path.is_empty() {
        return Err(format!(": {EXPECTED}"));
    }
    if path.starts_with("file:") {
        return Err(": the path of the file stands there alone, without `file:`".into());
    }
    if path.ends_with('/') {
        return Err(" names a directory: name a file in it".into());
    }
    if percent_decode_str(path).decode_utf8().is_err() {
        return Err(" names a file whose name is not UTF-8".into());
    }
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    if pairs.clone().any(|pair| pair == (Cow::Borrowed("mode"), Cow::Borrowed("memory"))) {
        return Err(format!(" {NO_MEMORY}"));
    }
    parameters(query, pairs, SQLITE, |_| false)
}

fn postgres(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!(" is no URL ({error}): {ENCODED}"))?;
    // After an unescaped `/`, `?` or `#` in a password, the rest of it, with the `@` that ends it,
    // is parsed as path, query or fragment.
    let is_behind =
        [Some(url.path()), url.query()].into_iter().flatten().any(|part| part.contains('@'));
    if url.fragment().is_some() || is_behind {
        return Err(format!(" has a `#`, or an `@` behind the host: {ENCODED}"));
    }
    let is_text = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
    let parts = [Some(url.username()), url.password(), Some(url.path()), url.host_str()];
    if !parts.into_iter().flatten().all(is_text) {
        return Err(format!(" is not UTF-8 once `%` is decoded: {ENCODED}"));
    }
    parameters(url.query(), url.query_pairs(), POSTGRES, is_session_setting)
}

/// Checks the names and values of a query. `is_other` is true for names that are valid besides
/// `known`, with any value.
fn parameters<'q>(
    query: Option<&str>,
    pairs: impl Iterator<Item = (Cow<'q, str>, Cow<'q, str>)>,
    known: &[Parameter],
    is_other: fn(&str) -> bool,
) -> Result<(), String> {
    for (name, value) in pairs {
        match known.iter().find(|parameter| parameter.name == name) {
            Some(parameter) if (parameter.is_right)(&value) => {}
            Some(parameter) => {
                let expected = parameter.expected;
                return Err(format!(": the parameter `{name}` has a wrong value: {expected}"));
            }
            None if is_other(&name) => {}
            None => return Err(unknown(&name, query.unwrap_or_default(), known)),
        }
    }
    Ok(())
}

/// True for `options[NAME]`, which sets one setting of each session.
fn is_session_setting(name: &str) -> bool {
    name.strip_prefix("options[").is_some_and(|rest| rest.len() > 1 && rest.ends_with(']'))
}

/// The error for an unknown parameter. Something that does not look like a name is not quoted: it
/// may be part of a secret.
fn unknown(name: &str, query: &str, known: &[Parameter]) -> String {
    let names = || known.iter().map(|it| it.name);
    let all: Vec<&str> = names().collect();
    let all = all.join("`, `");
    let is_letter = |char: char| char.is_ascii_alphanumeric() || "_-.[]".contains(char);
    let has_value =
        query.split('&').any(|pair| pair.split_once('=').is_some_and(|(before, _)| before == name));
    if !has_value || name.len() > 40 || !name.chars().all(is_letter) {
        return format!(": a parameter is without `=`, or has no valid name: known are `{all}`");
    }
    match nearest(name, names()) {
        Some(near) => format!(": unknown parameter `{name}`: the nearest known is `{near}`"),
        None => format!(": unknown parameter `{name}`: known are `{all}`"),
    }
}

/// A URL of PostgreSQL with `***` for its password and for the parameters that may hold a secret.
fn masked(text: &str) -> Option<String> {
    let mut url = url::Url::parse(text).ok()?;
    if url.password().is_some() {
        url.set_password(Some(MASK)).ok()?;
    }
    if url.query().is_some() {
        let is_public = |name: &str| {
            POSTGRES.iter().any(|parameter| parameter.name == name && parameter.is_public)
        };
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if is_public(&name) { value } else { MASK.into() };
                (name.into_owned(), value.into_owned())
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Some(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown_wherever_it_stands_in_the_url() {
        for (url, shown) in [
            ("postgres://app:hunter2@db/post", "postgres://app:***@db/post"),
            (
                "postgresql://db/post?user=app&password=hunter2",
                "postgresql://db/post?user=app&password=***",
            ),
            (
                "postgres://db/post?sslmode=require&options=-c%20x.y%3Dhunter2&options[x.y]=hunter2",
                "postgres://db/post?sslmode=require&options=***&options%5Bx.y%5D=***",
            ),
            ("sqlite://data/postroom.db", "sqlite://data/postroom.db"),
        ] {
            let url = DatabaseUrl::parse(url).expect(url);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn the_tools_of_postgresql_get_a_url_that_they_know_and_no_secret() {
        for (url, told) in [
            ("postgres://app:hunter2@db:5433/post", Some("postgres://app@db:5433/post")),
            (
                "postgresql://db/post?user=app&password=hunter2&ssl-mode=verify-full&ssl-ca=/etc/a b.pem",
                Some(
                    "postgresql://db/post?user=app&sslmode=verify-full&sslrootcert=%2Fetc%2Fa%20b.pem",
                ),
            ),
            (
                "postgres:///post?host=/var/run&statement-cache-capacity=7&options=-c%20a.b%3Dhunter2",
                Some("postgres:///post?host=%2Fvar%2Frun"),
            ),
            (
                "postgres://o'neil:hunter2@db/post?options[a.b]=hunter2",
                Some("postgres://o%27neil@db/post"),
            ),
            ("sqlite://data/postroom.db", None),
        ] {
            let found = DatabaseUrl::parse(url).expect(url).for_tools();
            assert_eq!(found.as_deref(), told, "{url}");
        }
    }

    #[test]
    fn a_host_elsewhere_counts_as_checked_with_verify_full_alone() {
        let none = |_: &str| None;
        let host = |url: &str| DatabaseUrl::parse(url).expect(url).unverified_host(none);
        for url in [
            "sqlite://x.db",
            "postgres://u:p@127.0.0.1/x",
            "postgres://u:p@127.8.8.8:6432/x?sslmode=disable",
            "postgres://u:p@[::1]/x",
            "postgres://u:p@localhost/x",
            "postgres://u:p@%2Fvar%2Frun/x",
            "postgres:///x?host=/var/run",
            "postgres://u:p@db/x?host=/var/run",
            "postgres://u:p@db/x?host=localhost",
            "postgres:///x",
            "postgres://u:p@db/x?sslmode=verify-full",
            "postgres://u:p@db/x?sslmode=disable&ssl-mode=Verify-Full",
        ] {
            assert_eq!(host(url), None, "{url}");
        }
        for (url, expected) in [
            ("postgres://u:p@db.internal/x", "db.internal"),
            ("postgres://u:p@db/x?sslmode=require", "db"),
            ("postgres://u:p@db/x?sslmode=verify-ca&sslrootcert=a", "db"),
            ("postgres://u:p@db/x?sslmode=verify-full&sslmode=prefer", "db"),
            ("postgres://u:p@10.0.0.1/x", "10.0.0.1"),
            ("postgres://u:p@[fd00::1]/x", "[fd00::1]"),
            ("postgres://u:p@localhost/x?hostaddr=10.0.0.1", "10.0.0.1"),
            ("postgres://u:p@localhost.example/x", "localhost.example"),
        ] {
            assert_eq!(host(url).as_deref(), Some(expected), "{url}");
        }
        let variables = |name: &str| match name {
            "PGHOST" => Some("db".to_owned()),
            "PGSSLMODE" => Some("verify-full".to_owned()),
            _ => None,
        };
        let only_host = |name: &str| variables(name).filter(|_| name == "PGHOST");
        let url = DatabaseUrl::parse("postgres:///x").expect("a URL");
        assert_eq!(url.unverified_host(only_host).as_deref(), Some("db"));
        assert_eq!(url.unverified_host(variables), None);
    }

    #[test]
    fn other_databases_are_refused() {
        for url in [
            "mysql://db/x",
            "sqlite://",
            "sqlite://?mode=rw",
            "data/postroom.db",
            "postgres://a b/c",
        ] {
            assert!(DatabaseUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_parameter_is_named_only_where_it_has_a_name() {
        let reason = |url: &str| DatabaseUrl::parse(url).unwrap_err();
        assert_eq!(
            reason("postgres://db/x?pasword=hunter2"),
            ": unknown parameter `pasword`: the nearest known is `password`"
        );
        for url in [
            "postgres://db/x?hunter2",
            "postgres://db/x?hun+ter2=x",
            "postgres://db/x?sslmode=hunter2",
            "postgres://db/x?options[=hunter2",
            "postgres://app:12#hunter2@db/x",
            "postgres://app:hun/ter2@db/x",
            "postgres://app:12?hunter2=x@db/x",
            "sqlite://x.db?hunter2",
        ] {
            let reason = reason(url);
            assert!(!reason.contains("ter2"), "{url}: {reason}");
        }
    }
}
