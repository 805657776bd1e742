//! Who asks for a change through the admin API, for the audit log.

use super::{request_id, ui::Viewer};
use crate::{
    config::AdminUser,
    domain::{UserRole, visible::visible},
    store::{AuditEntry, Via},
};
use actix_web::{HttpMessage as _, HttpRequest, http::header::USER_AGENT};

/// The header in which a caller who shows the admin's token names the person who acts. The name is
/// a note: all of these show the same token.
const ACTOR: &str = "x-postroom-actor";
/// The most characters of a name that are kept.
const CHARS_MAX: usize = 64;

/// The one who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// The name of the user; for the admin's token, a person's name as the caller gives it, else
    /// `admin`.
    pub(super) name: String,
    /// Their role at this request; `None` if it showed no token and no session.
    pub(super) role: Option<UserRole>,
    /// A command of Postroom, another program, or a page.
    pub(super) via: Via,
    /// The id of the request.
    pub(super) request_id: String,
}

impl Operator {
    /// The one who sent this request.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let is_command = header(request, USER_AGENT.as_str())
            .is_some_and(|agent| agent.starts_with("postroom/"));
        let via = match &viewer {
            Some(Viewer { session: Some(_), .. }) => Via::Page,
            Some(_) | None if is_command => Via::Command,
            Some(_) | None => Via::Api,
        };
        let role = viewer.as_ref().map(|viewer| viewer.role);
        let name = viewer.map_or_else(|| given_name(request), |viewer| viewer.name);
        Self { name, role, via, request_id: request_id::of(request) }
    }

    /// The audit log's row for a change by this operator. The caller adds values and a note.
    pub(super) fn did(self, action: &'static str, target: impl ToString) -> AuditEntry {
        AuditEntry {
            role: self.role,
            target: Some(target.to_string()),
            request_id: Some(self.request_id),
            ..AuditEntry::new(self.name, self.via, action)
        }
    }
}

/// The name that a caller gives for the audit log, else `admin`.
pub(super) fn given_name(request: &HttpRequest) -> String {
    shown_name(header(request, ACTOR).unwrap_or_default())
}

/// A name as it may stand in the audit log; `admin` in the place of an empty one.
pub(super) fn shown_name(given: &str) -> String {
    let given = Some(given.trim()).filter(|name| !name.is_empty());
    visible(given.unwrap_or(AdminUser::ADMIN), &[]).chars().take(CHARS_MAX).collect()
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers().get(name).and_then(|it| it.to_str().ok())
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

    #[test]
    fn a_row_has_the_role_of_who_acts() {
        for role in UserRole::ALL {
            let request = TestRequest::default().to_http_request();
            let (name, user) = ("Dana S.".to_owned(), "dana".to_owned());
            let viewer = Viewer { name, role, clients: None, user, session: None };
            request.extensions_mut().insert(viewer);
            let entry = Operator::of(&request).did("job.retry", 7);
            assert_eq!((entry.actor.as_str(), entry.role), ("Dana S.", Some(role)));
        }
        let stranger = TestRequest::default().to_http_request();
        assert_eq!(Operator::of(&stranger).did("job.retry", 7).role, None);
    }
}
