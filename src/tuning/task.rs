//! The task that owns what runs.

use super::{
    afterwards::{AuditQueue, Written},
    debounce::Debounce,
    file_watch::FileWatch,
    loads::LoadHistory,
    report::{ReloadBy, ReloadOutcome, ReloadReport},
    status::TuningStatus,
    until,
};
use crate::{
    config::{self, ConfigChange, ConfigError, ConfigErrors, Loaded, OverruledKey},
    domain::PoolOverride,
    store::{Store, wall_clock},
    telemetry::config_metrics::ConfigMetrics,
};
use futures_util::future::BoxFuture;
use std::{
    panic,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};

/// How often the files are looked at, for the case that the system tells nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Prepares everything that can refuse a configuration and that is not a rule of the configuration
/// itself.
///
/// # Errors
/// Why it cannot be applied. Nothing is changed then.
pub type Prepare =
    Box<dyn Fn(Arc<Loaded>) -> BoxFuture<'static, Result<Prepared, ConfigErrors>> + Send + Sync>;

/// What is done right after the configuration was replaced. It cannot fail.
pub type Prepared = Vec<Box<dyn FnOnce() + Send>>;

/// Is told of each reload; see [`TunerSetup::on_reload`].
pub type OnReload = Box<dyn Fn(Option<&ReloadReport>) + Send + Sync>;

/// The parts from which a tuner is made.
pub struct TunerSetup {
    /// What runs, without overrides. Its layers are read again at each load.
    pub running: Loaded,
    /// Holds what runs, for all parts of the daemon.
    pub live: config::Live,
    /// For caps, known clients and the audit log.
    pub store: Store,
    /// The metrics of reloads.
    pub metrics: ConfigMetrics,
    /// Prepares what follows a configuration.
    pub prepare: Prepare,
    /// Called with `None` when a reload begins, and with its report when it has ended.
    pub on_reload: OnReload,
}

impl std::fmt::Debug for TunerSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunerSetup").field("running", &self.running).finish_non_exhaustive()
    }
}

/// A wish for a reload.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) by: ReloadBy,
    pub(super) answer: oneshot::Sender<Arc<ReloadReport>>,
}

/// Owns what runs.
pub(super) struct TunerTask {
    setup: TunerSetup,
    running: Arc<Loaded>,
    /// The hash of the files that were applied last, including what waits for a restart.
    files_hash: String,
    /// The keys that files set in vain, as of the last load.
    overruled: Vec<OverruledKey>,
    asked: mpsc::Receiver<Asked>,
    overrides: watch::Receiver<Vec<PoolOverride>>,
    rows: AuditQueue,
    status: Arc<watch::Sender<Arc<TuningStatus>>>,
    /// Locked only by one work at a time: the task waits for it.
    files: Arc<Mutex<FileWatch>>,
    debounce: Debounce,
}

/// The files, loaded and checked.
enum Checked {
    /// They say the same as before, except in keys that variables set.
    Same(Box<Loaded>),
    /// They can be applied.
    Other(Box<Applicable>),
}

/// A change that nothing refuses any more.
struct Applicable {
    change: ConfigChange,
    files_hash: String,
    prepared: Prepared,
}

/// What woke the task.
enum WokenBy {
    Asked(Option<Asked>),
    Overrides,
    Touch,
    Due,
    Look,
}

impl TunerTask {
    pub(super) fn new(
        setup: TunerSetup,
        asked: mpsc::Receiver<Asked>,
        overrides: watch::Receiver<Vec<PoolOverride>>,
        rows: AuditQueue,
    ) -> Self {
        let running = Arc::new(setup.running.clone());
        let loaded_at = wall_clock();
        let status = TuningStatus {
            running: running.clone(),
            loaded_at,
            last: None,
            last_applied: None,
            loads: Arc::new(LoadHistory::new(loaded_at)),
            pending: Vec::new(),
            applying: Vec::new(),
        };
        setup.metrics.started(status.loaded_at);
        let mut debounce = Debounce::default();
        // A file may have changed while the daemon waited for its database.
        debounce.touch(Instant::now());
        Self {
            files_hash: running.hash().to_owned(),
            overruled: running.overruled().to_vec(),
            running,
            setup,
            asked,
            overrides,
            rows,
            status: Arc::new(watch::Sender::new(Arc::new(status))),
            files: Arc::new(Mutex::new(FileWatch::new())),
            debounce,
        }
    }

    /// Shows the state of the configuration.
    pub(super) fn status(&self) -> Arc<watch::Sender<Arc<TuningStatus>>> {
        self.status.clone()
    }

    /// Changes what runs, until it is dropped or nobody can ask any more.
    pub(super) async fn run(mut self) {
        let (running, touched) = (self.running.clone(), self.files().touched());
        let begin = move |files: &mut FileWatch| {
            files.follow(&running.read_paths_now());
            files.accept(running.files_with_values());
        };
        self.with_files(begin).await;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = until(self.debounce.due_at());
            let wake = tokio::select! {
                asked = self.asked.recv() => WokenBy::Asked(asked),
                Ok(()) = self.overrides.changed() => WokenBy::Overrides,
                () = touched.notified() => WokenBy::Touch,
                () = due => WokenBy::Due,
                _ = looks.tick() => WokenBy::Look,
            };
            match wake {
                WokenBy::Asked(None) => return,
                WokenBy::Asked(Some(first)) => self.answer(first).await,
                WokenBy::Overrides => self.set_live(),
                WokenBy::Touch => self.debounce.touch(Instant::now()),
                WokenBy::Due => self.load_files().await,
                WokenBy::Look => {
                    if self.with_files(FileWatch::look).await {
                        self.debounce.touch(Instant::now());
                    }
                }
            }
        }
    }

    fn files(&self) -> MutexGuard<'_, FileWatch> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of `work` on the files. It runs on a thread of its own, since a file system may
    /// hang.
    async fn with_files<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut FileWatch) -> T + Send + 'static,
    ) -> T {
        let files = self.files.clone();
        let work = move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner));
        match self.meanwhile(tokio::task::spawn_blocking(work)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panicked) => panic::resume_unwind(panicked),
                // The thread is ending, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The result of `work`. Overrides are put in force meanwhile.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                Ok(()) = self.overrides.changed() => self.set_live(),
            }
        }
    }

    /// Reloads for everybody who asks now. Who asks meanwhile gets the next reload.
    async fn answer(&mut self, first: Asked) {
        let by = first.by.clone();
        let mut all = vec![first];
        while let Ok(more) = self.asked.try_recv() {
            all.push(more);
        }
        let started = Instant::now();
        (self.setup.on_reload)(None);
        self.debounce.begin();
        self.debounce.finished();
        let checked = self.check().await;
        let report = self.end(by, started, checked);
        for asked in all {
            // The one who asked may be gone.
            asked.answer.send(report.clone()).ok();
        }
    }

    /// Loads files that may have changed. Says nothing if they say the same as before, or are wrong
    /// in the same way, or may still be half written.
    async fn load_files(&mut self) {
        let started = Instant::now();
        self.debounce.begin();
        let checked = self.check().await;
        let is_unfinished = checked.is_err() || self.files().is_unfinished();
        if is_unfinished && !self.debounce.unfinished(started) {
            return;
        }
        self.debounce.finished();
        let status = self.status.borrow().clone();
        let is_known = match (&checked, status.refused()) {
            (Ok(Checked::Same(same)), None) => self.newly_overruled(same.overruled()).is_empty(),
            (Err(errors), Some(refused)) => errors.0 == refused.errors,
            (Ok(_), _) | (Err(_), None) => false,
        };
        if !is_known {
            (self.setup.on_reload)(None);
            self.end(ReloadBy::file(), started, checked);
        }
    }

    /// Loads the files, and checks all that may refuse what would run.
    async fn check(&mut self) -> Result<Checked, ConfigErrors> {
        let running = self.running.clone();
        let load = move |files: &mut FileWatch| load(files, &running);
        let next = self.with_files(load).await?;
        let files_hash = next.hash().to_owned();
        if files_hash == self.files_hash {
            self.files().accept(next.files_with_values());
            self.take_places(&next);
            return Ok(Checked::Same(Box::new(next)));
        }
        let change = Loaded::plan(&self.running, next)?;
        let preparing = (self.setup.prepare)(Arc::new(change.loaded.clone()));
        let prepared = self.meanwhile(preparing).await?;
        Ok(Checked::Other(Box::new(Applicable { change, files_hash, prepared })))
    }

    /// Takes the places of values from files that say the same as before. Nobody is told: nothing
    /// else changes.
    fn take_places(&mut self, next: &Loaded) {
        let old = self.status.borrow().clone();
        let is_same = next.hash() == self.running.hash() && next.has_places_of(&self.running);
        if is_same && old.pending.is_empty() {
            return;
        }
        // The relations held already, so this refuses nothing.
        let Ok(change) = Loaded::plan(&self.running, next.clone()) else { return };
        if change.pending == old.pending && change.loaded.has_places_of(&self.running) {
            return;
        }
        self.running = Arc::new(change.loaded);
        let (running, pending) = (self.running.clone(), change.pending);
        let status = TuningStatus { running, pending, ..TuningStatus::clone(&old) };
        self.status.send_replace(Arc::new(status));
        self.set_live();
    }

    /// Applies what can be applied, and tells what was done.
    fn end(
        &mut self,
        by: ReloadBy,
        started: Instant,
        checked: Result<Checked, ConfigErrors>,
    ) -> Arc<ReloadReport> {
        let old = self.status.borrow().clone();
        let (mut loaded_at, mut pending) = (old.loaded_at, old.pending.clone());
        let (mut applying, mut overruled) = (old.applying.clone(), Vec::new());
        let (outcome, changed, errors) = match checked {
            Err(ConfigErrors(errors)) => (ReloadOutcome::Refused, Vec::new(), errors),
            Ok(Checked::Same(same)) => {
                overruled = self.newly_overruled(same.overruled());
                self.overruled = same.overruled().to_vec();
                (ReloadOutcome::Unchanged, Vec::new(), Vec::new())
            }
            Ok(Checked::Other(other)) => {
                let Applicable { change, files_hash, prepared } = *other;
                overruled = self.newly_overruled(change.loaded.overruled());
                self.overruled = change.loaded.overruled().to_vec();
                // What an earlier reload has left is still being written.
                let left = Written::new(&self.running.config).left(&change.loaded.config);
                applying.extend(left.iter().filter(|name| !old.applying.contains(name)));
                self.files().accept(change.loaded.files_with_values());
                self.apply(change.loaded, files_hash, prepared);
                (loaded_at, pending) = (wall_clock(), change.pending);
                (ReloadOutcome::Applied, change.changed, Vec::new())
            }
        };
        let report = Arc::new(ReloadReport {
            outcome,
            by,
            at: wall_clock(),
            hash: self.running.hash().to_owned(),
            changed,
            pending,
            overruled,
            errors,
            took: started.elapsed(),
        });
        report.log(&old.pending);
        self.setup.metrics.reloaded(outcome.as_str(), report.at, report.pending.len());
        self.rows.record(report.audit(&old.pending));
        let last_applied = match outcome {
            ReloadOutcome::Applied => Some(report.clone()),
            ReloadOutcome::Unchanged | ReloadOutcome::Refused => old.last_applied.clone(),
        };
        let loads = old.loads.with(&report, old.last.as_deref(), &old.pending);
        let status = TuningStatus {
            running: self.running.clone(),
            loaded_at,
            last: Some(report.clone()),
            last_applied,
            loads: Arc::new(loads),
            pending: report.pending.clone(),
            applying,
        };
        self.status.send_replace(Arc::new(status));
        (self.setup.on_reload)(Some(&report));
        report
    }

    /// Those of `all` that the files did not set in vain before, or to another value.
    fn newly_overruled(&self, all: &[OverruledKey]) -> Vec<OverruledKey> {
        all.iter().filter(|key| !self.overruled.contains(key)).cloned().collect()
    }

    /// Makes `next` what runs.
    fn apply(&mut self, next: Loaded, files_hash: String, prepared: Prepared) {
        let old = self.running.config.warnings();
        for warning in next.config.warnings().iter().filter(|warning| !old.contains(warning)) {
            tracing::warn!("{warning}");
        }
        (self.running, self.files_hash) = (Arc::new(next), files_hash);
        self.set_live();
        for follow in prepared {
            follow();
        }
    }

    /// Puts what runs, with all overrides, in force.
    fn set_live(&mut self) {
        let overrides = self.overrides.borrow_and_update().clone();
        self.setup.live.set(self.running.config.with_overrides(overrides));
    }
}

/// Loads the files of `running` again. Refuses a file that had values and is empty or gone.
fn load(files: &mut FileWatch, running: &Loaded) -> Result<Loaded, ConfigErrors> {
    // Watch the files first, so that no change between the two is missed.
    files.follow(&running.read_paths_now());
    let next = running.load_again();
    // Look again: a file that was emptied while it was read is seen only now.
    let is_emptied = files.emptied().map(|path| lost(path, "empty"));
    files.look();
    if let Some(errors) = is_emptied.or_else(|| files.emptied().map(|path| lost(path, "empty"))) {
        return Err(errors);
    }
    let next = next?;
    match files.gone(next.files_read()) {
        Some(path) => Err(lost(path, "gone")),
        None => Ok(next),
    }
}

/// The refusal of a file that had values and is `how` now: empty or gone.
fn lost(path: &Path, how: &str) -> ConfigErrors {
    let name = path.display().to_string();
    let message = format!(
        "is {how}, and had values before: write it again, or a comment alone if its values are to end"
    );
    ConfigErrors(vec![ConfigError { origin: Some(name), key: None, message }])
}
