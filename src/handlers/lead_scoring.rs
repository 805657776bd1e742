//! Scores a lead again after one of its messages was worked through (docs/RULES.md SCORE).

use super::{Deps, JobHandler, conversation_of, without_answer};
use crate::{
    analyst::{Analyst, Score},
    domain::{Conversation, Effect, Job, JobKind, Outcome, job::LEAD_SCORING},
};

/// Scores the lead of the job's message.
#[derive(Debug)]
pub struct LeadScoring(Deps);

impl LeadScoring {
    /// A handler that uses the reader, the analyst and the configuration of `deps`.
    pub fn new(deps: &Deps) -> Self {
        Self(deps.clone())
    }
}

impl JobHandler for LeadScoring {
    const KIND: JobKind = LEAD_SCORING;

    async fn handle(&self, job: &Job) -> Outcome {
        let Self(deps) = self;
        let analyst = deps.analyst_for(job);
        let conversation =
            match conversation_of(job, &deps.reader, analyst.scores_by_thread()).await {
                Ok(conversation) => conversation,
                Err(outcome) => return outcome,
            };
        let config = deps.config.get();
        let ideal_customer =
            config.client(&job.client_id).and_then(|client| client.ideal_customer.as_deref());
        score(&conversation, ideal_customer, &*analyst).await
    }
}

/// Scores the lead. The analyst is not asked if the answer is known without it.
async fn score(
    conversation: &Conversation,
    ideal_customer: Option<&str>,
    analyst: &dyn Analyst,
) -> Outcome {
    let disqualified = Score::of_disqualified(&conversation.lead);
    if disqualified.is_none() && !conversation.lead.has_inbound {
        return Outcome::Done(Vec::new());
    }
    let answer = match disqualified {
        Some(score) => Ok(Some(score)),
        None => analyst.score(conversation, ideal_customer).await,
    };
    match answer {
        Ok(score) => Outcome::Done(score.map(effect).into_iter().collect()),
        Err(error) => without_answer(&error),
    }
}

fn effect(score: Score) -> Effect {
    // An analyst may have set the fields itself, so this brings them within their limits.
    let Score { fit, intent, overall, reason } = Score::new(score.fit, score.intent, &score.reason);
    Effect::Score { fit, intent, overall, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::{
            Local,
            testing::{Away, conversation},
        },
        domain::Sentiment,
    };
    use futures_util::FutureExt;

    fn outcome(it: &Conversation, analyst: &dyn Analyst) -> Outcome {
        score(it, Some("freight"), analyst).now_or_never().unwrap()
    }

    #[test]
    fn a_lead_is_scored_by_what_is_known() {
        let mut it = conversation("any", "hello");
        it.lead.company_name = Some("Larkspur Freight".to_owned());
        it.lead.sentiment = Some(Sentiment::Interested);
        let Outcome::Done(effects) = outcome(&it, &Local) else { panic!() };
        assert!(matches!(
            effects.as_slice(),
            [Effect::Score { fit: 4, intent: 3, overall: 3, .. }]
        ));
    }

    #[test]
    fn nobody_is_asked_where_the_answer_is_known() {
        let mut it = conversation("any", "hello");
        assert!(matches!(outcome(&it, &Away), Outcome::Retry(_)));
        it.lead.has_inbound = false;
        assert_eq!(outcome(&it, &Away), Outcome::Done(Vec::new()));
        it.lead.opted_out = true;
        let Outcome::Done(effects) = outcome(&it, &Away) else { panic!() };
        assert!(matches!(
            effects.as_slice(),
            [Effect::Score { fit: 1, intent: 1, overall: 1, .. }]
        ));
    }
}
