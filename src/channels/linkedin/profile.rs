//! Members of LinkedIn and the addresses of their profiles.

use crate::{
    channels::fields,
    domain::{Identity, LeadProfile, event::Address},
};
use serde_json::Value;

/// Every member id begins with this. It is case-sensitive.
const MEMBER_ID: &str = "ACoAA";

/// Somebody in a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// The member id.
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    /// Profile names and addresses of profiles, as they came.
    pub(super) pages: Vec<String>,
}

impl Member {
    /// The sender or an attendee of a message.
    pub(super) fn of(object: &Value) -> Self {
        let pages = ["attendee_public_identifier", "attendee_profile_url"];
        Self {
            id: fields::word(object, "attendee_provider_id"),
            name: fields::word(object, "attendee_name"),
            pages: pages.iter().filter_map(|path| fields::word(object, path)).collect(),
        }
    }

    /// The identities of the member: ids, then addresses.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let mut identities: Vec<Identity> = Vec::new();
        identities.extend(self.id.clone().map(|it| Identity::new(super::MEMBER, it)));
        let mut pages: Vec<Identity> = Vec::new();
        for page in self.pages.iter().filter_map(|it| page_of(it)) {
            let (list, it) = match page {
                ProfileIdentity::Member(id) => (&mut identities, Identity::new(super::MEMBER, id)),
                ProfileIdentity::Profile(url) => {
                    (&mut pages, Identity::new(super::PROFILE_URL, url))
                }
            };
            // A second member id would be somebody else's. The id in its own field wins.
            let is_second = it.kind == super::MEMBER && list.iter().any(|one| one.kind == it.kind);
            if !is_second && !list.contains(&it) {
                list.push(it);
            }
        }
        identities.extend(pages);
        identities
    }

    pub(super) fn profile(&self) -> LeadProfile {
        let (first_name, last_name) = fields::split_name(self.name.as_deref().unwrap_or_default());
        LeadProfile { first_name, last_name, ..LeadProfile::default() }
    }

    pub(super) fn address(&self) -> Address {
        Address {
            address: self.id.clone().or_else(|| self.pages.first().cloned()),
            name: self.name.clone(),
        }
    }
}

/// The identity that a profile's name or address stands for.
#[derive(Debug, PartialEq, Eq)]
enum ProfileIdentity {
    /// A member's id.
    Member(String),
    /// `https://linkedin.com/in/name`.
    Profile(String),
}

/// Reads a profile's name or address in any of its usual forms. `None` for a company's page and for
/// anything else.
fn page_of(text: &str) -> Option<ProfileIdentity> {
    let text = text.trim();
    let name = if text.contains(['/', ':']) { name_in(text)? } else { text.to_owned() };
    let name = unescaped(&name);
    let is_name =
        |name: &str| name.chars().all(|char| char.is_alphanumeric() || "-_.~'’&".contains(char));
    if name.is_empty() || !is_name(&name) {
        None
    } else if name.starts_with(MEMBER_ID) {
        Some(ProfileIdentity::Member(name))
    } else {
        // Some capitals become two characters in lower case, and a name may not have the second.
        let name = name.to_lowercase();
        let url = format!("https://linkedin.com/in/{name}");
        // A longer address would be too long to be read if a provider sent it back.
        (is_name(&name) && url.len() <= fields::ID_BYTES_MAX)
            .then_some(ProfileIdentity::Profile(url))
    }
}

/// The name in `https://www.linkedin.com/in/name/?x=y`, in older forms of it, or in
/// `linkedin://in/name`, which phones use.
fn name_in(url: &str) -> Option<String> {
    let (path, query) = url.split_once(['?', '#']).unwrap_or((url, ""));
    let (scheme, rest) = path.split_once("://").unwrap_or(("https", path));
    let is_app = scheme.eq_ignore_ascii_case("linkedin");
    let mut parts = rest.split('/').filter(|it| !it.is_empty());
    if !is_app {
        let host = parts.next()?.to_ascii_lowercase();
        let host = host.split_once(':').map_or(host.as_str(), |(name, _)| name);
        if host != "linkedin.com" && !host.ends_with(".linkedin.com") {
            return None;
        }
    }
    let mut kind = parts.next()?.to_ascii_lowercase();
    if kind == "mwlite" || kind == "m" {
        kind = parts.next()?.to_ascii_lowercase();
    }
    let id = query.split('&').find_map(|it| it.strip_prefix("id="));
    match (kind.as_str(), parts.next(), id) {
        ("in", Some(name), _) => Some(name.to_owned()),
        ("profile", Some(name), None) if is_app => Some(name.to_owned()),
        ("profile", _, Some(id)) => Some(id.to_owned()),
        _ => None,
    }
}

/// The text with each `%C3%A9` decoded to its letter. The text stays as it is if that gives no
/// UTF-8.
fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let code = digits
            .filter(|digits| byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_profiles_have_many_forms() {
        for text in [
            "https://www.linkedin.com/in/Priya-Nandakumar/?trk=x",
            "https://linkedin.com/in/priya-nandakumar",
            "http://de.linkedin.com/in/priya-nandakumar/de",
            "linkedin.com/in/priya-nandakumar/",
            "www.linkedin.com/in/priya-nandakumar#about",
            "https://m.linkedin.com/in/priya-nandakumar",
            "https://www.linkedin.com/mwlite/in/priya-nandakumar",
            "linkedin://in/priya-nandakumar",
            "linkedin://profile/priya-nandakumar",
            "https://www.linkedin.com//in//priya-nandakumar//",
            "priya-nandakumar",
            " PRIYA-Nandakumar ",
        ] {
            let expected = "https://linkedin.com/in/priya-nandakumar".to_owned();
            assert_eq!(page_of(text), Some(ProfileIdentity::Profile(expected)), "{text}");
        }
        for text in ["https://linkedin.com/in/jos%C3%A9-p%C3%A9rez", "José-Pérez", "josé-pérez"]
        {
            let expected = "https://linkedin.com/in/josé-pérez".to_owned();
            assert_eq!(page_of(text), Some(ProfileIdentity::Profile(expected)), "{text}");
        }
    }

    #[test]
    fn a_member_id_may_stand_in_an_address_and_keeps_its_case() {
        for text in [
            "https://www.linkedin.com/in/ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU",
            "https://www.linkedin.com/in/ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU/?trk=x",
            "https://www.linkedin.com/profile/view?id=ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU&x=1",
            "ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU",
        ] {
            let expected = "ACoAABpro0001QfLmZr_7tY2WK9hD4vXnB6sCeU".to_owned();
            assert_eq!(page_of(text), Some(ProfileIdentity::Member(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_persons_page_is_none() {
        for text in [
            "https://www.linkedin.com/company/larkspur-freight",
            "https://www.linkedin.com/school/x",
            "https://linkedin.com.evil.example/in/x",
            "https://evil.example/in/x",
            "https://www.linkedin.com/in/",
            "https://www.linkedin.com/",
            "https://www.linkedin.com/sales/lead/ACwAAA1,NAME_SEARCH",
            "Dana Whitfield",
            "",
            "/",
            "://",
            "https://linkedin.com/in/%00",
            "https://linkedin.com/in/\u{130}x",
        ] {
            assert_eq!(page_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_that_is_kept_can_be_read_again() {
        let room = fields::ID_BYTES_MAX - "https://linkedin.com/in/".len();
        let longest = "a".repeat(room);
        let url = format!("https://linkedin.com/in/{longest}");
        assert_eq!(page_of(&longest), Some(ProfileIdentity::Profile(url.clone())));
        assert_eq!(page_of(&url), Some(ProfileIdentity::Profile(url)));
        assert_eq!(page_of(&format!("{longest}a")), None);
    }

    #[test]
    fn ids_stand_before_addresses_and_each_stands_once() {
        let member = Member {
            id: Some("ACoAA1".to_owned()),
            name: None,
            pages: ["https://linkedin.com/in/ACoAA1", "dana", "linkedin.com/in/Dana", "ACoAA2"]
                .map(str::to_owned)
                .into(),
        };
        assert_eq!(
            member.identities(),
            [
                Identity::new(crate::channels::linkedin::MEMBER, "ACoAA1"),
                Identity::new(
                    crate::channels::linkedin::PROFILE_URL,
                    "https://linkedin.com/in/dana"
                ),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", more in "(linkedin|https)?(://)?(www.)?(linkedin.com)?/in/[%a-zA-Z0-9é]{0,9}") {
            page_of(&text);
            page_of(&more);
        }
    }
}
