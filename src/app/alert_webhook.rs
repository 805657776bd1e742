//! Tells a URL of each alert, once when it begins and once when it is over
//! (docs/decisions/0040-alerts-by-webhook.md). Only the leader tells, so that one daemon does.

use super::actors::Parts;
use crate::{
    channels::sending::Call,
    config::{self, AlertsConfig, Config, Secret},
    domain::{Timestamp, alerts::Alert},
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

/// How often the rules are judged.
const EVERY: Duration = Duration::from_secs(2);
/// How long the receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a piece of news is posted at most, and the pause after the first failure. It doubles.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The task that tells. Dropping it ends that.
pub(super) struct AlertWebhook(JoinHandle<()>);

impl AlertWebhook {
    /// Starts to tell. Must be called inside an actix system.
    pub(super) fn start(state: &State, parts: &Parts) -> Self {
        let teller = AlertTeller {
            state: state.clone(),
            live: parts.live.clone(),
            store: parts.store.alerts_told(),
            membership: parts.membership.clone(),
            wire: Wire::default(),
            told: None,
            failures: HashMap::new(),
        };
        Self(actix_rt::spawn(teller.run()))
    }

    /// Tells nothing any more.
    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for AlertWebhook {
    fn drop(&mut self) {
        self.stop();
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
    /// By the rule's name: since when each alert lasts that was told. `None` until that is read,
    /// and while another node leads.
    told: Option<BTreeMap<String, Timestamp>>,
    /// How often each piece of news failed, and when it is tried again.
    failures: HashMap<NewsKey, (u32, Instant)>,
}

impl AlertTeller {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let config = self.live.get();
        let Some(url) = &config.alerts.webhook else {
            self.told = None;
            return;
        };
        if !self.membership.leads(config.supervisor.lease) {
            // What this node knows may be out of date when it leads again.
            self.told = None;
            return;
        }
        // Judge, and see what was told before. A database that is away is news itself, so it is
        // not waited for.
        let judged = self.state.judge_alerts().await;
        let known = match &self.told {
            Some(told) => told.clone(),
            None => match self.store.all().await {
                Ok(told) => self.told.insert(told).clone(),
                Err(error) => {
                    tracing::warn!(%error, "which alerts were told is not known: they are told again");
                    self.told.insert(BTreeMap::new()).clone()
                }
            },
        };
        // Tell what begins.
        for alert in judged.firing.iter().filter(|it| !known.contains_key(it.rule.name())) {
            let body = begins(alert, &config);
            self.tell(url, &config.alerts, (alert.rule.name(), Some(alert.since)), &body).await;
        }
        // Tell what is over: what is known to be well now. Of an alert whose facts are not known,
        // or of which nobody is told at this hour, nothing is said.
        for rule in judged.well {
            if let Some(since) = known.get(rule.name()) {
                let body = ended(rule.name(), *since);
                self.tell(url, &config.alerts, (rule.name(), None), &body).await;
            }
        }
    }

    /// Posts a piece of news, and notes that it was told. One that failed is posted again after a
    /// pause, and given up after some tries: then it counts as told.
    async fn tell(
        &mut self,
        url: &Secret,
        settings: &AlertsConfig,
        (name, since): (&str, Option<Timestamp>),
        body: &Value,
    ) {
        let key = (name.to_owned(), since.is_some());
        let (tries, again_at) = self.failures.get(&key).copied().unwrap_or((0, Instant::now()));
        if Instant::now() < again_at {
            return;
        }
        if let Err(why) = self.post(url, settings, body).await {
            let tries = tries + 1;
            if tries < TRIES {
                let pause = PAUSE.saturating_mul(1 << tries.min(16)).min(PAUSE_MAX);
                tracing::warn!(
                    alert = name,
                    why,
                    tries,
                    ?pause,
                    "an alert was not told: it is tried again"
                );
                self.failures.insert(key, (tries, Instant::now() + pause));
                return;
            }
            tracing::error!(alert = name, why, tries, "an alert was not told, and is given up");
        }
        self.failures.remove(&key);
        // The other news of the same rule starts afresh.
        self.failures.remove(&(key.0, !key.1));
        if let Some(told) = &mut self.told {
            match since {
                Some(since) => told.insert(name.to_owned(), since),
                None => told.remove(name),
            };
        }
        if let Err(error) = self.store.note(name, since).await {
            tracing::warn!(%error, alert = name, "that an alert was told is not kept: after a restart it is told again");
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

fn ended(name: &str, since: Timestamp) -> Value {
    json!({
        "status": "ended",
        "alert": name,
        "since": since,
        "told_at": wall_clock(),
    })
}
