//! Scores a lead by what is known about it (docs/RULES.md SCORE).

use crate::{
    analyst::Score,
    domain::{LeadView, Sentiment},
};
use std::collections::HashSet;

/// Words that say nothing about a customer.
const FILLERS: [&str; 22] = [
    "a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "of", "on", "or", "our",
    "that", "the", "their", "to", "we", "who", "with",
];

/// The lead's score, or `None` if it never wrote.
pub(super) fn score(lead: &LeadView, ideal_customer: Option<&str>) -> Option<Score> {
    if let Some(score) = Score::of_disqualified(lead) {
        return Some(score);
    }
    if !lead.has_inbound {
        return None;
    }
    let (fit, why_fit) = fit(lead, ideal_customer);
    let tag = lead.sentiment.unwrap_or(Sentiment::Neutral);
    let reason = format!("Fit: {why_fit}. Intent: {tag}.", tag = tag.as_str());
    Some(Score::new(fit, intent(tag), &reason))
}

const fn intent(tag: Sentiment) -> i16 {
    match tag {
        Sentiment::MeetingBooked | Sentiment::MeetingRequested | Sentiment::CallRequested => 4,
        Sentiment::InformationRequested | Sentiment::Interested => 3,
        Sentiment::FollowUp
        | Sentiment::Neutral
        | Sentiment::OutOfOffice
        | Sentiment::AutomatedReply => 2,
        Sentiment::NotInterested | Sentiment::Blacklist => 1,
    }
}

fn fit(lead: &LeadView, ideal_customer: Option<&str>) -> (i16, &'static str) {
    let known = [lead.company_name.as_deref(), lead.title.as_deref()];
    let known: Vec<&str> = known.into_iter().flatten().filter(|it| !it.trim().is_empty()).collect();
    if known.is_empty() {
        return (2, "neither company nor title known");
    }
    let of_lead: HashSet<String> = known.into_iter().flat_map(words).collect();
    if ideal_customer.is_some_and(|customer| words(customer).any(|word| of_lead.contains(&word))) {
        return (4, "company or title match the ideal customer");
    }
    (3, "company or title known")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|it: char| !it.is_alphanumeric())
        .filter(|it| !it.is_empty())
        .map(str::to_lowercase)
        .filter(|it| !FILLERS.contains(&it.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LeadStatus;
    use proptest::prelude::*;

    fn lead(sentiment: Option<Sentiment>, company: Option<&str>, title: Option<&str>) -> LeadView {
        LeadView {
            id: 1,
            status: LeadStatus::New,
            sentiment,
            first_name: None,
            last_name: None,
            company_name: company.map(str::to_owned),
            title: title.map(str::to_owned),
            opted_out: false,
            bounced: false,
            sms_dnd: false,
            has_inbound: true,
            newest_inbound_id: Some(1),
        }
    }

    fn values(lead: &LeadView, ideal: Option<&str>) -> (i16, i16, i16) {
        let it = score(lead, ideal).unwrap();
        (it.fit, it.intent, it.overall)
    }

    #[test]
    fn intent_follows_the_tag() {
        let rows = [
            (Some(Sentiment::MeetingBooked), 4),
            (Some(Sentiment::MeetingRequested), 4),
            (Some(Sentiment::CallRequested), 4),
            (Some(Sentiment::InformationRequested), 3),
            (Some(Sentiment::Interested), 3),
            (Some(Sentiment::FollowUp), 2),
            (Some(Sentiment::Neutral), 2),
            (Some(Sentiment::OutOfOffice), 2),
            (Some(Sentiment::AutomatedReply), 2),
            (None, 2),
            (Some(Sentiment::NotInterested), 1),
        ];
        for (tag, intent) in rows {
            assert_eq!(
                values(&lead(tag, None, None), None),
                (2, intent, (2 + intent) / 2),
                "{tag:?}"
            );
        }
    }

    #[test]
    fn fit_grows_with_what_is_known_and_with_a_match() {
        let tag = Some(Sentiment::Interested);
        let rows = [
            (None, None, None, 2),
            (None, None, Some("Freight companies"), 2),
            (Some("  "), None, Some("Freight companies"), 2),
            (Some("Larkspur Freight"), None, None, 3),
            (None, Some("Head of Operations"), None, 3),
            (Some("Larkspur-Freight Ltd"), None, Some("FREIGHT companies"), 4),
            (None, Some("VP Sales"), Some("a VP, or the head of a team"), 4),
            (Some("Larkspur"), Some("Cook"), Some("Freight companies"), 3),
            // A part of a word is no word, and fillers match nothing.
            (Some("Freighter"), None, Some("freight"), 3),
            (Some("Bank of the West"), None, Some("the owner of a gym"), 3),
            (Some("Ökostrom GmbH"), None, Some("ökostrom"), 4),
        ];
        for (company, title, ideal, fit) in rows {
            let lead = lead(tag, company, title);
            assert_eq!(
                values(&lead, ideal),
                (fit, 3, (fit + 3) / 2),
                "{company:?} {title:?} {ideal:?}"
            );
        }
    }

    #[test]
    fn nobody_to_write_to_scores_one_even_without_an_inbound() {
        let it = lead(Some(Sentiment::Interested), Some("Larkspur"), None);
        let rows = [
            LeadView { opted_out: true, ..it.clone() },
            LeadView { bounced: true, ..it.clone() },
            LeadView { bounced: true, has_inbound: false, ..it.clone() },
            LeadView { sentiment: Some(Sentiment::Blacklist), ..it.clone() },
        ];
        for lead in rows {
            assert_eq!(values(&lead, Some("larkspur")), (1, 1, 1));
        }
        assert_eq!(score(&LeadView { has_inbound: false, ..it }, None), None);
    }

    proptest! {
        #[test]
        fn no_score_panics_nor_leaves_its_bounds(company: String, title: String, ideal: String) {
            let it = score(&lead(None, Some(&company), Some(&title)), Some(&ideal)).unwrap();
            prop_assert!((1..=4).contains(&it.fit) && (1..=4).contains(&it.overall));
        }
    }
}
