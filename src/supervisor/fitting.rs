//! How the pools, and the recorder's room, follow the configuration.
//!
//! The supervisor hears of each change of the configuration and fits all pools at once. Each tick
//! fits them, too, and so does a new supervisor. A daemon that drains changes nothing any more.

use super::{actor::Supervisor, pool::Fitted, work};
use crate::{
    config::{self, Pools},
    domain::JobKind,
};
use futures_util::Stream;

/// The least capacity of the recorder: outcomes and claimed jobs together. Larger pools get more.
const RECORDER_CAPACITY_MIN: usize = 4_096;

/// Event: another configuration applies.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct ConfigReplaced;

/// Tells of each replacement from now on. Several in quick succession are told as one.
pub(super) fn changes(config: &config::Live) -> impl Stream<Item = ConfigReplaced> + use<> {
    futures_util::stream::unfold(config.changes(), |mut changes| async {
        changes.changed().await.ok()?;
        Some((ConfigReplaced, changes))
    })
}

/// How many outcomes and claimed jobs of these kinds there may be together: twice the jobs that
/// all pools can hold, so that the outcomes of one round never delay the claim of the next.
fn recorder_capacity(pools: &Pools, kinds: &[JobKind]) -> usize {
    let of_kind = |kind: &JobKind| {
        let pool = pools.of(kind.0);
        pool.size.saturating_add(pool.prefetch)
    };
    let in_pools = kinds.iter().map(of_kind).fold(0, usize::saturating_add);
    in_pools.saturating_mul(2).max(RECORDER_CAPACITY_MIN)
}

impl Supervisor {
    /// Gives each pool the size that the configuration says now, pauses or resumes it, and gives
    /// the recorder room for as many jobs. Claims at once if a pool can take more jobs than before.
    pub(super) fn fit_pools(&mut self, ctx: &mut actix::Context<Self>) {
        if self.setup.board.is_draining() {
            return;
        }
        let config = self.setup.config.get();
        self.setup.handover.room.resize(recorder_capacity(&config.pools, &self.kinds));
        let fitted: Vec<Fitted> = self.pools.iter_mut().map(|it| it.fit(&config.pools)).collect();
        let can_take_more = fitted.iter().any(|it| it.can_take_more);
        self.give_back(fitted.into_iter().flat_map(|it| it.back).collect());
        if can_take_more {
            self.claiming.look_for_suspect();
            self.try_claim(ctx);
            self.make_due(ctx);
        }
    }
}

impl actix::Handler<ConfigReplaced> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: ConfigReplaced, ctx: &mut Self::Context) {
        self.setup.board.faults().point("supervisor.fit");
        self.fit_pools(ctx);
        self.follow_tick(ctx);
        // As many threads may be lost already as the new configuration allows.
        if !self.setup.board.is_draining() {
            work::give_up_if_too_many_are_lost(&self.setup.board, &self.setup.config);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn the_recorder_has_room_for_twice_what_the_pools_hold_and_never_for_few() {
        let set = |name: &str, value: &str| (format!("POSTROOM__POOLS__{name}"), value.to_owned());
        let env = vec![set("A__SIZE", "3000"), set("A__PREFETCH", "500"), set("B__SIZE", "10")];
        let pools = Config::load(&Sources { env, ..Sources::default() }).unwrap().pools;
        let (a, b, other) = (JobKind("A"), JobKind("B"), JobKind("OTHER"));
        for (kinds, wanted) in [
            (vec![], RECORDER_CAPACITY_MIN),
            (vec![b, other], RECORDER_CAPACITY_MIN),
            (vec![a], 7_000),
            (vec![a, b, other], 2 * (3_500 + 20 + 16)),
        ] {
            assert_eq!(recorder_capacity(&pools, &kinds), wanted, "{kinds:?}");
        }
    }
}
