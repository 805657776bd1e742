//! Gives what is published about a topic to the streams that follow it: first all values, then only
//! those that have changed.

use super::{
    queue::{NextUpdate, UpdateQueue},
    topic::Topic,
};
use actix_web::web::Bytes;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// The most streams of a daemon.
pub(in crate::http) const STREAMS_MAX: usize = 64;
/// The most streams of one owner: a user, with all sessions, or a caller of the API.
pub(crate) const OF_OWNER_MAX: usize = 8;
/// How often a stream on which nothing happens shows that it lives. Proxies end silent connections.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// Tells a reader to fetch its page again. All values follow.
const RESYNC: &str = "event: resync\ndata: {}\n\n";
/// After how many milliseconds a browser opens its stream again: at least these, and up to as many
/// more, so that those of a daemon that was restarted do not come all at once.
const RETRY_MS: u64 = 3_000;
const RETRY_JITTER_MS: u64 = 2_000;

/// The values of a topic, by key. An empty one stands for something that is no longer there.
pub(in crate::http) type LiveValues = BTreeMap<String, String>;

/// Why no stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum StreamRefusal {
    /// As many are open as a daemon may have.
    Full,
    /// As many are open as one owner may have.
    FullForOwner,
    /// The daemon is stopping.
    Draining,
}

/// The streams of a daemon. A clone stands for the same ones.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Hub(Arc<HubState>);

#[derive(Debug, Default)]
struct HubState {
    table: Mutex<StreamTable>,
    /// Cancelled when all streams end.
    over: CancellationToken,
    /// Grows whenever something may have changed that the counters do not show.
    nudges: AtomicU64,
}

#[derive(Debug, Default)]
struct StreamTable {
    /// What was told last about each topic that is followed.
    told: BTreeMap<Topic, LiveValues>,
    /// By the number of the stream.
    readers: BTreeMap<u64, StreamReader>,
    /// The number of the next stream.
    next: u64,
}

#[derive(Debug)]
struct StreamReader {
    owner: String,
    /// The name of the person who looks; `None` for a program.
    person: Option<String>,
    topics: BTreeSet<Topic>,
    queue: UpdateQueue,
    /// Tells that something waits.
    filled: Arc<Notify>,
}

/// What a message tells about a topic.
#[derive(Serialize)]
struct UpdateJson<'a> {
    /// The id of the lead or job.
    id: Option<String>,
    values: &'a LiveValues,
}

/// An open stream. Dropping it closes it.
#[derive(Debug)]
pub(in crate::http) struct UpdateStream {
    hub: Hub,
    number: u64,
    filled: Arc<Notify>,
    /// When the next comment is due.
    comment_at: Instant,
}

impl Hub {
    /// Opens a stream about these topics. `person` is the name of the one who looks at a page.
    pub(in crate::http) fn open(
        &self,
        owner: String,
        person: Option<String>,
        topics: BTreeSet<Topic>,
    ) -> Result<UpdateStream, StreamRefusal> {
        let mut table = self.table();
        if self.0.over.is_cancelled() {
            return Err(StreamRefusal::Draining);
        }
        if table.readers.len() >= STREAMS_MAX {
            return Err(StreamRefusal::Full);
        }
        if table.readers.values().filter(|it| it.owner == owner).count() >= OF_OWNER_MAX {
            return Err(StreamRefusal::FullForOwner);
        }
        let number = table.next;
        table.next += 1;
        for topic in &topics {
            table.told.entry(*topic).or_default();
        }
        let mut queue = UpdateQueue::default();
        let retry_ms = RETRY_MS + rand::random::<u64>() % RETRY_JITTER_MS;
        queue.push(format!("retry: {retry_ms}\n\n{}", table.all_of(&topics)).into());
        let filled = Arc::new(Notify::new());
        let reader = StreamReader { owner, person, topics, queue, filled: filled.clone() };
        table.readers.insert(number, reader);
        drop(table);
        self.nudge();
        let comment_at = Instant::now() + COMMENT_EVERY;
        Ok(UpdateStream { hub: self.clone(), number, filled, comment_at })
    }

    /// The topics that are followed, and by how many streams each.
    pub(super) fn topics(&self) -> BTreeMap<Topic, usize> {
        let table = self.table();
        let mut topics = BTreeMap::new();
        for topic in table.readers.values().flat_map(|reader| &reader.topics) {
            *topics.entry(*topic).or_default() += 1;
        }
        topics
    }

    /// The people who look at a page about this topic on this node, by name.
    pub(in crate::http) fn people_at(&self, topic: Topic) -> BTreeSet<String> {
        let table = self.table();
        let at_it = table.readers.values().filter(|reader| reader.topics.contains(&topic));
        at_it.filter_map(|reader| reader.person.clone()).collect()
    }

    /// Tells all that follow these topics which values have changed.
    pub(super) fn publish(&self, news: impl IntoIterator<Item = (Topic, LiveValues)>) {
        self.table().publish(news);
    }

    /// Notes that something may have changed: somebody has changed something through the API.
    pub(in crate::http) fn nudge(&self) {
        self.0.nudges.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was noted.
    pub(super) fn nudges(&self) -> u64 {
        self.0.nudges.load(Ordering::Relaxed)
    }

    /// Ends all streams. No others are opened.
    pub(in crate::http) fn end(&self) {
        self.0.over.cancel();
    }

    /// Waits until all streams have to end.
    pub(super) async fn ended(&self) {
        self.0.over.cancelled().await;
    }

    fn table(&self) -> MutexGuard<'_, StreamTable> {
        // Nothing panics while it holds the lock.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamTable {
    /// A message with all values of these topics.
    fn all_of(&self, topics: &BTreeSet<Topic>) -> String {
        let told = topics.iter().filter_map(|topic| Some((*topic, self.told.get(topic)?)));
        told.filter(|(_, values)| !values.is_empty())
            .map(|(topic, values)| message(topic, values))
            .collect()
    }

    fn publish(&mut self, news: impl IntoIterator<Item = (Topic, LiveValues)>) {
        let mut messages: Vec<(Topic, Bytes)> = Vec::new();
        for (topic, values) in news {
            // Nobody follows it any more.
            let Some(told) = self.told.get_mut(&topic) else { continue };
            let changed = changed(told, &values);
            *told = values;
            if !changed.is_empty() {
                messages.push((topic, message(topic, &changed).into()));
            }
        }
        for reader in self.readers.values_mut() {
            let followed = messages.iter().filter(|(topic, _)| reader.topics.contains(topic));
            let of_reader: Vec<&Bytes> = followed.map(|it| &it.1).collect();
            let joined = match of_reader[..] {
                [] => continue,
                [only] => only.clone(),
                _ => of_reader.iter().map(|it| it.as_ref()).collect::<Vec<&[u8]>>().concat().into(),
            };
            reader.queue.push(joined);
            reader.filled.notify_one();
        }
    }

    /// What the reader of a stream gets next.
    fn take(&mut self, number: u64) -> Option<Bytes> {
        let reader = self.readers.get_mut(&number)?;
        match reader.queue.pop() {
            NextUpdate::Message(message) => Some(message),
            NextUpdate::Nothing => None,
            NextUpdate::Resync => {
                let topics = reader.topics.clone();
                Some(format!("{RESYNC}{}", self.all_of(&topics)).into())
            }
        }
    }

    fn close(&mut self, number: u64) {
        let Some(closed) = self.readers.remove(&number) else { return };
        for topic in closed.topics {
            if !self.readers.values().any(|reader| reader.topics.contains(&topic)) {
                self.told.remove(&topic);
            }
        }
    }
}

/// The values that differ; an empty text for those that are gone.
fn changed(before: &LiveValues, after: &LiveValues) -> LiveValues {
    let is_news = |(key, value): &(&String, &String)| before.get(*key) != Some(*value);
    let news = after.iter().filter(is_news).map(|(key, value)| (key.clone(), value.clone()));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    news.chain(gone.map(|key| (key.clone(), String::new()))).collect()
}

fn message(topic: Topic, values: &LiveValues) -> String {
    let update = UpdateJson { id: topic.id().map(|id| id.to_string()), values };
    let mut text = format!("event: {topic}\ndata: ");
    match serde_json::to_string(&update) {
        // JSON has no line breaks.
        Ok(json) => text.push_str(&json),
        // Cannot happen: texts by texts.
        Err(error) => _ = write!(text, "{{}}\n: {error}"),
    }
    text.push_str("\n\n");
    text
}

impl UpdateStream {
    /// The next bytes; `None` once the stream is over.
    pub(in crate::http) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.hub.0.over.is_cancelled() {
                return None;
            }
            let taken = self.hub.table().take(self.number);
            if let Some(message) = taken {
                self.comment_at = Instant::now() + COMMENT_EVERY;
                return Some(message);
            }
            tokio::select! {
                () = self.filled.notified() => {}
                () = self.hub.ended() => {}
                () = sleep_until(self.comment_at) => {
                    self.comment_at = Instant::now() + COMMENT_EVERY;
                    return Some(COMMENT);
                }
            }
        }
    }
}

impl Drop for UpdateStream {
    fn drop(&mut self) {
        self.hub.table().close(self.number);
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
