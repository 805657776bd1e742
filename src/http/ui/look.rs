//! How pages look to one person: colours and keys, kept in cookies of their browser.

use super::{
    PageResult,
    visit::{KEYS_COOKIE, THEME_COOKIE, Theme, Visit},
};
use crate::http::problem::Problem;
use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    web,
};
use serde::Deserialize;

/// How long a browser keeps the choice.
const KEPT_DAYS: i64 = 365;

/// The form in the header's menu.
#[derive(Debug, Deserialize)]
pub(super) struct LookForm {
    theme: Option<String>,
    keys: Option<String>,
    /// The page on which it was sent.
    next: Option<String>,
}

/// `POST /look`: keeps the choice, and leads back.
pub(super) async fn change(visit: Visit, form: web::Form<LookForm>) -> PageResult {
    let next = form.next.as_deref().filter(|it| is_own_path(it)).unwrap_or("/");
    let mut response = HttpResponse::SeeOther();
    response.insert_header(("location", visit.plain(next)));
    if let Some(theme) = &form.theme {
        let theme = Theme::of(theme)
            .ok_or_else(|| Problem::bad_request("theme", "must be system, light or dark"))?;
        response.cookie(cookie(THEME_COOKIE, theme.as_str()));
    }
    if let Some(keys) = &form.keys {
        let keys = ["on", "off"].into_iter().find(|it| it == keys);
        let keys = keys.ok_or_else(|| Problem::bad_request("keys", "must be on or off"))?;
        response.cookie(cookie(KEYS_COOKIE, keys));
    }
    Ok(response.finish())
}

fn cookie<'a>(name: &'a str, value: &'a str) -> Cookie<'a> {
    Cookie::build(name, value)
        .path("/")
        .max_age(Duration::days(KEPT_DAYS))
        .same_site(SameSite::Strict)
        .http_only(true)
        .finish()
}

/// True for a path of this daemon. Browsers read `//host` and `/\host` as another host.
pub(super) fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_our_own_pages_only() {
        for (path, is_own) in [
            ("/", true),
            ("/jobs?status=failed", true),
            ("//evil.example", false),
            ("/\\evil.example", false),
            ("https://evil.example", false),
            ("/a\r\nset-cookie: x", false),
            ("", false),
        ] {
            assert_eq!(is_own_path(path), is_own, "{path:?}");
        }
    }
}
