use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_768_395_600_000); // 2026-01-14T13:00:00Z, a Wednesday
static UTC: TimeZone = TimeZone::UTC;
const MINUTE: i64 = 60_000;

fn timing() -> SendTiming<'static> {
    SendTiming {
        message_id: 42,
        inbound_at: NOW.plus_millis(-MINUTE),
        delay_min: Duration::from_secs(180),
        delay_max: Duration::from_secs(420),
        hours: None,
        zone: &UTC,
        now: NOW,
    }
}

const SENDING: SendingFacts = SendingFacts {
    is_enabled: true,
    has_settings: true,
    is_channel_automatic: true,
    has_handle: true,
    barrier: None,
    is_snoozed: false,
    is_newest: true,
};

const SAFE: DraftSafety = DraftSafety {
    is_empty: false,
    opts_out: false,
    tag: Sentiment::Interested,
    is_automated: false,
    barrier: None,
    is_acknowledgement: false,
};

fn sends(verdict: &GateVerdict) -> bool {
    matches!(verdict.decision, GateDecision::SendNow | GateDecision::SendLater)
}

const SURE: Opinion<'static> = Opinion { is_safe: true, confidence: 0.95, reason: "a template" };

fn good() -> GateCase<'static> {
    GateCase {
        mode: AutoReply::Gate,
        threshold: 0.9,
        sending: SENDING,
        safety: SAFE,
        tag_confidence: Some(0.8),
        reaches_others: false,
        opinion: Some(SURE),
        timing: timing(),
    }
}

#[test]
fn the_delay_follows_from_the_id_of_the_message_as_text() {
    // The first 8 bytes of SHA-256, big-endian, modulo 241, computed elsewhere.
    for (id, seconds) in [(1, 188), (42, 73), (7_310_000_000_000_001, 198), (123_456_789, 189)] {
        let found = delay(id, Duration::from_secs(180), Duration::from_secs(420));
        assert_eq!(found.as_secs(), 180 + seconds, "{id}");
    }
    let fixed = Duration::from_secs(9);
    assert_eq!(delay(42, fixed, fixed), fixed);
}

#[test]
fn a_delay_that_is_over_becomes_half_a_minute_from_now() {
    let sent_before =
        |seconds: i64| SendTiming { inbound_at: NOW.plus_millis(-seconds * 1_000), ..timing() };
    // The delay of message 42 is 253 seconds.
    for (seconds, expected) in
        [(0, 253_000), (252, 1_000), (253, 0), (254, 30_000), (90_000, 30_000)]
    {
        assert_eq!(due(&sent_before(seconds)).millis_since(NOW), expected, "{seconds}");
    }
    let none =
        SendTiming { delay_min: Duration::ZERO, delay_max: Duration::ZERO, ..sent_before(60) };
    assert_eq!(due(&none), NOW);
}

#[test]
fn what_passes_is_sent_at_its_time() {
    let found = decide(&good());
    let expected = GateVerdict {
        decision: GateDecision::SendLater,
        confidence: Some(0.95),
        threshold: Some(0.9),
        reason: "a template".to_owned(),
        send_at: Some(NOW.plus_millis(193_000)),
    };
    assert_eq!(found, expected);

    let at_once = SendTiming { delay_min: Duration::ZERO, delay_max: Duration::ZERO, ..timing() };
    let found = decide(&GateCase { timing: at_once.clone(), ..good() });
    assert_eq!((found.decision, found.send_at), (GateDecision::SendNow, Some(NOW)));

    // Outside the hours it waits for the next window.
    let hours = OpeningHours { start: jiff::civil::time(15, 0, 0, 0), ..OpeningHours::default() };
    let in_hours = |timing: SendTiming<'static>| {
        decide(&GateCase { timing: SendTiming { hours: Some(&hours), ..timing }, ..good() })
    };
    for timing in [timing(), at_once] {
        let found = in_hours(timing);
        let expected = Some(NOW.plus_millis(120 * MINUTE));
        assert_eq!((found.decision, found.send_at), (GateDecision::SendLater, expected));
    }

    let never = OpeningHours { days: Vec::new(), ..OpeningHours::default() };
    let found =
        decide(&GateCase { timing: SendTiming { hours: Some(&never), ..timing() }, ..good() });
    assert_eq!((found.decision, found.send_at), (GateDecision::NeedsReview, None));
    assert_eq!(found.reason, "no hour is open in the next 90 days");
}

fn auto() -> GateCase<'static> {
    GateCase { mode: AutoReply::Auto, ..good() }
}

fn opinion(is_safe: bool, confidence: f64) -> Option<Opinion<'static>> {
    Some(Opinion { is_safe, confidence, reason: "so it says" })
}

#[track_caller]
fn decides(case: &GateCase<'_>, decision: GateDecision, confidence: Option<f64>, reason: &str) {
    let found = decide(case);
    let seen = (found.decision, found.confidence, found.reason.as_str());
    assert_eq!(seen, (decision, confidence, reason), "{case:?}");
    assert_eq!(sends(&found), found.send_at.is_some());
    let needs_threshold = case.mode == AutoReply::Gate && decision != GateDecision::Skip;
    assert_eq!(found.threshold, needs_threshold.then_some(0.9));
}

#[test]
fn nothing_is_sent_automatically_where_one_of_these_facts_is() {
    let off = GateCase { mode: AutoReply::Off, ..good() };
    decides(&off, GateDecision::Skip, None, "automatic replies are off");
    for (sending, reason) in [
        (SendingFacts { is_enabled: false, ..SENDING }, "sending is switched off"),
        (
            SendingFacts { has_settings: false, ..SENDING },
            "the channel has no settings for sending",
        ),
        (
            SendingFacts { is_channel_automatic: false, ..SENDING },
            "the channel sends only what a person approves",
        ),
        (
            SendingFacts { has_handle: false, ..SENDING },
            "the message cannot be answered through its provider",
        ),
        (SendingFacts { barrier: Some("opted_out"), ..SENDING }, "opted_out"),
        (SendingFacts { is_newest: false, ..SENDING }, "a newer message came"),
        (SendingFacts { is_snoozed: true, ..SENDING }, "the lead is snoozed"),
    ] {
        for case in [good(), auto()] {
            decides(&GateCase { sending, ..case }, GateDecision::Skip, None, reason);
        }
    }
}

#[test]
fn hard_blocks_stop_whatever_the_evaluator_says() {
    let of = |safety| GateCase { safety, ..auto() };
    let tagged = |tag| of(DraftSafety { tag, ..SAFE });
    for (number, (case, reason)) in [
        (of(DraftSafety { is_empty: true, ..SAFE }), "the draft is empty"),
        (of(DraftSafety { opts_out: true, ..SAFE }), "the lead opts out in the message"),
        (tagged(Sentiment::Blacklist), "the message gets no answer"),
        (tagged(Sentiment::AutomatedReply), "the message gets no answer"),
        (of(DraftSafety { is_automated: true, ..SAFE }), "a machine wrote the message"),
        (of(DraftSafety { barrier: Some("bounced"), ..SAFE }), "bounced"),
        (of(DraftSafety { is_acknowledgement: true, ..SAFE }), "the message only acknowledges"),
        (GateCase { reaches_others: true, ..auto() }, "the answer would reach others, too"),
        (GateCase { opinion: None, ..auto() }, "the evaluator gave no answer"),
        (GateCase { tag_confidence: Some(0.49), ..auto() }, "the tag is a guess (0.49)"),
        (GateCase { tag_confidence: Some(f64::NAN), ..auto() }, "the tag is a guess (NaN)"),
    ]
    .into_iter()
    .enumerate()
    {
        let in_gate = GateCase { mode: AutoReply::Gate, ..case.clone() };
        decides(&case, GateDecision::NeedsReview, Some(0.0), reason);
        decides(&in_gate, GateDecision::NeedsReview, Some(0.0), reason);
        // The evaluator need not be asked, unless its answer is what is missing.
        let is_known = without_evaluator(&case).is_some();
        assert_eq!(is_known, case.opinion.is_some(), "row {number}");
    }
    let away = of(DraftSafety { is_automated: true, tag: Sentiment::OutOfOffice, ..SAFE });
    decides(&away, GateDecision::SendLater, Some(0.95), "a template");
    for tag_confidence in [Some(0.5), None] {
        let sure = GateCase { tag_confidence, ..auto() };
        decides(&sure, GateDecision::SendLater, Some(0.95), "a template");
    }
}

#[test]
fn only_the_gate_asks_how_sure_the_evaluator_is() {
    use GateDecision::{NeedsReview, SendLater};
    for (case, is_safe, confidence, decision) in [
        (good(), true, 0.9, SendLater),
        (good(), true, 0.899, NeedsReview),
        (good(), false, 0.99, NeedsReview),
        (auto(), true, 0.1, SendLater),
        (auto(), false, 0.1, SendLater),
    ] {
        let case = GateCase { opinion: opinion(is_safe, confidence), ..case };
        decides(&case, decision, Some(confidence), "so it says");
    }
    let nan = decide(&GateCase { opinion: opinion(true, f64::NAN), ..good() });
    assert_eq!(nan.decision, NeedsReview);
}

fn any_opinion() -> impl Strategy<Value = Option<Opinion<'static>>> {
    proptest::option::weighted(
        0.9,
        (any::<bool>(), 0.0..=1.0_f64).prop_map(|(is_safe, confidence)| Opinion {
            is_safe,
            confidence,
            reason: "why",
        }),
    )
}

fn any_case() -> impl Strategy<Value = GateCase<'static>> {
    let rarely = || proptest::bool::weighted(0.07);
    let sending = (rarely(), rarely(), rarely(), rarely(), rarely(), rarely(), rarely()).prop_map(
        |(off, bare, manual, mute, barred, is_snoozed, old)| SendingFacts {
            is_enabled: !off,
            has_settings: !bare,
            is_channel_automatic: !manual,
            has_handle: !mute,
            barrier: barred.then_some("bounced"),
            is_snoozed,
            is_newest: !old,
        },
    );
    let mode = prop_oneof![
        1 => Just(AutoReply::Off), 4 => Just(AutoReply::Gate), 4 => Just(AutoReply::Auto)
    ];
    let facts = (rarely(), rarely(), rarely(), rarely(), rarely());
    let tag = (0..Sentiment::ALL.len(), proptest::option::of(0.3..=1.0_f64));
    let time = (any::<i64>(), -600_000_000_i64..600_000, 0_u64..900, 0_u64..900);
    (mode, 0.0..=1.0_f64, sending, facts, tag, any_opinion(), time).prop_map(
        |(mode, threshold, sending, facts, (tag, tag_confidence), opinion, time)| {
            let (is_empty, opts_out, is_automated, is_acknowledgement, reaches_others) = facts;
            let (message_id, ago, least, more) = time;
            GateCase {
                mode,
                threshold,
                sending,
                safety: DraftSafety {
                    is_empty,
                    opts_out,
                    tag: Sentiment::ALL[tag],
                    is_automated,
                    barrier: sending.barrier,
                    is_acknowledgement,
                },
                tag_confidence,
                reaches_others,
                opinion,
                timing: SendTiming {
                    message_id,
                    inbound_at: NOW.plus_millis(ago),
                    delay_min: Duration::from_secs(least),
                    delay_max: Duration::from_secs(least + more),
                    ..timing()
                },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]
    #[test]
    fn nothing_that_is_blocked_is_ever_sent(case in any_case()) {
        let found = decide(&case);
        prop_assert_eq!(sends(&found), found.send_at.is_some());
        if sends(&found) {
            let SendingFacts {
                is_enabled, has_settings, is_channel_automatic, has_handle, barrier, is_snoozed,
                is_newest,
            } = case.sending;
            prop_assert!(is_enabled && has_settings && is_channel_automatic && has_handle);
            prop_assert!(barrier.is_none() && !is_snoozed && is_newest);
            let DraftSafety { is_empty, opts_out, tag, is_automated, is_acknowledgement, .. } = case.safety;
            prop_assert!(!is_empty && !opts_out && !is_acknowledgement && !case.reaches_others);
            prop_assert!(!is_automated || tag == Sentiment::OutOfOffice);
            prop_assert!(tag != Sentiment::Blacklist && tag != Sentiment::AutomatedReply);
            prop_assert!(case.tag_confidence.is_none_or(|it| it >= 0.5));
            let opinion = case.opinion.expect("an answer of the evaluator");
            match case.mode {
                AutoReply::Off => prop_assert!(false, "sent though it is off"),
                AutoReply::Gate => prop_assert!(opinion.is_safe && opinion.confidence >= case.threshold),
                AutoReply::Auto => {}
            }
            prop_assert!(found.send_at.is_some_and(|at| at >= NOW));
        }
        // What is decided again is decided alike: a retry finds the same time.
        prop_assert_eq!(decide(&case), found);
    }

    #[test]
    fn a_retry_finds_the_same_time_as_long_as_it_is_ahead(case in any_case(), later in 0_i64..900_000) {
        let first = due(&case.timing);
        let again = due(&SendTiming { now: NOW.plus_millis(later), ..case.timing.clone() });
        let is_ahead = first >= NOW.plus_millis(later) && !case.timing.delay_max.is_zero();
        let was_past = first == NOW.plus_millis(30_000);
        prop_assert!(!is_ahead || was_past || first == again);
    }

    #[test]
    fn a_delay_is_between_its_bounds(id: i64, min in 0_u64..1_000, more in 0_u64..1_000) {
        let (min, max) = (Duration::from_secs(min), Duration::from_secs(min + more));
        let found = delay(id, min, max);
        prop_assert!((min..=max).contains(&found));
        prop_assert_eq!(found, delay(id, min, max));
    }
}
