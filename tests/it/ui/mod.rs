//! What people look at: pages as a browser asks for them, and the streams that keep them live.

mod deliveries;
mod door;
mod events;
mod figures;
mod frame;
mod inbox;
mod jobs;
mod pools;
mod received;
mod received_filters;
mod received_message;
mod search;
mod set_up;
mod some_clients;
mod weights;

use crate::support::{daemon::Daemon, http_without_redirects};
use reqwest::{RequestBuilder, Response, header};
use std::collections::{BTreeMap, BTreeSet};

/// What every page may do, and no more.
pub const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types postroom";
/// An operator, a reviewer and a viewer.
pub const USERS: &str = r#"
    [[admin.users]]
    name = "dana"
    role = "operator"
    token = "danas-token-of-24-characters"
    [[admin.users]]
    name = "kim"
    role = "reviewer"
    token = "kims-token-of-24-characters-"
    [[admin.users]]
    name = "vic"
    role = "viewer"
    token = "vics-token-of-24-characters-"
"#;
pub const DANA: &str = "danas-token-of-24-characters";
pub const KIM: &str = "kims-token-of-24-characters-";
pub const VIC: &str = "vics-token-of-24-characters-";
/// The most bytes of a page with 50 rows.
pub const PAGE_BYTES_MAX: usize = 60_000;
/// The most bytes over the wire of a page with its files.
pub const WIRE_BYTES_MAX: usize = 30_000;

/// A page as it came.
#[derive(Debug)]
pub struct PageAnswer {
    pub status: u16,
    pub html: String,
}

impl PageAnswer {
    /// Checks that the page holds this text.
    #[track_caller]
    pub fn has(&self, text: &str) -> &Self {
        assert!(self.html.contains(text), "{text:?} is not in\n{}", self.html);
        self
    }

    /// Checks that it does not.
    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        assert!(!self.html.contains(text), "{text:?} is in\n{}", self.html);
        self
    }
}

/// What a form of the page is answered, to the operator. Nothing is followed.
pub async fn post(daemon: &Daemon, path: &str, form: &[(&str, &str)]) -> Response {
    post_as(daemon, daemon.admin_token(), path, form).await
}

/// The same as the owner of a token.
async fn post_as(daemon: &Daemon, token: &str, path: &str, form: &[(&str, &str)]) -> Response {
    let client = http_without_redirects();
    let request = client.post(daemon.url(path)).bearer_auth(token);
    request.header(header::ACCEPT, "text/html").form(form).send().await.unwrap()
}

/// Where an answer leads, if it leads somewhere.
#[track_caller]
pub fn leads_to(answer: &Response) -> String {
    assert_eq!(answer.status(), 303, "{answer:?}");
    answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

/// Where a page leads the operator, who does not follow.
pub async fn page_leads_to(daemon: &Daemon, path: &str) -> String {
    let client = http_without_redirects();
    let request = client.get(daemon.url(path)).bearer_auth(daemon.admin_token());
    leads_to(&request.header(header::ACCEPT, "text/html").send().await.unwrap())
}

/// A request of a browser in which the operator is signed in.
pub fn browse(daemon: &Daemon, path: &str) -> RequestBuilder {
    daemon.get(path).bearer_auth(daemon.admin_token()).header(header::ACCEPT, "text/html,*/*;q=0.8")
}

/// Asks for a page, and checks what every page promises.
pub async fn page(daemon: &Daemon, path: &str) -> PageAnswer {
    checked(browse(daemon, path).send().await.unwrap()).await
}

/// The bytes over the wire of a page or a file. Each is compressed.
pub async fn packed_bytes(daemon: &Daemon, path: &str) -> usize {
    let packed = browse(daemon, path).header(header::ACCEPT_ENCODING, "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
    packed.bytes().await.unwrap().len()
}

/// The files that a page loads.
pub fn files_of(html: &str) -> BTreeSet<String> {
    let tags = tags(html).into_iter();
    let named =
        tags.filter_map(|it| it.attributes.get("href").or(it.attributes.get("src")).cloned());
    let files = named.filter(|it| it.contains("/assets/"));
    files.map(|it| it.split('#').next().unwrap().to_owned()).collect()
}

/// Sends a form of a page, and returns the status and where it leads.
pub async fn submit(daemon: &Daemon, path: &str, form: &[(&str, &str)]) -> (u16, String) {
    submit_as(daemon, daemon.admin_token(), path, form).await
}

/// The same as the owner of a token.
pub async fn submit_as(
    daemon: &Daemon,
    token: &str,
    path: &str,
    form: &[(&str, &str)],
) -> (u16, String) {
    let answer = post_as(daemon, token, path, form).await;
    let to = answer.headers().get(header::LOCATION).map_or("", |it| it.to_str().unwrap());
    (answer.status().as_u16(), to.to_owned())
}

/// Reads a page, and checks what every page promises.
pub async fn checked(response: Response) -> PageAnswer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let html = response.text().await.unwrap();
    let header = |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap());
    assert_eq!(header("content-type"), "text/html; charset=utf-8", "{html}");
    assert_eq!(header("content-security-policy"), CONTENT_POLICY);
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "same-origin");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(header("cache-control"), "no-store");
    assert!(html.len() <= PAGE_BYTES_MAX, "{} bytes", html.len());
    runs_nothing(&html);
    assert_eq!(html.matches("<h1").count(), 1, "one heading\n{html}");
    for landmark in ["<main ", "class=\"skip\"", "<title>", "lang=\"en\""] {
        assert!(html.contains(landmark), "{landmark}");
    }
    PageAnswer { status, html }
}

/// Checks that no byte of a page runs, styles or loads anything but our own files.
#[track_caller]
pub fn runs_nothing(html: &str) {
    for tag in tags(html) {
        let (name, attributes) = (tag.name.as_str(), &tag.attributes);
        let is_known = !matches!(
            name,
            "style"
                | "iframe"
                | "object"
                | "embed"
                | "base"
                | "frame"
                | "applet"
                | "foreignobject"
                | "img"
        );
        assert!(is_known, "<{name}>");
        if name == "script" {
            assert!(attributes["src"].contains("/assets/script."), "{attributes:?}");
            assert!(html[tag.end..].starts_with("</script>"), "an inline script");
        }
        for (attribute, value) in attributes {
            let is_inert =
                attribute != "style" && !attribute.starts_with("on") && attribute != "srcdoc";
            assert!(is_inert, "<{name} {attribute}={value:?}>");
            if matches!(attribute.as_str(), "href" | "src" | "action" | "formaction") {
                let is_ours = value.starts_with('/') && !value.starts_with("//");
                let leads_out =
                    ["http://", "https://", "mailto:"].iter().any(|it| value.starts_with(it));
                let is_plain = is_ours || value.starts_with('#') || name == "a" && leads_out;
                assert!(is_plain, "<{name} {attribute}={value:?}>");
            }
        }
    }
}

/// A tag that opens an element.
#[derive(Debug)]
pub struct Tag {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    /// Where it ends in the document.
    end: usize,
}

/// The tags of a document. Quotes and brackets in texts are escaped, so they are found by their
/// signs.
pub fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = html[at..].find('<').map(|it| at + it) {
        let mut is_quoted = false;
        let length = html[start..].find(|c| {
            is_quoted ^= c == '"';
            c == '>' && !is_quoted
        });
        let end = start + length.expect("a tag ends") + 1;
        at = end;
        let inner = &html[start + 1..end - 1];
        if inner.starts_with(['/', '!']) {
            continue;
        }
        let (name, mut rest) = inner.split_once(' ').unwrap_or((inner, ""));
        let mut attributes = BTreeMap::new();
        while !rest.trim().is_empty() {
            rest = rest.trim_start();
            let length = rest.find(['=', ' ']).unwrap_or(rest.len());
            let (attribute, after) = rest.split_at(length);
            let value = match after.strip_prefix("=\"") {
                Some(quoted) => {
                    let (value, after) = quoted.split_once('"').expect("a value ends");
                    rest = after;
                    value
                }
                None => {
                    assert!(!after.starts_with('='), "a value without quotes: {inner}");
                    rest = after;
                    ""
                }
            };
            attributes.insert(attribute.to_lowercase(), value.to_owned());
        }
        found.push(Tag { name: name.to_lowercase(), attributes, end });
    }
    found
}

#[test]
fn what_would_run_is_found() {
    runs_nothing(
        "<a href=\"/jobs\">onclick=\"x\" style=</a><script src=\"/assets/script.1.js\" defer></script>",
    );
    for html in [
        "<b style=\"color:red\">",
        "<b ONCLICK=\"x\">",
        "<style>a{}</style>",
        "<script src=\"/assets/script.1.js\">alert(1)</script>",
        "<a href=\"javascript:alert(1)\">",
        "<a href=\"//evil.example\">",
        "<form action=\"https://evil.example\">",
        "<img src=\"/x\">",
    ] {
        let found = std::panic::catch_unwind(|| runs_nothing(html));
        assert!(found.is_err(), "{html}");
    }
}
