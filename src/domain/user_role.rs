//! What a person may do through the admin API and the pages. ([`super::Role`] is the part of the
//! work that a process takes on.)

use serde::Serialize;

/// What a person may do. A greater role may do all that a smaller one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// They read, and change nothing.
    Viewer,
    /// They also decide about drafts and deliveries.
    Reviewer,
    /// They may do everything.
    Operator,
}

impl UserRole {
    /// All roles, the smallest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Reviewer, Self::Operator];

    /// As the configuration and the API spell it, and as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Operator => "operator",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// The least role that may make a request with this `method` to this `path` below `/api/v1`.
    ///
    /// All may read. A path that is not known here is for operators.
    pub fn needed_for(method: &str, path: &str) -> Self {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method, words.as_slice()) {
            // These hold bodies as they came, which may hold secrets that nobody has recognised.
            ("GET" | "HEAD", ["messages" | "quarantine", _] | ["leads", _, "export"]) => {
                Self::Reviewer
            }
            ("GET" | "HEAD", _) => Self::Viewer,
            // A person may let themselves in on another machine, and end a session of their own.
            ("POST", ["login-codes"]) | ("DELETE", ["sessions", _]) => Self::Viewer,
            ("PATCH", ["drafts", _])
            | ("POST", ["drafts", _, "approve" | "reject" | "undo" | "regenerate" | "snooze"])
            | ("POST", ["deliveries", _, "resolve"]) => Self::Reviewer,
            _ => Self::Operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_found_by_its_name_and_may_do_what_smaller_ones_may() {
        for role in UserRole::ALL {
            assert_eq!(UserRole::named(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).expect("a text"), role.as_str());
        }
        assert_eq!(UserRole::named("Operator"), None);
        assert!(UserRole::ALL.is_sorted());
    }

    #[test]
    fn a_request_needs_the_least_role_that_may_make_it() {
        use UserRole::{Operator, Reviewer, Viewer};
        for (method, path, role) in [
            ("GET", "/jobs", Viewer),
            ("HEAD", "/jobs/7", Viewer),
            ("GET", "/messages", Viewer),
            ("GET", "/leads/7", Viewer),
            ("GET", "/messages/7", Reviewer),
            ("HEAD", "/quarantine/7/", Reviewer),
            ("GET", "/leads/7/export", Reviewer),
            ("POST", "/login-codes", Viewer),
            ("DELETE", "/sessions/7", Viewer),
            ("PATCH", "/drafts/7", Reviewer),
            ("POST", "/drafts/7/approve", Reviewer),
            ("POST", "/drafts/7/reject", Reviewer),
            ("POST", "/drafts/7/undo", Reviewer),
            ("POST", "/drafts/7/regenerate", Reviewer),
            ("POST", "/drafts/7/snooze", Reviewer),
            ("POST", "/deliveries/7/resolve", Reviewer),
            ("POST", "/deliveries/7/resolve/", Reviewer),
            ("DELETE", "/drafts/7", Operator),
            ("POST", "/drafts/7/approve/7", Operator),
            ("POST", "/drafts/7", Operator),
            ("PATCH", "/messages/7", Operator),
            ("POST", "/jobs/7/retry", Operator),
            ("PATCH", "/pools/SELF_CHECK", Operator),
            ("DELETE", "/leads/7", Operator),
            ("POST", "/config/reload", Operator),
            ("DELETE", "/sessions", Operator),
            ("POST", "/", Operator),
            ("BREW", "/drafts/7/approve", Operator),
            ("get", "/jobs", Operator),
        ] {
            assert_eq!(UserRole::needed_for(method, path), role, "{method} {path}");
        }
    }
}
