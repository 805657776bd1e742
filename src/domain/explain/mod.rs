//! Why a job does not run, and why a message is not answered: one reason each, in words.
//!
//! Callers read the facts, from the database and from this process. [`explain_job`] and
//! [`explain_lead`] decide which reason holds, and how it is said (docs/decisions/0024).

mod claimed;
mod draft;
mod job;
mod job_facts;
mod lead;
mod lead_facts;
mod obstacle;
mod pool;
mod sends;
mod words;

pub use self::{
    job::{JobReason, explain_job},
    job_facts::{
        ClientCap, ConfigKey, JobFacts, JobPlace, LastRun, NodeFacts, NodePool, PoolFacts,
        PoolPause, RunStage, StoredJob, StoredSend, Timing,
    },
    lead::{ChainLink, LeadExplanation, LeadReason, LinkState, MessageExplanation, explain_lead},
    lead_facts::{AccountPause, DeliveryFacts, ExplainedDraft, LeadFacts, MessageFacts},
    obstacle::is_stalled,
    pool::{PoolBacklog, explain_pool},
};

use super::{Id, Timestamp};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Heads with smaller turns are counted up to this number.
pub const BEFORE_MAX: i64 = 1_000;

/// The reason for which something stands still, for a program and for a person.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Explanation {
    /// A word of [`JobReason`]. It never changes its meaning.
    pub reason: &'static str,
    /// One or two sentences that say what is the case.
    pub sentence: String,
    /// The facts from which the reason follows, in the order in which they are of use.
    pub facts: Vec<Fact>,
    /// Since when it is so, if that is known.
    pub since: Option<Timestamp>,
    /// Until when it is so at the latest, if that is known.
    pub until: Option<Timestamp>,
    /// What the sentence names.
    pub links: Vec<ExplainLink>,
    /// Advice for a person, with the command for it.
    pub what_to_do: String,
}

/// A fact: its name and its value.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Fact {
    /// Its name, in words of this project.
    pub name: &'static str,
    /// The value that was found.
    pub value: FactValue,
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(untagged)]
pub enum FactValue {
    /// A text, or an id.
    Text(String),
    /// A count, or a number of milliseconds.
    Number(i64),
    /// An instant.
    Time(Timestamp),
}

/// Something that the sentence names, and that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExplainLink {
    /// `job`, `lead`, `pool`, `node` or `config`.
    pub r#type: &'static str,
    /// Its id; the job kind of a pool; the dotted key of the configuration.
    pub id: String,
    /// The file and line of a key of the configuration, or its variable; `None` for all else.
    pub place: Option<String>,
}

impl Explanation {
    /// An explanation that says no more than the sentence.
    fn of(reason: &'static str, sentence: String, what_to_do: String) -> Self {
        let (facts, links) = (Vec::new(), Vec::new());
        Self { reason, sentence, facts, since: None, until: None, links, what_to_do }
    }

    /// Adds why that does not run which this waits for.
    pub fn waits_for(&mut self, other: Self) {
        self.facts.push(Fact { name: "head_reason", value: other.reason.into() });
        self.facts.push(Fact { name: "head_sentence", value: other.sentence.into() });
    }

    /// Says that an admitted job of the same client stands still, why, and what to do about that.
    fn held_by(mut self, admitted: Id, why: Self) -> Self {
        self.sentence =
            format!("{} Those that are in turn do not run. {}", self.sentence, why.sentence);
        self.what_to_do = why.what_to_do;
        self.links.push(ExplainLink { r#type: "job", id: admitted.to_string(), place: None });
        self.links.extend(why.links);
        self.fact("admitted_job", key_of(admitted)).fact("admitted_reason", why.reason)
    }

    fn fact(mut self, name: &'static str, value: impl Into<FactValue>) -> Self {
        self.facts.push(Fact { name, value: value.into() });
        self
    }

    /// Adds the fact if there is one.
    fn maybe<T: Into<FactValue>>(self, name: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.fact(name, value),
            None => self,
        }
    }

    fn since(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.since = at.into();
        self
    }

    fn until(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.until = at.into();
        self
    }

    fn link(mut self, r#type: &'static str, id: impl ToString) -> Self {
        self.links.push(ExplainLink { r#type, id: id.to_string(), place: None });
        self
    }

    fn key(mut self, key: &ConfigKey) -> Self {
        let (id, place) = (key.key.clone(), key.place.clone());
        self.links.push(ExplainLink { r#type: "config", id, place });
        self
    }
}

impl From<String> for FactValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for FactValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for FactValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for FactValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for FactValue {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for FactValue {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

/// An id as a fact: a text, since readers must not count with it.
fn key_of(id: Id) -> String {
    id.to_string()
}

/// An id in JSON: a text.
fn as_text<S: Serializer>(id: &Id, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[cfg(test)]
mod tests;
