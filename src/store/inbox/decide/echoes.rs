//! Echoes: our own sends, which a provider tells back to us (docs/RULES.md P12).

use crate::{
    domain::Id,
    store::inbox::arrival::{Arrival, Echo},
};
use std::collections::HashSet;

/// Marks the webhooks that are echoes of deliveries. `found` pairs the index of a webhook with a
/// delivery of which it may be the echo, the likeliest first.
///
/// Each delivery has one echo: a text that was sent twice is told back twice.
pub(crate) fn pair_echoes(arrivals: &mut [Arrival<'_>], found: &[(usize, Echo)]) {
    let mut used: HashSet<Id> = HashSet::new();
    for (at, echo) in found {
        if let Some(arrival) = arrivals.get_mut(*at)
            && arrival.echo.is_none()
            && used.insert(echo.delivery_id)
        {
            arrival.echo = Some(*echo);
        }
    }
}
