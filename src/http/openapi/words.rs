//! The words that fields of the API hold, for the document: the fields are texts, as the database
//! has them.

use crate::{
    domain::{
        JobState, JobStatus, LeadStatus, OptOutSource, Role, Sentiment, UserRole,
        alerts::{OverallState, Severity},
        auto_send::{AutoReply, GateDecision},
        event::Direction,
        model_call::{ModelCallFeature, ModelCallStatus},
        received::RECEIVED_OUTCOMES,
        sending::DeliveryStatus,
    },
    http::{
        api::{QUARANTINE_STATUSES, operations::OPERATION_STATUSES},
        problem::Cause,
    },
    store::{DRAFT_STATUSES, OperationAction},
    telemetry::board::{ActorState, ActorType},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// Types that only name the words of a field.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident as $shown:literal: $words:expr;)*) => {$(
        $(#[$doc])*
        pub(in crate::http) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $shown.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "enum": $words})
            }
        }
    )*};
}

words! {
    /// What an actor does.
    ActorStateWord as "ActorState": ActorState::ALL.map(ActorState::as_str);
    /// What an actor is.
    ActorTypeWord as "ActorType": ActorType::ALL.map(ActorType::as_str);
    /// Which answers of a client leave by themselves.
    AutoReplyWord as "AutoReply":
        [AutoReply::Off, AutoReply::Gate, AutoReply::Auto].map(AutoReply::as_str);
    /// How a send stands.
    DeliveryStatusWord as "DeliveryStatus": DeliveryStatus::ALL.map(DeliveryStatus::as_str);
    /// Who wrote a message.
    DirectionWord as "Direction":
        Direction::ALL.map(Direction::as_str);
    /// How a draft stands.
    DraftStatusWord as "DraftStatus": DRAFT_STATUSES;
    /// What the gate decided about a draft.
    GateDecisionWord as "GateDecision": [
        GateDecision::SendNow,
        GateDecision::SendLater,
        GateDecision::NeedsReview,
        GateDecision::Skip,
    ]
    .map(GateDecision::as_str);
    /// The status of a job and, of one that waits, what it waits for.
    JobStateWord as "JobState": JobState::ALL.map(JobState::as_str);
    /// The status of a job.
    JobStatusWord as "JobStatus": JobStatus::ALL.map(JobStatus::as_str);
    /// The status of a lead.
    LeadStatusWord as "LeadStatus": LeadStatus::ALL.map(LeadStatus::as_str);
    /// What a model was asked for.
    ModelCallFeatureWord as "ModelCallFeature":
        ModelCallFeature::ALL.map(ModelCallFeature::as_str);
    /// How a model's server answered.
    ModelCallStatusWord as "ModelCallStatus": ModelCallStatus::ALL.map(ModelCallStatus::as_str);
    /// What an operation does.
    OperationActionWord as "OperationAction": OperationAction::ALL.map(OperationAction::as_str);
    /// How an operation stands.
    OperationStatusWord as "OperationStatus": OPERATION_STATUSES;
    /// By what a lead opted out.
    OptOutSourceWord as "OptOutSource": [
        OptOutSource::Words,
        OptOutSource::Provider,
        OptOutSource::Person,
        OptOutSource::Model,
        OptOutSource::Suppression,
    ]
    .map(OptOutSource::as_str);
    /// What became of a webhook that was taken.
    OutcomeWord as "Outcome": ["accepted", "duplicate", "recorded", "ignored", "quarantined"];
    /// How the daemon is.
    OverallStateWord as "OverallState":
        [OverallState::Well, OverallState::Warning, OverallState::Bad].map(OverallState::as_str);
    /// What a pool does.
    PoolStateWord as "PoolState": ["running", "paused", "backing_off"];
    /// The cause of a problem.
    ProblemTypeWord as "ProblemType": Cause::ALL.map(Cause::urn);
    /// How an item of the quarantine stands.
    QuarantineStatusWord as "QuarantineStatus": QUARANTINE_STATUSES;
    /// Whether the daemon is ready.
    ReadyWord as "Readiness": ["ready", "not_ready"];
    /// What became of what was received or sent.
    ReceivedOutcomeWord as "ReceivedOutcome": RECEIVED_OUTCOMES;
    /// What a daemon does.
    RoleWord as "Role": [Role::All, Role::Ingest, Role::Worker].map(Role::as_str);
    /// The tag of a message.
    SentimentWord as "Sentiment": Sentiment::ALL.map(Sentiment::as_str);
    /// How much an alert matters.
    SeverityWord as "Severity":
        [Severity::Page, Severity::Ticket, Severity::Note].map(Severity::as_str);
    /// Who told of a message: a webhook, or Postroom, which sent it.
    SourceWord as "MessageSource": ["provider", "postroom"];
    /// What a person may do.
    UserRoleWord as "UserRole": UserRole::ALL.map(UserRole::as_str);
}
