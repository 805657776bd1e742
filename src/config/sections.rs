//! The sections of a configuration, checked and typed. `config/default.toml` says at length what each
//! key means; the docs here say what code may rely on.

use super::{
    database_url::DatabaseUrl,
    layers::TreeNode,
    masking::quoted,
    reader::{SectionReader, Size, Typed, from_text},
    strength::{TOKEN_CHARS_MIN, blank_or_masked, flaw, unsendable},
    value::{Network, Rate, Secret},
};
use crate::domain::backoff::Backoff;
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// `[server]`: the HTTP side.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where to listen.
    pub bind: SocketAddr,
    /// HTTP threads; 0 is one a core.
    pub workers: usize,
    /// The largest body taken, in bytes.
    pub body_limit: u64,
    /// How long a stop waits for running jobs.
    pub shutdown_timeout: Duration,
    /// After this a webhook is answered 429, committed or not.
    pub request_timeout: Duration,
    /// What one address may post; `None` is no limit.
    pub address_rate_limit: Option<Rate>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How the world reaches the daemon, without a slash at the end.
    pub public_url: Option<String>,
    /// Host names under which the daemon may be asked, besides IP addresses, `localhost` and the
    /// host of `public_url`. Lower case, in ASCII, without port and without a dot at the end.
    pub hosts: Vec<String>,
    /// What to serve TLS with; `None` serves in clear.
    pub tls: Option<TlsConfig>,
}

/// `[server.tls]`: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and after it those that vouch for it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseConfig {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Connections at the most.
    pub max_connections: u32,
    /// Whether `serve` applies pending migrations.
    pub auto_migrate: bool,
    /// How long to wait for a free connection.
    pub acquire_timeout: Duration,
    /// What is between the daemon and PostgreSQL.
    pub pooler: Pooler,
}

/// What is between the daemon and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Found out at the start.
    #[default]
    Auto,
    /// Nothing that shares sessions.
    None,
    /// A pooler that lends a session for each transaction.
    Transaction,
}

/// `[ingest]`: how webhooks are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestConfig {
    /// Messages in one transaction at the most.
    pub batch_max: usize,
    /// Bytes in one transaction at the most.
    pub batch_bytes: u64,
    /// Messages that wait for their transaction at the most, over all channels.
    pub queue: usize,
    /// Bytes that wait at the most, over all channels.
    pub queue_bytes: u64,
    /// Transactions at once, in each channel; 0 leaves it to the database. See
    /// [`Config::commit_lanes`](super::Config::commit_lanes).
    pub commit_lanes: usize,
    /// What one client may hold in quarantine.
    pub quarantine: QuarantineBound,
}

/// How much one client may hold in quarantine; beyond it, 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineBound {
    /// Items that nobody has settled yet.
    pub items: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// `[supervisor]`: how jobs are claimed and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorConfig {
    /// The longest sleep between two looks for due jobs.
    pub tick: Duration,
    /// How often a node says that it lives.
    pub heartbeat: Duration,
    /// How long a node's claims hold after its last heartbeat. More than 3 heartbeats.
    pub lease: Duration,
    /// Jobs of one client that run at once at the most; 0 is no cap.
    pub max_running_per_client: u32,
}

/// How the jobs of one kind are run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolConfig {
    /// Slots: jobs that run at once. At least 1.
    pub size: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many attempts a new job gets. At least 1.
    pub max_attempts: u32,
    /// The pause after a failed attempt.
    pub backoff: Backoff,
    /// Jobs claimed ahead of a free slot; 0 is none.
    pub prefetch: usize,
    /// True where no job of the kind is to be started.
    pub paused: bool,
}

/// `[pools]`: one [`Pool`] for every kind, named in the configuration or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Pools {
    default: PoolConfig,
    kinds: HashMap<String, PoolConfig>,
}

impl Pools {
    /// The pool of `kind`: its own keys, and `[pools.default]` for the others.
    pub fn of(&self, kind: &str) -> PoolConfig {
        self.kinds.get(kind).copied().unwrap_or(self.default)
    }
}

/// `[restart]`: what becomes of actors that panic.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartConfig {
    /// Restarts within `window` until a slot backs off.
    pub max_restarts: u32,
    /// In which restarts are counted.
    pub window: Duration,
    /// The pause of a slot that backs off, growing.
    pub backoff: Backoff,
    /// Threads that may be lost to handlers that never yield, until the process ends with 70.
    pub max_lost_threads: usize,
}

/// `[sending]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SendingConfig {
    /// The kill switch. Read right before each send.
    pub enabled: bool,
}

/// Who classifies, scores and drafts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnalystProvider {
    /// Rules in this process.
    #[default]
    Local,
    /// A model behind the `OpenAI` protocol.
    Openai,
}

/// `[analyst]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalystConfig {
    /// Who.
    pub provider: AnalystProvider,
    /// Where the model is served: a URL, in which a user and a password may stand.
    pub base_url: Option<Secret>,
    /// Which model.
    pub model: String,
    /// The key for it.
    pub api_key: Option<Secret>,
    /// How long one question may take.
    pub timeout: Duration,
    /// Questions at once at the most.
    pub max_concurrent: usize,
}

/// `[retention]`: how long rows are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// Jobs that succeeded or were cancelled.
    pub succeeded: Duration,
    /// Jobs that failed.
    pub failed: Duration,
    /// Quarantined webhooks.
    pub quarantine: Duration,
    /// Webhook bodies as received.
    pub payloads: Duration,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    /// The bearer token of the admin API; `None`: the daemon makes one and keeps it in `data/admin.token`.
    pub token: Option<Secret>,
    /// True where the admin API answers in clear text to others than this machine and trusted
    /// proxies.
    pub allow_plain: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// What is logged, as a filter of `tracing`. Valid.
    pub log: String,
    /// How.
    pub format: LogFormat,
    /// Where spans are sent: a URL, in which a user and a password may stand.
    pub otlp_endpoint: Option<Secret>,
}

from_text!(AnalystProvider, "`\"local\"` or `\"openai\"`", |text| match text {
    "local" => Some(Self::Local),
    "openai" => Some(Self::Openai),
    _ => None,
});
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

/// `prefetch`: a number, or `"size"` for as many as there are slots.
#[derive(Clone, Copy)]
struct Prefetch(Option<usize>);

const PREFETCH_MAX: usize = 10_000;

impl Typed for Prefetch {
    const EXPECTED: &'static str = "`\"size\"` or a whole number from 0 to 10000";
    fn from_node(node: &TreeNode) -> Option<Self> {
        if node.as_text().as_deref() == Some("size") {
            return Some(Self(None));
        }
        usize::from_node(node).filter(|it| *it <= PREFETCH_MAX).map(|it| Self(Some(it)))
    }
}

pub(super) fn server(it: &SectionReader<'_>) -> ServerConfig {
    let public_url: Option<String> = it.get("public_url");
    if public_url.as_deref().is_some_and(|it| !is_http_url(it)) {
        it.error(
            "public_url",
            "`server.public_url`: expected a URL such as `https://post.example.com`".into(),
        );
    } else if public_url.as_deref().is_some_and(has_userinfo) {
        it.error(
            "public_url",
            "`server.public_url` holds a user or a password: leave them out, since everybody sees it"
                .into(),
        );
    }
    ServerConfig {
        bind: it.read("bind").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
        workers: it.get_in("workers", 0..=1_024),
        body_limit: it.get_in("body_limit", Size(KIB)..=Size(GIB)).0,
        shutdown_timeout: it.get_in("shutdown_timeout", Duration::ZERO..=HOUR),
        request_timeout: it.get_in("request_timeout", 10 * MILLISECOND..=5 * MINUTE),
        address_rate_limit: it.get("address_rate_limit"),
        trusted_proxies: it.get("trusted_proxies"),
        public_url: public_url.map(|it| it.trim_end_matches('/').to_owned()),
        hosts: hosts(it),
        tls: it.section("tls").and_then(|it| tls(&it)),
    }
}

/// Both files or none: half of it must not be served in clear.
fn tls(it: &SectionReader<'_>) -> Option<TlsConfig> {
    let path = |key| it.get::<Option<String>>(key).map(PathBuf::from);
    match (path("cert"), path("key")) {
        (Some(cert), Some(key)) => Some(TlsConfig { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let (missing, given) = if cert.is_some() { ("key", "cert") } else { ("cert", "key") };
            let (needed, set) = (it.key(missing), it.key(given));
            it.error(missing, format!("`{needed}` is not set, and `{set}` is: TLS needs both"));
            None
        }
    }
}

/// The names in `hosts`, as a `Host` header is compared with them.
fn hosts(it: &SectionReader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (index, written) in it.get::<Vec<String>>("hosts").iter().enumerate() {
        match host_name(written) {
            Some(name) => names.push(name),
            None => it.error(
                "hosts",
                format!(
                    "`{}[{index}]` is no host name: expected one without scheme, port and path, such as \
                     `\"post.example.com\"`",
                    it.key("hosts")
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
    let is_letter = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    let is_label = |it: &str| (1..=63).contains(&it.len()) && it.chars().all(is_letter);
    (name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}

/// True for an absolute `http` or `https` URL.
fn is_http_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|it| matches!(it.scheme(), "http" | "https"))
}

/// True for a URL with a user or a password in it.
fn has_userinfo(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|it| !it.username().is_empty() || it.password().is_some())
}

/// `None` where the URL cannot be read; there is no database that would do instead.
pub(super) fn database(it: &SectionReader<'_>) -> Option<DatabaseConfig> {
    let max_connections = it.get_in("max_connections", 1..=10_000);
    let acquire_timeout = it.get_in("acquire_timeout", MILLISECOND..=10 * MINUTE);
    let (auto_migrate, pooler) = (it.get("auto_migrate"), it.get("pooler"));
    let url = it.read_by("url", DatabaseUrl::parse)?;
    Some(DatabaseConfig { url, max_connections, auto_migrate, acquire_timeout, pooler })
}

pub(super) fn ingest(it: &SectionReader<'_>) -> IngestConfig {
    IngestConfig {
        batch_max: it.get_in("batch_max", 1..=10_000),
        batch_bytes: it.get_in("batch_bytes", Size(KIB)..=Size(GIB)).0,
        queue: it.get_in("queue", 1..=1_000_000),
        queue_bytes: it.get_in("queue_bytes", Size(KIB)..=Size(64 * GIB)).0,
        commit_lanes: it.get_in("commit_lanes", 0..=64),
        quarantine: QuarantineBound {
            items: u64::from(it.get_in::<u32>("quarantine_items", 1..=1_000_000_000)),
            bytes: it.get_in("quarantine_bytes", Size(KIB)..=Size(1024 * GIB)).0,
        },
    }
}

pub(super) fn supervisor(it: &SectionReader<'_>) -> SupervisorConfig {
    SupervisorConfig {
        tick: it.get_in("tick", MILLISECOND..=5 * MINUTE),
        heartbeat: it.get_in("heartbeat", 10 * MILLISECOND..=5 * MINUTE),
        lease: it.get_in("lease", 10 * MILLISECOND..=HOUR),
        max_running_per_client: it.get("max_running_per_client"),
    }
}

pub(super) fn pools(it: &SectionReader<'_>) -> Pools {
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
    let default = it.section("default").map_or(inherit, |it| pool(&it, inherit));
    let mut kinds = HashMap::new();
    for kind in it.table.keys().filter(|it| *it != "default") {
        if let Some(section) = it.section(kind) {
            kinds.insert(kind.clone(), pool(&section, default).0);
        }
    }
    Pools { default: default.0, kinds }
}

/// A pool with what its section says, and the rest from `base`. `prefetch = "size"` follows the size.
fn pool(
    it: &SectionReader<'_>,
    (base, base_prefetch): (PoolConfig, Prefetch),
) -> (PoolConfig, Prefetch) {
    let size = it.read_in("size", 1..=10_000).unwrap_or(base.size);
    let prefetch: Prefetch = it.read("prefetch").unwrap_or(base_prefetch);
    let pool = PoolConfig {
        size,
        timeout: it.read_in("timeout", MILLISECOND..=DAY).unwrap_or(base.timeout),
        max_attempts: it.read_in("max_attempts", 1..=1_000).unwrap_or(base.max_attempts),
        backoff: it.section("backoff").map_or(base.backoff, |it| backoff(&it, base.backoff)),
        prefetch: prefetch.0.unwrap_or(size),
        paused: it.read("paused").unwrap_or(base.paused),
    };
    (pool, prefetch)
}

fn backoff(it: &SectionReader<'_>, inherited: Backoff) -> Backoff {
    let base = it.read_in("base", MILLISECOND..=DAY).unwrap_or(inherited.base);
    let cap = it.read_in("cap", MILLISECOND..=30 * DAY).unwrap_or(inherited.cap);
    if cap < base && !it.errors.has(&it.key("base")) && !it.errors.has(&it.key("cap")) {
        let (base, cap) = (humantime::format_duration(base), humantime::format_duration(cap));
        let (base_key, cap_key) = (it.key("base"), it.key("cap"));
        it.error(
            it.written("cap", "base"),
            format!("`{cap_key}` ({cap}) must not be less than `{base_key}` ({base})"),
        );
    }
    Backoff { base, cap }
}

pub(super) fn restart(it: &SectionReader<'_>) -> RestartConfig {
    let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
    RestartConfig {
        max_restarts: it.get_in("max_restarts", 0..=10_000),
        window: it.get_in("window", MILLISECOND..=DAY),
        backoff: it.section("backoff").map_or(none, |it| backoff(&it, none)),
        max_lost_threads: it.get_in("max_lost_threads", 1..=10_000),
    }
}

pub(super) fn sending(it: &SectionReader<'_>) -> SendingConfig {
    SendingConfig { enabled: it.get("enabled") }
}

pub(super) fn analyst(it: &SectionReader<'_>) -> AnalystConfig {
    let provider = it.get("provider");
    if provider == AnalystProvider::Openai {
        let message = "`analyst.provider` is `\"openai\"`: this version has only `\"local\"`";
        it.error("provider", message.to_owned());
    }
    let base_url: Option<Secret> = it.get("base_url");
    if base_url.as_ref().is_some_and(|it| !is_http_url(it.expose())) {
        it.error(
            "base_url",
            "`analyst.base_url`: expected a URL such as `https://api.openai.com/v1`".into(),
        );
    }
    let api_key: Option<Secret> = it.get("api_key");
    let flaw = api_key
        .as_ref()
        .and_then(|it| blank_or_masked(it.expose()).or_else(|| unsendable(it.expose())));
    if let Some(reason) = flaw {
        it.error("api_key", format!("`{}` {reason}", it.key("api_key")));
    }
    AnalystConfig {
        provider,
        base_url,
        model: it.get("model"),
        api_key,
        timeout: it.get_in("timeout", MILLISECOND..=10 * MINUTE),
        max_concurrent: it.get_in("max_concurrent", 1..=10_000),
    }
}

pub(super) fn retention(it: &SectionReader<'_>) -> Retention {
    // A hundred years, so that a sum with any instant stays inside the calendar.
    let range = || MINUTE..=36_500 * DAY;
    Retention {
        succeeded: it.get_in("succeeded", range()),
        failed: it.get_in("failed", range()),
        quarantine: it.get_in("quarantine", range()),
        payloads: it.get_in("payloads", range()),
    }
}

pub(super) fn admin(it: &SectionReader<'_>) -> AdminConfig {
    let token: Option<Secret> = it.get("token");
    if let Some(reason) = token.as_ref().and_then(|it| flaw(it.expose(), TOKEN_CHARS_MIN)) {
        it.error("token", format!("`{}` {reason}", it.key("token")));
    }
    AdminConfig { token, allow_plain: it.get("allow_plain") }
}

pub(super) fn telemetry(it: &SectionReader<'_>) -> TelemetryConfig {
    let log: String = it.get("log");
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log) {
        let expected = "expected a filter such as `\"info\"` or `\"info,postroom::ingest=debug\"`";
        it.error("log", format!("`telemetry.log` is {}: {expected} ({error})", quoted(&log)));
    }
    let otlp_endpoint: Option<Secret> = it.get("otlp_endpoint");
    if otlp_endpoint.as_ref().is_some_and(|it| !is_http_url(it.expose())) {
        it.error(
            "otlp_endpoint",
            "`telemetry.otlp_endpoint`: expected a URL such as `http://127.0.0.1:4317`".into(),
        );
    }
    TelemetryConfig { log, format: it.get("format"), otlp_endpoint }
}
