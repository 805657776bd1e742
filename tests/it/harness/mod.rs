//! The crash harness: real daemons under load that are killed at any moment and at named points of
//! their code, and what must hold afterwards. docs/RELIABILITY.md says what it found.
//!
//! `cargo test --test it harness` and `just long harness` run the short forms, `just chaos` the
//! long one.

mod chaos;
mod checker;
mod damaged;
mod episode;
mod lives;
mod load;
mod sends;
mod soak;
mod stops;
mod takeover;
mod wire;

use self::episode::Plan;
pub use self::{
    chaos::parameter,
    checker::check,
    episode::CONFIG,
    load::{Dice, Load, clients_config},
};
use crate::{on_both_daemons, support::both::Place};
use std::time::Duration;

/// The seed that `POSTROOM_TEST_SEED` names, or a random one. Prints it.
pub fn seed() -> u64 {
    let given = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|it| it.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("POSTROOM_TEST_SEED={seed}");
    seed
}

/// A short episode.
pub async fn short(place: &Place, nodes: usize, kills: u64) {
    let plan = Plan {
        seed: seed(),
        nodes,
        connections: 6,
        leads: 25,
        kills,
        webhooks: kills * 40,
        longest_life: Duration::from_millis(1_500),
    };
    let figures = episode::run(place, plan).await;
    eprintln!("{}\n{:?}", figures.told(), figures.at_points);
    assert!(figures.kills == plan.kills && figures.answered >= plan.webhooks);
}

/// How many nodes may share a database of this kind, for short episodes.
fn nodes_on(place: &Place) -> usize {
    if place.is_sqlite() { 1 } else { 2 }
}

on_both_daemons! {
    async fn kills_at_any_moment_and_at_points_of_the_code_lose_and_double_nothing(place: Place) {
        short(&place, nodes_on(&place), 4).await;
    }

    #[ignore = "long: `just long`"]
    async fn ten_kills_lose_and_double_nothing(place: Place) {
        short(&place, nodes_on(&place), 10).await;
    }
}
