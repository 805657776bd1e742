//! The OpenAPI document of the HTTP API, made from the code: from the list of endpoints that also
//! makes the routes, from the types that are serialized, and from the parameters that are read.

mod document;
mod endpoint;
mod parameters;
mod words;

pub use self::document::Vocabulary;
pub(super) use self::{
    document::document,
    endpoint::{ApiEndpoint, EndpointAccess, delete, get, mount, patch, post},
    parameters::{
        ApiParameter, CHANNEL, CLIENT, CURSOR, DRY_RUN, ID, LEAD, LIMIT, LIMIT_MAX, NODE, NOTE,
        NOTE_CHARS_MAX, NOTE_NEEDED, PAGE, Q, SINCE, STATUS_OF_DRAFTS, Takes, UNTIL,
        VALUE_CHARS_MAX,
    },
    words::{
        ActorStateWord, ActorTypeWord, AutoReplyWord, DeliveryStatusWord, DirectionWord,
        DraftStatusWord, GateDecisionWord, JobStateWord, JobStatusWord, LeadStatusWord,
        ModelCallFeatureWord, ModelCallStatusWord, OperationActionWord, OperationStatusWord,
        OptOutSourceWord, OutcomeWord, OverallStateWord, PoolStateWord, ProblemTypeWord,
        QuarantineStatusWord, ReadyWord, ReceivedOutcomeWord, RoleWord, SentimentWord,
        SeverityWord, SourceWord, UserRoleWord,
    },
};
