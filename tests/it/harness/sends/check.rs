//! The check of all sends, once every job has ended: by the provider's own count, and by what
//! the database says.

use crate::support::both::Peek;
use postroom::fake_provider::{FakeCall, FakeProvider, Fault};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
};

/// The figures of some rounds.
#[derive(Clone, Debug, Default)]
pub struct Sends {
    pub leads: i64,
    pub calls: usize,
    pub taken: usize,
    pub sent: usize,
    /// How many of these were sent by a run whose lease was lost.
    pub late: usize,
    pub failed: usize,
    pub uncertain: usize,
    /// How the last attempts of uncertain ones ended.
    pub cut_off: BTreeMap<String, u64>,
}

impl AddAssign for Sends {
    fn add_assign(&mut self, it: Self) {
        self.leads += it.leads;
        self.calls += it.calls;
        self.taken += it.taken;
        self.sent += it.sent;
        self.late += it.late;
        self.failed += it.failed;
        self.uncertain += it.uncertain;
        for (word, count) in it.cut_off {
            *self.cut_off.entry(word).or_default() += count;
        }
    }
}

/// What a call says about its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It was taken, and said so.
    Sent,
    /// It was certainly not sent, and may be tried again.
    NotSent,
    /// It was refused for good.
    Refused,
    /// Nobody can know.
    Nothing,
}

fn known(call: &FakeCall) -> Known {
    match &call.fault {
        None => Known::Sent,
        Some(Fault::Refuse { status: 429, .. } | Fault::Refuse { retry_after: Some(_), .. }) => {
            Known::NotSent
        }
        Some(Fault::Refuse { status: 500.., .. }) => Known::Nothing,
        Some(Fault::Refuse { .. }) => Known::Refused,
        Some(_) => Known::Nothing,
    }
}

/// Ends of an attempt of which the handler could say nothing, or whose words could not be stored.
const CUT_OFF: [&str; 5] = ["rescued", "panic", "timeout", "stuck", "shutdown"];
const UNSTORABLE: [&str; 2] = ["cannot be stored", "the recorder died over it"];

const DELIVERIES: &str = "select cast(x.id as text) || '|' || x.status || '|' || d.status || '|' || coalesce(d.blocked_by, '') || '|' || \
    (select cast(count(*) as text) from messages m where m.id = x.message_id and m.direction = 'outbound') || '|' || \
    coalesce((select a.outcome || '|' || coalesce(a.error, '') from job_attempts a where a.job_id = x.job_id and a.ended), 'none|') \
    from deliveries x join drafts d on d.id = x.draft_id";

/// Checks everything. Returns the figures, and all that is wrong.
pub async fn check(db: &Peek, fake: &FakeProvider, leads: i64) -> (Sends, Vec<String>) {
    let mut wrong = Vec::new();
    let mut figures = Sends { leads, ..Sends::default() };
    // 1. Each lead got one draft, and each draft one delivery: none is lost.
    for (what, sql, expected) in [
        ("inbound messages", "select count(*) from messages where direction = 'inbound'", leads),
        ("drafts", "select count(*) from drafts", leads),
        ("drafts with a delivery", "select count(distinct draft_id) from deliveries", leads),
        ("deliveries", "select count(*) from deliveries", leads),
        (
            "drafts that wait for nothing",
            "select count(*) from drafts where status in ('pending', 'rejected', 'superseded') \
               or (status = 'approved' and blocked_by is null)",
            0,
        ),
    ] {
        let found = db.number(sql).await;
        if found != expected {
            wrong.push(format!("{found} {what}, not {expected}"));
        }
    }
    // 2. The provider has none twice, and knows none that Postroom does not.
    for (key, count) in fake.counts() {
        if count > 1 {
            wrong.push(format!("DOUBLE: {key} was taken {count} times"));
        }
    }
    let mut calls: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for call in fake.calls() {
        figures.calls += 1;
        calls.entry(call.delivery_id.clone()).or_default().push(known(&call));
    }
    figures.taken = fake.sent().len();
    let mut ids = BTreeSet::new();
    // 3. Each delivery is what the provider and its job say.
    for row in db.texts(DELIVERIES).await {
        let fields: Vec<&str> = row.splitn(7, '|').collect();
        let [id, status, draft, blocked, messages, outcome, error] = fields[..] else {
            panic!("{row}")
        };
        ids.insert(id.to_owned());
        let made = calls.get(id).map(Vec::as_slice).unwrap_or_default();
        let over = made.iter().position(|call| *call != Known::NotSent);
        if over.is_some_and(|at| at + 1 < made.len()) {
            wrong.push(format!("called again after its end: {made:?}: {row}"));
        }
        let is_cut_off =
            CUT_OFF.contains(&outcome) || UNSTORABLE.iter().any(|it| error.contains(it));
        let last = made.last().copied();
        let is_right = match status {
            "sent" => {
                figures.sent += 1;
                figures.late += usize::from(CUT_OFF.contains(&outcome));
                last == Some(Known::Sent) && (draft, messages) == ("sent", "1")
            }
            "failed" => {
                figures.failed += 1;
                let is_refused = matches!(last, Some(Known::Refused));
                // Its lease was lost: it is not tried again.
                let is_lost = matches!(last, Some(Known::NotSent) | None) && is_cut_off;
                (is_refused || is_lost) && draft == "approved" && !blocked.is_empty()
            }
            "uncertain" => {
                figures.uncertain += 1;
                *figures.cut_off.entry(outcome.to_owned()).or_default() += 1;
                let is_unknown = last == Some(Known::Nothing) || is_cut_off;
                is_unknown && (draft, messages) == ("sending", "0")
            }
            _ => false,
        };
        if !is_right {
            wrong.push(format!("not what the provider says, {made:?}: {row}"));
        }
    }
    wrong.extend(calls.keys().filter(|key| !ids.contains(*key)).map(|key| format!("no {key}")));
    let outbound = db.number("select count(*) from messages where direction = 'outbound'").await;
    if usize::try_from(outbound) != Ok(figures.sent) {
        wrong.push(format!("{outbound} outbound messages of {} that were sent", figures.sent));
    }
    (figures, wrong)
}
