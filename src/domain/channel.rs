//! Channels, as far as the rules depend on them: how each carries messages, and what is its own.

use super::{IdentityKind, JobKind};
use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};

/// A channel's name: the word in its webhook path, in configs, in metrics and in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(pub &'static str);

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for ChannelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// How a channel carries messages. Barriers, opt-out words and drafts depend on this, never on a
/// channel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// E-mail. Answers have a subject, subjects are judged, and a bounce blocks further
    /// mail.
    Mail,
    /// Text messages to a phone. Carriers' keywords opt out, and a do-not-disturb flag blocks
    /// further ones.
    Text {
        /// How many parts an answer may have.
        parts: usize,
        /// How many characters a part may have.
        chars: usize,
    },
    /// Messages on a platform.
    Chat {
        /// How many characters an answer may have.
        chars: usize,
    },
}

impl Medium {
    /// True for e-mail.
    pub const fn is_mail(self) -> bool {
        matches!(self, Self::Mail)
    }

    /// True for text messages.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// The medium in a word, for readers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Text { .. } => "text",
            Self::Chat { .. } => "chat",
        }
    }
}

/// What the parts that know no channel must know about one.
#[derive(Clone, Copy, Debug)]
pub struct ChannelFacts {
    /// The channel's name.
    pub name: ChannelName,
    /// How it carries messages.
    pub medium: Medium,
    /// The job kind that works through its inbound messages.
    pub post_process: JobKind,
    /// The identity kinds that its provider gives out, besides those that all channels share.
    pub identities: &'static [IdentityKind],
    /// The settings of a client's channel that it has, besides those that all channels share.
    pub settings: &'static [&'static str],
    /// How it sends answers; `None` if it cannot send.
    pub send: Option<SendFacts>,
}

/// How a channel sends answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendFacts {
    /// Where the API of its provider is.
    pub server: ProviderServer,
    /// True if rules may send. Otherwise a person sends each answer, unless a client's settings say
    /// `automatic = true`.
    pub by_rule: bool,
}

/// Where the API of a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderServer {
    /// All customers share this one: the beginning of its URLs.
    Shared(&'static str),
    /// Each customer has its own, which a client's settings must name. This is an example.
    OfCustomer(&'static str),
}

/// The channels of a daemon, in the order of their registration. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct ChannelDirectory(Arc<[ChannelFacts]>);

impl ChannelDirectory {
    /// The list of these channels.
    pub fn new(channels: impl IntoIterator<Item = ChannelFacts>) -> Self {
        Self(channels.into_iter().collect())
    }

    /// The medium of the channel of that name; `None` if this daemon has no such channel.
    pub fn medium(&self, name: ChannelName) -> Option<Medium> {
        self.medium_of(name.0)
    }

    /// The same for a name as it is stored.
    pub fn medium_of(&self, name: &str) -> Option<Medium> {
        self.0.iter().find(|facts| facts.name.0 == name).map(|facts| facts.medium)
    }

    /// The names of the channels that carry e-mail.
    pub fn mail(&self) -> impl Iterator<Item = ChannelName> + '_ {
        self.0.iter().filter(|facts| facts.medium.is_mail()).map(|facts| facts.name)
    }

    /// True if jobs of that kind work through a channel's inbound messages.
    pub fn is_post_process(&self, kind: &str) -> bool {
        self.0.iter().any(|facts| facts.post_process.0 == kind)
    }

    /// The kinds of identities by which the channel of that name knows a lead.
    pub fn identities_on(&self, name: &str) -> impl Iterator<Item = IdentityKind> {
        let own = self.0.iter().find(|facts| facts.name.0 == name).map(|facts| facts.identities);
        IdentityKind::SHARED.into_iter().chain(own.unwrap_or_default().iter().copied())
    }

    /// All kinds of identities, each once.
    pub fn identities(&self) -> impl Iterator<Item = IdentityKind> {
        let own = self.0.iter().flat_map(|facts| facts.identities).copied();
        let mut all: Vec<IdentityKind> = IdentityKind::SHARED.into_iter().chain(own).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// The identity kind that is stored as `name`; `None` if neither this daemon nor a channel of
    /// it has it.
    pub fn identity(&self, name: &str) -> Option<IdentityKind> {
        let own = self.0.iter().flat_map(|facts| facts.identities);
        IdentityKind::SHARED.iter().chain(own).find(|kind| kind.as_str() == name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIGEON_RING: IdentityKind = IdentityKind::given_out("pigeon_ring");

    fn directory() -> ChannelDirectory {
        let facts = |name, medium, post_process, identities| ChannelFacts {
            name: ChannelName(name),
            medium,
            post_process: JobKind(post_process),
            identities,
            settings: &[],
            send: None,
        };
        ChannelDirectory::new([
            facts("letter", Medium::Mail, "READ_A_LETTER", &[]),
            facts("pigeon", Medium::Text { parts: 1, chars: 9 }, "READ_A_NOTE", &[PIGEON_RING]),
            facts("parcel", Medium::Mail, "OPEN", &[]),
        ])
    }

    #[test]
    fn a_channel_is_found_by_its_name_and_by_its_kind() {
        let channels = directory();
        let pigeon = channels.medium(ChannelName("pigeon"));
        assert_eq!(pigeon, Some(Medium::Text { parts: 1, chars: 9 }));
        assert_eq!(channels.medium(ChannelName("fax")), None);
        let mail: Vec<&str> = channels.mail().map(|name| name.0).collect();
        assert_eq!(mail, ["letter", "parcel"]);
        assert!(
            channels.is_post_process("READ_A_NOTE")
                && !channels.is_post_process("READ_A_NOTE_LATER")
        );
    }

    #[test]
    fn an_identity_kind_is_shared_or_a_channels_own() {
        let channels = directory();
        assert_eq!(channels.identity("pigeon_ring"), Some(PIGEON_RING));
        for shared in IdentityKind::SHARED {
            assert_eq!(channels.identity(shared.as_str()), Some(shared));
        }
        assert_eq!(channels.identity("leash"), None);
    }
}
