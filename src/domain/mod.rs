//! The words and rules of Postroom, as plain values and pure functions: no I/O, no actors, no SQL,
//! no clock.

pub mod acknowledgement;
pub mod alerts;
pub mod auto_send;
pub mod backoff;
pub mod channel;
pub mod conversation;
pub mod draft_text;
pub mod drafting;
pub mod error_signature;
pub mod event;
pub mod explain;
pub mod fairness;
mod fold;
pub mod hand_off;
pub mod holidays;
pub mod intensity;
pub mod job;
mod job_state;
pub mod judged_by;
pub(crate) mod lazy_pattern;
pub mod lead;
pub mod mail_subject;
pub mod model_call;
pub mod opt_out;
pub mod order;
pub mod outcome;
pub(crate) mod pattern_list;
mod pool_override;
pub mod quoted;
pub mod reach;
pub mod received;
mod reject_reason;
mod role;
pub mod schedule;
mod search_terms;
pub mod segments;
mod send_news;
pub mod sending;
pub mod sentiment;
pub mod template;
pub mod text;
pub mod time;
pub mod trace;
mod user_role;
pub mod verdict;
pub mod visible;

pub(crate) use self::fold::folded;
pub use self::{
    channel::{ChannelDirectory, ChannelFacts, ChannelName, Medium, ProviderServer, SendFacts},
    conversation::{Conversation, InboundMessage, LeadView},
    event::{Account, CampaignRef, Event, Interpreted, NewMessage, NotUnderstood, Signal},
    job::{Job, JobKind, JobStatus},
    job_state::JobState,
    judged_by::JudgedBy,
    lead::{Identity, IdentityKind, LeadProfile, LeadStatus, OptOutSource},
    model_call::ModelCall,
    outcome::{Effect, Outcome},
    pool_override::{
        DropCause, DroppedKey, JudgedOverride, OverriddenKey, OverrideChange, OverrideEntry,
        OverrideKey, OverrideOrigin, PoolInFiles, PoolOverride, SeenInFiles,
    },
    reject_reason::RejectReason,
    role::Role,
    search_terms::SearchTerms,
    send_news::SendNews,
    sentiment::Sentiment,
    time::{Timestamp, median_ms, whole_millis},
    user_role::UserRole,
};

/// The key of a row: 63 bits that grow with arrival (docs/decisions/0002). Unique over all tables
/// and clients; the node that inserts the row assigns it. Opaque to readers, a string in JSON.
pub type Id = i64;
