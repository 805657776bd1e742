//! Addresses: those of our own pages, and those that come from outside.

use super::text::outside;
use maud::{Markup, html};
use std::fmt::Display;
use tokio::task_local;
use url::Url;

task_local! {
    /// Under which path the daemon's pages are reached while a request is answered.
    pub(in crate::http::ui) static MOUNT: Mount;
}

/// The path of `server.public_url`, without a slash at its end. All links of a page begin with it,
/// because a proxy may have put the daemon below a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http::ui) struct Mount(String);

impl Mount {
    /// The path of this URL; empty without a URL.
    pub(in crate::http::ui) fn of(public_url: Option<&str>) -> Self {
        let url = public_url.and_then(|it| Url::parse(it).ok());
        Self(url.map_or_else(String::new, |it| it.path().trim_end_matches('/').to_owned()))
    }
}

/// The path of one of our own files or pages, as a browser must ask for it.
pub(super) fn mounted(path: &str) -> String {
    MOUNT.try_with(|mount| format!("{}{path}", mount.0)).unwrap_or_else(|_| path.to_owned())
}

/// The address of one of our pages: `at("/jobs")`. It is for `href` and `action`.
pub(in crate::http::ui) fn at(path: impl Display) -> String {
    mounted(&path.to_string())
}

/// The parameter that selects by an empty value: events without a name.
const MAY_BE_EMPTY: &str = "event_type";

/// The address of one of our pages with a query. Pairs without a value are left out, except for
/// that of an event without a name.
pub(in crate::http::ui) fn with_query<'a>(
    path: impl Display,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let is_given = |pair: &(&str, &str)| !pair.1.is_empty() || pair.0 == MAY_BE_EMPTY;
    for (name, value) in pairs.into_iter().filter(is_given) {
        query.append_pair(name, value);
    }
    // Commas and colons mean nothing in a query; people read and copy these addresses.
    let query = query.finish().replace("%2C", ",").replace("%3A", ":");
    if query.is_empty() { at(path) } else { format!("{}?{query}", at(path)) }
}

/// A link to an address that comes from outside, with its host behind it. An address that is
/// neither `http(s)` nor `mailto` is shown as text, and leads nowhere.
pub(in crate::http::ui) fn link_outside(address: &str, label: &str) -> Markup {
    let url = Url::parse(address.trim()).ok();
    let Some(url) = url.filter(|it| matches!(it.scheme(), "http" | "https" | "mailto")) else {
        return outside(label);
    };
    html! {
        a href=(url.as_str()) rel="noopener noreferrer nofollow" { (outside(label)) }
        @if let Some(host) = url.host_str() { " " span.mut { "(" (outside(host)) ")" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_begin_with_the_path_of_the_public_url() {
        for (url, mount) in [
            (None, ""),
            (Some("https://post.example"), ""),
            (Some("https://post.example/"), ""),
            (Some("https://post.example/a/b/"), "/a/b"),
            (Some("not a URL"), ""),
        ] {
            let mount_of = Mount::of(url);
            assert_eq!(mount_of.0, mount);
            assert_eq!(MOUNT.sync_scope(mount_of, || at("/jobs")), format!("{mount}/jobs"));
        }
        assert_eq!(at("/jobs"), "/jobs");
    }

    #[test]
    fn a_query_is_encoded_and_what_is_empty_left_out() {
        let pairs = [("status", "failed,held"), ("client", ""), ("q", "a&b=\"c\" <d>")];
        assert_eq!(
            with_query("/jobs", pairs),
            "/jobs?status=failed,held&q=a%26b%3D%22c%22+%3Cd%3E"
        );
        assert_eq!(with_query("/jobs", []), "/jobs");
    }

    #[test]
    fn only_web_and_mail_addresses_become_links() {
        for (address, is_link) in [
            ("https://example.com/a?b", true),
            ("HTTP://example.com", true),
            ("mailto:a@example.com", true),
            ("javascript:alert(1)", false),
            (" java\nscript:alert(1)", false),
            ("data:text/html,<script>", false),
            ("vbscript:x", false),
            ("file:///etc/passwd", false),
            ("//example.com", false),
            ("/jobs", false),
            ("", false),
        ] {
            let link = link_outside(address, "<b>").into_string();
            assert_eq!(link.contains("href="), is_link, "{address}: {link}");
            assert!(link.contains("&lt;b&gt;") && !link.contains("<b>"), "{link}");
        }
    }
}
