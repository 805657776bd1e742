//! The analyst that asks a model, against a server that answers well and in every wrong way.

mod daemon;
mod failures;
mod measured;
mod orders;

use crate::support::model_server::ModelServer;
use futures_util::FutureExt;
use postroom::{
    analyst::{Analyst, Analysts, Asker, DraftRequest, Local, ModelCallLog, RuledMessage},
    config::{Config, Live, Sources},
    domain::{
        Conversation, InboundMessage, JobKind, LeadStatus, LeadView, Medium, ModelCall, Sentiment,
        Timestamp, conversation::Line, event::Direction, model_call::ModelCallStatus,
    },
    telemetry::metrics::{MetricLabels, Metrics},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// A key that no log, row or error may show.
const KEY: &str = "sk-hunter2-hunter2";
/// The channel and medium of text messages.
const TEXT: Medium = Medium::Text { parts: 3, chars: 160 };

/// Analysts whose model is this server.
struct World {
    analysts: Analysts,
    live: Live,
    calls: mpsc::Receiver<ModelCall>,
    metrics: Metrics,
}

/// The configuration with these keys of `[analyst]` over a model at `url`.
fn config(url: &str, keys: &[(&str, &str)]) -> Config {
    let base = [("provider", "openai"), ("base_url", url), ("model", "m-1"), ("api_key", KEY)];
    let env = base.iter().chain(keys).map(|(key, value)| {
        (format!("POSTROOM__ANALYST__{}", key.to_uppercase()), (*value).to_owned())
    });
    let env: BTreeMap<String, String> = env.collect();
    Config::load(&Sources { env: env.into_iter().collect(), ..Sources::default() }).unwrap()
}

impl World {
    fn new(server: &ModelServer, keys: &[(&str, &str)]) -> Self {
        let live = Live::new(config(&server.url("one"), keys));
        let metrics = Metrics::new(MetricLabels::default()).unwrap();
        let (log, calls) = ModelCallLog::new(metrics.clone());
        let analysts = Analysts::new(live.clone(), metrics.clone(), log);
        // The first verdict of a process compiles its patterns, which takes long in a debug build.
        Local.classify(&RuledMessage::new(&conversation("Hm"), TEXT)).now_or_never();
        Self { analysts, live, calls, metrics }
    }

    /// All calls that were noted since the last time.
    fn calls(&mut self) -> Vec<ModelCall> {
        std::iter::from_fn(|| self.calls.try_recv().ok()).collect()
    }

    /// How they ended.
    fn statuses(&mut self) -> Vec<ModelCallStatus> {
        self.calls().into_iter().map(|it| it.status).collect()
    }
}

/// An attempt with this much time.
fn asker(time: Duration) -> Asker {
    Asker {
        job_id: 11,
        kind: JobKind("SMS_INBOUND_POST_PROCESS"),
        client_id: "acme".to_owned(),
        lead_id: Some(3),
        until: Instant::now() + time,
    }
}

/// Time for all that a test does.
const LONG: Duration = Duration::from_secs(30);

fn line(channel: &str, direction: Direction, body: &str, at: i64) -> Line {
    Line {
        at: Timestamp::from_millis(at),
        channel: channel.to_owned(),
        direction,
        subject: None,
        body: body.to_owned(),
    }
}

/// A conversation whose only and newest message is `body`.
fn conversation(body: &str) -> Conversation {
    Conversation {
        message: InboundMessage {
            id: 7,
            channel: "sms".to_owned(),
            direction: Direction::Inbound,
            subject: None,
            body: body.to_owned(),
            has_new_text: true,
            automated: false,
            sentiment: None,
            sent_at: Timestamp::from_millis(2_000),
            can_be_answered: true,
            reaches_others: false,
        },
        lead: LeadView {
            id: 3,
            status: LeadStatus::New,
            sentiment: None,
            first_name: Some("Ana".to_owned()),
            last_name: None,
            company_name: None,
            title: None,
            opted_out: false,
            bounced: false,
            sms_dnd: false,
            has_inbound: true,
            newest_inbound_id: Some(7),
        },
        transcript: vec![line("sms", Direction::Inbound, body, 2_000)],
    }
}

/// What is needed to draft an answer to the message.
fn drafting<'a>(
    message: &'a RuledMessage<'a>,
    templates: &'a BTreeMap<String, String>,
) -> DraftRequest<'a> {
    let tag = Sentiment::InformationRequested;
    let (sender, style) = (Some("Zoe"), Some("short and warm"));
    DraftRequest { message, tag, templates, sender, style, hint: None }
}
