//! Who asks for a change through the admin API, for the audit log.

use super::request_id;
use crate::{
    domain::visible::visible,
    store::{AuditEntry, Via},
};
use actix_web::{HttpRequest, http::header::USER_AGENT};

/// The header in which a caller names the person who acts. The name is a note: every caller shows
/// the same token.
const ACTOR: &str = "x-postroom-actor";
/// The name of a caller that gives none: the owner of the token.
const NOBODY: &str = "admin";
/// The most characters of a name that are kept.
const CHARS_MAX: usize = 64;

/// The one who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// A person's name as the caller gives it, else `admin`.
    pub(super) name: String,
    /// A command of Postroom, or another program.
    pub(super) via: Via,
    /// The id of the request.
    pub(super) request_id: String,
}

impl Operator {
    /// The one who sent this request.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
        let given = header(ACTOR).map(str::trim).filter(|name| !name.is_empty());
        let name: String = visible(given.unwrap_or(NOBODY), &[]).chars().take(CHARS_MAX).collect();
        let is_command =
            header(USER_AGENT.as_str()).is_some_and(|agent| agent.starts_with("postroom/"));
        let via = if is_command { Via::Command } else { Via::Api };
        Self { name, via, request_id: request_id::of(request) }
    }

    /// The audit log's row for a change by this operator. The caller adds values and a note.
    pub(super) fn did(self, action: &'static str, target: impl ToString) -> AuditEntry {
        AuditEntry {
            target: Some(target.to_string()),
            request_id: Some(self.request_id),
            ..AuditEntry::new(self.name, self.via, action)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_caller_is_named_by_its_header_and_known_as_a_command_by_its_agent() {
        for (actor, agent, name, via) in [
            (None, None, "admin", Via::Api),
            (Some("dana"), Some("curl/8"), "dana", Via::Api),
            (Some("  "), Some("postroom/0.1.0"), "admin", Via::Command),
            (Some("dana"), Some("postroom/0.1.0"), "dana", Via::Command),
        ] {
            let mut request = TestRequest::default();
            for (header, value) in [("x-postroom-actor", actor), ("user-agent", agent)] {
                if let Some(value) = value {
                    request = request.insert_header((header, value));
                }
            }
            let operator = Operator::of(&request.to_http_request());
            assert_eq!((operator.name.as_str(), operator.via), (name, via), "{actor:?} {agent:?}");
        }
        let long = TestRequest::default().insert_header(("x-postroom-actor", "x".repeat(500)));
        assert_eq!(Operator::of(&long.to_http_request()).name.len(), CHARS_MAX);
    }
}
