//! The job that does nothing: the canary and the benchmarks send it through the whole house.

use super::{Deps, JobHandler};
use crate::domain::{Job, JobKind, Outcome, job::SELF_CHECK};
use std::future::ready;

/// Succeeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelfCheck;

impl JobHandler for SelfCheck {
    const KIND: JobKind = SELF_CHECK;

    fn handle(&self, _job: &Job, _deps: &Deps) -> impl Future<Output = Outcome> + Send {
        ready(Outcome::Done(Vec::new()))
    }
}
