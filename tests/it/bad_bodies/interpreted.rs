//! Every wrong body is read by its channel alone, as the HTTP side would do it: without network and
//! database.

use super::{
    bases::{self, Base, channels as all_channels},
    changes, duties, sound,
};
use postroom::{
    channels::{self, AnyChannel, Received, json, masks::Masks},
    domain::{Interpreted, Timestamp},
};
use std::{
    collections::{BTreeMap, HashSet},
    fs, mem,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// 2026-08-04T15:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_785_855_600_000);

/// Names the body that made something panic.
struct Shown<'a>(&'a str, &'a str);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let text: String = self.1.chars().take(3_000).collect();
            eprintln!("--- {} ---\n{text}\n---", self.0);
        }
    }
}

/// Reads `text` as the HTTP side does, and says what is wrong with the result. `is_json` says
/// whether it must be JSON.
fn fault(channel: &dyn AnyChannel, text: &str, is_json: bool) -> Result<(), String> {
    let body = match json::parse(text.as_bytes()) {
        Err(_) if !is_json => return Ok(()),
        Err(_) => return Err("it is JSON".to_owned()),
        Ok(_) if !is_json => return Err("it is no JSON".to_owned()),
        Ok(body) => body,
    };
    if channel.account(&body).is_some_and(|it| it.is_empty() || it.contains('\0')) {
        return Err("an empty account".to_owned());
    }
    if let Some(field) = channel.secret_field() {
        let masked = Masks::new(Some(field), []).body(text.as_bytes(), &body);
        let masked = masked.map_or_else(|| text.to_owned(), |it| it.to_string());
        let again = json::parse(masked.as_bytes()).map_err(|it| format!("masked: {it}"))?;
        if body.get(field).is_some() && again.get(field) != Some(&"***".into()) {
            return Err(format!("the secret is shown: {masked}"));
        }
    }
    let received =
        Received { body: &body, received_at: NOW, country: Some("US"), text_field: None };
    let made = channels::interpret(channel, &received);
    if made != channels::interpret(channel, &received) {
        return Err("the second time it means something else".to_owned());
    }
    sound::fault(&made, text.len(), NOW)?;
    let reasons = duties::reasons(channel.name().0, &body);
    match &made {
        Err(it) if reasons.contains(&it.reason) => Ok(()),
        Err(it) if duties::possible(channel.name().0, &body).contains(&it.reason) => Ok(()),
        Err(it) => {
            Err(format!("refused by `{}`, where that may only be by {reasons:?}", it.reason))
        }
        Ok(_) if reasons.is_empty() => Ok(()),
        Ok(it) => Err(format!("taken, where it lacks {reasons:?}: {it:?}")),
    }
}

/// The faults that were found: each kind with its first body and its number.
#[derive(Default)]
struct Faults(Mutex<BTreeMap<String, (usize, String)>>);

impl Faults {
    fn check(&self, channel: &dyn AnyChannel, what: &str, text: &str, is_json: bool) {
        let _shown = Shown(what, text);
        if let Err(fault) = fault(channel, text, is_json) {
            let told = format!("{what}: {}", text.chars().take(600).collect::<String>());
            let mut found = self.0.lock().unwrap();
            found.entry(fault).or_insert((0, told)).0 += 1;
        }
    }
}

impl Drop for Faults {
    #[track_caller]
    fn drop(&mut self) {
        let found = self.0.get_mut().unwrap();
        for (fault, (count, told)) in found.iter().take(30) {
            eprintln!("--- {fault} ({count} times), first in\n{told}");
        }
        assert!(thread::panicking() || found.is_empty(), "{} kinds of faults", found.len());
    }
}

/// Calls `each` with every base, on as many threads as there are processors.
fn everywhere(each: impl Fn(&Base) + Sync) {
    let bases = bases::all();
    assert!(bases.len() > 100, "{}", bases.len());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some(base) = bases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(base);
                }
            });
        }
    });
}

#[test]
fn every_body_is_right_as_it_is() {
    let faults = Faults::default();
    everywhere(|base| faults.check(base.channel, &base.name, &base.body.to_string(), true));
}

/// Damages every field of every base in every way, and reads the result.
///
/// With `only_new`, a file is damaged only where no other base of its channel has such a value in
/// such a field. The samples of the events are damaged in all fields.
fn every_field_is_wrong_in_every_way(only_new: bool) {
    let (faults, bodies) = (Faults::default(), AtomicUsize::new(0));
    let seen = Mutex::new(HashSet::new());
    everywhere(|base| {
        for path in changes::paths(&base.body) {
            let value = path.value(&base.body);
            let place = (base.channel.name().0, path.to_string(), mem::discriminant(value));
            if !seen.lock().unwrap().insert(place) && only_new && base.is_file {
                continue;
            }
            let changes = changes::of(value);
            let gap = changes::Gap::at(&base.body, &path);
            for change in &changes {
                let text = gap.filled(change.text.as_deref());
                let what = format!("{}, {path} is {}", base.name, change.what);
                faults.check(base.channel, &what, &text, change.is_json);
            }
            bodies.fetch_add(changes.len(), Ordering::Relaxed);
        }
    });
    let bodies = bodies.into_inner();
    eprintln!("{bodies} bodies");
    let least = if only_new { 30_000 } else { 100_000 };
    assert!(bodies > least, "{bodies}");
}

/// The main test of this folder.
#[test]
#[ignore = "long: `just long`"]
fn every_field_of_every_event_may_be_wrong_in_every_way() {
    every_field_is_wrong_in_every_way(true);
}

#[test]
#[ignore = "takes minutes; run by `just bodies`"]
fn by_hand_every_field_of_every_body_may_be_wrong_in_every_way() {
    every_field_is_wrong_in_every_way(false);
}

/// A refusal names the path of the required field, in whatever way the field is missing.
#[test]
fn what_is_required_is_missed_by_its_name() {
    const ABSENT: [&str; 7] = ["null", "\"\"", "\" \\t\"", "{}", "\"N/A\"", "\"\\u0000\"", "gone"];
    const BAD: [&str; 4] = ["true", "[]", "[\"x\"]", "{\"x\":1}"];
    for (channel, event, path) in duties::REQUIRED {
        let channel = all_channels().find(|it| it.name().0 == *channel).unwrap();
        let mut body = channel.sample(Some(event), 7).unwrap();
        // Instantly sends it in two fields, and either will do.
        body.as_object_mut().unwrap().remove("email");
        let place = changes::paths(&body).into_iter().find(|it| it.to_string() == *path).unwrap();
        let reason = |text: &str| {
            let text = changes::applied(&body, &place, (text != "gone").then_some(text));
            let body = json::parse(text.as_bytes()).unwrap();
            let received =
                Received { body: &body, received_at: NOW, country: None, text_field: None };
            match channels::interpret(channel, &received) {
                Err(it) => it.reason,
                Ok(it) => panic!("{event} without {path}: {it:?}"),
            }
        };
        for text in ABSENT {
            assert_eq!(reason(text), format!("missing_field {path}"), "{event} {text}");
        }
        for text in BAD.into_iter().filter(|it| *path != "data" || !it.contains("\"x\":")) {
            assert_eq!(reason(text), format!("bad_field {path}"), "{event} {text}");
        }
    }
}

/// How long this thread has had a processor, in nanoseconds: what else the machine does is not in
/// it.
fn processor_time() -> u64 {
    // Linux counts the time when it takes the processor away, and else only at its ticks.
    thread::yield_now();
    let times = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    times.split(' ').next().and_then(|it| it.parse().ok()).expect("a number of nanoseconds")
}

/// A message of each channel, with each field swollen in turn. A text, which is worked on, is
/// swollen with everything that is slow to read, and once to 3 MB.
#[test]
#[ignore = "long: `just long`"]
fn a_field_of_megabytes_is_read_like_any_other() {
    const SMALL: usize = 200_000;
    const FACTOR: usize = 15;
    let faults = Faults::default();
    let pieces = [
        "lorem ipsum ",
        "x",
        "<p>a<br></blockquote>&lt;<",
        "> On Mon, a@b.example wrote:\\n\\n",
        "a@b.example, ",
    ];
    let (faults, pieces) = (&faults, &pieces);
    let each = |turn: usize, channel: &dyn AnyChannel| {
        let body = channel.sample(None, 7).unwrap();
        let paths = changes::paths(&body);
        assert!(paths.len() > 8, "{}", channel.name());
        let texts = ["body", "text", "text_body", "message", "reply_text"];
        let mut large = 0;
        for (number, path) in paths.iter().enumerate() {
            let name = path.to_string();
            let is_text = name.rsplit('.').next().is_some_and(|it| texts.contains(&it));
            large += usize::from(is_text);
            for (kind, piece) in pieces.iter().enumerate() {
                if !is_text && kind != number % pieces.len() {
                    continue;
                }
                let what = format!("{}, {name} of {piece:?}", channel.name());
                let reading = |size: usize| {
                    let text = format!("\"{}\"", piece.repeat(size / piece.len()));
                    let text = changes::applied(&body, path, Some(&text));
                    let before = processor_time();
                    faults.check(channel, &what, &text, true);
                    processor_time() - before
                };
                let small = reading(SMALL);
                if is_text && kind == turn % pieces.len() {
                    let large = reading(SMALL * FACTOR);
                    // A quadratic algorithm takes the square of the factor, which is 15 times it.
                    let times = large as f64 / small as f64;
                    assert!(times < 4.0 * FACTOR as f64, "{what} takes {times:.0} times as long");
                }
            }
        }
        assert!(large > 0, "{} has no text", channel.name());
    };
    thread::scope(|scope| {
        for (turn, channel) in all_channels().enumerate() {
            scope.spawn(move || each(turn, channel));
        }
    });
}

/// A whole body that is no channel's event.
#[test]
fn what_is_no_body_at_all_is_refused_or_held() {
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for channel in all_channels() {
        for (text, is_json) in [
            (String::new(), false),
            (" ".to_owned(), false),
            ("\u{feff}".to_owned(), false),
            ("\u{feff}\u{feff}{}".to_owned(), false),
            ("\u{feff}{}".to_owned(), true),
            ("{".to_owned(), false),
            ("{}{}".to_owned(), false),
            ("a=1".to_owned(), false),
            (deep(10_000), false),
            (deep(127), true),
            ("{}".to_owned(), true),
            ("[]".to_owned(), true),
            ("7".to_owned(), true),
            ("null".to_owned(), true),
            ("\"\\ud800\"".to_owned(), true),
            ("9".repeat(400), true),
            (r#"{"$serde_json::private::Number":"7"}"#.to_owned(), true),
            (r#"{"$serde_json::private::Number":7}"#.to_owned(), true),
            (r#"{"$serde_json::private::RawValue":"{\"type\":\"INSTALL\"}"}"#.to_owned(), true),
            (
                r#"{"data":{"event":{"type":"LEAD_REPLIED"},"event_type":"x","type":"y"}}"#
                    .to_owned(),
                true,
            ),
        ] {
            if let Err(fault) = fault(channel, &text, is_json) {
                panic!("{} {text:.100}: {fault}", channel.name());
            }
            if is_json {
                let body = json::parse(text.as_bytes()).unwrap();
                let received =
                    Received { body: &body, received_at: NOW, country: None, text_field: None };
                let made = channels::interpret(channel, &received);
                assert!(!matches!(made, Ok(Interpreted::Event(_))), "{text}");
            }
        }
    }
}
