//! Finishes the answers of all pages: a problem becomes a page, nothing on a page may run or load
//! from elsewhere, and the page is sent compressed. How long that took is counted.

use super::{
    frame::{self, PageContent, PagePlace},
    parts::{MOUNT, Mount, at, id, link_button},
    visit::Visit,
    wants_page,
};
use crate::http::{
    State,
    problem::{Cause, Problem},
    request_id,
};
use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{
            ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
            HeaderName, HeaderValue, REFERRER_POLICY, VARY,
        },
    },
    middleware::Next,
    web,
};
use flate2::{Compression, write::GzEncoder};
use maud::html;
use std::{io::Write as _, time::Duration};
use tokio::time::Instant;

/// The policy of every page: it loads our own files and sends our own forms, and nothing else.
pub(super) const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types postroom";
/// When the script asks again for a page that could not be answered, in seconds.
const AGAIN_SECONDS: u32 = 5;
/// A shorter answer would not become shorter.
const COMPRESSED_FROM_BYTES: usize = 1_024;

/// Answers the pages below the path of `server.public_url`, shows problems as pages, and sends what
/// a page needs.
///
/// # Errors
/// The errors of the handler.
pub(super) async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let state = request.app_data::<web::Data<State>>();
    let public_url = state.and_then(|it| it.config.get().server.public_url.clone());
    let mount = Mount::of(public_url.as_deref());
    MOUNT
        .scope(mount, async move {
            let response = next.call(request).await?.map_into_boxed_body();
            let response = sent(as_page(response)).await;
            count(&response, started.elapsed());
            Ok(response)
        })
        .await
}

/// Counts a page that was loaded, also one that shows a problem. A form that is sent, and an answer
/// that only leads elsewhere, is none.
fn count(response: &ServiceResponse<BoxBody>, took: Duration) {
    let request = response.request();
    if request.method() != Method::GET || !is_html(response.headers()) {
        return;
    }
    let page = request.match_pattern().and_then(|route| page_name(&route));
    if let (Some(page), Some(state)) = (page, request.app_data::<web::Data<State>>()) {
        state.metrics.pages().answered(page, took);
    }
}

/// The name of a page in the metrics, by its route.
fn page_name(route: &str) -> Option<&'static str> {
    Some(match route {
        "/" => "overview",
        "/inbox" => "inbox",
        "/leads/{id}" => "lead",
        "/jobs" => "jobs",
        "/jobs/{id}" => "job",
        "/pools" => "pools",
        "/actors" => "actors",
        "/received" => "received",
        "/messages/{id}" => "message",
        "/quarantine/{id}" => "quarantine",
        "/deliveries" => "deliveries",
        "/deliveries/{id}" => "delivery",
        "/clients" => "clients",
        "/clients/{id}" => "client",
        "/config" => "config",
        "/system" => "system",
        "/audit" => "audit",
        "/search" => "search",
        "/login" => "login",
        _ => return None,
    })
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    kind.is_some_and(|it| it.starts_with("text/html"))
}

/// The same response; a problem becomes a page, unless a program asked for a path that is none.
fn as_page(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|it| it.as_error::<Problem>()).cloned();
    let Some(problem) = problem else { return response };
    if problem.cause() == Cause::NotFound && !wants_page(response.request()) {
        return response;
    }
    let page = problem_page(response.request(), &problem);
    response.into_response(page)
}

fn problem_page(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    let visit = request.extensions().get::<Visit>().cloned();
    let request_id = request_id::of(request);
    let again = visit.as_ref().map_or_else(|| at("/"), Visit::here);
    let is_for_now = problem.status().is_server_error();
    let body = html! {
        div.problem {
            h1 { (problem.title()) }
            p.say { (sentence(problem.detail())) }
            @if is_for_now && visit.is_some() { p.mut { "This page comes by itself once it can be shown." } }
            p.row.mt {
                (link_button(&again, "Try again"))
                @if visit.is_some() { (link_button(&at("/"), "Overview")) }
            }
            p.sm.mut.mt { (problem.status().as_u16()) " · request " (id(&request_id)) }
        }
    };
    let page = PageContent::new(PagePlace::None, problem.title(), body).status(problem.status());
    let page = if is_for_now { page.refresh(AGAIN_SECONDS) } else { page };
    let document = frame::document(visit.as_ref(), &page).into_string();
    // The headers of the problem stay: when to ask again, and which methods there are.
    let mut response = problem.response().set_body(BoxBody::new(document));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

/// A detail as a sentence: it begins with a capital letter and ends.
fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    let first = chars.next().map(|it| it.to_uppercase().to_string()).unwrap_or_default();
    let end = if detail.ends_with(['.', '!', '?', ':']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// The same response with what every page has, and compressed if the browser takes it.
async fn sent(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if !is_html(response.headers()) {
        return response;
    }
    let takes_gzip = takes_gzip(response.request().headers());
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    // The body of a page is in memory, and reading that does not fail.
    let bytes = to_bytes(body).await.unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(opener, HeaderValue::from_static("same-origin"));
    // With `no-referrer` a form of ours has the origin `null`, and over plain HTTP nothing else
    // tells where it comes from.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding, Cookie"));
    let packed = if takes_gzip && bytes.len() >= COMPRESSED_FROM_BYTES {
        gzip(&bytes, Compression::fast())
    } else {
        None
    };
    let body = match packed {
        Some(packed) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            BoxBody::new(packed)
        }
        None => BoxBody::new(bytes),
    };
    ServiceResponse::new(request, response.set_body(body))
}

pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|it| it.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|it| {
        let mut parts = it.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|it| matches!(it, "q=0" | "q=0.0"))
    })
}

/// Compressed; `None` if that fails, which it does not in memory.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_browser_says_whether_it_takes_gzip() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let request = TestRequest::default().insert_header(("accept-encoding", accepted));
            assert_eq!(takes_gzip(request.to_http_request().headers()), takes, "{accepted}");
        }
    }
}
