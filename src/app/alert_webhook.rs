//! Tells a URL of each alert, once when it begins and once when it is over
//! (docs/decisions/0040-alerts-by-webhook.md). Only the leader tells, so that one daemon does.

use super::actors::Parts;
use crate::{
    channels::sending::Call,
    config::{self, AlertsConfig, Config, Secret},
    domain::{
        Timestamp,
        alerts::{Alert, AlertRule},
    },
    http::State,
    store::{AlertsTold, Membership, wall_clock},
    wire::{CallEnd, Wire},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// How often the rules are judged.
const EVERY: Duration = Duration::from_secs(2);
/// How long the receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after the first failure. It doubles with each other one, up to the most.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long news that is under way may take when the daemon stops.
const FINISH_MOST: Duration = Duration::from_secs(2);

/// The task that tells. Dropping it ends that.
pub(super) struct AlertWebhook {
    task: JoinHandle<()>,
    stopping: CancellationToken,
}

impl AlertWebhook {
    /// Starts to tell. Must be called inside an actix system.
    pub(super) fn start(state: &State, parts: &Parts) -> Self {
        let stopping = CancellationToken::new();
        let teller = AlertTeller {
            state: state.clone(),
            live: parts.live.clone(),
            store: parts.store.alerts_told(),
            membership: parts.membership.clone(),
            wire: Wire::default(),
            stopping: stopping.clone(),
            told: None,
            unkept: BTreeMap::new(),
            failures: HashMap::new(),
            failed_at: None,
        };
        Self { task: actix_rt::spawn(teller.run()), stopping }
    }

    /// Begins no news any more.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Waits for the news that is under way, so that it is kept that it was told. Others need time
    /// until `limit`, too: it takes at most half of it, and 2 seconds.
    pub(super) async fn finish(mut self, limit: Instant) {
        self.stop();
        let most = FINISH_MOST.min(limit.saturating_duration_since(Instant::now()) / 2);
        if tokio::time::timeout(most, &mut self.task).await.is_err() {
            tracing::warn!("an alert was under way: it may be told again");
        }
    }
}

impl Drop for AlertWebhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A piece of news: the name of a rule, and whether its alert begins.
type NewsKey = (String, bool);

struct AlertTeller {
    state: State,
    live: config::Live,
    store: AlertsTold,
    membership: Membership,
    wire: Wire,
    stopping: CancellationToken,
    /// By the rule's name: since when each alert lasts that was told. `None` until that is read,
    /// and while another node leads.
    told: Option<BTreeMap<String, Timestamp>>,
    /// Changes of `told` that are not in the database yet.
    unkept: BTreeMap<String, Option<Timestamp>>,
    /// How often each piece of news failed, and when it is tried again.
    failures: HashMap<NewsKey, (u32, Instant)>,
    /// The URL of those failures.
    failed_at: Option<Secret>,
}

impl AlertTeller {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = self.stopping.cancelled() => return,
            }
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let config = self.live.get();
        let Some(url) = &config.alerts.webhook else { return self.forget() };
        if !self.may_tell(&config) {
            // What this node knows may be out of date when it leads again.
            return self.forget();
        }
        // Judge, and see what was told before. Without that nothing is told: it could be the second
        // time.
        let judged = self.state.judge_alerts().await;
        let known = match &self.told {
            Some(told) => told.clone(),
            None => match self.store.all().await {
                Ok(told) => self.told.insert(told).clone(),
                Err(error) => {
                    tracing::warn!(%error, "which alerts were told is not known: none is told now");
                    return;
                }
            },
        };
        self.keep().await;
        // Another receiver need not wait for the pauses of the one before.
        if self.failed_at.as_ref() != Some(url) {
            self.failures.clear();
            self.failed_at = Some(url.clone());
        }
        // An alert that is over before it could be told is not told.
        let is_firing = |name: &str| judged.firing.iter().any(|it| it.rule.name() == name);
        self.failures.retain(|(name, begins), _| !begins || is_firing(name));
        // Tell what begins.
        for alert in judged.firing.iter().filter(|it| !known.contains_key(it.rule.name())) {
            let body = begins(alert, &config);
            self.tell(url, &config, (alert.rule.name(), Some(alert.since)), &body).await;
        }
        // Tell what is over: what is known to be well now. Of an alert whose facts are not known,
        // or of which nobody is told at this hour, nothing is said.
        for rule in judged.well {
            if let Some(since) = known.get(rule.name()) {
                let body = ended(rule, *since);
                self.tell(url, &config, (rule.name(), None), &body).await;
            }
        }
    }

    /// True while this node leads and is not stopping.
    fn may_tell(&self, config: &Config) -> bool {
        !self.stopping.is_cancelled() && self.membership.leads(config.supervisor.lease)
    }

    fn forget(&mut self) {
        self.told = None;
        self.unkept.clear();
    }

    /// Posts a piece of news, and notes that it was told. One that failed is posted again after a
    /// pause, for as long as it is news.
    async fn tell(
        &mut self,
        url: &Secret,
        config: &Config,
        (name, since): (&'static str, Option<Timestamp>),
        body: &Value,
    ) {
        let key = (name.to_owned(), since.is_some());
        let (failed, again_at) = self.failures.get(&key).copied().unwrap_or((0, Instant::now()));
        // The news before this one may have taken a while.
        if Instant::now() < again_at || !self.may_tell(config) {
            return;
        }
        if let Err(why) = self.post(url, &config.alerts, body).await {
            let pause = PAUSE.saturating_mul(1 << failed.min(16)).min(PAUSE_MAX);
            let tries = failed.saturating_add(1);
            tracing::warn!(alert = name, why, tries, ?pause, "an alert was not told: tried again");
            self.failures.insert(key, (tries, Instant::now() + pause));
            return;
        }
        self.failures.remove(&key);
        if let Some(told) = &mut self.told {
            match since {
                Some(since) => told.insert(key.0.clone(), since),
                None => told.remove(name),
            };
        }
        self.unkept.insert(key.0, since);
        self.keep().await;
    }

    /// Stores what was told, so that a restart or another leader knows it. What fails is stored in
    /// a later round.
    async fn keep(&mut self) {
        while let Some((name, since)) = self.unkept.first_key_value() {
            if let Err(error) = self.store.note(name, *since).await {
                tracing::warn!(%error, alert = name, "that an alert was told is not kept yet");
                return;
            }
            self.unkept.pop_first();
        }
    }

    /// Posts once.
    ///
    /// # Errors
    /// The reason, without the URL.
    async fn post(
        &self,
        url: &Secret,
        settings: &AlertsConfig,
        body: &Value,
    ) -> Result<(), String> {
        let call = Call {
            method: "POST",
            url: url.expose().to_owned(),
            headers: vec![("content-type", Secret::new("application/json"))],
            body: body.to_string().into_bytes(),
            secrets: vec![url.clone()],
            allow_private: settings.allow_private,
        };
        match self.wire.call(&call, TIMEOUT).await {
            CallEnd::Answered(answer) if (200..300).contains(&answer.status) => Ok(()),
            CallEnd::Answered(answer) => Err(format!("the receiver answered {}", answer.status)),
            CallEnd::NotConnected(why) | CallEnd::Lost(why) => Err(why),
        }
    }
}

fn begins(alert: &Alert, config: &Config) -> Value {
    let base = config.server.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
    json!({
        "status": "began",
        "alert": alert.rule.name(),
        "severity": alert.rule.severity().as_str(),
        "since": alert.since,
        "told_at": wall_clock(),
        "text": alert.sentence,
        "link": format!("{base}{}", alert.link),
        "runbook": alert.rule.runbook().map(|section| format!("docs/OPERATIONS.md#{section}")),
    })
}

fn ended(rule: AlertRule, since: Timestamp) -> Value {
    json!({
        "status": "ended",
        "alert": rule.name(),
        "severity": rule.severity().as_str(),
        "since": since,
        "told_at": wall_clock(),
    })
}
