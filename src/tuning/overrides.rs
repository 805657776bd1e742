//! Overrides of pools: reads what is kept for all nodes, keeps what is for this node only, and says
//! which of it applies.
//!
//! The rule is in `domain/pool_override.rs`. While the database is away, what was read last applies
//! on, and still ends by its time or by a change of the file.

use super::{afterwards::AuditQueue, until};
use crate::{
    config,
    domain::{
        DropCause, DroppedKey, Id, JobKind, OverrideChange, OverrideKey, PoolInFiles, PoolOverride,
        SeenInFiles, Timestamp, backoff::AWAY_PAUSE,
    },
    store::{AuditEntry, Overrides, StoreError, StoredOverrides, Via, wall_clock},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// How long a change may take until it runs, beside what the database takes. A reload that is under
/// way comes first.
const RUNS_WITHIN: Duration = Duration::from_secs(5);

/// What the overrides of this node are made of.
pub struct OverridesSetup {
    /// What is kept for all nodes.
    pub stored: Overrides,
    /// The id of this process.
    pub node: Id,
    /// The kinds of this version. Overrides of others are left to nodes that know them.
    pub kinds: Vec<JobKind>,
    /// Tells when another node has changed something.
    pub version: watch::Receiver<i64>,
    /// True if other nodes run already. Then overrides hold whatever the files of this node say:
    /// they are no change of a file. If this node is the first, files may have changed since
    /// overrides were made.
    pub joins_others: bool,
    /// True if overrides for all nodes do not apply here.
    pub ignores_stored: bool,
    /// True if there can be no other node.
    pub is_alone: bool,
}

/// A change that a person asks for.
#[derive(Debug)]
pub(super) struct AskedOverride {
    pub(super) kind: JobKind,
    /// `None` ends the override.
    pub(super) change: Option<OverrideChange>,
    pub(super) is_for_this_node: bool,
    /// The row of the audit log, without values.
    pub(super) entry: AuditEntry,
    pub(super) answer: oneshot::Sender<Result<(), OverrideError>>,
}

/// Why an override was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The database could not do it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// This node was started without overrides.
    #[error("{}", ignored(*.is_alone))]
    Ignored {
        /// True if there can be no other node.
        is_alone: bool,
    },
    /// It is kept, but does not run here yet.
    #[error("the override is kept, and does not run here yet: a reload takes too long")]
    Slow,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// The overrides that this node knows, and which of them apply here.
pub struct PoolOverrides {
    setup: OverridesSetup,
    live: config::Live,
    /// The last read, and when it was.
    known: StoredOverrides,
    read_at: Instant,
    /// True until the version that was told last is read.
    is_stale: bool,
    /// True once they were read.
    has_read: bool,
    /// Those for this node only, by kind.
    own: BTreeMap<String, PoolOverride>,
    /// By kind and key: when a key was set that was first read while this node ran, and what the
    /// files of this node said then.
    seen: HashMap<(String, OverrideKey), (Timestamp, PoolInFiles)>,
    /// What failed is tried again then.
    next_try: Instant,
}

impl std::fmt::Debug for PoolOverrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolOverrides").field("known", &self.known).finish_non_exhaustive()
    }
}

/// What is judged of all overrides at one time.
#[derive(Default)]
struct OverridesNow {
    applying: Vec<PoolOverride>,
    /// Those of which some keys no longer apply.
    over: Vec<(PoolOverride, Vec<DroppedKey>)>,
}

impl PoolOverrides {
    /// Reads the overrides and puts those in force that apply, before any actor starts: a pool that
    /// was paused must not start a job. Warns of each, since it may be long ago that somebody made
    /// it.
    pub async fn open(setup: OverridesSetup, live: &config::Live) -> Self {
        let mut opened = Self {
            // Beside other nodes, no file has changed just because this node starts.
            has_read: setup.joins_others,
            setup,
            live: live.clone(),
            known: StoredOverrides { now: wall_clock(), ..StoredOverrides::default() },
            read_at: Instant::now(),
            is_stale: true,
            own: BTreeMap::new(),
            seen: HashMap::new(),
            next_try: Instant::now(),
        };
        opened.read_if_stale().await;
        opened.warn_of_all();
        let applying = opened.judge().applying;
        if !applying.is_empty() {
            live.set(live.get().with_overrides(applying));
        }
        opened
    }

    /// True if overrides for all nodes do not apply here.
    pub(super) const fn ignores_stored(&self) -> bool {
        self.setup.ignores_stored
    }

    /// Those that apply now.
    pub(super) fn applying(&self) -> Vec<PoolOverride> {
        self.judge().applying
    }

    /// The database's clock, as it has gone on since the last read.
    fn now(&self) -> Timestamp {
        self.known.now.plus(self.read_at.elapsed())
    }

    /// When something is to be done: an override expires, or what failed is tried again.
    fn due_at(&self) -> Option<Instant> {
        let now = self.now();
        let all = self.stored_here().chain(self.own.values());
        let ends = all.flat_map(PoolOverride::keys).filter_map(|it| it.set.expires_at);
        let expires_at = ends.min().map(|at| {
            let left = u64::try_from(at.millis_since(now)).unwrap_or_default();
            // One that is over and still there could not be dropped.
            (Instant::now() + Duration::from_millis(left)).max(self.next_try)
        });
        let again_at = self.is_stale.then_some(self.next_try);
        [expires_at, again_at].into_iter().flatten().min()
    }

    fn try_later(&mut self, error: &StoreError) {
        (self.is_stale, self.next_try) = (true, Instant::now() + AWAY_PAUSE);
        tracing::warn!(%error, "overrides of pools: the last known ones apply on");
    }

    /// Takes what was read. What is new among it was made while this node ran, except at the first
    /// read.
    fn set_known(&mut self, stored: StoredOverrides) {
        let cfg = self.live.get();
        let set_at = |stored: &StoredOverrides, kind: &str, key: OverrideKey| {
            stored.of(kind).and_then(|it| it.origin(key)).map(|it| it.at)
        };
        self.seen.retain(|(kind, key), _| set_at(&stored, kind, *key).is_some());
        for (set, entry) in
            stored.overrides.iter().flat_map(|it| it.keys().map(move |key| (it, key)))
        {
            let is_new = set_at(&self.known, &set.kind, entry.key) != Some(entry.set.at);
            if is_new && self.has_read {
                let seen = (entry.set.at, in_files(&cfg, &set.kind));
                self.seen.insert((set.kind.clone(), entry.key), seen);
            }
        }
        (self.known, self.read_at) = (stored, Instant::now());
        (self.is_stale, self.has_read) = (false, true);
    }

    async fn read_if_stale(&mut self) {
        if self.is_stale && Instant::now() >= self.next_try {
            match self.setup.stored.read().await {
                Ok(stored) => self.set_known(stored),
                Err(error) => self.try_later(&error),
            }
        }
    }

    fn warn_of_all(&self) {
        for set in &self.known.overrides {
            let kind = set.kind.as_str();
            for entry in set.keys() {
                let (by, at) = (entry.set.by.as_str(), entry.set.at);
                let note = entry.set.note.as_deref().unwrap_or_default();
                if self.setup.ignores_stored {
                    tracing::warn!(kind, by, %at, note, "override {entry} is ignored here");
                } else {
                    tracing::warn!(kind, by, %at, note, "override {entry} is in force");
                }
            }
        }
    }

    /// What the files of this node said when it first read the keys of `set`.
    fn seen_of(&self, set: &PoolOverride) -> SeenInFiles {
        let seen = |key: OverrideKey| {
            let (at, files) = self.seen.get(&(set.kind.clone(), key))?;
            set.origin(key).filter(|it| it.at == *at).map(|_| files)
        };
        SeenInFiles {
            size: seen(OverrideKey::Size).map(|it| it.size),
            paused: seen(OverrideKey::Paused).map(|it| it.paused),
        }
    }

    /// The overrides for all nodes that count here: of kinds that this version knows.
    fn stored_here(&self) -> impl Iterator<Item = &PoolOverride> {
        let is_known = |set: &&PoolOverride| self.setup.kinds.iter().any(|it| it.0 == set.kind);
        let stored = (!self.setup.ignores_stored).then_some(&self.known.overrides);
        stored.into_iter().flatten().filter(is_known)
    }

    /// What a kind's pool would be on this node without an override for this node only.
    fn without_own(&self, kind: &str) -> PoolInFiles {
        let files = in_files(&self.live.get(), kind);
        let shared = self.stored_here().find(|it| it.kind == kind);
        let shared =
            shared.and_then(|it| it.clone().judge(files, self.seen_of(it), self.now()).applies);
        shared.map_or(files, |it| it.in_force(files))
    }

    /// Judges all overrides that count here.
    fn judge(&self) -> OverridesNow {
        let (cfg, now) = (self.live.get(), self.now());
        let mut judged = OverridesNow::default();
        let mut applying = BTreeMap::new();
        for set in self.stored_here() {
            let of_one = set.clone().judge(in_files(&cfg, &set.kind), self.seen_of(set), now);
            applying.extend(of_one.applies.map(|it| (set.kind.as_str(), it)));
            if !of_one.dropped.is_empty() {
                judged.over.push((set.clone(), of_one.dropped));
            }
        }
        for (kind, set) in &self.own {
            let shared = applying.remove(kind.as_str());
            let files = in_files(&cfg, kind);
            let beneath = shared.as_ref().map_or(files, |it: &PoolOverride| it.in_force(files));
            let of_one = set.clone().judge(beneath, SeenInFiles::default(), now);
            let both = match of_one.applies {
                Some(own) => Some(own.over(shared.as_ref())),
                None => shared,
            };
            applying.extend(both.map(|it| (kind.as_str(), it)));
            if !of_one.dropped.is_empty() {
                judged.over.push((set.clone(), of_one.dropped));
            }
        }
        judged.applying = applying.into_values().collect();
        judged
    }
}

/// Changes overrides for those who ask, and puts in force what applies.
pub(super) struct OverridesKeeper {
    overrides: PoolOverrides,
    /// Where those that apply go.
    applying: watch::Sender<Vec<PoolOverride>>,
    asked: mpsc::Receiver<AskedOverride>,
    /// Takes rows of the audit log about overrides of this node only.
    rows: AuditQueue,
}

/// What woke the keeper.
enum OverrideWake {
    Asked(Option<Box<AskedOverride>>),
    OtherVersion,
    OtherConfig,
    Due,
}

impl OverridesKeeper {
    /// `applying` takes those that apply, `asked` gives the changes, and `rows` takes rows of the
    /// audit log.
    pub(super) fn new(
        overrides: PoolOverrides,
        applying: watch::Sender<Vec<PoolOverride>>,
        asked: mpsc::Receiver<AskedOverride>,
        rows: AuditQueue,
    ) -> Self {
        Self { overrides, applying, asked, rows }
    }

    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut configs = self.overrides.live.changes();
        self.apply().await;
        loop {
            let due = until(self.overrides.due_at());
            let wake = tokio::select! {
                asked = self.asked.recv() => OverrideWake::Asked(asked.map(Box::new)),
                Ok(()) = self.overrides.setup.version.changed() => OverrideWake::OtherVersion,
                Ok(()) = configs.changed() => OverrideWake::OtherConfig,
                () = due => OverrideWake::Due,
            };
            match wake {
                OverrideWake::Asked(None) => return,
                OverrideWake::Asked(Some(asked)) => self.answer(*asked).await,
                OverrideWake::OtherVersion => {
                    let version = *self.overrides.setup.version.borrow_and_update();
                    self.overrides.is_stale |= version != self.overrides.known.version;
                    self.apply().await;
                }
                OverrideWake::OtherConfig | OverrideWake::Due => self.apply().await,
            }
        }
    }

    /// Puts in force what applies, and drops the rest.
    async fn apply(&mut self) {
        self.overrides.read_if_stale().await;
        // What was dropped, or renewed by somebody meanwhile, is judged again.
        while self.apply_once().await {}
    }

    /// The same once. True if other overrides are known after it.
    async fn apply_once(&mut self) -> bool {
        let OverridesNow { applying, over } = self.overrides.judge();
        self.applying.send_if_modified(|current| {
            let is_other = *current != applying;
            *current = applying;
            is_other
        });
        let mut is_other = false;
        for (set, dropped) in over {
            if set.keys().any(|it| it.set.node.is_some()) {
                self.drop_own(&set, &dropped);
                is_other = true;
            } else if Instant::now() >= self.overrides.next_try {
                is_other |= self.drop_stored(set, dropped).await;
            }
        }
        is_other
    }

    /// Removes keys that no longer apply, for all nodes. The node that is first writes to the logs.
    /// False if the database could not do it.
    async fn drop_stored(&mut self, set: PoolOverride, dropped: Vec<DroppedKey>) -> bool {
        let rows = dropped.iter().map(|key| self.row_of(&set.kind, key)).collect();
        let kind = set.kind.as_str();
        let stored = self.overrides.setup.stored.clone();
        match stored.drop_keys(set.clone(), dropped.clone(), rows).await {
            Ok((stored, is_first)) => {
                for key in dropped.iter().filter(|_| is_first) {
                    let (why, by) = (self.why(kind, key), by_whom(&set, key.key));
                    tracing::warn!(kind, by, "override {key} dropped: {why}");
                }
                self.overrides.set_known(stored);
                true
            }
            Err(error) => {
                self.overrides.try_later(&error);
                false
            }
        }
    }

    /// The same for this node only.
    fn drop_own(&mut self, set: &PoolOverride, dropped: &[DroppedKey]) {
        let mut left = set.clone();
        for key in dropped {
            let (why, by) = (self.why(&set.kind, key), by_whom(set, key.key));
            tracing::warn!(kind = set.kind, by, "override {key} of this node dropped: {why}");
            left.clear(key.key);
        }
        self.overrides.own.remove(&set.kind);
        self.overrides.own.extend(left.unless_empty().map(|it| (set.kind.clone(), it)));
        let rows = dropped.iter().map(|key| self.row_of(&set.kind, key)).collect();
        self.rows.record(rows);
    }

    /// Why a key was dropped, in words.
    fn why(&self, kind: &str, dropped: &DroppedKey) -> String {
        let place = || {
            let in_file = in_files(&self.overrides.live.get(), kind).text_of(dropped.key);
            match in_file == dropped.in_file {
                true => self.place(kind, dropped.key),
                false => "the override for all nodes".to_owned(),
            }
        };
        match dropped.cause {
            DropCause::Expired => "its time is over".to_owned(),
            DropCause::EqualsFile => format!("{} says the same", place()),
            DropCause::FileChanged => format!("{} now says {}", place(), dropped.in_file),
        }
    }

    /// Where the configuration sets a key of a kind's pool: `config/local.toml:7`.
    fn place(&self, kind: &str, key: OverrideKey) -> String {
        let (cfg, key) = (self.overrides.live.get(), key.as_str());
        let origin = cfg.origin(&format!("pools.{kind}.{key}"));
        let origin = origin.or_else(|| cfg.origin(&format!("pools.default.{key}")));
        origin.unwrap_or("the configuration").to_owned()
    }

    /// The row of the audit log for a key that was dropped.
    fn row_of(&self, kind: &str, dropped: &DroppedKey) -> AuditEntry {
        let (actor, via) = match dropped.cause {
            DropCause::Expired => ("postroom", Via::Rule),
            DropCause::EqualsFile | DropCause::FileChanged => ("file", Via::File),
        };
        AuditEntry {
            target: Some(kind.to_owned()),
            old_value: Some(dropped.to_string()),
            new_value: Some(format!("{} = {}", dropped.key.as_str(), dropped.in_file)),
            note: Some(self.why(kind, dropped)),
            ..AuditEntry::new(actor, via, "pool.override_dropped")
        }
    }

    async fn answer(&mut self, asked: AskedOverride) {
        let AskedOverride { kind, change, is_for_this_node, entry, answer } = asked;
        let changed = if is_for_this_node {
            self.change_own(kind, change, entry);
            Ok(())
        } else {
            self.change_stored(kind, change, entry).await
        };
        let result = match changed {
            Ok(()) => {
                self.apply().await;
                self.runs().await
            }
            Err(error) => Err(error),
        };
        // The caller may have gone.
        answer.send(result).ok();
    }

    async fn change_stored(
        &mut self,
        kind: JobKind,
        change: Option<OverrideChange>,
        entry: AuditEntry,
    ) -> Result<(), OverrideError> {
        let setup = &self.overrides.setup;
        let stored = match change {
            Some(_) if setup.ignores_stored => {
                return Err(OverrideError::Ignored { is_alone: setup.is_alone });
            }
            Some(change) => {
                let files = in_files(&self.overrides.live.get(), kind.0);
                setup.stored.set(kind.0, change, files, entry).await?
            }
            None => {
                let stored = setup.stored.reset(kind.0, entry.clone()).await?;
                // Then the pool runs here as the files say, too.
                self.change_own(kind, None, entry);
                stored
            }
        };
        self.overrides.set_known(stored);
        Ok(())
    }

    fn change_own(&mut self, kind: JobKind, change: Option<OverrideChange>, entry: AuditEntry) {
        let (beneath, node) = (self.overrides.without_own(kind.0), self.overrides.setup.node);
        let before = self.overrides.own.remove(kind.0);
        let after = change.and_then(|change| {
            let now = self.overrides.now();
            let after = PoolOverride::changed(before.clone(), kind.0, &change, beneath, now)?;
            Some(after.for_node(node))
        });
        if before.is_none() && after.is_none() {
            return;
        }
        let here = |set: &PoolOverride| format!("{set}, on node {node} only");
        let entry = AuditEntry {
            old_value: before.as_ref().map(here),
            new_value: after.as_ref().map(here),
            ..entry
        };
        self.overrides.own.extend(after.map(|it| (kind.0.to_owned(), it)));
        self.rows.record(vec![entry]);
    }

    /// Waits until what applies runs.
    async fn runs(&self) -> Result<(), OverrideError> {
        let live = &self.overrides.live;
        let (mut configs, wanted) = (live.changes(), self.applying.borrow().clone());
        let runs = async {
            loop {
                let cfg = live.get();
                let is_so = |kind: &JobKind| {
                    cfg.pools.override_of(kind.0) == wanted.iter().find(|it| it.kind == kind.0)
                };
                if self.overrides.setup.kinds.iter().all(is_so) {
                    return Ok(());
                }
                configs.changed().await.map_err(|_| OverrideError::Stopping)?;
            }
        };
        tokio::time::timeout(RUNS_WITHIN, runs).await.unwrap_or(Err(OverrideError::Slow))
    }
}

/// Why a node without overrides does not change them, and the way out.
fn ignored(is_alone: bool) -> String {
    let others = if is_alone { "start it without that" } else { "ask another node" };
    format!(
        "this node was started with --ignore-overrides: {others}, or change the pool of this node only (`--node ID`)"
    )
}

/// Who has set a key.
fn by_whom(set: &PoolOverride, key: OverrideKey) -> Option<&str> {
    set.origin(key).map(|it| it.by.as_str())
}

/// What the files of this node say of the pool of `kind`.
fn in_files(cfg: &config::Config, kind: &str) -> PoolInFiles {
    let pool = cfg.pools.configured(kind);
    PoolInFiles { size: pool.size, paused: pool.paused }
}
