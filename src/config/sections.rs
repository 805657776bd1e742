//! The sections of a configuration, checked and typed. `config/default.toml` explains each key for
//! operators; the doc comments here say what code may rely on.

use super::{
    client::Client,
    database_url::DatabaseUrl,
    layers::TreeNode,
    masking::quoted,
    reader::{SectionReader, Size, Typed, from_text},
    send_settings::unreachable,
    strength::{TOKEN_CHARS_MIN, flaw},
    users::{AdminUser, users},
    value::{Network, Rate, Secret},
};
use crate::domain::{PoolOverride, backoff::Backoff};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// `[server]`: the HTTP side.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Address and port to listen on.
    pub bind: SocketAddr,
    /// Number of HTTP threads; 0 means one per core.
    pub workers: usize,
    /// The largest body that is accepted, in bytes; 1 KiB to 1 GiB.
    pub body_limit: u64,
    /// How long a stop waits for running jobs.
    pub shutdown_timeout: Duration,
    /// After this long a webhook is answered 429, even if its commit may still succeed.
    pub request_timeout: Duration,
    /// Requests that one address may send; `None` means no limit.
    pub address_rate_limit: Option<Rate>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The URL under which others reach the daemon, without a slash at the end.
    pub public_url: Option<String>,
    /// Host names that requests may use, besides IP addresses, `localhost` and the host of
    /// `public_url`. Lower case, in ASCII, without a port or a dot at the end.
    pub hosts: Vec<String>,
    /// Certificate and key for TLS; `None` means plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// `[server.tls]`: paths of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, followed by its chain of issuers.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// `[database]`: the database and its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseConfig {
    /// The address of the database.
    pub url: DatabaseUrl,
    /// The most connections that may be open at the same time; 1 to 10,000.
    pub max_connections: u32,
    /// Whether `serve` applies pending migrations.
    pub auto_migrate: bool,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// Whether a pooler sits between the daemon and PostgreSQL.
    pub pooler: Pooler,
}

/// Whether a pooler sits between the daemon and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// The daemon finds out when it starts.
    #[default]
    Auto,
    /// No pooler that shares sessions.
    None,
    /// A pooler that gives each transaction a session of its own choice.
    Transaction,
}

/// `[ingest]`: how webhooks are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestConfig {
    /// The most messages in one transaction.
    pub batch_max: usize,
    /// The most bytes in one transaction. At most `queue_bytes`.
    pub batch_bytes: u64,
    /// The most messages that may wait for their transaction, over all channels.
    pub queue: usize,
    /// The most bytes that may wait for their transaction, over all channels.
    pub queue_bytes: u64,
    /// Concurrent transactions of each channel; 0 depends on the database, see
    /// [`Config::commit_lanes`](super::Config::commit_lanes).
    pub commit_lanes: usize,
    /// How much one client may hold in quarantine.
    pub quarantine: QuarantineBound,
}

impl IngestConfig {
    /// The largest `queue`.
    pub const QUEUE_MAX: usize = 1_000_000;
}

/// How much one client may hold in quarantine. Beyond it, a webhook that would go
/// there is answered 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineBound {
    /// Webhooks that wait in quarantine.
    pub items: u64,
    /// Sum of the sizes of their bodies, in bytes.
    pub bytes: u64,
}

/// `[supervisor]`: how jobs are claimed, and how long a claim holds.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorConfig {
    /// The longest sleep between two polls for due jobs.
    pub tick: Duration,
    /// The time between two heartbeats of a node.
    pub heartbeat: Duration,
    /// How long a node's claims hold after its last heartbeat. More than 3 × `heartbeat`.
    pub lease: Duration,
    /// The most jobs of one client that run at the same time; 0 means no cap.
    pub max_running_per_client: u32,
}

/// How the jobs of one kind are run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolConfig {
    /// Slots: jobs that run at the same time. At least 1.
    pub size: usize,
    /// How long one attempt may take before it is cut off.
    pub timeout: Duration,
    /// How many attempts a new job has. At least 1.
    pub max_attempts: u32,
    /// The pause after a failed attempt.
    pub backoff: Backoff,
    /// Jobs that are claimed before a slot is free for them; 0 means none.
    pub prefetch: usize,
    /// True if no job of the kind may start.
    pub paused: bool,
}

/// `[pools]`: one [`PoolConfig`] for every kind, even if the configuration does not name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pools {
    /// `[pools.default]`, for kinds without a section of their own.
    default: (PoolConfig, Prefetch),
    /// `[pools.KIND]` merged with `default`, by job kind.
    kinds: HashMap<String, (PoolConfig, Prefetch)>,
    /// What operators have set beside the files, by job kind.
    overrides: HashMap<String, PoolOverride>,
}

impl Pools {
    /// The pool of `kind`: what an operator has set for it; else the keys of its own section; else
    /// those of `[pools.default]`.
    pub fn of(&self, kind: &str) -> PoolConfig {
        let (mut pool, prefetch) = self.kinds.get(kind).copied().unwrap_or(self.default);
        if let Some(set) = self.overrides.get(kind) {
            pool.size = set.size.as_ref().map_or(pool.size, |it| it.value);
            pool.paused = set.paused.as_ref().map_or(pool.paused, |it| it.value);
            pool.prefetch = prefetch.0.unwrap_or(pool.size);
        }
        pool
    }

    /// The pool of `kind` as the configuration's layers say, without overrides.
    pub fn configured(&self, kind: &str) -> PoolConfig {
        self.kinds.get(kind).unwrap_or(&self.default).0
    }

    /// What an operator has set for `kind`.
    pub fn override_of(&self, kind: &str) -> Option<&PoolOverride> {
        self.overrides.get(kind)
    }

    /// Puts `overrides` in the place of all overrides.
    pub fn set_overrides(&mut self, overrides: impl IntoIterator<Item = PoolOverride>) {
        self.overrides = overrides.into_iter().map(|it| (it.kind.clone(), it)).collect();
    }
}

/// `[restart]`: how actors that panic are replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartConfig {
    /// Restarts of a pool within `window` that happen at once. After more, a slot waits first.
    pub max_restarts: u32,
    /// The time in which restarts are counted.
    pub window: Duration,
    /// The growing pause of a slot that waits before its restart.
    pub backoff: Backoff,
    /// Threads that handlers which never yield may hold at a time. At this number the process ends
    /// with exit code 70.
    pub max_lost_threads: usize,
}

/// `[sending]`: what holds for all sending.
#[derive(Clone, Debug, PartialEq)]
pub struct SendingConfig {
    /// False if sending is switched off: then no answer is sent.
    pub enabled: bool,
    /// How long a draft that a person approved can be taken back, at most 10 minutes. It is sent
    /// after that.
    pub undo: Duration,
}

/// `[retention]`: how long rows are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// How long jobs that succeeded or were cancelled are kept.
    pub succeeded: Duration,
    /// How long jobs that failed are kept.
    pub failed: Duration,
    /// How long webhooks stay in quarantine.
    pub quarantine: Duration,
    /// How long bodies of webhooks are kept, as received.
    pub payloads: Duration,
}

/// `[admin]`: the admin API.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    /// The bearer token of the admin API. If `None`, the daemon makes one and keeps it in
    /// `data/admin.token`.
    pub token: Option<Secret>,
    /// True if the admin API answers over plain HTTP to machines other than this one and trusted
    /// proxies.
    pub allow_plain: bool,
    /// The people who sign in, each with a token and a role of their own. In the order of the
    /// configuration; their names and tokens are unique.
    pub users: Vec<AdminUser>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people to read.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// `[alerts]`: where alerts are told.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertsConfig {
    /// The URL that is told of each alert, which may be a secret as a whole; `None`: nobody is.
    pub webhook: Option<Secret>,
    /// True if its server may be in a private network, and may be asked without TLS.
    pub allow_private: bool,
}

/// What stands for the id in the address of a trace.
pub const TRACE_ID: &str = "{trace_id}";

/// `[telemetry]`: logs and spans.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// What is logged: a valid filter of `tracing`.
    pub log: String,
    /// The format of log lines.
    pub format: LogFormat,
    /// The URL that spans are sent to, which may contain a user and a password.
    pub otlp_endpoint: Option<Secret>,
    /// The share of all traces that is recorded.
    pub sample: f64,
    /// The address of a trace's page, with [`TRACE_ID`] in it; `None`: traces are not linked.
    pub trace_url: Option<String>,
}

from_text!(Pooler, "`\"auto\"`, `\"none\"` or `\"transaction\"`", |text| match text {
    "auto" => Some(Self::Auto),
    "none" => Some(Self::None),
    "transaction" => Some(Self::Transaction),
    _ => None,
});
from_text!(LogFormat, "`\"pretty\"` or `\"json\"`", |text| match text {
    "pretty" => Some(Self::Pretty),
    "json" => Some(Self::Json),
    _ => None,
});

/// `prefetch`: a number, or `None` for `"size"`, which means as many as there are slots.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Prefetch(Option<usize>);

/// The slots that a pool may have.
pub const POOL_SIZES: RangeInclusive<usize> = 1..=10_000;
const PREFETCH_MAX: usize = 10_000;

impl Typed for Prefetch {
    const EXPECTED: &'static str = "`\"size\"` or a whole number from 0 to 10000";
    fn from_node(node: &TreeNode) -> Option<Self> {
        if node.as_text().as_deref() == Some("size") {
            return Some(Self(None));
        }
        usize::from_node(node).filter(|jobs| *jobs <= PREFETCH_MAX).map(|jobs| Self(Some(jobs)))
    }
}

pub(super) fn server(section: &SectionReader<'_>) -> ServerConfig {
    let public_url: Option<String> = section.get("public_url");
    if public_url.as_deref().is_some_and(|url| !is_http_url(url)) {
        section.error(
            "public_url",
            "`server.public_url`: expected a URL such as `https://post.example.com`".into(),
        );
    } else if public_url.as_deref().is_some_and(has_userinfo) {
        section.error(
            "public_url",
            "`server.public_url` holds a user or a password: leave them out, since everybody sees it"
                .into(),
        );
    }
    ServerConfig {
        bind: section.read("bind").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
        workers: section.get_in("workers", 0..=1_024),
        body_limit: section.get_in("body_limit", Size(KIB)..=Size(GIB)).0,
        shutdown_timeout: section.get_in("shutdown_timeout", Duration::ZERO..=HOUR),
        request_timeout: section.get_in("request_timeout", 10 * MILLISECOND..=5 * MINUTE),
        address_rate_limit: section.get("address_rate_limit"),
        trusted_proxies: section.get("trusted_proxies"),
        public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
        hosts: hosts(section),
        tls: section.section("tls").and_then(|section| tls(&section)),
    }
}

/// The certificate and the key, or neither. With only one, the daemon must not fall back to plain
/// HTTP, so that is an error.
fn tls(section: &SectionReader<'_>) -> Option<TlsConfig> {
    let path = |key| section.get::<Option<String>>(key).map(PathBuf::from);
    match (path("cert"), path("key")) {
        (Some(cert), Some(key)) => Some(TlsConfig { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let (missing, given) = if cert.is_some() { ("key", "cert") } else { ("cert", "key") };
            let (needed, set) = (section.key(missing), section.key(given));
            section
                .error(missing, format!("`{needed}` is not set, and `{set}` is: TLS needs both"));
            None
        }
    }
}

/// The names in `hosts`, in the form in which a `Host` header is compared with them.
fn hosts(section: &SectionReader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (index, written) in section.get::<Vec<String>>("hosts").iter().enumerate() {
        match host_name(written) {
            Some(name) => names.push(name),
            None => section.error(
                "hosts",
                format!(
                    "`{}[{index}]` is no host name: expected one without scheme, port and path, such as \
                     `\"post.example.com\"`",
                    section.key("hosts")
                ),
            ),
        }
    }
    names
}

/// `text` as a host name: lower case, in ASCII (IDNA), without the dot of the root.
fn host_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let url::Host::Domain(name) = url::Host::parse(text).ok()? else { return None };
    let is_letter = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(is_letter);
    (name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

/// True for an absolute `http` or `https` URL.
fn is_http_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// True for a URL with a user or a password in it.
pub(super) fn has_userinfo(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

/// `None` if the URL cannot be read: there is no default to go on with.
pub(super) fn database(section: &SectionReader<'_>) -> Option<DatabaseConfig> {
    let max_connections = section.get_in("max_connections", 1..=10_000);
    let acquire_timeout = section.get_in("acquire_timeout", MILLISECOND..=10 * MINUTE);
    let (auto_migrate, pooler) = (section.get("auto_migrate"), section.get("pooler"));
    let url = section.read_by("url", DatabaseUrl::parse)?;
    Some(DatabaseConfig { url, max_connections, auto_migrate, acquire_timeout, pooler })
}

pub(super) fn ingest(section: &SectionReader<'_>) -> IngestConfig {
    IngestConfig {
        batch_max: section.get_in("batch_max", 1..=10_000),
        batch_bytes: section.get_in("batch_bytes", Size(KIB)..=Size(GIB)).0,
        queue: section.get_in("queue", 1..=IngestConfig::QUEUE_MAX),
        queue_bytes: section.get_in("queue_bytes", Size(KIB)..=Size(64 * GIB)).0,
        commit_lanes: section.get_in("commit_lanes", 0..=64),
        quarantine: QuarantineBound {
            items: u64::from(section.get_in::<u32>("quarantine_items", 1..=1_000_000_000)),
            bytes: section.get_in("quarantine_bytes", Size(KIB)..=Size(1024 * GIB)).0,
        },
    }
}

pub(super) fn supervisor(section: &SectionReader<'_>) -> SupervisorConfig {
    SupervisorConfig {
        tick: section.get_in("tick", MILLISECOND..=5 * MINUTE),
        heartbeat: section.get_in("heartbeat", 10 * MILLISECOND..=5 * MINUTE),
        lease: section.get_in("lease", 10 * MILLISECOND..=HOUR),
        max_running_per_client: section.get("max_running_per_client"),
    }
}

pub(super) fn pools(section: &SectionReader<'_>) -> Pools {
    let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
    let empty = PoolConfig {
        size: 1,
        timeout: Duration::ZERO,
        max_attempts: 1,
        backoff: none,
        prefetch: 0,
        paused: false,
    };
    let inherit = (empty, Prefetch(None));
    let default = section.section("default").map_or(inherit, |section| pool(&section, inherit));
    let mut kinds = HashMap::new();
    for kind in section.table.keys().filter(|kind| *kind != "default") {
        if let Some(section) = section.section(kind) {
            kinds.insert(kind.clone(), pool(&section, default));
        }
    }
    Pools { default, kinds, overrides: HashMap::new() }
}

/// A pool with the keys of its section, the others from `base`. `prefetch = "size"` is resolved
/// against the pool's own size, so it is inherited as it was written.
fn pool(
    section: &SectionReader<'_>,
    (base, base_prefetch): (PoolConfig, Prefetch),
) -> (PoolConfig, Prefetch) {
    let size = section.read_in("size", POOL_SIZES).unwrap_or(base.size);
    let prefetch: Prefetch = section.read("prefetch").unwrap_or(base_prefetch);
    let pool = PoolConfig {
        size,
        timeout: section.read_in("timeout", MILLISECOND..=DAY).unwrap_or(base.timeout),
        max_attempts: section.read_in("max_attempts", 1..=1_000).unwrap_or(base.max_attempts),
        backoff: section
            .section("backoff")
            .map_or(base.backoff, |section| backoff(&section, base.backoff)),
        prefetch: prefetch.0.unwrap_or(size),
        paused: section.read("paused").unwrap_or(base.paused),
    };
    (pool, prefetch)
}

fn backoff(section: &SectionReader<'_>, inherited: Backoff) -> Backoff {
    let base = section.read_in("base", MILLISECOND..=DAY).unwrap_or(inherited.base);
    let cap = section.read_in("cap", MILLISECOND..=30 * DAY).unwrap_or(inherited.cap);
    if cap < base
        && !section.errors.has(&section.key("base"))
        && !section.errors.has(&section.key("cap"))
    {
        let (base, cap) = (humantime::format_duration(base), humantime::format_duration(cap));
        let (base_key, cap_key) = (section.key("base"), section.key("cap"));
        section.error(
            section.written("cap", "base"),
            format!("`{cap_key}` ({cap}) must not be less than `{base_key}` ({base})"),
        );
    }
    Backoff { base, cap }
}

pub(super) fn restart(section: &SectionReader<'_>) -> RestartConfig {
    let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
    RestartConfig {
        max_restarts: section.get_in("max_restarts", 0..=10_000),
        window: section.get_in("window", MILLISECOND..=DAY),
        backoff: section.section("backoff").map_or(none, |section| backoff(&section, none)),
        max_lost_threads: section.get_in("max_lost_threads", 1..=10_000),
    }
}

pub(super) fn sending(section: &SectionReader<'_>) -> SendingConfig {
    SendingConfig {
        enabled: section.get("enabled"),
        undo: section.get_in("undo", Duration::ZERO..=10 * MINUTE),
    }
}

pub(super) fn retention(section: &SectionReader<'_>) -> Retention {
    // At most a hundred years, so that adding it to any instant stays within the calendar.
    let range = || MINUTE..=36_500 * DAY;
    Retention {
        succeeded: section.get_in("succeeded", range()),
        failed: section.get_in("failed", range()),
        quarantine: section.get_in("quarantine", range()),
        payloads: section.get_in("payloads", range()),
    }
}

pub(super) fn admin(section: &SectionReader<'_>, clients: &[Client]) -> AdminConfig {
    let token: Option<Secret> = section.get("token");
    if let Some(reason) = token.as_ref().and_then(|token| flaw(token.expose(), TOKEN_CHARS_MIN)) {
        section.error("token", format!("`{}` {reason}", section.key("token")));
    }
    let users = users(section, token.as_ref(), clients);
    AdminConfig { token, allow_plain: section.get("allow_plain"), users }
}

pub(super) fn alerts(section: &SectionReader<'_>) -> AlertsConfig {
    let webhook: Option<Secret> = section.get("webhook");
    let webhook = webhook.filter(|url| !url.expose().is_empty());
    let allow_private = section.get("allow_private");
    let url = webhook.as_ref().map(|url| url::Url::parse(url.expose()));
    let flaw = match url {
        None => None,
        Some(Ok(url)) if is_http_url(url.as_str()) => unreachable(&url, allow_private),
        Some(_) => Some("is no URL: expected one such as `https://alerts.example.com/hook`"),
    };
    if let Some(flaw) = flaw {
        section.error("webhook", format!("`alerts.webhook` {flaw}"));
    }
    AlertsConfig { webhook, allow_private }
}

pub(super) fn telemetry(section: &SectionReader<'_>) -> TelemetryConfig {
    let log: String = section.get("log");
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log) {
        let expected = "expected a filter such as `\"info\"` or `\"info,postroom::ingest=debug\"`";
        section.error("log", format!("`telemetry.log` is {}: {expected} ({error})", quoted(&log)));
    }
    let otlp_endpoint: Option<Secret> = section.get("otlp_endpoint");
    if otlp_endpoint.as_ref().is_some_and(|url| !is_http_url(url.expose())) {
        section.error(
            "otlp_endpoint",
            "`telemetry.otlp_endpoint`: expected a URL such as `http://127.0.0.1:4318`".into(),
        );
    }
    let trace_url: Option<String> = section.get("trace_url");
    let trace_url = trace_url.filter(|url| !url.is_empty());
    if trace_url.as_ref().is_some_and(|url| !is_http_url(url) || !url.contains(TRACE_ID)) {
        let expected = "expected a URL such as `https://traces.example/trace/{trace_id}`";
        section.error("trace_url", format!("`telemetry.trace_url`: {expected}"));
    }
    let sample = section.get_in("sample", 0.0..=1.0);
    TelemetryConfig { log, format: section.get("format"), otlp_endpoint, sample, trace_url }
}
