//! Made-up leads. Channels make bodies from them as their providers send them: for `postroom send`,
//! for the benchmark and for tests.

use super::AnyChannel;
use serde_json::Value;

/// Our mailbox in samples of mail.
pub(super) const MAILBOX: &str = "sender@postroom.example";

/// `body` with the provider account `account`, if it names one. A client's channel with an account
/// ignores the bodies of other accounts.
pub fn of_account(channel: &dyn AnyChannel, mut body: Value, account: &str) -> Value {
    for path in channel.account_paths() {
        if let Some(named) = body.pointer_mut(&format!("/{}", path.replace('.', "/"))) {
            *named = Value::from(account);
        }
    }
    body
}

const FIRST_NAMES: [&str; 8] = ["Rita", "Dana", "Luis", "Ines", "Tara", "Owen", "Mary", "Joel"];
const LAST_NAMES: [&str; 7] =
    ["Campos", "Whitfield", "Farrow", "Voss", "Banerjee", "Orlov", "Reyes"];
const TEXTS: [&str; 6] = [
    "Hey, yes I'm interested. What does it cost?",
    "Can you call me tomorrow after 3?",
    "Not now, please try again next month.",
    "Could you send me more info about how this works?",
    "Thursday at 10 works for me.",
    "We already have somebody for this, thanks.",
];

/// A lead that does not exist, and what it writes.
#[derive(Clone, Debug)]
pub struct MadeUpLead {
    /// The number that distinguishes it from all others.
    pub unique: u64,
    /// The given name.
    pub first: &'static str,
    /// The family name.
    pub last: &'static str,
    /// Phone number in E.164, of a number that exists on paper.
    pub phone: String,
    /// Its e-mail address, which is unique.
    pub email: String,
    /// The text of its message.
    pub text: String,
}

impl MadeUpLead {
    /// The lead of that number.
    pub fn of(unique: u64) -> Self {
        let pick = |from: &[&'static str]| {
            let index = usize::try_from(unique % from.len().max(1) as u64).unwrap_or_default();
            from.get(index).copied().unwrap_or_default()
        };
        let (first, last) = (pick(&FIRST_NAMES), pick(&LAST_NAMES));
        Self {
            unique,
            first,
            last,
            phone: phone(unique),
            email: format!("{}.{unique}@sample.example", first.to_lowercase()),
            text: format!("{} ({unique})", pick(&TEXTS)),
        }
    }

    /// An id of 16 hex digits behind `prefix`; each prefix gives another id.
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.unique)
    }

    /// An id as a provider gives it that numbers its leads.
    pub const fn number(&self) -> u64 {
        self.unique.saturating_add(100_000)
    }

    /// A UUID that starts with `prefix`; each prefix gives another UUID.
    pub fn uuid(&self, prefix: u32) -> String {
        let (high, low) = (self.unique >> 48, self.unique & 0xffff_ffff_ffff);
        format!("{prefix:08x}-{high:04x}-7000-8000-{low:012x}")
    }
}

/// `body` with the fields of `more`.
pub(super) fn extended(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// A number that exists on paper; 8 million of them for each of some area codes.
fn phone(unique: u64) -> String {
    const AREAS: [u64; 8] = [312, 614, 212, 415, 305, 713, 206, 617];
    let area = usize::try_from(unique / 8_000_000 % 8).unwrap_or_default();
    let area = AREAS.get(area).copied().unwrap_or(312);
    format!("+1{area}{}", 2_000_000 + unique % 8_000_000)
}

/// A reply with our mail below it.
pub(super) fn quoted(who: &MadeUpLead) -> String {
    format!(
        "{}\n\nOn Wed, Jun 11, 2025, 11:34 AM Sam <\n{MAILBOX}> wrote:\n\n> Hi {}\n",
        who.text, who.first
    )
}
