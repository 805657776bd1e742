//! Keeps out pages in a browser, and programs that forward requests of others to this machine.
//!
//! Three walls. Every answer says that only its own site may read it. Requests must ask for a host
//! name of this daemon, because a name that somebody else controls can lead to this machine (DNS
//! rebinding). If webhooks are taken without a secret, a request must look like one that a program
//! on this machine has made itself.

use super::{
    State,
    problem::{Cause, Problem},
};
use crate::config;
use actix_web::{
    Error, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Version,
        header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN},
        uri::{Authority, Uri},
    },
    middleware::Next,
    web,
};
use std::net::IpAddr;

/// Headers of every answer that does not set them itself: no other site may read, show, run or keep
/// the answer.
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Puts [`HEADERS`] on every answer.
pub(super) async fn harden<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

/// Answers 421 to a request for a host that is not this daemon. Webhooks and `/healthz` are not
/// checked: providers and load balancers use any name that leads here, and a page learns nothing
/// from either.
///
/// # Errors
/// The errors of the handler.
pub(super) async fn only_own_hosts<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = request.path();
    if path == "/healthz" || path.starts_with("/webhooks/") {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let host = Host::asked_for(request.uri(), request.headers());
    let is_own = request
        .app_data::<web::Data<State>>()
        .is_none_or(|state| host.as_ref().is_some_and(|it| it.is_own(&state.config.get().server)));
    if is_own {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let detail = match host {
        Some(Host::Name(name)) => format!(
            "`{name:.100}` is none of this daemon's host names: ask by its IP address, or put the name \
             into `server.hosts`"
        ),
        Some(Host::Address(_)) | None => "the request names no host that can be read: send one \
             `Host` header with an IP address, or a name in `server.hosts`"
            .to_owned(),
    };
    Ok(ServiceResponse::from_err(Problem::new(Cause::ForeignHost, detail), request.into_parts().0))
}

/// The host that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// In small letters, without the dot of the root.
    Name(String),
}

impl Host {
    /// The host in the request's line, if that is an absolute URI; else in its only `Host` header.
    fn asked_for(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        if let Some(authority) = uri.authority() {
            return Self::of(authority);
        }
        let mut hosts = headers.get_all(HOST);
        let (host, None) = (hosts.next()?, hosts.next()) else { return None };
        Self::of(&Authority::try_from(host.as_bytes()).ok()?)
    }

    fn of(authority: &Authority) -> Option<Self> {
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Name(name))
    }

    /// True for this machine's own names and addresses.
    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// True if it is a host of this daemon. Every address is: only names can be made to lead
    /// elsewhere.
    fn is_own(&self, server: &config::ServerConfig) -> bool {
        let Self::Name(name) = self else { return true };
        let public = server.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        self.is_loopback()
            || server.hosts.contains(name)
            || public.as_ref().and_then(url::Url::host_str) == Some(name)
    }
}

/// True if a page of this daemon made the browser send a request. Pages of other ports, schemes and
/// neighbouring names are not of this daemon. `is_https`: the browser came over HTTPS.
///
/// A browser says so in `Sec-Fetch-Site`, and older ones in `Origin`. If it says nothing, it is
/// false.
pub(super) fn is_same_origin(request: &HttpRequest, is_https: bool) -> bool {
    comes_from(request, is_https) == Some(true)
}

/// False if the browser says that a page of another site made it send this request.
pub(super) fn is_not_cross_site(request: &HttpRequest, is_https: bool) -> bool {
    comes_from(request, is_https) != Some(false)
}

/// Whether a page of this daemon made the browser send a request; `None` if it does not say.
fn comes_from(request: &HttpRequest, is_https: bool) -> Option<bool> {
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(site == "same-origin");
    }
    let origin = headers.get(ORIGIN)?.to_str().ok().and_then(|it| url::Url::parse(it).ok());
    let scheme = if is_https { "https" } else { "http" };
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|it| it.to_str().ok()),
    };
    let own = host.and_then(|host| url::Url::parse(&format!("{scheme}://{host}")).ok());
    Some(origin.zip(own).is_some_and(|(origin, own)| origin.origin() == own.origin()))
}

/// True if a link on a page of another site led the browser here.
pub(super) fn is_led_from_elsewhere(request: &HttpRequest) -> bool {
    let has = |name: &str, value: &str| request.headers().get(name).is_some_and(|it| it == value);
    has("sec-fetch-site", "cross-site") && has("sec-fetch-mode", "navigate")
}

/// 403: another site may have made a browser send the request.
pub(super) fn cross_site() -> Problem {
    let detail = "a page of another site may have made this browser send the request: use the pages of this daemon, \
                  or show a token";
    Problem::new(Cause::Forbidden, detail)
}

/// True if the request asks for the host of `server.public_url`, and that is reached over HTTPS.
pub(super) fn is_at_public_https(request: &HttpRequest, server: &config::ServerConfig) -> bool {
    let public = server.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    let public = public.filter(|url| url.scheme() == "https");
    let host = Host::asked_for(request.uri(), request.headers());
    public.is_some_and(|url| match (url.host(), host) {
        (Some(url::Host::Domain(name)), Some(Host::Name(host))) => name == host,
        (Some(url::Host::Ipv4(address)), Some(Host::Address(host))) => host == address,
        (Some(url::Host::Ipv6(address)), Some(Host::Address(host))) => host == address,
        _ => false,
    })
}

/// Headers by which a proxy, a tunnel or a content network names the original sender.
const FORWARDING: [&str; 16] = [
    "cdn-loop",
    "client-ip",
    "forwarded",
    "forwarded-for",
    "proxy-client-ip",
    "remote-ip",
    "true-client-ip",
    "via",
    "wl-proxy-client-ip",
    "x-amzn-trace-id",
    "x-client-ip",
    "x-cloud-trace-context",
    "x-cluster-client-ip",
    "x-host",
    "x-proxyuser-ip",
    "x-real-ip",
];
/// Prefixes of more such headers (`X-Forwarded-For`, `CF-Connecting-IP`,
/// `X-Envoy-External-Address`).
const FORWARDING_FAMILIES: [&str; 12] = [
    "cf-",
    "cloudfront-",
    "fastly-",
    "fly-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-envoy-",
    "x-forwarded",
    "x-nf-",
    "x-original-",
    "x-vercel-",
];
/// Prefixes of headers. A browser sends at least one of them with every cross-site request.
/// Providers and programs do not send them.
const OF_BROWSERS: [&str; 3] = ["origin", "sec-", "access-control-request-"];

/// Why a webhook without a secret is not taken, although its client's channel takes such webhooks;
/// `None` if it is taken.
///
/// If the channel `is_allowed_explicitly` (`allow_unauthenticated = true`), anybody may post, but a
/// page may not make a browser do so. Otherwise only this machine may, and the request must not
/// have been forwarded.
pub(super) fn objection(request: &HttpRequest, is_allowed_explicitly: bool) -> Option<String> {
    let peer = request.peer_addr().map(|it| it.ip());
    let is_old = !is_allowed_explicitly && request.version() < Version::HTTP_11;
    let of_proxy = is_old.then(|| "it comes over HTTP/1.0, as proxies forward it".to_owned());
    of_proxy.or_else(|| objection_to(request.uri(), request.headers(), peer, is_allowed_explicitly))
}

fn objection_to(
    uri: &Uri,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    is_allowed_explicitly: bool,
) -> Option<String> {
    let is_of_browsers =
        |name: &&HeaderName| OF_BROWSERS.iter().any(|start| name.as_str().starts_with(start));
    if let Some(name) = headers.keys().find(is_of_browsers) {
        let name = name.as_str();
        return Some(format!("it comes from a browser: it has the header `{name:.60}`"));
    }
    if is_allowed_explicitly {
        return None;
    }
    let is_forwarding = |name: &&HeaderName| {
        FORWARDING.contains(&name.as_str())
            || FORWARDING_FAMILIES.iter().any(|start| name.as_str().starts_with(start))
    };
    if let Some(name) = headers.keys().find(is_forwarding) {
        let name = name.as_str();
        return Some(format!("somebody has forwarded it: it has the header `{name:.60}`"));
    }
    if !peer.is_some_and(|it| it.to_canonical().is_loopback()) {
        return Some("it does not come from this machine".to_owned());
    }
    if !Host::asked_for(uri, headers).is_some_and(|it| it.is_loopback()) {
        return Some("its `Host` is neither a loopback address nor `localhost`".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const LOCAL: &str = "127.0.0.1:40000";

    fn refused(request: TestRequest, peer: &str, is_allowed_explicitly: bool) -> bool {
        let request = request.peer_addr(peer.parse().unwrap()).to_http_request();
        objection(&request, is_allowed_explicitly).is_some()
    }

    fn curl() -> TestRequest {
        TestRequest::post()
            .insert_header(("host", "127.0.0.1:8080"))
            .insert_header(("user-agent", "curl/8.5.0"))
            .insert_header(("accept", "*/*"))
            .insert_header(("content-type", "application/x-www-form-urlencoded"))
    }

    #[test]
    fn each_header_of_a_forwarder_alone_is_enough() {
        assert!(!refused(curl(), LOCAL, false));
        for name in [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
            "X-Forwarded",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "CF-Connecting-IP",
            "CF-Connecting-IPv6",
            "CF-Ray",
            "CF-Visitor",
            "CDN-Loop",
            "True-Client-IP",
            "Fastly-Client-IP",
            "Fly-Client-IP",
            "X-Envoy-External-Address",
            "X-Original-Forwarded-For",
            "X-Original-Host",
            "X-Azure-ClientIP",
            "X-ARR-LOG-ID",
            "X-Amzn-Trace-Id",
            "X-Cloud-Trace-Context",
            "CloudFront-Viewer-Address",
            "X-Appengine-User-IP",
            "X-Vercel-Forwarded-For",
            "X-NF-Client-Connection-IP",
            "WL-Proxy-Client-IP",
        ] {
            for value in ["203.0.113.9", "127.0.0.1", ""] {
                let request = || curl().insert_header((name, value));
                assert!(refused(request(), LOCAL, false), "{name}: {value}");
                assert!(!refused(request(), LOCAL, true), "{name} was said to be fine");
            }
        }
        for name in ["X-Request-Id", "X-Webhook-Secret", "Traceparent", "User-Agent", "Referer"] {
            assert!(!refused(curl().insert_header((name, "x")), LOCAL, false), "{name}");
        }
    }

    #[test]
    fn a_page_in_a_browser_never_posts_without_a_secret() {
        for (name, values) in [
            ("Origin", &["http://evil.example", "null", "http://127.0.0.1:8080", ""][..]),
            ("Sec-Fetch-Site", &["cross-site", "same-site", "same-origin", "none", ""]),
        ] {
            for value in values {
                for is_allowed_explicitly in [false, true] {
                    let request = curl().insert_header((name, *value));
                    assert!(refused(request, LOCAL, is_allowed_explicitly), "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn peer_and_host_are_this_machine() {
        for (host, is_here) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("localhost", true),
            ("LocalHost.:8080", true),
            ("postroom.localhost:1", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("x", false),
            ("rebind.example:8080", false),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("127.0.0.1.example", false),
            ("127.0.0.1@rebind.example", false),
            ("rebind.example@127.0.0.1", false),
            ("10.0.0.1:8080", false),
            ("0.0.0.0:8080", false),
            ("2130706433", false),
            ("0x7f.1", false),
            ("[::1", false),
            ("", false),
        ] {
            let request = || curl().insert_header(("host", host));
            assert_eq!(refused(request(), LOCAL, false), !is_here, "{host}");
            assert!(!refused(request(), LOCAL, true), "{host}");
            assert!(!refused(request(), "203.0.113.9:1", true), "{host}");
        }
        for peer in ["203.0.113.9:1", "10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(refused(curl(), peer, false), "{peer}");
        }
        for peer in ["127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!refused(curl(), peer, false), "{peer}");
        }
        let twice = curl().append_header(("host", "rebind.example"));
        assert!(refused(twice, LOCAL, false));
        assert!(refused(TestRequest::post(), LOCAL, false), "no host at all");
        // The request's own line counts more than its `Host`.
        assert!(refused(curl().uri("http://rebind.example/webhooks/sms/demo"), LOCAL, false));
        assert!(!refused(curl().uri("http://localhost/webhooks/sms/demo"), LOCAL, false));
        let unknown = curl().to_http_request();
        assert!(objection(&unknown, false).is_some(), "no peer at all");
    }

    #[test]
    fn a_request_is_of_this_daemon_only_if_its_browser_says_so() {
        for (headers, is_https, told) in [
            (&[][..], false, None),
            (&[("sec-fetch-site", "same-origin")], false, Some(true)),
            (&[("sec-fetch-site", "same-site")], false, Some(false)),
            (&[("sec-fetch-site", "cross-site")], false, Some(false)),
            (&[("sec-fetch-site", "none")], false, Some(false)),
            (&[("sec-fetch-site", "")], false, Some(false)),
            (
                &[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8080")],
                false,
                Some(false),
            ),
            (&[("origin", "http://127.0.0.1:8080")], false, Some(true)),
            (&[("origin", "https://127.0.0.1:8080")], true, Some(true)),
            (&[("origin", "http://127.0.0.1:8080")], true, Some(false)),
            (&[("origin", "https://127.0.0.1:8080")], false, Some(false)),
            (&[("origin", "http://127.0.0.1:8081")], false, Some(false)),
            (&[("origin", "http://127.0.0.1")], false, Some(false)),
            (&[("origin", "http://localhost:8080")], false, Some(false)),
            (&[("origin", "http://evil.example")], false, Some(false)),
            (&[("origin", "null")], false, Some(false)),
            (&[("origin", "")], false, Some(false)),
        ] {
            let add = |request: TestRequest, header: &(&str, &str)| {
                request.insert_header((header.0, header.1))
            };
            let request = headers.iter().fold(curl(), add).to_http_request();
            assert_eq!(comes_from(&request, is_https), told, "{headers:?}");
            assert_eq!(is_same_origin(&request, is_https), told == Some(true));
            assert_eq!(is_not_cross_site(&request, is_https), told != Some(false));
        }
        // The usual port may be left out.
        let request = TestRequest::post()
            .insert_header(("host", "Post.Example.com"))
            .insert_header(("origin", "https://post.example.com"))
            .to_http_request();
        assert!(is_same_origin(&request, true) && !is_same_origin(&request, false));
    }

    #[test]
    fn own_hosts_are_addresses_localhost_the_public_one_and_those_that_are_listed() {
        let mut server = config::Config::load(&config::Sources::default()).unwrap().server;
        server.public_url = Some("https://Post.Example.com:8443/below".to_owned());
        server.hosts = vec!["postroom".to_owned(), "postroom.internal".to_owned()];
        for (host, is_own) in [
            ("127.0.0.1:8080", true),
            ("10.1.2.3", true),
            ("[2001:db8::1]:80", true),
            ("localhost:1", true),
            ("post.example.com", true),
            ("POST.example.com.:8443", true),
            ("postroom:8080", true),
            ("Postroom.Internal", true),
            ("rebind.example", false),
            ("example.com", false),
            ("x.post.example.com", false),
            ("postroom.internal.example", false),
        ] {
            let headers = curl().insert_header(("host", host)).to_http_request();
            let host = Host::asked_for(headers.uri(), headers.headers());
            assert_eq!(host.is_some_and(|it| it.is_own(&server)), is_own);
        }
    }
}
