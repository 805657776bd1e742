//! The files that pages load: one style sheet, one script, one file of signs. They are in the
//! binary. Their names hold a hash, so that a browser keeps them for good.

use super::problems::{gzip, takes_gzip};
use crate::http::problem::Problem;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    web,
};
use bytes::Bytes;
use flate2::Compression;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, sync::LazyLock};

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("style", "css", "text/css", shortened(include_str!("style.css"))));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("script.js");
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|it| !it.is_empty() && !it.starts_with("//"));
    Asset::of("script", "js", "text/javascript", lines.collect::<Vec<_>>().join("\n"))
});
static SIGNS: LazyLock<Asset> = LazyLock::new(|| {
    Asset::of("signs", "svg", "image/svg+xml", include_str!("signs.svg").to_owned())
});

/// A file that pages load.
struct Asset {
    /// `/assets/style.1f0be22a.css`
    path: String,
    content_type: &'static str,
    bytes: Bytes,
    packed: Option<Bytes>,
}

impl Asset {
    fn of(name: &str, end: &str, content_type: &'static str, text: String) -> Self {
        let bytes = Bytes::from(text);
        let mut hash = String::new();
        for byte in Sha256::digest(&bytes).iter().take(4) {
            // Writing to a `String` does not fail.
            write!(hash, "{byte:02x}").ok();
        }
        let packed = gzip(&bytes, Compression::best()).map(Bytes::from);
        Self { path: format!("/assets/{name}.{hash}.{end}"), content_type, bytes, packed }
    }
}

/// A style sheet without comments and without the blanks that mean nothing. No string in it may
/// hold braces, or blanks beside signs.
fn shortened(style: &str) -> String {
    let mut text = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").map_or("", |it| it.1);
    }
    text.push_str(rest);
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["{", "}", ";", ",", ">"] {
        text = text.replace(&format!(" {mark}"), mark).replace(&format!("{mark} "), mark);
    }
    text.replace(": ", ":").replace(";}", "}")
}

/// The path of the style sheet, below the mount.
pub(super) fn style() -> &'static str {
    &STYLE.path
}

/// The path of the script, below the mount.
pub(super) fn script() -> &'static str {
    &SCRIPT.path
}

/// The path of the signs, below the mount.
pub(super) fn signs() -> &'static str {
    &SIGNS.path
}

/// `GET /assets/{name}`. For everybody: the sign-in needs them, and they tell nothing.
pub(super) async fn show(
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let all = [&*STYLE, &*SCRIPT, &*SIGNS];
    let asset = all.into_iter().find(|it| it.path.strip_prefix("/assets/") == Some(name.as_str()));
    let asset = asset.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, asset.content_type))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((VARY, "Accept-Encoding"));
    match asset.packed.clone().filter(|_| takes_gzip(request.headers())) {
        Some(packed) => Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(packed)),
        None => Ok(response.body(asset.bytes.clone())),
    }
}

#[cfg(test)]
mod colours_tests;
#[cfg(test)]
mod tests {
    use super::{super::parts::Sign, *};

    #[test]
    fn the_files_keep_their_weights() {
        for (asset, bytes_max) in [(&STYLE, 20_480), (&SCRIPT, 20_480), (&SIGNS, 6_144)] {
            assert!(asset.bytes.len() <= bytes_max, "{}: {} bytes", asset.path, asset.bytes.len());
            assert!(asset.packed.as_ref().is_some_and(|it| it.len() < asset.bytes.len()));
        }
        let lines = include_str!("script.js").lines().count();
        assert!(lines <= 600, "{lines} lines");
    }

    #[test]
    fn every_sign_is_drawn_once() {
        let signs = std::str::from_utf8(&SIGNS.bytes).unwrap();
        for sign in Sign::ALL {
            let symbol = format!("id=\"{}\"", sign.as_str());
            assert_eq!(signs.matches(&symbol).count(), 1, "{symbol}");
        }
    }
}
