//! The end of the day, as a page: one row for each lead.

use super::{Day, script::Who};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use std::{env, fmt::Write as _, fs, path::Path};

const PAGE: &str = "tests/it/day/end_state.md";
const HEAD: &str = "# The end of the day\n\n\
    Made by `tests/it/day`. A lead is its client and its number in the script. A message is its direction, channel and tag; a draft its \
    channel, status and by what it was decided, behind it what the gate said, and when it is sent; a delivery its channel and end, behind it how often the provider took it.\n\n\
    | lead | status, sentiment | messages | drafts | deliveries |\n|---|---|---|---|---|\n";

/// Compares the page with what is stored and with what the provider took.
pub async fn is_as_written(day: &Day) {
    let mut page = HEAD.to_owned();
    let mut leads = day.leads.clone();
    leads.sort();
    for (who, id) in &leads {
        writeln!(page, "{}", row(day, *who, id).await).unwrap();
    }
    every_answer_has_arrived_once(day).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if env::var_os("POSTROOM_WRITE_PAGES").is_some() {
        fs::write(path, page).unwrap();
        return;
    }
    let written = fs::read_to_string(path).unwrap();
    let (found, expected): (Vec<&str>, Vec<&str>) =
        (page.lines().collect(), written.lines().collect());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

async fn row(day: &Day, who: Who, id: &str) -> String {
    let lead = day.get(&format!("/leads/{id}")).await;
    let name = format!("{} {}", who.0, who.1);
    if lead["merged_into"].is_string() {
        return format!("| {name} | merged | | | |");
    }
    // 1. The lead.
    let mut about = vec![word(&lead["status"]), word(&lead["sentiment"])];
    for (field, told) in [("opted_out", "opted out"), ("bounced", "bounced")] {
        about.extend(lead[field].is_object().then_some(told));
    }
    about.extend((lead["sms_dnd"] == true).then_some("do not disturb"));
    about.extend(lead["connected_at"].is_string().then_some("connected"));
    // 2. Its messages, by their time.
    let of = |field: &str| lead[field].as_array().unwrap().clone();
    let mut messages = of("messages");
    messages.sort_by_key(|it| word(&it["sent_at"]).to_owned());
    let order: Vec<Value> = messages.iter().map(|it| it["id"].clone()).collect();
    let messages = messages.iter().map(|it| {
        let direction = if it["direction"] == "inbound" { "in" } else { "out" };
        let edits = [("edited_at", " edited"), ("deleted_at", " deleted")];
        let edits = edits.iter().filter(|(field, _)| it[*field].is_string()).map(|it| it.1);
        let tag = if direction == "in" { word(&it["sentiment"]) } else { word(&it["source"]) };
        format!("{direction} {} {tag}{}", word(&it["channel"]), edits.collect::<String>())
    });
    // 3. Its drafts, by the message that they answer.
    let mut drafts = of("drafts");
    drafts.sort_by_key(|it| order.iter().position(|id| *id == it["message_id"]));
    let drafts = drafts.iter().map(|it| {
        let by = it["decided_by"].as_str().map(|by| format!(" by {by}"));
        let blocked = it["blocked_by"].as_str().map(|why| format!(" ({why})"));
        let when = if who.0 == "hours" { opening(day, who, &it["send_at"]) } else { String::new() };
        format!(
            "{} {}{}{}, gate {}{when}",
            word(&it["channel"]),
            word(&it["status"]),
            by.unwrap_or_default(),
            blocked.unwrap_or_default(),
            word(&it["gate"]["decision"]),
        )
    });
    // 4. Its deliveries, and how often the provider took each.
    let counts = day.fake.counts();
    let mut deliveries = of("deliveries");
    deliveries.reverse();
    let deliveries = deliveries.iter().map(|it| {
        let taken = counts.get(word(&it["id"])).copied().unwrap_or_default();
        format!("{} {} {taken}", word(&it["channel"]), word(&it["status"]))
    });
    format!(
        "| {name} | {} | {} | {} | {} |",
        about.join(", "),
        messages.collect::<Vec<_>>().join("; "),
        drafts.collect::<Vec<_>>().join("; "),
        deliveries.collect::<Vec<_>>().join("; ")
    )
}

/// When an answer of the client with hours is sent: at the midnight of the lead's zone.
fn opening(day: &Day, who: Who, send_at: &Value) -> String {
    let zone = match who.1 {
        60 | 63 => "Europe/Berlin",
        62 => "Pacific/Auckland",
        _ => "America/New_York",
    };
    let Some(at) = send_at.as_str() else { return String::new() };
    let at: Timestamp = at.parse().unwrap();
    let midnight = day.opens.at(0, 0, 0, 0);
    let midnight = TimeZone::get(zone).unwrap().to_timestamp(midnight).unwrap();
    if at == midnight { format!(", at midnight of {zone}") } else { ", at another time".to_owned() }
}

/// What the provider took is what was to be sent, each once.
async fn every_answer_has_arrived_once(day: &Day) {
    let mut delivered = 0;
    for sent in day.fake.sent() {
        let delivery = day.get(&format!("/deliveries/{}", sent.delivery_id)).await;
        let draft = word(&delivery["draft_id"]);
        let draft = day.get(&format!("/drafts/{draft}")).await;
        assert_eq!(word(&delivery["channel"]), sent.channel);
        // One provider takes HTML.
        let text = sent.text.replace("&#x27;", "'");
        assert!(text.contains(word(&draft["body"])), "{sent:?} {draft}");
        delivered += 1;
    }
    assert_eq!(day.fake.counts().len(), delivered, "none twice");
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
