//! Remembers webhooks that left no row: ignored ones, duplicates, and refused ones. A person who
//! asks "did you get it?" then has an answer for them, too, since the start of this process.
//!
//! It is bounded: the last of each configured client and channel, and one list for all other names,
//! because a stranger chooses the name in a URL. Senders that proved nothing have lists of their
//! own, so that they cannot push out what a client's provider has posted.

use crate::{
    domain::{Id, Timestamp},
    http::limits::Neighbours,
    store::{first_id_at, wall_clock},
};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most webhooks that a list remembers.
const LISTED_MAX: usize = 500;
/// The most that all lists remember together. One takes some 500 bytes.
const REMEMBERED_MAX: usize = 50_000;
/// A refusal of a stranger that is like one of the last so many is counted with it.
const ALIKE_WITHIN: usize = 16;
/// The most characters of a name that a sender chose.
const CHARS_MAX: usize = 100;

/// A webhook that left no row. `alike` of them, from `first_at` to `at`, differ in nothing but
/// their request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UntracedWebhook {
    /// Its place among what was received: it rises as ids of rows do.
    pub(super) key: Id,
    pub(super) first_at: Timestamp,
    pub(super) at: Timestamp,
    pub(super) alike: u64,
    /// The name in its path.
    pub(super) client: String,
    /// True if the configuration had that client.
    pub(super) is_configured: bool,
    pub(super) channel: &'static str,
    /// As in the metrics.
    pub(super) outcome: &'static str,
    pub(super) event_type: Option<String>,
    pub(super) reason: String,
    /// The id of the last request.
    pub(super) request_id: String,
    /// What a duplicate repeats.
    pub(super) message_id: Option<Id>,
    pub(super) lead_id: Option<Id>,
    /// The address or the IPv6 network of a stranger.
    pub(super) address: Option<String>,
}

/// What is known of a webhook once it is answered.
#[derive(Debug)]
pub(super) struct Unstored<'a> {
    pub(super) client: &'a str,
    pub(super) is_configured: bool,
    pub(super) channel: &'static str,
    pub(super) outcome: &'static str,
    pub(super) event_type: Option<String>,
    pub(super) reason: String,
    pub(super) request_id: &'a str,
    pub(super) message_id: Option<Id>,
    pub(super) lead_id: Option<Id>,
    /// True if the sender proved who it is.
    pub(super) is_proven: bool,
    pub(super) address: Option<IpAddr>,
}

/// Which webhooks are listed. An empty field matches all.
#[derive(Clone, Debug, Default)]
pub(super) struct UntracedFilter<'a> {
    /// Configured clients.
    pub(super) clients: &'a [String],
    /// The leads of what duplicates repeat.
    pub(super) leads: &'a [Id],
    pub(super) channels: &'a [String],
    pub(super) outcomes: &'a [String],
    /// An id of a request or of ours, an address, or a part of the event's name.
    pub(super) sought: Option<&'a str>,
    /// Those before this place.
    pub(super) before: Option<Id>,
}

/// The key of a list: the configured client, or none; the channel; whether the sender proved who it
/// is.
type ListKey = (Option<String>, &'static str, bool);

/// The webhooks that left no row since the start. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct UntracedWebhooks {
    since: Timestamp,
    lists: Arc<Mutex<UntracedLists>>,
}

#[derive(Debug, Default)]
struct UntracedLists {
    by_key: HashMap<ListKey, VecDeque<UntracedWebhook>>,
    /// How many all lists hold.
    count: usize,
    last_key: Id,
}

impl Default for UntracedWebhooks {
    fn default() -> Self {
        Self { since: wall_clock(), lists: Arc::default() }
    }
}

impl UntracedWebhooks {
    /// Since when they are remembered.
    pub(super) const fn since(&self) -> Timestamp {
        self.since
    }

    /// Remembers a webhook that was answered at `at`.
    pub(super) fn remember(&self, webhook: Unstored<'_>, at: Timestamp) {
        self.lock().remember(webhook, at);
    }

    /// The newest that match, newest first: at most `limit`.
    pub(super) fn list(&self, filter: &UntracedFilter<'_>, limit: usize) -> Vec<UntracedWebhook> {
        let lists = self.lock();
        let mut found: Vec<&UntracedWebhook> =
            lists.by_key.values().flatten().filter(|it| filter.matches(it)).collect();
        found.sort_unstable_by_key(|it| std::cmp::Reverse(it.key));
        found.into_iter().take(limit).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, UntracedLists> {
        // Nothing panics while it holds the lock.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UntracedLists {
    fn remember(&mut self, webhook: Unstored<'_>, at: Timestamp) {
        // 1. Its place, behind all others.
        self.last_key = first_id_at(at).max(self.last_key + 1);
        let client = webhook.is_configured.then(|| webhook.client.to_owned());
        let list_key = (client, webhook.channel, webhook.is_proven);
        let entry = UntracedWebhook {
            key: self.last_key,
            first_at: at,
            at,
            alike: 1,
            client: beginning(webhook.client),
            is_configured: webhook.is_configured,
            channel: webhook.channel,
            outcome: webhook.outcome,
            event_type: webhook.event_type.as_deref().map(beginning),
            reason: webhook.reason,
            request_id: webhook.request_id.to_owned(),
            message_id: webhook.message_id,
            lead_id: webhook.lead_id,
            address: webhook
                .address
                .filter(|_| !webhook.is_proven)
                .map(|it| Neighbours::of(it).to_string()),
        };
        // 2. A stranger's is counted with those alike.
        let list = self.by_key.entry(list_key).or_default();
        let alike = list.iter().rev().take(ALIKE_WITHIN).position(|it| it.is_like(&entry));
        if let Some(behind) = alike.filter(|_| !webhook.is_proven)
            && let Some(old) = list.remove(list.len() - 1 - behind)
        {
            list.push_back(UntracedWebhook {
                first_at: old.first_at,
                alike: old.alike.saturating_add(1),
                ..entry
            });
            return;
        }
        // 3. Any other takes the place of the oldest, if there is no room.
        let is_full = list.len() >= LISTED_MAX || self.count >= REMEMBERED_MAX;
        if is_full && list.pop_front().is_some() {
            self.count -= 1;
        }
        list.push_back(entry);
        self.count += 1;
        if self.count > REMEMBERED_MAX {
            self.shorten_longest();
        }
    }

    fn shorten_longest(&mut self) {
        let longest = self.by_key.values_mut().max_by_key(|it| it.len());
        if longest.is_some_and(|it| it.pop_front().is_some()) {
            self.count -= 1;
        }
    }
}

impl UntracedWebhook {
    fn is_like(&self, other: &Self) -> bool {
        let what = |it: &Self| (it.outcome, it.address.clone(), it.client.clone());
        what(self) == what(other) && self.reason == other.reason
    }
}

impl UntracedFilter<'_> {
    fn matches(&self, webhook: &UntracedWebhook) -> bool {
        let has = |values: &[String], value: &str| {
            values.is_empty() || values.iter().any(|it| it == value)
        };
        let is_of_client = self.clients.is_empty()
            || webhook.is_configured && self.clients.contains(&webhook.client);
        let is_sought = self.sought.is_none_or(|text| {
            let id = |id: Option<Id>| id.is_some_and(|it| it.to_string() == text);
            webhook.request_id == text
                || webhook.address.as_deref() == Some(text)
                || id(webhook.message_id)
                || id(webhook.lead_id)
                || webhook.event_type.as_ref().is_some_and(|it| it.contains(text))
        });
        let is_of_lead =
            self.leads.is_empty() || webhook.lead_id.is_some_and(|it| self.leads.contains(&it));
        is_of_client
            && is_of_lead
            && has(self.channels, webhook.channel)
            && has(self.outcomes, webhook.outcome)
            && is_sought
            && self.before.is_none_or(|before| webhook.key < before)
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook<'a>(client: &'a str, is_proven: bool, request_id: &'a str) -> Unstored<'a> {
        Unstored {
            client,
            is_configured: client.starts_with("ours"),
            channel: "pager",
            outcome: if is_proven { "duplicate" } else { "unauthenticated" },
            event_type: Some("Paged".to_owned()),
            reason: String::new(),
            request_id,
            message_id: is_proven.then_some(7),
            lead_id: None,
            is_proven,
            address: Some(IpAddr::from([192, 0, 2, 1])),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(1_764_000_000_000 + second * 1_000)
    }

    fn listed(all: &UntracedWebhooks, clients: &[String]) -> Vec<UntracedWebhook> {
        all.list(&UntracedFilter { clients, ..UntracedFilter::default() }, usize::MAX)
    }

    #[test]
    fn strangers_push_nothing_out_and_are_counted() {
        let all = UntracedWebhooks::default();
        all.remember(webhook("ours", true, "first"), at(0));
        for second in 1..2_000 {
            all.remember(webhook("ours", false, "again"), at(second));
        }
        let ours = listed(&all, &["ours".to_owned()]);
        assert_eq!(ours.len(), 2);
        let refused = &ours[0];
        assert_eq!((refused.alike, refused.first_at, refused.at), (1_999, at(1), at(1_999)));
        assert_eq!(refused.address.as_deref(), Some("192.0.2.1"));
        assert_eq!((ours[1].request_id.as_str(), ours[1].address.as_ref()), ("first", None));
    }

    #[test]
    fn names_that_are_not_configured_share_one_list() {
        let all = UntracedWebhooks::default();
        for n in 0..5_000 {
            let name = format!("{n}{}", "x".repeat(300));
            all.remember(webhook(&name, false, "r"), at(n));
        }
        let listed = listed(&all, &[]);
        assert_eq!(listed.len(), LISTED_MAX);
        assert!(listed.iter().all(|it| it.client.chars().count() == CHARS_MAX));
        assert_eq!(all.lock().by_key.len(), 1);
    }

    #[test]
    fn each_list_and_all_together_are_bounded_and_the_newest_stay() {
        let all = UntracedWebhooks::default();
        let mut second = 0;
        for client in 0..200 {
            let client = format!("ours{client}");
            for _ in 0..=LISTED_MAX {
                second += 1;
                all.remember(webhook(&client, true, "r"), at(second));
            }
        }
        let listed = listed(&all, &[]);
        assert_eq!(listed.len(), REMEMBERED_MAX);
        assert_eq!(all.lock().count, REMEMBERED_MAX);
        assert_eq!(listed[0].at, at(second));
        assert!(listed.is_sorted_by(|a, b| a.key > b.key));
        assert!((0..200).all(|it| listed.iter().any(|row| row.client == format!("ours{it}"))));
    }

    #[test]
    fn they_are_found_by_request_message_and_event() {
        let all = UntracedWebhooks::default();
        all.remember(webhook("ours", true, "r-1"), at(1));
        all.remember(webhook("theirs", false, "r-2"), at(1));
        for (text, expected) in [("r-1", 1), ("7", 1), ("192.0.2.1", 1), ("Page", 2), ("r", 0)] {
            let filter = UntracedFilter { sought: Some(text), ..UntracedFilter::default() };
            assert_eq!(all.list(&filter, 9).len(), expected, "{text}");
        }
        let newest = all.list(&UntracedFilter::default(), 1);
        let before = UntracedFilter { before: Some(newest[0].key), ..UntracedFilter::default() };
        assert_eq!(all.list(&before, 9).len(), 1);
    }

    #[test]
    fn a_duplicate_is_found_by_its_lead_and_nothing_else_has_one() {
        let all = UntracedWebhooks::default();
        all.remember(Unstored { lead_id: Some(5), ..webhook("ours", true, "r-1") }, at(1));
        all.remember(webhook("ours", false, "r-2"), at(1));
        for (leads, expected) in [(&[][..], 2), (&[5], 1), (&[4, 5], 1), (&[4], 0)] {
            let filter = UntracedFilter { leads, ..UntracedFilter::default() };
            assert_eq!(all.list(&filter, 9).len(), expected, "{leads:?}");
        }
    }
}
