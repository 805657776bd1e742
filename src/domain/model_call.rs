//! A request to a model's server, as it is kept for operators.

use super::Id;
use serde::Serialize;

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelCallFeature {
    /// The tag of a message.
    Classify,
    /// The score of a lead.
    Score,
    /// An answer to a message.
    Draft,
    /// Whether a draft may be sent without a person.
    Evaluate,
}

impl ModelCallFeature {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Classify, Self::Score, Self::Draft, Self::Evaluate];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Score => "score",
            Self::Draft => "draft",
            Self::Evaluate => "evaluate",
        }
    }
}

/// How a request to a model's server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelCallStatus {
    /// It was answered as asked.
    Ok,
    /// There was no connection, or it was lost.
    Unreachable,
    /// There was no answer in time.
    Timeout,
    /// The server takes no more for now (429).
    RateLimited,
    /// The server has failed (5xx, 408).
    ServerError,
    /// The server lets nobody in, or has no such model (401, 403, 404).
    Denied,
    /// The server refused this request (any other status).
    Refused,
    /// The answer ended before its end.
    CutShort,
    /// The model declined to answer.
    Declined,
    /// The answer is not what was asked for.
    Unusable,
    /// Nobody waited for the answer any more.
    Dropped,
}

impl ModelCallStatus {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Unreachable,
        Self::Timeout,
        Self::RateLimited,
        Self::ServerError,
        Self::Denied,
        Self::Refused,
        Self::CutShort,
        Self::Declined,
        Self::Unusable,
        Self::Dropped,
    ];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::CutShort => "cut_short",
            Self::Declined => "declined",
            Self::Unusable => "unusable",
            Self::Dropped => "dropped",
        }
    }

    /// True if the same request may be answered a moment later.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited
            | Self::ServerError
            | Self::CutShort
            | Self::Unusable => true,
            Self::Ok | Self::Denied | Self::Refused | Self::Declined | Self::Dropped => false,
        }
    }

    /// True if it says that the server answers nobody.
    pub const fn is_outage(self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout | Self::ServerError | Self::Denied => true,
            Self::Ok
            | Self::RateLimited
            | Self::Refused
            | Self::CutShort
            | Self::Declined
            | Self::Unusable
            | Self::Dropped => false,
        }
    }
}

/// One request to a model's server. It holds no text of a person, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelCall {
    /// The kind of the job that asked.
    pub kind: String,
    /// What was asked for.
    pub feature: ModelCallFeature,
    /// The prompt and its version, such as `classify.v1`.
    pub prompt: &'static str,
    /// The model, as the configuration names it.
    pub model: String,
    /// How it ended.
    pub status: ModelCallStatus,
    /// More about a failure.
    pub error: Option<String>,
    /// Tokens of the question, as the server counts them.
    pub tokens_in: Option<i64>,
    /// Tokens of the answer, as the server counts them.
    pub tokens_out: Option<i64>,
    /// The time from the request to its end, in milliseconds.
    pub latency_ms: i64,
    /// 0 for the first request of a question, 1 for its first repetition, and so on.
    pub retry: u32,
    /// The client of the job.
    pub client_id: String,
    /// The lead of the job.
    pub lead_id: Option<Id>,
    /// The job that asked.
    pub job_id: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spelled_alike_in_rows_and_filters() {
        for feature in ModelCallFeature::ALL {
            assert_eq!(serde_json::to_value(feature).unwrap(), feature.as_str());
        }
        for status in ModelCallStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
