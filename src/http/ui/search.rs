//! `/search`: leads to the page of what was asked for. It shows nothing itself.

use super::{PageResult, visit::Visit};
use crate::{
    domain::Id,
    http::{
        api::{NamedObject, parse_id},
        problem::Problem,
    },
};

/// Where a text that is no id is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LookedFor {
    /// Among leads: a name, a company, an address, a phone number.
    Leads,
    /// Among what came in: the id of a request, or one that a provider gave.
    Received,
}

/// `GET /search?q=`.
pub(super) async fn show(visit: Visit) -> PageResult {
    let query = visit.query(&["q"])?;
    let Some(text) = query.text("q")? else { return Ok(visit.see(&visit.to("/"))) };
    if let Some(id) = parse_id(text) {
        return match visit.api().named(id).await? {
            Some(object) => Ok(visit.see(&visit.to(&path_of(object)))),
            None => Err(nothing(id)),
        };
    }
    let address = match looked_for(text) {
        LookedFor::Leads => visit.to_with("/inbox", &[("view", "all"), ("q", text)]),
        LookedFor::Received => visit.to_with("/received", &[("q", text)]),
    };
    Ok(visit.see(&address))
}

fn nothing(id: Id) -> Problem {
    Problem::not_found(format!(
        "no job, lead, delivery, draft or message has the id {id}; it may have been pruned"
    ))
}

fn path_of(object: NamedObject) -> String {
    match object {
        NamedObject::Job(id) => format!("/jobs/{id}"),
        NamedObject::Lead(lead) | NamedObject::OfLead { lead } => format!("/leads/{lead}"),
        NamedObject::Delivery(id) => format!("/deliveries/{id}"),
    }
}

/// Addresses, phone numbers and words belong to leads; a long word of hexadecimal digits, or of
/// digits and signs, is an id.
fn looked_for(text: &str) -> LookedFor {
    let is_word = !text.contains(char::is_whitespace);
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    let has_letter = text.contains(|c: char| c.is_ascii_alphabetic());
    let is_address = text.contains('@') || text.starts_with('+');
    if is_word && has_digit && has_letter && !is_address && text.len() >= 8 {
        LookedFor::Received
    } else {
        LookedFor::Leads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_lead_and_a_request_to_what_came_in() {
        for (text, expected) in [
            ("rita@example.com", LookedFor::Leads),
            ("r1ta.2024@example.com", LookedFor::Leads),
            ("+1 312 555 0187", LookedFor::Leads),
            ("+13125550187", LookedFor::Leads),
            ("Rita Okonkwo", LookedFor::Leads),
            ("Halden", LookedFor::Leads),
            ("01931c5e-8a9b-7c3d-9e4f-0a1b2c3d4e5f", LookedFor::Received),
            ("smp0000000000000001", LookedFor::Received),
            ("<script>", LookedFor::Leads),
        ] {
            assert_eq!(looked_for(text), expected, "{text}");
        }
    }
}
