//! Providers' verdicts on messages: which of them count (docs/RULES.md P15, P16 and SENTIMENT).

use super::Sentiment;

/// A provider's verdict as far as it counts: an automated message may have only the tags of a
/// machine (docs/RULES.md P15).
pub fn counted(told: Option<Sentiment>, is_automated: bool) -> Option<Sentiment> {
    told.filter(|tag| !is_automated || tag.may_be_a_machines())
}

/// The verdict that a message carries and that stands, so that the analyst is not asked
/// (docs/RULES.md SENTIMENT); `None` if there is none, or it is Neutral, or it does not count.
pub fn final_hint(told: Option<Sentiment>, is_automated: bool) -> Option<Sentiment> {
    counted(told, is_automated).filter(|tag| *tag != Sentiment::Neutral)
}

/// True if `hint` fills in the verdict `known` of a message: that one is missing or Neutral,
/// and the hint counts and says something else (docs/RULES.md P16).
pub fn fills_in(hint: Sentiment, known: Option<Sentiment>, is_automated: bool) -> bool {
    let is_open = known.is_none_or(|tag| tag == Sentiment::Neutral);
    is_open && known != Some(hint) && counted(Some(hint), is_automated).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Sentiment::{AutomatedReply, Blacklist, Interested, Neutral, OutOfOffice};

    #[test]
    fn p15_of_an_automated_message_only_a_machines_tags_count() {
        for tag in Sentiment::ALL {
            assert_eq!(counted(Some(tag), false), Some(tag));
            let is_a_machines = [AutomatedReply, OutOfOffice, Blacklist].contains(&tag);
            assert_eq!(counted(Some(tag), true), is_a_machines.then_some(tag), "{tag:?}");
        }
        assert_eq!(counted(None, false), None);
    }

    #[test]
    fn a_verdict_stands_unless_it_is_neutral_or_does_not_count() {
        for tag in Sentiment::ALL {
            assert_eq!(final_hint(Some(tag), false), (tag != Neutral).then_some(tag));
            assert_eq!(final_hint(Some(tag), true), counted(Some(tag), true));
        }
        assert_eq!(final_hint(None, false), None);
    }

    #[test]
    fn p16_a_hint_fills_in_only_what_is_not_judged_or_neutral() {
        for (hint, known, is_automated, expected) in [
            (Interested, None, false, true),
            (Interested, Some(Neutral), false, true),
            (Interested, Some(OutOfOffice), false, false),
            (Interested, Some(Interested), false, false),
            (Neutral, None, false, true),
            (Neutral, Some(Neutral), false, false),
            (Interested, None, true, false),
            (OutOfOffice, None, true, true),
            (OutOfOffice, Some(Neutral), true, true),
            (OutOfOffice, Some(AutomatedReply), true, false),
        ] {
            let fills = fills_in(hint, known, is_automated);
            assert_eq!(fills, expected, "{hint:?} on {known:?}, automated: {is_automated}");
        }
    }

    #[test]
    fn p16_no_second_hint_changes_what_a_first_one_has_filled_in() {
        let all = || Sentiment::ALL.into_iter();
        for (first, second) in all().flat_map(|first| all().map(move |second| (first, second))) {
            let is_over = !fills_in(second, Some(first), false);
            assert!(is_over || first == Neutral, "{second:?} after {first:?}");
        }
    }
}
