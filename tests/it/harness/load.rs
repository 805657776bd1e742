//! The webhooks that providers post, and the answers that they get.
//!
//! Each event is posted again and again until it is acknowledged, as a provider does after no
//! answer or a 429. Some are posted twice at once, and some once more after they were acknowledged.

use super::wire::{Cut, Reply, Wire};
use crate::support::web;
use serde_json::{Value, json};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Random numbers that a seed repeats.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end.max(1)
    }

    /// True in `of_hundred` of a hundred cases.
    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }
}

/// The tenants.
pub const CLIENTS: [&str; 4] = ["ash", "birch", "cedar", "dogwood"];
/// The channels; `sms` comes in both of its provider's forms.
const FORMS: [(&str, Option<&str>); 6] = [
    ("email", None),
    ("sms", None),
    ("linkedin", None),
    ("smartlead", None),
    ("instantly", None),
    ("sms", Some("InboundMessage")),
];
/// The percentage of events that are posted once more after they were acknowledged.
const REPEATS_PERCENT: u64 = 15;
/// A daemon that stops keeps a connection for half a second after its last answer; HTTP/1.1
/// promises nothing for one that is used at the moment when it is closed.
const KEPT_FOR_SURE: Duration = Duration::from_millis(400);
/// The pause before a provider posts again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The configuration of the tenants.
pub fn clients_config() -> String {
    let channels = ["email", "sms", "linkedin", "smartlead", "instantly"];
    let channels: String = channels.iter().map(|it| format!("[clients.channels.{it}]\n")).collect();
    CLIENTS.iter().map(|it| format!("[[clients]]\nid = \"{it}\"\n{channels}")).collect()
}

/// An event, and the answer that its senders got.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it was first posted, after the load began.
    pub posted: Duration,
    /// When it was first acknowledged.
    pub acknowledged: Duration,
    pub message_id: i64,
    pub job_id: i64,
}

/// Where a node listens, and how a request to it may end.
#[derive(Debug)]
pub struct Node {
    pub port: u16,
    /// True if it is only ever stopped in order.
    pub is_orderly: AtomicBool,
    /// True until it is told to stop.
    pub is_up: AtomicBool,
}

/// A load over some nodes.
#[derive(Debug)]
pub struct Load {
    pub nodes: Vec<Node>,
    leads: u64,
    started: Instant,
    next: AtomicU64,
    is_over: AtomicBool,
    told: Mutex<Vec<Told>>,
    /// How many webhooks were answered 200.
    answered: AtomicU64,
    /// How many were answered 429.
    pub refused: AtomicU64,
    /// How many got no answer: nobody listened, or the connection was cut.
    pub unanswered: AtomicU64,
    /// Requests that were cut off by nodes that nobody had killed.
    pub cut: Mutex<Vec<String>>,
    /// How many connections were refused by such nodes while they were up.
    pub refused_by_listeners: AtomicU64,
}

impl Load {
    /// A load over the nodes at these ports, from `leads` leads of each tenant. `first` is the
    /// number of the first event.
    pub fn new(ports: &[u16], leads: u64, first: u64) -> Self {
        let node = |port: &u16| Node {
            port: *port,
            is_orderly: AtomicBool::new(false),
            is_up: AtomicBool::new(true),
        };
        Self {
            nodes: ports.iter().map(node).collect(),
            leads,
            started: Instant::now(),
            next: AtomicU64::new(first),
            is_over: AtomicBool::new(false),
            told: Mutex::default(),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            cut: Mutex::default(),
            refused_by_listeners: AtomicU64::new(0),
        }
    }

    /// How many webhooks were answered 200.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the posting of new events.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The answers for every event.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Posts events, one after the other, until it is stopped.
    pub async fn post(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        let is_kept = dice.percent(50);
        let (mut wire, mut other) = (Wire::new(is_kept), Wire::new(is_kept));
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let event = event(number, self.leads, &mut dice);
            let at = usize::try_from(dice.below(self.nodes.len() as u64)).unwrap();
            let posted = self.started.elapsed();
            let first = if dice.percent(5) {
                // Twice at once: if there are several nodes, over two of them.
                let (one, two) = tokio::join!(
                    self.until_told(&mut wire, at, &event),
                    self.until_told(&mut other, at + 1, &event),
                );
                assert_eq!((one.1, one.2), (two.1, two.2), "one event, two answers: {event:?}");
                assert!(!(one.0 && two.0), "one event was accepted twice: {event:?}");
                one
            } else {
                self.until_told(&mut wire, at, &event).await
            };
            let told = Told {
                posted,
                acknowledged: self.started.elapsed(),
                message_id: first.1,
                job_id: first.2,
            };
            self.told.lock().unwrap().push(told);
            if dice.percent(REPEATS_PERCENT) {
                let again = self.until_told(&mut wire, at + 1, &event).await;
                assert_eq!(again, (false, first.1, first.2), "posted again: {event:?}");
            }
        }
    }

    /// Posts an event until it is acknowledged. Returns whether it was new, its message and its
    /// job.
    async fn until_told(&self, wire: &mut Wire, first: usize, event: &Event) -> (bool, i64, i64) {
        let mut at = first % self.nodes.len();
        loop {
            let node = &self.nodes[at];
            let is_orderly = node.is_orderly.load(Ordering::SeqCst);
            let was_up = node.is_up.load(Ordering::SeqCst);
            match wire.post(node.port, &event.path, &event.body).await {
                Reply::Answered(200, body) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return ids(event, &body);
                }
                Reply::Answered(429, _) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Reply::Answered(status, body) => panic!("answered {status} {body}: {event:?}"),
                Reply::Refused => {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                    if is_orderly && was_up && node.is_up.load(Ordering::SeqCst) {
                        self.refused_by_listeners.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Reply::Cut(Cut { kept, error }) => {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                    if is_orderly && kept.is_none_or(|it| it < KEPT_FOR_SURE) {
                        let cut = format!("{error}; kept without use for {kept:?}");
                        self.cut.lock().unwrap().push(cut);
                    }
                }
            }
            at = (at + 1) % self.nodes.len();
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// A webhook that is posted.
#[derive(Debug)]
pub struct Event {
    pub path: String,
    pub body: String,
}

/// Event number `number`, of one of `leads` leads of each tenant, over one of the five channels.
pub fn event(number: u64, leads: u64, dice: &mut Dice) -> Event {
    const TEXTS: [&str; 5] = [
        "Hey, yes I'm interested. What does it cost?",
        "Can you call me tomorrow after 3?",
        "Could you send me more info about how this works?",
        "We already have somebody for this, thanks.",
        "Thursday at 10 works for me.",
    ];
    let pick = |dice: &mut Dice, of: usize| usize::try_from(dice.below(of as u64)).unwrap();
    let client = pick(dice, CLIENTS.len());
    // The last form has a number and no address, so that leads are found to be one and are merged:
    // for every other tenant only.
    let (channel, form) = FORMS[pick(dice, FORMS.len() - client % 2)];
    // Leads of two tenants are different people, with different ids.
    let lead = dice.below(leads) + client as u64 * leads;
    let mut body = web::channel(channel).sample(form, lead).expect("a sample");
    let text = format!("{} ({number})", TEXTS[pick(dice, TEXTS.len())]);
    let mut set = |place: &str, value: Value| {
        *body.pointer_mut(place).unwrap_or_else(|| panic!("{channel} has {place}")) = value;
    };
    match (channel, form) {
        ("email", _) => {
            set("/data/reply/id", json!(number + 1_000_000));
            set("/data/reply/uuid", json!(format!("9f7a2718-0000-4000-8000-{number:012x}")));
            set("/data/reply/text_body", json!(text));
            set("/data/reply/html_body", json!(format!("<div>{text}</div>")));
        }
        ("sms", None) => set("/message/body", json!(text)),
        ("sms", Some(_)) => {
            set("/body", json!(text));
            set("/messageId", json!(format!("msg{number:016x}")));
            set("/webhookId", json!(format!("3f7c0d82-0000-4000-8000-{number:012x}")));
        }
        ("linkedin", _) => {
            set("/message", json!(text));
            set("/message_id", json!(format!("msg{number:016x}")));
        }
        ("smartlead", _) => {
            let id = json!(format!("<rpl{number:016x}@sample.example>"));
            set("/message_id", id.clone());
            set("/reply_message/message_id", id);
            set("/reply_message/text", json!(text));
            set("/reply_message/html", json!(format!("<div>{text}</div>")));
            set("/reply_body", json!(format!("<div>{text}</div>")));
            set("/preview_text", json!(text));
        }
        _ => {
            set("/email_id", json!(format!("0199c4b2-0000-7000-8000-{number:012x}")));
            set("/reply_text", json!(text));
            set("/reply_text_snippet", json!(text));
            set("/reply_html", json!(format!("<div>{text}</div>")));
        }
    }
    Event { path: format!("/webhooks/{channel}/{}", CLIENTS[client]), body: body.to_string() }
}

/// The contents of an acknowledgement: whether the event was new, its message, and its inbound job.
fn ids(event: &Event, answer: &Value) -> (bool, i64, i64) {
    let number = |it: &Value| it.as_str().and_then(|it| it.parse().ok());
    let jobs = answer["job_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids = number(&answer["message_id"]).zip(jobs.first().and_then(number));
    let is_known = matches!(answer["outcome"].as_str(), Some("accepted" | "duplicate"));
    assert!(is_known && jobs.len() == 1 && ids.is_some(), "{answer}: {event:?}");
    let (message_id, job_id) = ids.unwrap();
    (answer["outcome"] == "accepted", message_id, job_id)
}
