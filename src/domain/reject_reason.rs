//! Why a person rejects a draft.

/// The reason for which a draft is not sent, as a person chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// It says what is not so.
    WrongFacts,
    /// It says it in the wrong way.
    WrongTone,
    /// It answers something else.
    DoesNotAnswer,
    /// The lead writes in another language.
    WrongLanguage,
    /// Nothing is to be said.
    NoAnswerNeeded,
    /// None of these.
    Other,
}

impl RejectReason {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] = [
        Self::WrongFacts,
        Self::WrongTone,
        Self::DoesNotAnswer,
        Self::WrongLanguage,
        Self::NoAnswerNeeded,
        Self::Other,
    ];

    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongFacts => "wrong_facts",
            Self::WrongTone => "wrong_tone",
            Self::DoesNotAnswer => "does_not_answer",
            Self::WrongLanguage => "wrong_language",
            Self::NoAnswerNeeded => "no_answer_needed",
            Self::Other => "other",
        }
    }

    /// The reason in words, as it is stored with the draft.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::WrongFacts => "wrong facts",
            Self::WrongTone => "wrong tone",
            Self::DoesNotAnswer => "does not answer",
            Self::WrongLanguage => "wrong language",
            Self::NoAnswerNeeded => "no answer needed",
            Self::Other => "other",
        }
    }

    /// The reason with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The reason with which a note begins, as [`RejectReason::with_note`] made it.
    pub fn of_note(note: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| {
            let rest = note.strip_prefix(reason.in_words());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
        })
    }

    /// What is stored with the draft: the reason, and what the person adds.
    pub fn with_note(self, note: Option<&str>) -> String {
        match note {
            Some(note) => format!("{}: {note}", self.in_words()),
            None => self.in_words().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_word_and_begins_the_note() {
        for reason in RejectReason::ALL {
            assert_eq!(RejectReason::parse(reason.as_str()), Some(reason));
            assert_eq!(reason.as_str().replace('_', " "), reason.in_words());
        }
        assert_eq!(RejectReason::parse("Other"), None);
        assert_eq!(RejectReason::WrongTone.with_note(Some("too pushy")), "wrong tone: too pushy");
        assert_eq!(RejectReason::Other.with_note(None), "other");
        for reason in RejectReason::ALL {
            for note in [None, Some("too pushy")] {
                assert_eq!(RejectReason::of_note(&reason.with_note(note)), Some(reason));
            }
        }
        for note in ["", "others", "no price", "Wrong tone", "wrong tone,"] {
            assert_eq!(RejectReason::of_note(note), None, "{note}");
        }
    }
}
