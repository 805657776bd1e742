//! Who may use the admin API: whoever shows its token.

use super::{
    api::ApiState,
    authentication::bearer,
    problem::{Problem, name_request},
    request_id,
};
use crate::config::Secret;
use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// True where `given` is the token. Digests are compared, in constant time, so that not even the token's
/// length shows.
pub fn is_token(given: &[u8], token: &Secret) -> bool {
    let (given, token) = (Sha256::digest(given), Sha256::digest(token.expose()));
    given[..].ct_eq(&token[..]).into()
}

/// True where the request shows the token as `Authorization: Bearer …`.
pub fn shows_token(headers: &HeaderMap, token: &Secret) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|it| bearer(it.as_bytes()));
    shown.is_some_and(|it| is_token(it, token))
}

/// Lets in who shows the token; whatever is answered is not to be kept by caches.
///
/// # Errors
/// Those of what is called.
pub async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = request_id::of(request.request());
    let is_let_in = request
        .app_data::<web::Data<ApiState>>()
        .is_some_and(|state| state.lets_in(request.headers()));
    let response = if is_let_in {
        next.call(request).await?.map_into_boxed_body()
    } else {
        request.into_response(Problem::unauthenticated().of_request(&id).response())
    };
    let mut response = name_request(response, &id);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_lets_in() {
        let token = Secret::new("s3cret");
        let greek = Secret::new("κλειδί");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes("Bearer κλειδί".as_bytes()).unwrap());
        assert!(shows_token(&headers, &greek) && !shows_token(&headers, &token));
        for (shown, is_let_in) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Bearer ", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(shown));
            assert_eq!(shows_token(&headers, &token), is_let_in, "{shown}");
        }
        assert!(!shows_token(&HeaderMap::new(), &token));
    }
}
