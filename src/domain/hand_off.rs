//! Which jobs are born running: a node that stores a job may store it as its own running job, and
//! start it right after the commit, without a claim (docs/decisions/0044).
//!
//! Two questions, each a pure function: how many places a node lends for it
//! ([`PoolStanding::lends`]), and which of a group's jobs get them ([`choose`]).

use std::collections::HashMap;

/// What a node knows of the pool of one kind when a group is about to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStanding {
    /// Slots that can start a job now and that nothing in memory is meant for: no job that waits,
    /// no claim that is under way, no place that is lent. 0 while the pool is paused, is closed, or
    /// waits for the restart of its slots.
    pub free: usize,
    /// How many outcomes the recorder has room for.
    pub recorder_room: usize,
    /// The last claim got all that it asked for: more heads of the kind may wait in the database.
    pub heads_wait: bool,
    /// Other nodes count this one among the living.
    pub is_alive: bool,
    /// The daemon stops.
    pub is_draining: bool,
}

impl PoolStanding {
    /// How many places the pool lends if `wanted` jobs may need one.
    pub fn lends(self, wanted: usize) -> usize {
        match self.heads_wait || self.is_draining || !self.is_alive {
            true => 0,
            false => wanted.min(self.free).min(self.recorder_room),
        }
    }
}

/// A job of a group that becomes the head of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NewHead<'a> {
    /// The name of its kind.
    pub kind: &'a str,
    /// Its client.
    pub client_id: &'a str,
}

/// Chooses which of `heads`, given in the order of arrival, get one of the `places`, which are
/// keyed by kind.
///
/// Clients get them in turn: the second job of a client comes after the first of
/// every other. `client_room` says how many more jobs of a client may run. Returns the numbers of
/// the chosen heads, sorted.
pub fn choose(
    heads: &[NewHead<'_>],
    places: &HashMap<&str, usize>,
    client_room: impl Fn(&str) -> usize,
) -> Vec<usize> {
    // The rank of each head among those of its kind and client.
    let mut counted: HashMap<NewHead<'_>, usize> = HashMap::new();
    let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(heads.len());
    for (number, head) in heads.iter().enumerate() {
        let rank = counted.entry(*head).or_default();
        ranked.push((*rank, number));
        *rank += 1;
    }
    ranked.sort_unstable();
    let (mut left, mut room): (HashMap<&str, usize>, HashMap<&str, usize>) =
        (places.clone(), HashMap::new());
    let mut chosen = Vec::new();
    for (_, number) in ranked {
        let Some(head) = heads.get(number) else { continue };
        let room = room.entry(head.client_id).or_insert_with(|| client_room(head.client_id));
        let left = left.entry(head.kind).or_default();
        if *left > 0 && *room > 0 {
            *left -= 1;
            *room -= 1;
            chosen.push(number);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KINDS: [&str; 3] = ["A", "B", "C"];
    const CLIENTS: [&str; 4] = ["one", "two", "three", "four"];

    fn standings() -> impl Strategy<Value = PoolStanding> {
        let flags =
            (prop::bool::weighted(0.2), prop::bool::weighted(0.8), prop::bool::weighted(0.2));
        (0..20_usize, 0..20_usize, flags).prop_map(|(free, recorder_room, flags)| {
            let (heads_wait, is_alive, is_draining) = flags;
            PoolStanding { free, recorder_room, heads_wait, is_alive, is_draining }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_place_is_lent_that_is_not_free_or_while_somebody_waits(
            standing in standings(), wanted in 0..40_usize,
        ) {
            let lent = standing.lends(wanted);
            prop_assert!(lent <= wanted && lent <= standing.free && lent <= standing.recorder_room);
            let may = !standing.heads_wait && standing.is_alive && !standing.is_draining;
            let all = wanted.min(standing.free).min(standing.recorder_room);
            prop_assert_eq!(lent, if may { all } else { 0 });
        }

        #[test]
        fn no_kind_gets_more_than_its_places_no_client_more_than_its_room_and_none_goes_to_waste(
            heads in prop::collection::vec((0..3_usize, 0..4_usize), 0..60),
            places in prop::collection::vec(0..12_usize, 3),
            rooms in prop::collection::vec(prop_oneof![0..5_usize, Just(usize::MAX)], 4),
        ) {
            let heads: Vec<NewHead<'_>> = heads
                .into_iter()
                .map(|(kind, client)| NewHead { kind: KINDS[kind], client_id: CLIENTS[client] })
                .collect();
            let places: HashMap<&str, usize> = KINDS.into_iter().zip(places).collect();
            let rooms: BTreeMap<&str, usize> = CLIENTS.into_iter().zip(rooms).collect();
            let chosen = choose(&heads, &places, |client| rooms[client]);
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "each once, sorted");
            let (mut by_kind, mut by_client) = (HashMap::new(), HashMap::new());
            for number in &chosen {
                *by_kind.entry(heads[*number].kind).or_insert(0_usize) += 1;
                *by_client.entry(heads[*number].client_id).or_insert(0_usize) += 1;
            }
            prop_assert!(by_kind.iter().all(|(kind, count)| *count <= places[kind]));
            prop_assert!(by_client.iter().all(|(client, count)| *count <= rooms[client]));
            for (number, head) in heads.iter().enumerate() {
                if !chosen.contains(&number) {
                    let is_full = by_kind.get(head.kind).copied().unwrap_or(0) == places[head.kind];
                    let is_capped =
                        by_client.get(head.client_id).copied().unwrap_or(0) == rooms[head.client_id];
                    prop_assert!(is_full || is_capped, "head {number} was left out");
                }
            }
        }

        #[test]
        fn a_clients_burst_leaves_the_others_their_places_and_keeps_its_order(
            burst in 1..60_usize, others in 0..4_usize, places in 1..12_usize, at in any::<prop::sample::Index>(),
        ) {
            let head = |client_id| NewHead { kind: "A", client_id };
            let mut heads = vec![head("burst"); burst];
            let at = at.index(burst + 1);
            for client_id in CLIENTS.into_iter().take(others) {
                heads.insert(at, head(client_id));
            }
            let chosen = choose(&heads, &HashMap::from([("A", places)]), |_| usize::MAX);
            prop_assert_eq!(chosen.len(), places.min(heads.len()));
            let of_others = chosen.iter().filter(|it| heads[**it].client_id != "burst").count();
            prop_assert!(of_others + 1 >= places.min(others + 1), "{of_others} of {others}");
            let of_burst: Vec<usize> =
                chosen.iter().copied().filter(|it| heads[*it].client_id == "burst").collect();
            let first: Vec<usize> = (0..heads.len())
                .filter(|it| heads[*it].client_id == "burst")
                .take(of_burst.len())
                .collect();
            prop_assert_eq!(of_burst, first, "the first that came");
        }
    }
}
