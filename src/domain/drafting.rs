//! Whether an answer to a message may be drafted (docs/RULES.md DRAFTS).

use super::Sentiment;

/// What is known of a message and its lead when a draft is decided: before it is written, and
/// again under the lead's lock before it is stored.
#[derive(Clone, Copy, Debug)]
pub struct DraftCase {
    /// The message's tag; `None` if only the tag that asked for the draft is known.
    pub tag: Option<Sentiment>,
    /// True if a machine wrote the message.
    pub is_automated: bool,
    /// True if the message has new text, which is not blank.
    pub has_text: bool,
    /// True if the message was deleted at its provider.
    pub is_deleted: bool,
    /// True if it is the newest inbound message of its lead.
    pub is_newest: bool,
    /// What keeps messages from the lead on the draft's channel
    /// ([`Barriers::on`](super::lead::Barriers::on)).
    pub barrier: Option<&'static str>,
}

impl DraftCase {
    /// True if an answer is of use: the tag asks for one, a person wrote something and is not
    /// out of reach, and nothing newer came.
    pub fn may_be_drafted(self) -> bool {
        self.tag.is_none_or(Sentiment::gets_draft)
            && !self.is_automated
            && self.has_text
            && !self.is_deleted
            && self.is_newest
            && self.barrier.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: DraftCase = DraftCase {
        tag: Some(Sentiment::Interested),
        is_automated: false,
        has_text: true,
        is_deleted: false,
        is_newest: true,
        barrier: None,
    };

    #[test]
    fn each_fact_alone_forbids_a_draft() {
        for (case, expected) in [
            (GOOD, true),
            (DraftCase { tag: None, ..GOOD }, true),
            (DraftCase { is_automated: true, ..GOOD }, false),
            (DraftCase { has_text: false, ..GOOD }, false),
            (DraftCase { is_deleted: true, ..GOOD }, false),
            (DraftCase { is_newest: false, ..GOOD }, false),
            (DraftCase { barrier: Some("opted_out"), ..GOOD }, false),
        ] {
            assert_eq!(case.may_be_drafted(), expected, "{case:?}");
        }
        for tag in Sentiment::ALL {
            let case = DraftCase { tag: Some(tag), ..GOOD };
            assert_eq!(case.may_be_drafted(), tag.gets_draft(), "{tag:?}");
        }
    }
}
