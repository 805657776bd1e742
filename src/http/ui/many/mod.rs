//! What is done to many jobs or held webhooks from a list: asked first, with the count and
//! examples, then done by an operation, which the list follows.

mod operation;
mod question;
mod words;

pub(super) use self::{
    operation::{FollowedOperation, stop},
    question::{CountTold, ManyQuestion, count_told},
    words::ManyWords,
};

/// The pairs of a form.
pub(super) type FormPairs = Vec<(String, String)>;
