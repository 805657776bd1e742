//! `/deliveries/{id}`: one send, what the thread says about it, and how it is settled.

use super::{
    PageResult,
    command::copy_command,
    frame::{PageContent, PagePlace},
    parts::{
        ButtonLook, Sign, Tone, at, button, clock, dialog, field, hidden_input, id, id_link,
        long_text, note, one_line, outside, post_form,
    },
    sends::{ShownSends, mark},
    visit::{RefusedForm, Visit},
};
use crate::{
    domain::{Id, Timestamp},
    http::{
        api::{note_in, parse_id},
        problem::Problem,
    },
    store::{DeliveryRow, Excerpt, ListedMessage},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};
use serde::Deserialize;

/// How many messages of the thread are looked through for what came after it.
const MESSAGES_MAX: usize = 20;
/// The characters of a message that a row shows.
const LINE_CHARS: usize = 160;

/// How often the script fetches the page again, in seconds: the provider may tell of the send while
/// somebody looks.
const REFRESH_SECONDS: u32 = 10;

/// What a person may say of an uncertain send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToldEnd {
    Sent,
    NotSent,
}

impl ToldEnd {
    fn of(word: &str) -> Option<Self> {
        match word {
            "sent" => Some(Self::Sent),
            "not_sent" => Some(Self::NotSent),
            _ => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotSent => "not_sent",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "It was sent",
            Self::NotSent => "It was not sent",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Sent => "y",
            Self::NotSent => "n",
        }
    }

    /// What follows of it.
    const fn follows(self) -> &'static str {
        match self {
            Self::Sent => {
                "The answer becomes a message of the thread, and its draft is sent. Nothing is sent again."
            }
            Self::NotSent => {
                "The send has failed, and its draft is open again. It goes out only if somebody approves it once more: \
                 if the provider has it after all, the lead gets it twice."
            }
        }
    }
}

/// The form that settles a send.
#[derive(Debug, Deserialize)]
pub(super) struct SettleForm {
    end: String,
    #[serde(default)]
    note: String,
}

/// `GET /deliveries/{id}`.
pub(super) async fn show(visit: Visit, path: web::Path<String>) -> PageResult {
    let query = visit.query(&["ask"])?;
    let asked = query.parsed("ask", ToldEnd::of, || "sent or not_sent".to_owned())?;
    let delivery = visit.api().delivery(id_of(&path)?).await?;
    let created_at = Timestamp::from_millis(delivery.created_at.0);
    let newest = visit.api().newest_messages(delivery.lead_id, MESSAGES_MAX).await?;
    let after: Vec<&Excerpt<ListedMessage>> =
        newest.iter().filter(|it| it.row.created_at.0 >= created_at.as_millis()).collect();
    let sends = ShownSends::read(&visit, vec![delivery]).await?;
    let Some(delivery) = sends.rows.first() else {
        return Err(Problem::not_found("there is no such delivery"));
    };
    let is_open = delivery.status == "uncertain";
    let may_settle = is_open && visit.viewer.may_review();
    let body = html! {
        p.crumb.sm { a href=(visit.to("/deliveries")) { "Deliveries" } }
        div.head data-part="head" {
            h1 { "Answer to " (sends.name(delivery)) }
            (mark(&delivery.status))
            span.end { (copy_command(&visit, &format!("postroom deliveries show {}", delivery.id), &[])) }
        }
        div data-part="evidence" { @if is_open { (evidence(delivery, &after)) } }
        @if let (true, Some(end)) = (may_settle, asked.first()) { (question(&visit, delivery, *end)) }
        div data-part="choices" { @if may_settle && asked.is_empty() { (choices(&visit)) } }
        div.side.sec {
            div {
                h2 { "What was to be sent" }
                (text(&visit, &sends, delivery))
                div data-part="since" { (thread(&visit, &after)) }
            }
            div data-part="facts" { (facts(&visit, delivery)) }
        }
    };
    let title = format!("Delivery {} · {}", delivery.id, delivery.status);
    let page = PageContent::new(PagePlace::Deliveries, title, body);
    Ok(visit.answer(&page.refresh(REFRESH_SECONDS)))
}

/// `POST /deliveries/{id}/resolve`.
pub(super) async fn settle(
    visit: Visit,
    path: web::Path<String>,
    form: web::Form<SettleForm>,
    request: HttpRequest,
) -> PageResult {
    visit.must_review()?;
    let id = id_of(&path)?;
    let end = ToldEnd::of(&form.end)
        .ok_or_else(|| Problem::bad_request("end", "must be sent or not_sent"))?;
    let note = match note_in(&form.note) {
        Ok(note) => note,
        Err(problem) => {
            let refused = RefusedForm::of(problem, vec![("note", form.into_inner().note)])?;
            let query = vec![("ask".to_owned(), end.word().to_owned())];
            let visit = visit.again(&format!("/deliveries/{id}"), query, refused);
            return Visit::refuse(show(visit, path).await);
        }
    };
    visit.api().settle(id, end == ToldEnd::Sent, note, &request).await?;
    let done = [("status", "uncertain"), ("done", end.word())];
    Ok(visit.see(&visit.to_with("/deliveries", &done)))
}

/// `GET` of the same address, which a page that shows the form again has.
pub(super) async fn ask(visit: Visit, path: web::Path<String>) -> PageResult {
    Ok(visit.see(&visit.to(&format!("/deliveries/{}", id_of(&path)?))))
}

fn id_of(path: &str) -> Result<Id, Problem> {
    parse_id(path).ok_or_else(|| Problem::not_found("there is no delivery at this address"))
}

/// What is known, and what the thread says.
fn evidence(delivery: &DeliveryRow, after: &[&Excerpt<ListedMessage>]) -> Markup {
    let why = delivery.error.as_deref().unwrap_or("the call was perhaps made");
    let told = after.iter().filter(|it| it.row.direction == "outbound").count();
    let more = html! {
        (outside(why)) ". "
        @if told == 0 { "Its provider has told of no message to this lead since then." }
        @else { "Its provider has told of a message to this lead since then: see below whether it is this one." }
    };
    note(Tone::Unsure, "Nobody knows whether it was sent.", more, None)
}

fn choices(visit: &Visit) -> Markup {
    html! {
        section.sec aria-label="What became of it" {
            @for end in [ToldEnd::Sent, ToldEnd::NotSent] {
                p.row.ut {
                    a.btn href=(visit.with("ask", Some(end.word()))) data-key=(end.key()) data-key-name=(end.label()) {
                        (end.label()) " " kbd { (end.key()) }
                    }
                    span.mut { (end.follows()) }
                }
            }
        }
    }
}

fn question(visit: &Visit, delivery: &DeliveryRow, end: ToldEnd) -> Markup {
    let content = html! {
        p { (end.follows()) }
        (hidden_input("end", end.word()))
        div.mt {
            (field(
                "Note for the audit log", "note", visit.typed("note").unwrap_or_default(), "where you looked",
                visit.wrong("note")
            ))
        }
        p.mt { (button(ButtonLook::Primary, end.label())) }
    };
    let path = format!("/deliveries/{}/resolve", delivery.id);
    let heading = format!("{}?", end.label());
    dialog(&heading, &visit.with("ask", None), "Not sure yet", post_form(&path, content))
}

fn text(visit: &Visit, sends: &ShownSends, delivery: &DeliveryRow) -> Markup {
    let Some(draft) = sends.draft(delivery) else {
        return html! { p.mut { "Its draft is not stored any more." } };
    };
    let subject = draft.row.draft.subject.as_deref().filter(|it| !it.is_empty());
    html! {
        div.box.pad.ut {
            @if let Some(subject) = subject { p { b { (outside(subject)) } } }
            (long_text(&draft.row.draft.body, None))
            @if draft.is_cut { p.sm { a href=(visit.to(&format!("/leads/{}", delivery.lead_id))) { "All of it" } } }
        }
    }
}

/// What the lead and the provider have said since.
fn thread(visit: &Visit, after: &[&Excerpt<ListedMessage>]) -> Markup {
    html! {
        h2.sec { "Since then" }
        @if after.is_empty() {
            p.mut { "Nothing has come in, and nothing has gone out." }
        } @else {
            ul.thread {
                @for message in after {
                    @let is_inbound = message.row.direction == "inbound";
                    li.msg.(if is_inbound { "in" } else { "out" }) {
                        header {
                            @if is_inbound { "from the lead" } @else { "to the lead, told by " (message.row.source) }
                            (clock(Timestamp::from_millis(message.row.created_at.0), visit.now))
                        }
                        p { (one_line(&message.row.body, LINE_CHARS)) }
                    }
                }
            }
        }
    }
}

fn facts(visit: &Visit, delivery: &DeliveryRow) -> Markup {
    let time = |at: i64| clock(Timestamp::from_millis(at), visit.now);
    html! {
        dl.dl {
            dt { "Delivery" } dd { (id(delivery.id)) }
            dt { "Client" } dd { a href=(at(format!("/clients/{}", delivery.client_id))) { (outside(&delivery.client_id)) } }
            dt { "Lead" } dd { (id_link("/leads", delivery.lead_id)) }
            dt { "Channel" } dd { (delivery.channel) }
            dt { "Began" } dd { (time(delivery.created_at.0)) }
            @if let Some(settled_at) = delivery.settled_at { dt { "Settled" } dd { (time(settled_at.0)) } }
            dt { "Attempts" } dd { (delivery.attempts) }
            dt { "Provider's id" }
            dd { @if let Some(of_provider) = &delivery.provider_id { (id(of_provider)) } @else { span.z { "none" } } }
            @if let Some(job) = delivery.job_id { dt { "Job" } dd { (id_link("/jobs", job)) } }
            @if let Some(error) = &delivery.error { dt { (Sign::Warn) " Error" } dd { (outside(error)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_known_by_its_word_and_says_what_follows() {
        for end in [ToldEnd::Sent, ToldEnd::NotSent] {
            assert_eq!(ToldEnd::of(end.word()), Some(end));
            assert!(end.follows().ends_with('.'));
        }
        assert_eq!(ToldEnd::of("perhaps"), None);
        assert!(id_of("-3").is_err() && id_of("x").is_err() && id_of("7").is_ok());
    }
}
