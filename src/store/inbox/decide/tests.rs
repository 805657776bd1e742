//! The rules by rows, and by properties over groups of any events.

use super::{
    decide,
    known::{Changeable, Known, Repeated},
    merges::merge_leads,
    people::match_leads,
    recognise::recognise,
    verdicts::apply_hints,
    writes::Writes,
};
use crate::{
    domain::{
        ChannelName, Event, Id, Identity, IdentityKind, JobKind, LeadProfile, LeadStatus, Medium,
        NewMessage, Sentiment, Signal, Timestamp,
        event::{Address, Direction, KeyKind, MessageKey},
    },
    store::{
        inbox::{
            arrival::{Arrival, Cut, Echo, First, LeadOf, Terms},
            inbound::{Answer, Content, Inbound, SAME_ID_OTHER_BODY},
        },
        tables::{
            leads::{Lead, Leads},
            messages::{Judged, RepeatedMessage},
        },
    },
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

const CLIENT: &str = "a";
const MAIL: &str = "dana@example.com";
/// The lead of all webhooks that name no other.
const LEAD: Id = 7;

/// Of a channel of mail.
const TERMS: Terms = Terms { medium: Medium::Mail, max_attempts: 5 };

/// Ids from 1,000 on, in their order.
fn ids() -> impl Fn() -> Id {
    let next = Cell::new(1_000);
    move || {
        next.set(next.get() + 1);
        next.get()
    }
}

/// An event with the provider's time `at`, received later.
fn event(signal: Signal, at: i64) -> Inbound {
    Inbound {
        client_id: Arc::from(CLIENT),
        channel: ChannelName("email"),
        request_id: "test".to_owned(),
        received_at: Timestamp::from_millis(1_000_000),
        payload: "{}".to_owned(),
        delivery: None,
        content: Content::Event {
            event: Box::new(Event {
                event_type: "test".to_owned(),
                identities: vec![Identity::new(IdentityKind::MAIL_ADDRESS, MAIL)],
                lead_of_chat: None,
                profile: LeadProfile::default(),
                campaign: None,
                at: Timestamp::from_millis(at),
                signal,
            }),
            kind: JobKind("EMAIL_INBOUND_POST_PROCESS"),
        },
        trace: None,
    }
}

fn reply_key(key: &str) -> MessageKey {
    MessageKey { kind: KeyKind::Reply, key: key.to_owned(), expires: false }
}

fn new_message(key: &str, text: &str) -> NewMessage {
    NewMessage {
        direction: Direction::Inbound,
        keys: vec![reply_key(key)],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: Some(key.to_owned()),
        reply_handle: None,
        subject: None,
        body: text.to_owned(),
        has_new_text: true,
        raw_text: None,
        raw_html: None,
        from: Address { address: Some(MAIL.to_owned()), name: None },
        to: Vec::new(),
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
        opt_out: None,
    }
}

fn message(key: &str, at: i64, change: impl FnOnce(&mut NewMessage)) -> Inbound {
    let mut message = new_message(key, "hello");
    change(&mut message);
    event(Signal::Message(Box::new(message)), at)
}

/// The webhooks of a group as *read* hands them over if nothing is stored, with the messages that
/// they repeat. All of them are one lead's.
fn arrivals(group: &[Inbound]) -> Vec<Arrival<'_>> {
    let mut arrivals: Vec<Arrival<'_>> =
        group.iter().zip(1..).map(|(inbound, id)| Arrival::new(inbound, id, TERMS)).collect();
    for arrival in &mut arrivals {
        arrival.keys = arrival.all_keys();
    }
    let keys: Vec<_> = arrivals.iter().map(|arrival| arrival.keys.clone()).collect();
    let firsts = recognise(&keys.iter().collect::<Vec<_>>(), &HashMap::new());
    for (at, arrival) in arrivals.iter_mut().enumerate() {
        arrival.first = firsts.repeated(at);
        let wants_lead = arrival.first.is_none() && arrival.event().is_some();
        arrival.lead = wants_lead.then_some(LeadOf { lead_id: LEAD, is_new: true });
    }
    super::changes::find_in_group(&mut arrivals);
    arrivals
}

/// A lead that exists.
fn with_lead() -> Known {
    let mut known = Known::default();
    known.leads.add(Lead::new(LEAD, CLIENT));
    known
}

/// Decides a group and gives the lead as it is then.
fn decided<'a>(arrivals: &mut [Arrival<'a>], known: &mut Known) -> (Lead, Writes<'a>) {
    let writes = decide(arrivals, known, &ids());
    (known.leads.get_mut(LEAD).unwrap().clone(), writes)
}

/// The lead after a group of events.
fn lead_after(group: &[Inbound]) -> Lead {
    decided(&mut arrivals(group), &mut with_lead()).0
}

fn answers(group: &[Inbound]) -> Vec<Option<Answer>> {
    let mut arrivals = arrivals(group);
    decided(&mut arrivals, &mut with_lead());
    arrivals.into_iter().map(|arrival| arrival.answer).collect()
}

fn known_job(answer: Option<&Answer>) -> Option<Id> {
    if let Some(Answer::Accepted { job_id, .. }) = answer { Some(*job_id) } else { None }
}

fn dnd(active: bool, at: i64) -> Inbound {
    event(Signal::DoNotDisturb { active }, at)
}

fn opt_out(at: i64) -> Inbound {
    event(Signal::OptOut { reason: "lead_unsubscribed".to_owned() }, at)
}

fn bounce(at: i64) -> Inbound {
    let (address, reason) = (MAIL.to_owned(), None);
    event(Signal::Bounce { address, reason, found_in_text: false }, at)
}

fn category(name: &str, at: i64) -> Inbound {
    event(Signal::Category { name: Some(name.to_owned()), hint: None, opt_out: false }, at)
}

fn edited(key: &str, body: &str, at: i64) -> Inbound {
    let (keys, body) = (vec![reply_key(key)], body.to_owned());
    event(Signal::Edited { keys, body, opt_out: None }, at)
}

#[test]
fn p11_a_duplicate_answers_the_first_ones_ids_and_adds_nothing() {
    let group = [message("k", 5, |_| {}), message("k", 5, |_| {})];
    let mut arrivals = arrivals(&group);
    let (_, writes) = decided(&mut arrivals, &mut with_lead());
    let [first, second] = [0, 1].map(|at| arrivals[at].answer.clone().unwrap());
    let Answer::Accepted { message_id, lead_id, job_id } = first else { panic!("{first:?}") };
    let (message_id, lead_id, job_id) = (Some(message_id), Some(lead_id), Some(job_id));
    assert_eq!(second, Answer::Duplicate { message_id, lead_id, job_id });
    assert_eq!((writes.messages.len(), writes.entries.len()), (1, 1));
}

#[test]
fn p11_a_text_that_comes_late_counts_as_if_it_had_come_at_once() {
    let stop = |it: &mut NewMessage| it.opt_out = Some("stop".to_owned());
    let empty = |it: &mut NewMessage| it.body = String::new();
    let group = [message("k", 5, empty), message("k", 5, stop)];
    let (lead, writes) = decided(&mut arrivals(&group), &mut with_lead());
    assert!(lead.standing.barriers.opted_out);
    assert_eq!(writes.messages[0].body, "hello");
    // The same with one that was stored before.
    let mut arrivals = arrivals(&group[1..]);
    arrivals[0].first = Some(First::Stored(3));
    let mut known = with_lead();
    let stored = RepeatedMessage {
        lead_id: LEAD,
        is_inbound: true,
        is_handled: false,
        job_id: Some(4),
        is_named: false,
        is_empty: true,
    };
    known.repeated.insert(3, Repeated { message: stored, brings: Default::default() });
    let (lead, writes) = decided(&mut arrivals, &mut known);
    assert!(lead.standing.barriers.opted_out);
    assert!(writes.fillings.contains_key(&3) && writes.names.contains_key(&3));
    let ids = (Some(3), Some(LEAD), Some(4));
    let (message_id, lead_id, job_id) = ids;
    assert_eq!(arrivals[0].answer, Some(Answer::Duplicate { message_id, lead_id, job_id }));
}

#[test]
fn p11_a_missing_job_is_made_once() {
    let group = [message("k", 5, |_| {}), message("k", 5, |_| {})];
    for (is_inbound, is_handled, job_id, made) in [
        (true, false, None, 1),
        (true, true, None, 0),
        (true, false, Some(4), 0),
        (false, false, None, 0),
    ] {
        let mut arrivals = arrivals(&group);
        for arrival in &mut arrivals {
            arrival.first = Some(First::Stored(3));
        }
        let (is_named, is_empty) = (true, false);
        let lead_id = LEAD;
        let message =
            RepeatedMessage { lead_id, is_inbound, is_handled, job_id, is_named, is_empty };
        let mut known = with_lead();
        known.repeated.insert(3, Repeated { message, brings: Default::default() });
        let (_, writes) = decided(&mut arrivals, &mut known);
        assert_eq!(writes.entries.len(), made, "{message:?}");
        assert_eq!(arrivals[0].answer, arrivals[1].answer, "both name the same job");
    }
}

#[test]
fn p12_an_echo_is_no_second_message() {
    let outbound = |it: &mut NewMessage| it.direction = Direction::Outbound;
    let group = [message("k", 5, outbound)];
    for (message_id, messages) in [(Some(3), 0), (None, 1)] {
        let mut arrivals = arrivals(&group);
        arrivals[0].echo = Some(Echo { delivery_id: 9, message_id, is_settled: false });
        let (lead, writes) = decided(&mut arrivals, &mut with_lead());
        assert_eq!(writes.messages.len(), messages);
        assert_eq!((writes.deliveries.len(), writes.entries.len()), (1, 0));
        let id = message_id.unwrap_or(1);
        assert_eq!(writes.echoed_keys.iter().map(|it| it.1).collect::<Vec<_>>(), [id]);
        assert_eq!(lead.last_outbound_at, Some(Timestamp::from_millis(5)));
        let (message_id, lead_id) = (Some(id), Some(LEAD));
        let expected = Answer::Duplicate { message_id, lead_id, job_id: None };
        assert_eq!(arrivals[0].answer, Some(expected));
    }
}

#[test]
fn p12_a_delivery_is_told_back_once_and_the_likeliest_counts() {
    let outbound = |it: &mut NewMessage| it.direction = Direction::Outbound;
    let group = [message("k1", 5, outbound), message("k2", 6, outbound)];
    let echo = |delivery_id| Echo { delivery_id, message_id: None, is_settled: false };
    for (found, expected) in [
        (vec![(0, echo(1)), (1, echo(1))], [Some(1), None]),
        (vec![(1, echo(1)), (0, echo(1)), (0, echo(2))], [Some(2), Some(1)]),
        (vec![(0, echo(1)), (0, echo(2)), (1, echo(2))], [Some(1), Some(2)]),
    ] {
        let mut arrivals = arrivals(&group);
        super::echoes::pair_echoes(&mut arrivals, &found);
        let paired = [0, 1].map(|at| arrivals[at].echo.map(|echo| echo.delivery_id));
        assert_eq!(paired, expected);
    }
}

#[test]
fn what_an_answer_repeats_of_ours_is_stored_nowhere() {
    let stop = |it: &mut NewMessage| it.opt_out = Some("stop".to_owned());
    let group = [message("k", 5, stop)];
    let mut arrivals = arrivals(&group);
    arrivals[0].cut = Some(Cut { body: Some("short".to_owned()), opt_out: None });
    let (lead, writes) = decided(&mut arrivals, &mut with_lead());
    assert_eq!(writes.messages[0].body, "short");
    assert!(!lead.standing.barriers.opted_out, "the words were in the quote");
    // If all of it repeats ours, it is stored as it came, and is no new text.
    arrivals[0].cut = Some(Cut { body: None, opt_out: None });
    let text = arrivals[0].stored_text(arrivals[0].message().unwrap());
    assert_eq!((text.body.as_ref(), text.has_new_text), ("hello", false));
}

#[test]
fn p16_a_hint_speaks_for_the_lead_through_its_newest_message_only() {
    for (newest, status) in [(1, LeadStatus::Qualified), (2, LeadStatus::New)] {
        let hint = Signal::Hint { sentiment: Sentiment::Interested, word: "interested" };
        let group = [event(hint, 9)];
        let mut arrivals = arrivals(&group);
        let mut known = with_lead();
        known.leads.get_mut(LEAD).unwrap().newest_inbound =
            Some((Timestamp::from_millis(5), newest));
        decided(&mut arrivals, &mut known);
        assert_eq!(arrivals[0].answer, None, "its answer waits for the verdict");
        let about = HashMap::from([(0, 1)]);
        let filled = apply_hints(&mut arrivals, &mut known.leads, &about, HashMap::new());
        assert_eq!(filled, HashMap::from([(1, Sentiment::Interested)]));
        let (message_id, lead_id, reason) = (None, LEAD, "interested");
        assert_eq!(arrivals[0].answer, Some(Answer::Recorded { message_id, lead_id, reason }));
        assert_eq!(known.leads.get_mut(LEAD).unwrap().standing.status, status);
    }
}

#[test]
fn p16_of_two_hints_about_one_message_the_first_counts() {
    let hint = |sentiment| event(Signal::Hint { sentiment, word: "interested" }, 9);
    let group = [hint(Sentiment::Interested), hint(Sentiment::NotInterested)];
    for (known_verdict, first_counts) in [(None, true), (Some(Sentiment::FollowUp), false)] {
        let mut arrivals = arrivals(&group);
        let mut known = with_lead();
        decided(&mut arrivals, &mut known);
        let about = HashMap::from([(0, 1), (1, 1)]);
        let judged = Judged { sentiment: known_verdict, automated: false };
        let verdicts = HashMap::from([(1, judged)]);
        let filled = apply_hints(&mut arrivals, &mut known.leads, &about, verdicts);
        assert_eq!(filled.get(&1), first_counts.then_some(&Sentiment::Interested));
        let is_recorded = |at: usize| matches!(arrivals[at].answer, Some(Answer::Recorded { .. }));
        assert_eq!((is_recorded(0), is_recorded(1)), (first_counts, false));
    }
}

#[test]
fn p17_only_a_mail_from_its_address_that_is_no_older_lifts_a_bounce() {
    let other = |it: &mut NewMessage| it.from.address = Some("x@example.com".to_owned());
    for (mail, is_bounced) in [
        (message("k", 6, |_| {}), false),
        (message("k", 5, |_| {}), false),
        (message("k", 4, |_| {}), true),
        (message("k", 6, other), true),
    ] {
        let lead = lead_after(&[bounce(5), mail]);
        assert_eq!(lead.standing.barriers.bounced, is_bounced);
    }
}

#[test]
fn p17_an_event_that_changes_nothing_is_a_duplicate() {
    let nothing = Answer::Duplicate { message_id: None, lead_id: Some(LEAD), job_id: None };
    let connected = || event(Signal::Connected, 5);
    for (change, again) in [
        (opt_out(5), opt_out(6)),
        (bounce(5), bounce(6)),
        (dnd(true, 5), dnd(true, 6)),
        (dnd(true, 5), dnd(false, 4)),
        (category("c1", 5), category("c1", 6)),
        (category("c1", 5), category("c2", 4)),
        (connected(), connected()),
    ] {
        let answers = answers(&[change, again]);
        assert!(matches!(answers[0], Some(Answer::Recorded { .. })), "{answers:?}");
        assert_eq!(answers[1], Some(nothing.clone()));
    }
}

#[test]
fn changes_are_about_messages_that_came_before_them() {
    let group = [edited("k", "new", 9), message("k", 5, |_| {}), edited("k", "new", 9)];
    let mut arrivals = arrivals(&group);
    let (_, writes) = decided(&mut arrivals, &mut with_lead());
    assert_eq!(arrivals[0].answer, Some(Answer::Ignored { reason: "unknown_message" }));
    let (message_id, lead_id, reason) = (Some(2), LEAD, "edited");
    assert_eq!(arrivals[2].answer, Some(Answer::Recorded { message_id, lead_id, reason }));
    assert_eq!(writes.changes[&2].body.as_deref(), Some("new"));
}

#[test]
fn a_delivery_with_another_body_is_left_to_be_held() {
    let group = [opt_out(5)];
    let mut arrivals = arrivals(&group);
    arrivals[0].has_other_body = true;
    let (lead, _) = decided(&mut arrivals, &mut with_lead());
    assert_eq!((arrivals[0].answer.clone(), lead.standing.barriers.opted_out), (None, false));
    assert_eq!(SAME_ID_OTHER_BODY, "same_id_other_body");
}

/// Any event about the one lead, with few keys and times, so that many concern each other.
fn any_event() -> impl Strategy<Value = Inbound> {
    let key = prop::sample::select(&["k1", "k2", "k3"][..]);
    let text = prop::sample::select(&["", "hello"][..]);
    let any_message = (key.clone(), text, 1..9_i64, any::<[bool; 3]>()).prop_map(
        |(key, text, at, [is_outbound, opts_out, is_hinted])| {
            message(key, at, |message| {
                message.body = text.to_owned();
                message.opt_out = (opts_out && !is_outbound).then(|| "stop".to_owned());
                message.hint = is_hinted.then_some(Sentiment::Interested);
                if is_outbound {
                    message.direction = Direction::Outbound;
                    message.keys = vec![MessageKey { kind: KeyKind::Sent, ..reply_key(key) }];
                }
            })
        },
    );
    let keys =
        || prop::sample::select(&["k1", "k2", "k3"][..]).prop_map(|key| vec![reply_key(key)]);
    prop_oneof![
        5 => any_message,
        1 => (1..9_i64).prop_map(opt_out),
        1 => (1..9_i64).prop_map(bounce),
        1 => (any::<bool>(), 1..9_i64).prop_map(|(active, at)| dnd(active, at)),
        1 => (key.clone(), 1..9_i64).prop_map(|(name, at)| category(name, at)),
        1 => (key, 1..9_i64).prop_map(|(key, at)| edited(key, "edited", at)),
        1 => (keys(), 1..9_i64).prop_map(|(keys, at)| event(Signal::Deleted { keys }, at)),
        1 => (keys(), 1..9_i64).prop_map(|(keys, at)| event(Signal::Failed { keys }, at)),
        1 => (1..9_i64).prop_map(|at| event(Signal::Connected, at)),
        1 => (1..9_i64).prop_map(|at| {
            event(Signal::Hint { sentiment: Sentiment::NotInterested, word: "interested" }, at)
        }),
        1 => Just(Inbound {
            content: Content::Quarantine {
                event_type: None,
                reason: "unknown_event".to_owned(),
                body_hash: "1".to_owned(),
            },
            ..opt_out(1)
        }),
    ]
}

/// The part of a lead that depends on reports about it, and not on its messages.
fn state_of(lead: &Lead) -> impl PartialEq + std::fmt::Debug {
    (lead.sms_dnd(), lead.category.clone(), lead.category_at)
}

/// Events with a time of their own each, and the same in another order.
fn reports() -> impl Strategy<Value = (Vec<Inbound>, Vec<Inbound>)> {
    let report = |number: usize, active: Option<bool>| {
        let at = i64::try_from(number).unwrap();
        match active {
            Some(active) => dnd(active, at),
            None => category(["c1", "c2"][number % 2], at),
        }
    };
    prop::collection::vec(any::<Option<bool>>(), 0..10).prop_flat_map(move |kinds| {
        let reports: Vec<Inbound> =
            kinds.into_iter().enumerate().map(|(at, it)| report(at, it)).collect();
        (Just(reports.clone()), Just(reports).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn every_webhook_is_answered_but_for_those_that_are_held(
        group in prop::collection::vec(any_event(), 0..12),
    ) {
        let mut arrivals = arrivals(&group);
        let mut known = with_lead();
        let writes = decide(&mut arrivals, &mut known, &ids());
        for arrival in &arrivals {
            let found = u8::from(arrival.answer.is_some()) + u8::from(arrival.hint.is_some());
            prop_assert_eq!(found, u8::from(arrival.event().is_some()));
        }
        apply_hints(&mut arrivals, &mut known.leads, &HashMap::new(), HashMap::new());
        for arrival in &arrivals {
            prop_assert_eq!(arrival.answer.is_some(), arrival.event().is_some());
        }
        // An accepted message has one row and one job, a duplicate none.
        let accepted = arrivals.iter().filter(|it| matches!(it.answer, Some(Answer::Accepted { .. })));
        prop_assert_eq!(accepted.count(), writes.entries.len());
        let ids: HashSet<Id> = writes.messages.iter().map(|row| row.id).collect();
        prop_assert_eq!(ids.len(), writes.messages.len());
    }

    #[test]
    fn p11_a_group_that_comes_twice_changes_nothing_the_second_time(
        group in prop::collection::vec(any_event(), 0..8),
    ) {
        let only_messages: Vec<Inbound> = group
            .into_iter()
            .filter(|inbound| {
                let message = Arrival::new(inbound, 0, TERMS).message();
                message.is_some_and(|message| !message.body.is_empty())
            })
            .collect();
        let twice: Vec<Inbound> = only_messages.iter().chain(&only_messages).cloned().collect();
        let (once_lead, once) = decided(&mut arrivals(&only_messages), &mut with_lead());
        let mut arrivals = arrivals(&twice);
        let (lead, writes) = decided(&mut arrivals, &mut with_lead());
        let ids = |writes: &Writes<'_>| writes.messages.iter().map(|row| row.id).collect::<Vec<_>>();
        prop_assert_eq!(ids(&writes), ids(&once));
        prop_assert_eq!(writes.entries.len(), once.entries.len());
        prop_assert_eq!(lead.standing, once_lead.standing);
        prop_assert_eq!(lead.newest_inbound, once_lead.newest_inbound);
    }

    #[test]
    fn p11_it_makes_no_difference_whether_a_message_is_repeated_in_its_group_or_in_a_later_one(
        told in prop::array::uniform2((any::<[bool; 4]>(), prop::option::of(0..2_usize))),
        is_outbound in any::<bool>(),
    ) {
        let group = told.map(|([is_empty, opts_out, is_named, _], hint)| {
            message("k", 5, |message| {
                message.body = if is_empty { String::new() } else { "hello".to_owned() };
                message.opt_out = opts_out.then(|| "stop".to_owned());
                message.provider_id = is_named.then(|| "p1".to_owned());
                message.hint = hint.map(|n| [Sentiment::Interested, Sentiment::OutOfOffice][n]);
                if is_outbound {
                    message.direction = Direction::Outbound;
                    message.opt_out = None;
                }
            })
        });
        let original = arrivals(&group)[0].message().unwrap().clone();
        // In one group.
        let mut at_once = arrivals(&group);
        let (lead, writes) = decided(&mut at_once, &mut with_lead());
        let row = &writes.messages[0];
        let is_filled = row.body != original.body;
        let is_named = row.provider_id.as_deref() != original.provider_id.as_deref();
        // In two, the second of which finds the first one stored.
        let (mut first, mut known) = (arrivals(&group[..1]), with_lead());
        decided(&mut first, &mut known);
        let job_id = known_job(first[0].answer.as_ref());
        let message = RepeatedMessage {
            lead_id: LEAD,
            is_inbound: !is_outbound,
            is_handled: false,
            job_id,
            is_named: original.provider_id.is_some(),
            is_empty: original.body.is_empty(),
        };
        known.repeated.insert(1, Repeated { message, brings: Default::default() });
        let mut second = arrivals(&group[1..]);
        (second[0].first, second[0].lead) = (Some(First::Stored(1)), None);
        let (later_lead, later) = decided(&mut second, &mut known);
        prop_assert_eq!(later.fillings.contains_key(&1), is_filled);
        prop_assert_eq!(later.names.contains_key(&1), is_named);
        prop_assert!(later.messages.is_empty() && later.entries.is_empty());
        prop_assert_eq!(later_lead.standing, lead.standing);
        prop_assert_eq!(later_lead.newest_inbound, lead.newest_inbound);
        let answer_of = |arrival: &Arrival<'_>| {
            let hinted = arrival.hint.as_ref().map(|hint| hint.otherwise.clone());
            (arrival.hint.is_some(), arrival.answer.clone().or(hinted))
        };
        prop_assert_eq!(answer_of(&second[0]), answer_of(&at_once[1]));
    }

    #[test]
    fn p17_an_opt_out_outlasts_whatever_else_is_in_the_group(
        mut group in prop::collection::vec(any_event(), 0..8), at in 0..8_usize,
    ) {
        group.insert(at.min(group.len()), opt_out(5));
        let mut arrivals = arrivals(&group);
        let mut known = with_lead();
        decide(&mut arrivals, &mut known, &ids());
        let newest = (0..group.len()).map(|at| (at, 1)).collect();
        apply_hints(&mut arrivals, &mut known.leads, &newest, HashMap::new());
        let lead = known.leads.get_mut(LEAD).unwrap();
        prop_assert!(lead.standing.barriers.opted_out && lead.opted_out.is_some());
        prop_assert_eq!(lead.standing.sentiment, Some(Sentiment::Blacklist));
        prop_assert_eq!(lead.standing.status, LeadStatus::Blacklisted);
    }

    #[test]
    fn p17_state_is_ordered_by_the_providers_time_and_not_by_arrival(
        (in_order, shuffled) in reports(),
    ) {
        let (one, other) = (lead_after(&in_order), lead_after(&shuffled));
        prop_assert_eq!(state_of(&one), state_of(&other));
    }

    #[test]
    fn p17_the_newest_text_of_an_edited_message_stays(
        times in prop::collection::hash_set(1..50_i64, 1..8).prop_map(Vec::from_iter).prop_shuffle(),
    ) {
        let mut group = vec![message("k", 0, |_| {})];
        group.extend(times.iter().map(|at| edited("k", &format!("text of {at}"), *at)));
        let (_, writes) = decided(&mut arrivals(&group), &mut with_lead());
        let newest = times.iter().max().unwrap();
        let change = &writes.changes[&1];
        prop_assert_eq!(change.body.clone(), Some(format!("text of {newest}")));
        prop_assert_eq!(change.edit_told_at, Some(*newest));
    }

    #[test]
    fn the_newest_message_is_the_newest_in_whatever_order_they_come(
        times in prop::collection::vec(1..9_i64, 1..8),
    ) {
        let group: Vec<Inbound> = times
            .iter()
            .enumerate()
            .map(|(number, at)| message(&format!("k{number}"), *at, |_| {}))
            .collect();
        let lead = lead_after(&group);
        let newest = (1..).zip(&times).map(|(id, at)| (Timestamp::from_millis(*at), id)).max();
        prop_assert_eq!(lead.newest_inbound, newest);
        prop_assert_eq!(lead.last_message_at, newest.map(|it| it.0));
    }

    #[test]
    fn p13_an_event_is_the_leads_whose_identity_comes_first(
        known in prop::collection::hash_map(0..5_usize, 100..104_i64, 0..5),
        group in prop::collection::vec(prop::collection::vec(0..5_usize, 1..4), 1..6),
    ) {
        let values = ["v0", "v1", "v2", "v3", "v4"];
        let identities = |numbers: &[usize]| {
            numbers.iter().map(|n| Identity::new(IdentityKind::MAIL_ADDRESS, values[*n])).collect()
        };
        let group: Vec<Inbound> = group
            .iter()
            .enumerate()
            .map(|(number, numbers)| {
                let mut inbound = message(&format!("k{number}"), 5, |_| {});
                if let Content::Event { event, .. } = &mut inbound.content {
                    event.identities = identities(numbers);
                }
                inbound
            })
            .collect();
        let mut arrivals: Vec<Arrival<'_>> =
            group.iter().zip(1..).map(|(inbound, id)| Arrival::new(inbound, id, TERMS)).collect();
        let mut owners: HashMap<String, Id> =
            known.iter().map(|(number, id)| (values[*number].to_owned(), *id)).collect();
        let stored = super::people::identities(&arrivals[0]).next().unwrap();
        let stored = known
            .iter()
            .map(|(number, id)| (super::people::IdentityKey { value: values[*number], ..stored }, *id))
            .collect();
        let new = match_leads(&mut arrivals, stored, HashMap::new(), &ids());
        // A model: one event after the other.
        for arrival in &arrivals {
            let lead = arrival.lead.unwrap();
            let event = arrival.event().unwrap();
            let mut identities = event.identities.iter();
            let owner = identities.find_map(|identity| owners.get(&identity.value).copied());
            prop_assert_eq!(lead.is_new, owner.is_none());
            prop_assert_eq!(lead.lead_id, owner.unwrap_or(lead.lead_id));
            for identity in &event.identities {
                owners.entry(identity.value.clone()).or_insert(lead.lead_id);
            }
            let named: HashSet<Id> =
                event.identities.iter().map(|identity| owners[&identity.value]).collect();
            prop_assert_eq!(!arrival.meets.is_empty(), named.len() > 1);
        }
        for (identity, lead_id) in new {
            prop_assert_eq!(owners[identity.value], lead_id);
        }
    }

    #[test]
    fn p13_leads_that_meet_become_the_oldest_unless_they_are_two_people(
        meetings in prop::collection::vec(prop::collection::vec(1..7_i64, 2..4), 0..5),
        people in prop::collection::vec(prop::option::of(0..3_usize), 6),
    ) {
        let group: Vec<Inbound> = meetings.iter().map(|_| opt_out(5)).collect();
        let mut arrivals: Vec<Arrival<'_>> =
            group.iter().zip(1..).map(|(inbound, id)| Arrival::new(inbound, id, TERMS)).collect();
        for (arrival, meets) in arrivals.iter_mut().zip(&meetings) {
            arrival.lead = Some(LeadOf { lead_id: meets[0], is_new: true });
            arrival.meets.clone_from(meets);
        }
        let mut leads = Leads::default();
        (1..7).for_each(|id| leads.add(Lead::new(id, CLIENT)));
        // Each lead may be known to a provider as somebody.
        let identity = |person: usize| {
            Identity::new(IdentityKind::given_out("contact"), ["p0", "p1", "p2"][person])
        };
        let known: HashMap<Id, Vec<Identity>> = (1..7)
            .zip(&people)
            .map(|(id, person)| (id, person.map(identity).into_iter().collect()))
            .collect();
        let merging = merge_leads(&mut arrivals, known, &mut leads);
        prop_assert!(merging.stored.is_empty(), "all of them are made here");
        let into: HashMap<Id, Id> =
            merging.made.iter().map(|merge| (merge.from_id, merge.into_id)).collect();
        for (from, target) in &into {
            prop_assert!(target < from, "the younger is merged into the older");
            prop_assert!(!into.contains_key(target), "a chain is one step");
        }
        let final_of = |id: Id| into.get(&id).copied().unwrap_or(id);
        for id in 1..7 {
            let members = (1..7_i64).filter(|member| final_of(*member) == id);
            let persons: HashSet<usize> =
                members.filter_map(|member| people[usize::try_from(member - 1).unwrap()]).collect();
            prop_assert!(persons.len() <= 1, "two people are never one lead");
        }
        for (arrival, meets) in arrivals.iter().zip(&meetings) {
            prop_assert_eq!(arrival.lead.unwrap().lead_id, final_of(meets[0]));
            let left: HashSet<Id> = meets.iter().map(|id| final_of(*id)).collect();
            let is_refused = merging.refused.iter().any(|(_, pair)| {
                pair.iter().all(|id| left.contains(&final_of(*id)))
            });
            prop_assert!(left.len() == 1 || is_refused, "{:?}", meets);
        }
    }

    #[test]
    fn a_message_that_is_deleted_or_failed_is_so_once(
        count in 1..5_usize, is_deleted in any::<bool>(),
    ) {
        let signal = || {
            let keys = vec![reply_key("k")];
            if is_deleted { Signal::Deleted { keys } } else { Signal::Failed { keys } }
        };
        let group: Vec<Inbound> = (0..count).map(|_| event(signal(), 5)).collect();
        let mut arrivals = arrivals(&group);
        for arrival in &mut arrivals {
            arrival.about = Some(First::Stored(3));
        }
        let mut known = with_lead();
        let (is_inbound, body, edit_told_at) = (true, "hello".to_owned(), None);
        known.changeable.insert(3, Changeable {
            lead_id: LEAD, is_inbound, body, edit_told_at, is_deleted: false, has_failed: false,
        });
        decided(&mut arrivals, &mut known);
        for (at, arrival) in arrivals.iter().enumerate() {
            let is_recorded = matches!(arrival.answer, Some(Answer::Recorded { .. }));
            prop_assert_eq!(is_recorded, at == 0);
        }
    }
}
