//! The id of a request: in every log line and span about it, and in its `X-Request-Id` headers.

use super::problem;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use uuid::Uuid;

/// The longest id that is taken from a sender.
const LENGTH_MAX: usize = 128;

/// Gives every request its id, and every answer the id of its request.
pub(super) async fn carry<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = named(request.request());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = problem::name_request(next.call(request).await?, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(response)
}

/// The id of a request, kept in its extensions.
#[derive(Clone, Debug)]
struct RequestId(String);

/// The id that a request carries.
pub(super) fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map_or_else(|| named(request), |it| it.0.clone())
}

/// The sender's id if it is a plain word, else a new one.
fn named(request: &HttpRequest) -> String {
    let given = request.headers().get("x-request-id").and_then(|it| it.to_str().ok());
    match given {
        Some(id) if is_plain(id) => id.to_owned(),
        Some(_) | None => Uuid::now_v7().to_string(),
    }
}

fn is_plain(id: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    !id.is_empty() && id.len() <= LENGTH_MAX && id.bytes().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_senders_id_is_kept_and_a_strange_one_replaced() {
        let with = |id: &str| {
            of(&TestRequest::default().insert_header(("x-request-id", id)).to_http_request())
        };
        assert_eq!(with("abc-123"), "abc-123");
        assert_ne!(with("two words"), "two words");
        assert_ne!(with(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(of(&TestRequest::default().to_http_request()).len(), 36);
    }
}
