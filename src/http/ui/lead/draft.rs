//! The draft of a lead: to whom it goes, how the gate judged it, its text, and what a person can do
//! about it.

use super::{
    LeadShown, NextDraft,
    ends::{clash, clashes},
    thread::draft_mark,
    words::{difference, linked},
};
use crate::{
    domain::{
        Id, Medium, RejectReason, draft_text, event::Address, visible::first_hidden, whole_millis,
    },
    http::{
        api::{DraftJson, MessageJson},
        ui::parts::{StateMark, TEXT_CHARS_MAX, clock, duration, hidden_input, outside},
    },
};
use maud::{Markup, html};

/// The whole pane.
pub(in crate::http::ui) fn pane(shown: &LeadShown<'_>) -> Markup {
    let Some(view) = shown.draft else {
        return html! {
            div.row { h2 { "Draft" } (why_link(shown)) (shown.watch_drafts()) }
            @if let Some(stopped) = shown.stopped { (clash(shown, stopped)) }
            p.mut { "There is no draft for this lead." }
        };
    };
    let draft = DraftJson::whole(view);
    let is_pending = draft.status == "pending";
    html! {
        (state(shown, &draft))
        @if let Some(stopped) = shown.stopped { (clash(shown, stopped)) }
        (head(shown, &draft))
        (gate(&draft))
        @if is_pending && shown.visit.viewer.may_review() {
            (editor(shown, &draft))
        } @else {
            (linked(draft.body, TEXT_CHARS_MAX))
            (decided(shown, &draft))
        }
    }
}

/// The state of the draft, and who decided. It is fetched again by itself: beside it, a person may
/// have typed a text.
fn state(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let mark = draft_mark(draft.status);
    let is_decided = draft.status != "pending";
    let by = draft.decided_by.map(|by| format!(" by {by}")).unwrap_or_default();
    let told = is_decided.then(|| format!("The draft is {}{by}.", mark.word));
    let address = shown.visit.with("draft", Some(&draft.id.0.to_string()));
    html! {
        div data-part={ "draft-" (draft.id.0) } data-tell=[told] {
            div.row { h2 { "Draft" } (mark.badge()) (why_link(shown)) }
            (shown.watch_drafts())
            @if is_decided {
                p.ut {
                    (mark.word)
                    @if let Some(by) = draft.decided_by { " by " (outside(by)) }
                    @if let Some(at) = draft.decided_at { ", " (clock(at, shown.visit.now)) }
                    @if let Some(note) = draft.note { ": " (outside(note)) }
                    ". "
                    a.sm href=(address) { "The draft as it is now" }
                }
            }
        }
    }
}

fn why_link(shown: &LeadShown<'_>) -> Markup {
    let id = shown.lead.lead.id.0;
    html! {
        a.sm.end href={ (shown.visit.to(&format!("/leads/{id}"))) "#why" } data-key="w"
            data-key-name="why there is no answer" { "why" }
    }
}

fn head(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let message = shown.lead.messages.iter().find(|it| it.id == draft.message_id);
    let to: Option<Address> = message.and_then(|it| it.from.read());
    let to = to.and_then(|it| it.address);
    html! {
        dl.dl {
            dt { "To" }
            dd { (draft.channel) " " @match &to { Some(to) => (outside(to)), None => (outside(&shown.name)) } }
            dt { "From" }
            dd {
                @match sender(shown, draft, message) {
                    Some(account) => { (outside(&account)) " " span.mut { (draft.client_id) } }
                    None => (draft.client_id),
                }
            }
            @if draft.status == "pending" { dt { "Leaves" } dd { (leaves(shown, draft)) } }
            @if let Some(why) = draft.blocked_by { dt { "Blocked" } dd { (why.replace('_', " ")) } }
            @if let Some(until) = draft.snoozed_until.filter(|it| *it > shown.visit.now) {
                dt { "Snoozed" } dd { "until " (clock(until, shown.visit.now)) }
            }
        }
    }
}

/// The account that would send it: the number of the configuration, else the only address that the
/// lead has written to, else the account or the mailbox of the configuration. `None` if none is
/// known.
fn sender(
    shown: &LeadShown<'_>,
    draft: &DraftJson<'_>,
    message: Option<&MessageJson<'_>>,
) -> Option<String> {
    let config = shown.visit.state().config.get();
    let channel = config.client(draft.client_id).and_then(|it| it.channel(draft.channel));
    let settings = channel.and_then(|it| it.send.as_ref());
    let written_to: Option<Vec<Address>> = message.and_then(|it| it.to.read());
    sent_from(
        settings.and_then(|it| it.from_number.as_deref()),
        only_address(written_to.unwrap_or_default()).as_deref(),
        channel.and_then(|it| it.account.as_deref()),
        settings.and_then(|it| it.sender_email_id.as_deref()),
    )
}

/// The address, if there is one only: of several, any may be another person's.
fn only_address(all: Vec<Address>) -> Option<String> {
    let mut addresses = all.into_iter().filter_map(|it| it.address);
    let first = addresses.next();
    first.filter(|_| addresses.next().is_none())
}

fn sent_from(
    number: Option<&str>,
    written_to: Option<&str>,
    account: Option<&str>,
    mailbox: Option<&str>,
) -> Option<String> {
    let known = [number, written_to, account].into_iter().flatten().find(|it| !it.is_empty());
    known.map(str::to_owned).or_else(|| Some(format!("mailbox {}", mailbox?)))
}

/// When it would go, or what keeps all answers of this account back.
fn leaves(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let visit = shown.visit;
    let config = visit.state().config.get();
    let client = config.client(draft.client_id);
    let can_send = client
        .and_then(|client| client.channel(draft.channel))
        .is_some_and(|channel| channel.send.is_some());
    let totals = visit.api().last_totals();
    let paused = totals.as_ref().and_then(|totals| {
        totals.accounts.iter().find(|it| {
            it.client_id == draft.client_id
                && it.channel == draft.channel
                && it.paused_until > visit.now
        })
    });
    html! {
        @if !can_send {
            "cannot be sent: " code { "channels." (draft.channel) ".send" } " is not set"
        } @else {
            (duration(whole_millis(config.sending.undo))) " after approval"
            @if !config.sending.enabled { ", " (StateMark::PAUSED.badge()) " sending is off" }
            @if let Some(account) = paused {
                ", " (StateMark::PAUSED.badge()) " the account until " (clock(account.paused_until, visit.now))
            }
            @if let Some(at) = draft.send_at { br; span.mut { "by itself at " (clock(at, visit.now)) } }
        }
    }
}

fn gate(draft: &DraftJson<'_>) -> Markup {
    let Some(gate) = &draft.gate else { return html! {} };
    html! {
        div {
            div.row.sm {
                b { "Gate" @if let Some(text) = gate_text(draft) { " " (text) } }
                span.mut.end { (decided_by_gate(gate.decision)) }
            }
            @if let (Some(confidence), Some(threshold)) = (gate.confidence, gate.threshold) {
                @let (on, least) = (percent(confidence), percent(threshold));
                svg.gate role="img" aria-label={ "Confidence " (on) " of 100, threshold " (least) } {
                    line x1="0" x2="100%" y1="10" y2="10" {}
                    line.on x1="0" x2={ (on) "%" } y1="10" y2="10" {}
                    line.th x1={ (least) "%" } x2={ (least) "%" } y1="4" y2="16" {}
                }
            }
            @if let Some(reason) = gate.reason { p.sm { (outside(reason)) } }
        }
    }
}

/// What the gate decided, in words.
fn decided_by_gate(decision: &str) -> &str {
    match decision {
        "send_now" => "goes by itself",
        "send_later" => "goes by itself, later",
        "needs_review" => "a person must look",
        "skip" => "was not asked",
        other => other,
    }
}

/// `0.82 of 0.90`.
pub(in crate::http::ui) fn gate_text(draft: &DraftJson<'_>) -> Option<String> {
    let gate = draft.gate.as_ref()?;
    Some(format!("{:.2} of {:.2}", gate.confidence?, gate.threshold?))
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
fn percent(share: f64) -> i32 {
    (share.clamp(0.0, 1.0) * 100.0).round() as i32
}

/// The values by which the daemon knows what the person saw.
fn seen(shown: &LeadShown<'_>, draft_id: Id, version: Option<&str>) -> Markup {
    let next = shown.next.and_then(|it| it.0);
    html! {
        (hidden_input("draft", &draft_id.to_string()))
        @if let Some(version) = version { (hidden_input("version", version)) }
        @if let Some(newest) = shown.newest_inbound_id() { (hidden_input("newest", &newest.to_string())) }
        @if let Some(next) = next { (hidden_input("next", &next.to_string())) }
    }
}

/// The text with its counter, and the decisions.
fn editor(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let medium = shown.visit.api().medium_of(draft.channel);
    let own = shown.stopped.filter(|it| it.draft_id == draft.id.0);
    let body = own.and_then(|it| it.body.as_deref()).unwrap_or(draft.body);
    let subject = own.and_then(|it| it.subject.as_deref()).or(draft.subject);
    // Somebody else's text is replaced only once the person has chosen to.
    let version = own.filter(|_| clashes(draft, own)).and_then(|it| it.version.as_deref());
    let version = version.or(draft.version.as_deref());
    let approve = match shown.next {
        Some(_) => "Approve and next",
        None => "Approve",
    };
    html! {
        form #edit method="post" action=(shown.address) data-save=(shown.address) {
            (seen(shown, draft.id.0, version))
            @if medium.is_some_and(Medium::is_mail) {
                label.f { "Subject" input name="subject" value=(subject.unwrap_or_default()) autocomplete="off"; }
            }
            label.f for="body" { span.vh { "Text of the draft" } }
            // The first line break behind the tag does not count.
            textarea #body name="body" rows="7" dir="auto" data-count data-key="e" data-key-name="edit" { "\n" (body) }
            p.row.sm.mut.ut {
                (counter(body, medium))
                span.end data-saved {}
                button.btn.tight name="do" value="save" { "Save" }
            }
            @if first_hidden(&body.replace(['\n', '\t'], "")).is_some() {
                p.sm { b { "The text holds characters that cannot be seen: " } (outside(body)) }
            }
            div #difference data-fresh {
                @if let Some(first) = shown.first_text.filter(|it| *it != draft.body) {
                    details.fold { summary { "Changes to what was written first" } (difference(first, draft.body)) }
                }
            }
            div.acts.ut {
                button.btn.pri name="do" value="approve" data-key="a" data-enter { (approve) kbd { "a" } }
            }
        }
        div.acts {
            (reject(shown, draft))
            (regenerate(shown, draft))
            (snooze(shown, draft))
        }
    }
}

/// For how long a draft is put off.
const SNOOZES: [(&str, &str); 4] =
    [("1h", "1 hour"), ("4h", "4 hours"), ("1d", "1 day"), ("7d", "1 week")];

fn snooze(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let until = draft.snoozed_until.filter(|it| *it > shown.visit.now);
    html! {
        details {
            summary.btn data-key="s" { "Snooze …" kbd { "s" } }
            form.ut method="post" action=(shown.address) aria-label="For how long?" {
                (seen(shown, draft.id.0, None))
                @for (word, name) in SNOOZES {
                    button.btn.tight name="do" value={ "snooze:" (word) } { (name) }
                }
                @if until.is_some() { button.btn.tight name="do" value="snooze:" { "Not any longer" } }
                p.sm.mut { "It comes back at its time, or when the lead writes again. Nothing is sent by itself meanwhile." }
            }
        }
    }
}

/// How long the text is, and how long it may be.
fn counter(body: &str, medium: Option<Medium>) -> Markup {
    let chars = body.chars().count();
    html! {
        span #counter data-fresh {
            span data-count-of="body" { (chars) } " characters"
            @if let Some(medium) = medium {
                @if let Medium::Text { parts, chars } = medium {
                    " · " (draft_text::parts_of(body, chars).len()) " of " (parts) " SMS parts"
                    @if let Some(alphabet) = draft_text::alphabet_of(body, chars) { ", " (alphabet.name()) }
                }
                @if let Some(flaw) = draft_text::flaw(body, medium) { " · " b { (flaw) } }
                @else { " · " (draft_text::room(medium)) }
            }
        }
    }
}

fn reject(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    html! {
        details {
            summary.btn data-key="R" { "Reject …" kbd { "R" } }
            form.ut method="post" action=(shown.address) aria-label="Why is it rejected?" {
                (seen(shown, draft.id.0, None))
                @for (at, reason) in RejectReason::ALL.into_iter().enumerate() {
                    @if reason != RejectReason::Other {
                        button.btn.tight name="do" value={ "reject:" (reason.as_str()) } data-key=(at + 1) {
                            (reason.in_words()) kbd { (at + 1) }
                        }
                    }
                }
            }
            form.ut method="post" action=(shown.address) {
                (seen(shown, draft.id.0, None))
                label.f { "In your words" input name="note" maxlength="500" autocomplete="off"; }
                button.btn.tight name="do" value={ "reject:" (RejectReason::Other.as_str()) } data-key="6" {
                    (RejectReason::Other.in_words()) kbd { "6" }
                }
            }
        }
    }
}

fn regenerate(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    html! {
        details {
            summary.btn data-key="G" data-then { "Regenerate …" kbd { "G" } }
            form.ut method="post" action=(shown.address) {
                (seen(shown, draft.id.0, None))
                label.f { "What the new text is to do" input name="hint" maxlength="200" placeholder="shorter; offer Tuesday" autocomplete="off"; }
                button.btn.tight name="do" value="regenerate" { "Write it anew" }
                p.sm.mut { "Only a model follows a hint; leave it empty for a template." }
            }
        }
    }
}

/// What can still be done about a draft that was decided.
fn decided(shown: &LeadShown<'_>, draft: &DraftJson<'_>) -> Markup {
    let may_write_anew = matches!(draft.status, "rejected" | "superseded");
    html! {
        @if shown.visit.viewer.may_review() {
            @if draft.status == "approved" { (undo_form(&shown.address, draft.id.0)) }
            @if may_write_anew { div.acts { (regenerate(shown, draft)) } }
        }
    }
}

pub(super) fn undo_form(address: &str, id: Id) -> Markup {
    html! {
        form method="post" action=(address) {
            (hidden_input("draft", &id.to_string()))
            button.btn.tight name="do" value="undo" data-key="z" { "Undo" kbd { "z" } }
        }
    }
}

impl NextDraft {
    /// The draft behind the one with this id on a list, or the one before the last.
    pub(in crate::http::ui) fn behind(id: Id, list: &[Id]) -> Self {
        let at = list.iter().position(|it| *it == id);
        let behind = at.and_then(|at| list.get(at + 1));
        let before = at.and_then(|at| at.checked_sub(1)).and_then(|at| list.get(at));
        let first = list.first().filter(|_| at.is_none());
        Self(behind.or(before).or(first).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_draft_is_the_one_behind_else_the_one_before() {
        for (id, list, next) in [
            (1, &[1, 2, 3][..], Some(2)),
            (2, &[1, 2, 3], Some(3)),
            (3, &[1, 2, 3], Some(2)),
            (1, &[1], None),
            (9, &[1, 2], Some(1)),
            (9, &[], None),
        ] {
            assert_eq!(NextDraft::behind(id, list), NextDraft(next), "{id} {list:?}");
        }
    }

    #[test]
    fn the_account_that_sends_is_the_first_that_is_known() {
        let (number, to) = (Some("+15550100"), Some("sales@acme.example"));
        for (from, expected) in [
            (sent_from(number, to, Some("a-1"), None), Some("+15550100")),
            (sent_from(None, to, Some("a-1"), Some("7")), Some("sales@acme.example")),
            (sent_from(None, Some(""), Some("a-1"), Some("7")), Some("a-1")),
            (sent_from(None, None, None, Some("7")), Some("mailbox 7")),
            (sent_from(None, None, None, None), None),
        ] {
            assert_eq!(from.as_deref(), expected);
        }
    }

    #[test]
    fn of_several_addresses_none_is_taken_for_ours() {
        let to = |addresses: &[&str]| {
            let address =
                |it: &&str| Address { address: Some((*it).to_owned()), ..Address::default() };
            only_address(addresses.iter().map(address).collect())
        };
        assert_eq!(to(&["sales@acme.example"]).as_deref(), Some("sales@acme.example"));
        assert_eq!((to(&[]), to(&["boss@lead.example", "sales@acme.example"])), (None, None));
    }

    #[test]
    fn the_counter_tells_parts_and_flaws() {
        let sms = Medium::Text { parts: 3, chars: 160 };
        let html = counter(&"x".repeat(161), Some(sms)).into_string();
        assert!(html.contains(">161</span> characters · 2 of 3 SMS parts, GSM-7"), "{html}");
        let html = counter(&"я".repeat(300), Some(sms)).into_string();
        assert!(html.contains("has 5 parts as an SMS") && html.contains(", UCS-2"), "{html}");
        let html = counter("short", Some(Medium::Chat { chars: 1_900 })).into_string();
        assert!(html.contains("at most 1900 characters"), "{html}");
        assert!(counter("", None).into_string().contains(">0</span> characters<"));
        assert_eq!(
            (percent(0.825), percent(-1.0), percent(7.0), percent(f64::NAN)),
            (83, 0, 100, 0)
        );
    }
}
