//! Sends an approved draft through its provider: mark, call, record (docs/RULES.md SENDING).
//!
//! The mark is committed before the call. From then on only the outcome `Send` settles the
//! delivery. If this handler does not come to it, for whatever reason, the delivery is
//! `uncertain`.

use super::{Deps, JobHandler, send_rules::ConfigRules};
use crate::{
    channels::sending::{Call, Letter},
    domain::{
        Job, JobKind, Outcome,
        backoff::AWAY_PAUSE,
        job::DELIVER_REPLY,
        sending::{NO_SETTINGS_PAUSE, SWITCHED_OFF_PAUSE, SendEnd},
    },
    store::{MarkedSend, Marking, SendRules},
    telemetry::traces::{self, SpanKind, SpanStart, TraceSpan, names},
    wire::{CallEnd, Wire},
};
use std::{fmt, sync::Arc, time::Duration};

/// Sends approved drafts.
pub struct DeliverReply {
    deps: Deps,
}

impl DeliverReply {
    /// A handler that marks, sends and reads the configuration with the parts of `deps`.
    pub fn new(deps: &Deps) -> Self {
        Self { deps: deps.clone() }
    }
}

impl DeliverReply {
    /// Makes the call of a marked send, once, and says how it ended.
    async fn call(&self, job: &Job, send: &MarkedSend) -> SendEnd {
        let config = self.deps.config.get();
        let settings = config
            .client(&job.client_id)
            .and_then(|client| client.channel(&send.channel))
            .and_then(|channel| channel.send.as_ref());
        // They were there when the send was marked.
        let (Some(settings), Some(channel)) = (settings, self.deps.channel(&send.channel)) else {
            return SendEnd::NotCalled { after: NO_SETTINGS_PAUSE };
        };
        let Ok(reply_handle) = serde_json::from_str(&send.reply_handle) else {
            return SendEnd::Unsendable { why: "the ids of the message are not JSON".to_owned() };
        };
        let delivery_id = send.delivery_id.to_string();
        let letter = Letter {
            reply_handle: &reply_handle,
            settings,
            to: &send.to,
            subject: send.subject.as_deref(),
            body: &send.body,
            quoted: &send.quoted,
            delivery_id: &delivery_id,
        };
        let call = match channel.reply_call(&letter) {
            Ok(call) => call,
            Err(unsendable) => return SendEnd::Unsendable { why: unsendable.to_string() },
        };
        self.deps.board.faults().point("send.called");
        let start = || SpanStart::new(format!("send {}", send.channel), SpanKind::Producer);
        let span = traces::current().child(start);
        span.set_job(job);
        span.set(names::OPERATION, "send");
        span.set(names::OPERATION_TYPE, "send");
        span.set(names::DESTINATION, send.channel.clone());
        span.set(names::MESSAGE_ID, delivery_id.clone());
        span.set(names::CHANNEL, send.channel.clone());
        let called = traced_call(&self.deps.wire, &call, settings.timeout, &span).await;
        let end = match called {
            CallEnd::Answered(answer) => channel.reply_answer(&answer),
            CallEnd::NotConnected(why) => SendEnd::NotSent { why, account: None },
            CallEnd::Lost(why) => SendEnd::Unknown { why },
        };
        span.set(names::OUTCOME, word(&end));
        if !matches!(end, SendEnd::Sent { .. }) {
            span.failed(word(&end));
        }
        if matches!(end, SendEnd::NotSent { account: None, .. }) {
            return end;
        }
        tracing::info!(
            delivery.id = send.delivery_id,
            channel = send.channel,
            end = word(&end),
            "an answer was handed to its provider"
        );
        end
    }
}

/// Makes a call, with a span of its own. Neither its address nor what it says is in that span.
async fn traced_call(wire: &Wire, call: &Call, timeout: Duration, send: &TraceSpan) -> CallEnd {
    let span = send.child(|| SpanStart::new(call.method, SpanKind::Client));
    span.set(names::HTTP_METHOD, call.method);
    let end = wire.call(call, timeout).await;
    match &end {
        CallEnd::Answered(answer) => {
            span.set(names::HTTP_STATUS, i64::from(answer.status));
            if answer.status >= 400 {
                span.failed(answer.status.to_string());
            }
        }
        CallEnd::NotConnected(_) => span.failed("not_connected"),
        CallEnd::Lost(_) => span.failed("lost"),
    }
    end
}

impl fmt::Debug for DeliverReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeliverReply")
    }
}

impl JobHandler for DeliverReply {
    const KIND: JobKind = DELIVER_REPLY;

    async fn handle(&self, job: &Job) -> Outcome {
        let Deps { send_marker, board, .. } = &self.deps;
        let rules: Arc<dyn SendRules> =
            Arc::new(ConfigRules { deps: self.deps.clone(), client_id: job.client_id.clone() });
        // 1. Mark it.
        let send = match send_marker.mark(job, rules.clone()).await {
            Ok(Marking::Marked(send)) => send,
            Ok(Marking::Later(after)) => return Outcome::Postpone(after),
            Ok(Marking::Never(reason)) => {
                return Outcome::Cancel(format!("the answer is not sent: {reason}"));
            }
            Ok(Marking::Lost) => {
                return Outcome::Cancel("the draft is gone, or the job is".to_owned());
            }
            // Nothing was called, whatever became of the commit of the mark.
            Err(error) if error.is_away() => {
                tracing::warn!(%error, "a send waits for the database");
                return Outcome::Send(SendEnd::NotCalled { after: AWAY_PAUSE });
            }
            Err(error) => {
                let why = format!("could not mark the send: {error}");
                return Outcome::Send(SendEnd::NotSent { why, account: None });
            }
        };
        board.faults().point("send.marked");
        // 2. Sending may have been switched off during the commit.
        if !rules.is_enabled() {
            return Outcome::Send(SendEnd::NotCalled { after: SWITCHED_OFF_PAUSE });
        }
        // 3. Call, once.
        let end = self.call(job, &send).await;
        board.faults().point("send.answered");
        if let SendEnd::NotSent { why, account: None } | SendEnd::Unsendable { why } = &end {
            tracing::warn!(
                delivery.id = send.delivery_id,
                channel = send.channel,
                cause = why,
                "an answer is not sent: its provider was not called"
            );
        }
        Outcome::Send(end)
    }
}

const fn word(end: &SendEnd) -> &'static str {
    match end {
        SendEnd::Sent { .. } => "sent",
        SendEnd::NotSent { .. } => "not_sent",
        SendEnd::NotCalled { .. } => "not_called",
        SendEnd::Unsendable { .. } => "unsendable",
        SendEnd::Failed { .. } => "failed",
        SendEnd::Unknown { .. } => "uncertain",
    }
}
