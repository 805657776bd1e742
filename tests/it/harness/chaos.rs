//! The long form: `just chaos`. Parameters are environment variables, progress goes to stderr.

use super::{
    episode::{self, Figures, Plan},
    load::Dice,
    seed,
};
use crate::support::both::Place;
use std::time::Duration;
use tokio::time::Instant;

/// A number from the environment.
pub fn parameter(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |it| it.parse().expect(name))
}

/// Episodes on one kind of database, until there were enough kills and answers.
async fn until_enough(what: &str, kills: u64, webhooks: u64, seed: u64) -> Option<Figures> {
    let each = parameter("CHAOS_KILLS_EACH", 50).min(kills);
    let webhooks_each = webhooks * each / kills;
    let (mut dice, mut all, started) = (Dice::new(seed), Figures::default(), Instant::now());
    let mut episodes = 0;
    while all.kills < kills || all.answered < webhooks {
        let place = if what == "sqlite" { Place::sqlite() } else { Place::postgres()? };
        let plan = Plan {
            seed: dice.below(u64::MAX),
            nodes: if place.is_sqlite() { 1 } else { 2 },
            connections: usize::try_from(parameter("CHAOS_CONNECTIONS", 24)).unwrap(),
            leads: 300,
            kills: each,
            webhooks: webhooks_each,
            longest_life: Duration::from_secs(2),
        };
        let figures = episode::run(&place, plan).await;
        place.remove();
        episodes += 1;
        eprintln!("{what}, episode {episodes} (seed {}): {}", plan.seed, figures.told());
        all += figures;
        eprintln!(
            "{what}: {} of {kills} kills, {} of {webhooks} webhooks answered, after {} s",
            all.kills,
            all.answered,
            started.elapsed().as_secs()
        );
    }
    eprintln!("{what}, {episodes} episodes in {} s: {}", started.elapsed().as_secs(), all.told());
    Some(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour: `just chaos`"]
async fn by_hand_a_thousand_kills_and_a_million_webhooks() {
    let (kills, webhooks) =
        (parameter("CHAOS_KILLS", 1_000), parameter("CHAOS_WEBHOOKS", 1_000_000));
    let (seed, started) = (seed(), Instant::now());
    let half = |what| until_enough(what, kills.div_ceil(2), webhooks.div_ceil(2), seed);
    let (sqlite, postgres) = tokio::join!(half("sqlite"), half("postgres"));
    let databases = [("sqlite", sqlite), ("postgres", postgres)];
    eprintln!(
        "\n| database | kills | at points | answered 200 | answered 429 | unanswered | messages | jobs | rescued | panicked | ordered pairs |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut all = Figures::default();
    for (what, it) in databases.into_iter().filter_map(|(what, it)| Some((what, it?))) {
        row(what, &it);
        all += it;
    }
    row("both", &all);
    eprintln!("\n| point | deaths |\n|---|---|");
    for (point, count) in &all.at_points {
        eprintln!("| `{point}` | {count} |");
    }
    eprintln!("\nin {} s, seed {seed}", started.elapsed().as_secs());
}

fn row(what: &str, it: &Figures) {
    let at_points: u64 = it.at_points.values().sum();
    let checked = &it.checked;
    eprintln!(
        "| {what} | {} | {at_points} | {} | {} | {} | {} | {} | {} | {} | {} |",
        it.kills,
        it.answered,
        it.refused,
        it.unanswered,
        checked.messages,
        checked.jobs,
        checked.rescued,
        checked.panicked,
        checked.ordered
    );
}
