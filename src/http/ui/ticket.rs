//! What a cookie and a one-time code say, and how they are signed.
//!
//! Both are a JSON text and its HMAC, in base64. The signature alone shows that this daemon, or
//! another node of its database, has made them: nothing is read to find out. They hold a mark of
//! the token by which their owner signed in, which only a process that knows the token can make. So
//! one who has read the database, and with it the key, can make none.

use crate::{config::Secret, domain::Timestamp};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, time::Duration};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// How long a session lasts without being used.
pub(in crate::http) const IDLE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// How long a session lasts however much it is used.
pub(in crate::http) const SESSION_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long a one-time code can be used.
pub(in crate::http) const CODE_MAX: Duration = Duration::from_secs(10 * 60);
/// How far the clock of the node that made a ticket may be ahead.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// The most bytes of a ticket.
const BYTES_MAX: usize = 2_048;

/// What a ticket is for. One of the other kind does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum TicketKind {
    /// The cookie of a session.
    Cookie,
    /// A code that begins one session.
    Code,
}

/// What a cookie or a code says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::http) struct Ticket {
    /// The id of the session; 0 in a code.
    pub(in crate::http) id: i64,
    /// Random. Its hash is in the session's row.
    key: String,
    /// The user of the configuration.
    pub(in crate::http) user: String,
    /// The name in the audit log.
    pub(in crate::http) actor: String,
    /// What [`Signer::mark`] makes of the user's token.
    mark: String,
    /// When the person signed in, or when the code was made.
    begun_ms: i64,
    /// When the session was last used, to a few minutes.
    used_ms: i64,
}

impl Ticket {
    /// A code for this user, made now.
    pub(in crate::http) fn code(user: &str, actor: &str, mark: String, now: Timestamp) -> Self {
        Self {
            id: 0,
            key: Uuid::new_v4().simple().to_string(),
            user: user.to_owned(),
            actor: actor.to_owned(),
            mark,
            begun_ms: now.as_millis(),
            used_ms: now.as_millis(),
        }
    }

    /// The cookie of the session `id` that begins now by this code.
    pub(in crate::http) fn begun(self, id: i64, now: Timestamp) -> Self {
        Self { id, begun_ms: now.as_millis(), used_ms: now.as_millis(), ..self }
    }

    /// The same cookie, used now.
    pub(in crate::http) fn used(self, now: Timestamp) -> Self {
        Self { used_ms: now.as_millis(), ..self }
    }

    /// How long ago it was last used.
    pub(in crate::http) fn idle(&self, now: Timestamp) -> Duration {
        since(self.used_ms, now)
    }

    /// When its session ends if it is not used again.
    pub(in crate::http) fn ends_at(&self) -> Timestamp {
        let after = |millis: i64, time: Duration| Timestamp::from_millis(millis).plus(time);
        after(self.used_ms, IDLE_MAX).min(after(self.begun_ms, SESSION_MAX))
    }

    /// True if it has not expired.
    pub(in crate::http) fn is_fresh(&self, kind: TicketKind, now: Timestamp) -> bool {
        let is_past = |at: i64| now.millis_since(Timestamp::from_millis(at)) >= -skew_ms();
        let is_young = match kind {
            TicketKind::Code => since(self.begun_ms, now) < CODE_MAX,
            TicketKind::Cookie => {
                since(self.begun_ms, now) < SESSION_MAX && since(self.used_ms, now) < IDLE_MAX
            }
        };
        is_young && is_past(self.begun_ms) && is_past(self.used_ms)
    }

    /// The hash in the session's row.
    pub(in crate::http) fn hash(&self) -> String {
        hash(&self.key)
    }

    /// What the session's row says about the token.
    pub(in crate::http) fn token_mark(&self) -> String {
        hash(&self.mark)
    }

    /// True if it was made by this mark.
    pub(in crate::http) fn has_mark(&self, mark: &str) -> bool {
        self.mark.as_bytes().ct_eq(mark.as_bytes()).into()
    }
}

fn skew_ms() -> i64 {
    i64::try_from(SKEW_MAX.as_millis()).unwrap_or_default()
}

/// The time since then; none if that is in the future.
fn since(then_ms: i64, now: Timestamp) -> Duration {
    let passed = now.millis_since(Timestamp::from_millis(then_ms));
    Duration::from_millis(u64::try_from(passed).unwrap_or_default())
}

/// SHA-256 in hex.
pub(in crate::http) fn hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// Signs and checks tickets.
#[derive(Clone)]
pub(in crate::http) struct Signer(hmac::Key);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Signs with the key of the database.
    pub(in crate::http) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()))
    }

    /// What a ticket says about the token of its owner. Another token has another mark.
    pub(in crate::http) fn mark(&self, token: &Secret) -> String {
        let tag = hmac::sign(&self.0, format!("token.{}", token.expose()).as_bytes());
        tag.as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a `String` does not fail.
            write!(hex, "{byte:02x}").ok();
            hex
        })
    }

    /// Spells a ticket, signed. `None` does not occur: texts and numbers can always be JSON.
    pub(in crate::http) fn sign(&self, kind: TicketKind, ticket: &Ticket) -> Option<String> {
        let said = URL_SAFE_NO_PAD.encode(serde_json::to_vec(ticket).ok()?);
        let tag = hmac::sign(&self.0, signed(kind, &said).as_bytes());
        Some(format!("{said}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// The ticket in a text, if it is of this kind, signed by us and has not expired.
    pub(in crate::http) fn check(
        &self,
        kind: TicketKind,
        text: &str,
        now: Timestamp,
    ) -> Option<Ticket> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let (said, tag) = text.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, signed(kind, said).as_bytes(), &tag).ok()?;
        let ticket: Ticket = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).ok()?).ok()?;
        ticket.is_fresh(kind, now).then_some(ticket)
    }
}

/// What is signed. The kinds begin differently, also from what is marked.
fn signed(kind: TicketKind, said: &str) -> String {
    match kind {
        TicketKind::Cookie => format!("cookie.{said}"),
        TicketKind::Code => format!("code.{said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn signer() -> Signer {
        Signer::new(&Secret::new("the key of a database"))
    }

    fn code() -> Ticket {
        let mark = signer().mark(&Secret::new("danas-token"));
        Ticket::code("dana", "Dana Scully", mark, NOW)
    }

    #[test]
    fn a_code_becomes_a_cookie_of_the_same_user() {
        let code = code();
        let text = signer().sign(TicketKind::Code, &code).unwrap();
        let found = signer().check(TicketKind::Code, &text, NOW).unwrap();
        assert_eq!(found, code);
        let cookie = found.begun(7, NOW.plus_millis(5 * MINUTE));
        assert_eq!((cookie.id, cookie.user.as_str(), cookie.hash()), (7, "dana", code.hash()));
        let text = signer().sign(TicketKind::Cookie, &cookie).unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        assert_eq!(signer().check(TicketKind::Cookie, &text, NOW), Some(cookie));
    }

    #[test]
    fn a_ticket_of_the_other_kind_or_by_another_key_does_not_count() {
        for kind in [TicketKind::Code, TicketKind::Cookie] {
            let other =
                if kind == TicketKind::Code { TicketKind::Cookie } else { TicketKind::Code };
            let text = signer().sign(kind, &code()).unwrap();
            assert!(signer().check(kind, &text, NOW).is_some());
            assert_eq!(signer().check(other, &text, NOW), None);
            let stranger = Signer::new(&Secret::new("the key of another database"));
            assert_eq!(stranger.check(kind, &text, NOW), None);
        }
        let mark = signer().mark(&Secret::new("danas-token"));
        assert!(code().has_mark(&mark));
        assert!(!code().has_mark(&signer().mark(&Secret::new("danas-new-token"))));
        assert!(!code().has_mark(""));
    }

    #[test]
    fn tickets_expire() {
        let at = |minutes: i64| NOW.plus_millis(minutes * MINUTE);
        let cookie = code().begun(7, NOW);
        for (kind, ticket, now, is_fresh) in [
            (TicketKind::Code, code(), at(9), true),
            (TicketKind::Code, code(), at(10), false),
            (TicketKind::Code, code(), at(-4), true),
            (TicketKind::Code, code(), at(-6), false),
            (TicketKind::Cookie, cookie.clone(), at(12 * 60 - 1), true),
            (TicketKind::Cookie, cookie.clone(), at(12 * 60), false),
            (TicketKind::Cookie, cookie.clone().used(at(11 * 60)), at(20 * 60), true),
            (
                TicketKind::Cookie,
                cookie.clone().used(at(7 * 24 * 60 - 2)),
                at(7 * 24 * 60 - 1),
                true,
            ),
            (TicketKind::Cookie, cookie.clone().used(at(7 * 24 * 60 - 2)), at(7 * 24 * 60), false),
        ] {
            assert_eq!(ticket.is_fresh(kind, now), is_fresh, "{kind:?} {ticket:?} {now:?}");
            let text = signer().sign(kind, &ticket).unwrap();
            assert_eq!(signer().check(kind, &text, now).is_some(), is_fresh);
        }
        assert_eq!(cookie.ends_at(), NOW.plus_millis(12 * HOUR));
        assert_eq!(cookie.used(at(7 * 24 * 60 - 5)).ends_at(), at(7 * 24 * 60));
    }

    proptest! {
        #[test]
        fn a_changed_ticket_does_not_count(at in 0_usize..400, byte in any::<u8>()) {
            let text = signer().sign(TicketKind::Cookie, &code()).unwrap();
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            // The last character of a tag has two bits that say nothing, and they must be 0.
            prop_assert_eq!(signer().check(TicketKind::Cookie, &changed, NOW).is_some(), changed == text);
        }

        #[test]
        fn no_text_is_a_ticket(text in ".{0,200}") {
            prop_assert_eq!(signer().check(TicketKind::Cookie, &text, NOW), None);
            prop_assert_eq!(signer().check(TicketKind::Code, &text, NOW), None);
        }
    }
}
