//! A message that is judged, with what the rules of this process say of it.

use super::{Classified, local};
use crate::domain::{Conversation, Medium};
use std::sync::OnceLock;

/// The message of a conversation, and the medium over which it came.
///
/// The rules of this process judge it when their verdict is first asked for, and once: a handler,
/// an analyst and the gate ask for the same.
#[derive(Debug)]
pub struct RuledMessage<'a> {
    conversation: &'a Conversation,
    medium: Medium,
    ruling: OnceLock<Ruling>,
}

/// What the rules of this process say of a message.
#[derive(Debug)]
pub(super) struct Ruling {
    /// The words by which the lead opts out, if there are such words.
    pub(super) opt_out_words: Option<String>,
    /// What the message says.
    pub(super) classified: Classified,
}

impl<'a> RuledMessage<'a> {
    /// The message of `conversation`, which came over `medium`.
    pub const fn new(conversation: &'a Conversation, medium: Medium) -> Self {
        Self { conversation, medium, ruling: OnceLock::new() }
    }

    /// The message with its lead and their thread.
    pub const fn conversation(&self) -> &'a Conversation {
        self.conversation
    }

    /// The medium over which it came.
    pub const fn medium(&self) -> Medium {
        self.medium
    }

    /// The words by which the lead opts out in it, if there are such words. Quoted words are not
    /// the lead's.
    pub fn opt_out_words(&self) -> Option<&str> {
        self.ruling().opt_out_words.as_deref()
    }

    /// What it says by rules and learned weights, whatever a model says.
    pub fn classified(&self) -> Classified {
        self.ruling().classified
    }

    fn ruling(&self) -> &Ruling {
        self.ruling.get_or_init(|| local::ruling(self.conversation, self.medium))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::testing::{TEXT, conversation},
        domain::{Sentiment, opt_out::opt_out_words},
    };

    #[test]
    fn the_words_are_those_of_the_rules_and_never_quoted_ones() {
        type Change = fn(&mut Conversation);
        let rows: [(&str, Change, Option<&str>); 6] = [
            ("STOP", |_| {}, Some("stop")),
            ("Thanks, please Remove  me from the list", |_| {}, Some("Remove me")),
            ("Takk men jeg vil ikke ha flere meldinger", |_| {}, None),
            ("Call me", |_| {}, None),
            (
                "Thanks",
                |it| it.message.subject = Some("Re: Unsubscribe".to_owned()),
                Some("unsubscribe"),
            ),
            ("Please remove me", |it| it.message.has_new_text = false, None),
        ];
        for (body, change, expected) in rows {
            let mut it = conversation("any", body);
            change(&mut it);
            let ruled = RuledMessage::new(&it, TEXT);
            assert_eq!(ruled.opt_out_words(), expected, "{body}");
            let message = &it.message;
            let alone = opt_out_words(TEXT, message.subject.as_deref(), message.new_text());
            assert_eq!(ruled.opt_out_words(), alone.as_deref(), "{body}");
            let Classified { tag, opts_out, .. } = ruled.classified();
            assert!(expected.is_none() || (opts_out && tag == Sentiment::Blacklist), "{body}");
        }
    }
}
