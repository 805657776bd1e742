//! One file for each job kind. A handler reads, decides, and returns what should change; it writes
//! nothing.
//!
//! Its registration says how a handler is made from [`Deps`].

pub mod auto_send_delayed;
pub mod deliver_reply;
mod gate;
pub mod lead_scoring;
pub mod post_process;
pub mod self_check;
mod send_rules;

use crate::{
    analyst::{Analyst, AnalystError, Analysts, Asker},
    channels::AnyChannel,
    config,
    domain::{Conversation, Job, JobKind, Outcome, backoff::AWAY_PAUSE},
    store::{Reader, SendMarker, StoreError},
    telemetry::board::Board,
    wire::Wire,
};
use std::{fmt, sync::Arc};

pub use self::{
    auto_send_delayed::AutoSendDelayed, deliver_reply::DeliverReply, lead_scoring::LeadScoring,
    post_process::PostProcess, self_check::SelfCheck,
};

/// The parts that handlers can be made with. Each slot of a pool makes a handler of its own, and
/// its replacement makes another one.
#[derive(Clone)]
pub struct Deps {
    /// Reads the database, and cannot write to it.
    pub reader: Reader,
    /// Who classifies, scores, drafts and evaluates.
    pub analysts: Analysts,
    /// The configuration that applies now.
    pub config: config::Live,
    /// Marks a send. Only the handler that sends uses it: it is the one write that a handler makes.
    pub send_marker: SendMarker,
    /// The way out to providers.
    pub wire: Wire,
    /// The channels, which know how an answer is sent.
    pub channels: Arc<[Arc<dyn AnyChannel>]>,
    /// The fault points of tests.
    pub board: Arc<Board>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

impl Deps {
    /// The channel of this name, as stored; `None` if this daemon has no such channel.
    fn channel(&self, name: &str) -> Option<&dyn AnyChannel> {
        self.channels.iter().find(|it| it.name().0 == name).map(AsRef::as_ref)
    }

    /// The analyst for an attempt of `job` that starts now.
    fn analyst_for(&self, job: &Job) -> Box<dyn Analyst> {
        let timeout = self.config.get().pools.of(job.kind.0).timeout;
        self.analysts.of(Asker::of(job, timeout))
    }
}

/// Works on jobs of one kind.
pub trait JobHandler: Send + Sync + 'static {
    /// The kind of jobs that it works on.
    const KIND: JobKind;

    /// Works on the job and returns its outcome. The future may be dropped at any `await` and the
    /// job may run again, so it must change nothing outside of itself.
    fn handle(&self, job: &Job) -> impl Future<Output = Outcome> + Send;
}

/// Reads the conversation that the job is about (docs/RULES.md STATUS), with the thread only if
/// that is needed.
///
/// # Errors
/// The outcome of the job if its conversation is gone or cannot be read now.
async fn conversation_of(
    job: &Job,
    reader: &Reader,
    needs_thread: bool,
) -> Result<Conversation, Outcome> {
    let gone = || Outcome::Cancel("message or lead is gone".to_owned());
    let message_id = job.message_id.ok_or_else(gone)?;
    let read = match needs_thread {
        true => reader.conversation(message_id).await,
        false => reader.message_and_lead(message_id).await,
    };
    match read {
        Ok(it) => it.ok_or_else(gone),
        Err(error) => Err(unread(&error, "the conversation")),
    }
}

/// The outcome of a job that could not read `what` it needs. A database that is away costs no
/// attempt.
fn unread(error: &StoreError, what: &str) -> Outcome {
    if error.is_away() {
        tracing::warn!(%error, "the job waits for the database");
        return Outcome::Postpone(AWAY_PAUSE);
    }
    Outcome::Retry(format!("could not read {what}: {error}"))
}

/// The outcome of a job whose analyst has no answer. If the analyst was not asked, because it is
/// known to be away, that costs no attempt.
fn without_answer(error: &AnalystError) -> Outcome {
    match error {
        AnalystError::Paused { pause, .. } => {
            tracing::warn!(%error, "the job waits for the model");
            Outcome::Postpone(*pause)
        }
        AnalystError::Away(_) | AnalystError::Unusable(_) => Outcome::Retry(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_question_that_was_asked_costs_an_attempt() {
        let pause = Duration::from_secs(5);
        let (model, why) = ("m-1".to_owned(), "has failed");
        let paused = without_answer(&AnalystError::Paused { model, why, pause });
        assert_eq!(paused, Outcome::Postpone(pause));
        for error in [AnalystError::Away(String::new()), AnalystError::Unusable(String::new())] {
            assert!(matches!(without_answer(&error), Outcome::Retry(_)), "{error}");
        }
    }
}
