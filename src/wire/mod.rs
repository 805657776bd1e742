//! The one way out to providers: it makes a call once, and tells whether the call may have arrived
//! (docs/decisions/0031). Nothing else makes calls at providers.
//!
//! Where a call goes is a client's setting, so the target is not trusted: TLS, an address of the
//! internet that is checked after the name is resolved, no redirect, no proxy, a bounded answer.

mod resolver;

use self::resolver::{CheckedResolver, Reach};
use crate::{
    channels::sending::{Call, CallAnswer},
    domain::reach::class_of_host,
};
use reqwest::{
    Client, Method, Response, Url,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use std::{
    error::Error,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How much of an answer's body is kept, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long it may take to resolve the name, to connect and to agree on TLS. It is less than the
/// least `send.timeout`: so a call that ends by its own time-out was connected, and may have
/// arrived.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The headers of an answer that are kept. None of them holds a secret.
const KEPT_HEADERS: [&str; 3] = ["content-type", "date", "retry-after"];

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The head of an answer came. Its body may be cut, if it was too long or broke off.
    Answered(CallAnswer),
    /// No byte of the call was written: it has certainly not arrived. The reason holds no secret.
    NotConnected(String),
    /// There was a connection, and no answer: the call may have arrived. The reason holds no
    /// secret.
    Lost(String),
}

/// The HTTP clients of all calls at providers. A clone has the same clients.
///
/// Each is made at its first call, because one with TLS reads all root certificates of the machine.
/// One that cannot be made holds the reason, as on a machine without root certificates: then its
/// calls are not connected.
#[derive(Clone, Debug)]
pub struct Wire {
    /// For servers on the internet.
    public: LazyClient,
    /// For servers that may be in a private network.
    anywhere: LazyClient,
    /// Without TLS, for servers in a private network only.
    plain: LazyClient,
}

/// A client that is made when it is first used.
#[derive(Clone, Debug)]
struct LazyClient {
    builder: fn() -> reqwest::ClientBuilder,
    made: Arc<OnceLock<Result<Client, String>>>,
}

impl LazyClient {
    fn new(builder: fn() -> reqwest::ClientBuilder) -> Self {
        Self { builder, made: Arc::default() }
    }

    fn get(&self) -> Result<&Client, String> {
        let made = self.made.get_or_init(|| {
            // Without this, making a client panics. An error only says that it was done before.
            rustls::crypto::ring::default_provider().install_default().ok();
            (self.builder)().build().map_err(|error| chain(&error))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            public: LazyClient::new(|| client(Reach::Public).https_only(true)),
            anywhere: LazyClient::new(|| client(Reach::Anywhere).https_only(true)),
            // Plain HTTP must work on a machine without root certificates, too.
            plain: LazyClient::new(|| client(Reach::Private).tls_certs_only([])),
        }
    }
}

impl Wire {
    /// Makes the call, once, in at most `timeout`. If this future is dropped, nobody knows how the
    /// call ended.
    pub async fn call(&self, call: &Call, timeout: Duration) -> CallEnd {
        let end = match self.request(call, timeout) {
            Ok(request) => exchange(request).await,
            Err(reason) => CallEnd::NotConnected(reason),
        };
        without_secrets(end, call)
    }

    /// The request, ready to be made.
    ///
    /// # Errors
    /// The call is not one that may be made.
    fn request(&self, call: &Call, timeout: Duration) -> Result<reqwest::RequestBuilder, String> {
        let url = Url::parse(&call.url).map_err(|error| format!("the URL is wrong: {error}"))?;
        let (client, reach) = match (url.scheme(), call.allow_private) {
            ("https", false) => (&self.public, Reach::Public),
            ("https", true) => (&self.anywhere, Reach::Anywhere),
            ("http", true) => (&self.plain, Reach::Private),
            ("http", false) => {
                return Err("no TLS: the URL must begin with `https://`".to_owned());
            }
            (scheme, _) => return Err(format!("no provider is asked by `{scheme}`")),
        };
        // An address in place of a name is never resolved, so it is checked here.
        let host = url.host_str().unwrap_or_default();
        if class_of_host(host).is_some_and(|class| !reach.includes(class)) {
            return Err(reach.refusal(host));
        }
        let method = Method::from_str(call.method).map_err(|_| "no such method".to_owned())?;
        let mut request =
            client.get()?.request(method, url).timeout(timeout).body(call.body.clone());
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("the header `{name}` cannot hold its value"))?;
            request = request.header(HeaderName::from_static(name), value);
        }
        Ok(request)
    }
}

/// A client that makes each call once.
///
/// Each call has a connection of its own. A pooled one may have been closed by the server in the
/// meantime; hyper-util then sends the request again by itself, which is safe by what hyper knows,
/// but leaves this code without the proof. reqwest's own retries (of HTTP/2) are switched off, too.
fn client(reach: Reach) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(CheckedResolver(reach)))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
}

/// Makes the request and reads its answer.
async fn exchange(request: reqwest::RequestBuilder) -> CallEnd {
    match request.send().await {
        Ok(response) => CallEnd::Answered(read(response).await),
        Err(error) => {
            // Only then was there no connection yet: the name, TCP or TLS failed. The request is
            // written after that.
            let is_unwritten = error.is_connect() || error.is_builder();
            let reason = chain(&error.without_url());
            if is_unwritten { CallEnd::NotConnected(reason) } else { CallEnd::Lost(reason) }
        }
    }
}

/// The answer. Its status says what became of the call; of a body that breaks off, what came is
/// kept.
async fn read(mut response: Response) -> CallAnswer {
    let status = response.status().as_u16();
    let kept = |name: &&str| {
        let value = response.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    };
    let headers = KEPT_HEADERS.iter().filter_map(kept).collect();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = BODY_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= BODY_BYTES_MAX {
            break;
        }
    }
    CallAnswer { status, headers, body }
}

/// The end with `***` for the call's secrets, which a provider may repeat.
fn without_secrets(end: CallEnd, call: &Call) -> CallEnd {
    let clean = |text: String| {
        call.secrets.iter().map(|it| it.expose()).fold(text, |text, secret| {
            if secret.is_empty() { text } else { text.replace(secret, "***") }
        })
    };
    match end {
        CallEnd::Answered(answer) => {
            let body = clean(String::from_utf8_lossy(&answer.body).into_owned()).into_bytes();
            let headers = answer.headers.into_iter().map(|(name, value)| (name, clean(value)));
            CallEnd::Answered(CallAnswer {
                status: answer.status,
                headers: headers.collect(),
                body,
            })
        }
        CallEnd::NotConnected(reason) => CallEnd::NotConnected(clean(reason)),
        CallEnd::Lost(reason) => CallEnd::Lost(clean(reason)),
    }
}

/// An error and its causes, without those that only repeat the one before.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = cause.source();
    }
    told
}
