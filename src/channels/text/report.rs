//! Reports of returned mail: the addresses that they are about.

use crate::{
    channels::fields,
    domain::{lazy_pattern::LazyPattern, text::beginning},
};

/// How many bytes behind such a phrase are searched for an address.
const WINDOW_BYTES: usize = 160;
const PHRASES_MAX: usize = 40;

/// The phrases behind which a report names the address that it is about.
static PHRASE: LazyPattern = LazyPattern::of(concat!(
    r"(?i)(?:was|were)(?:n't|n’t| not| never) (?:delivered|sent)|delivery to|recipients?:?",
    r"|could ?(?:n't|n’t| not) be (?:delivered|sent)|address(?:es|\(es\))? (?:failed|had permanent)",
    r"|(?:could ?(?:n't|n’t| not)|unable to|cannot|can't|can’t) (?:reach|deliver|send)",
    r"|(?:undeliverable|undelivered|bounced|failed|rejected)(?-u:\b)|(?-u:\b)55[0-9][ -]5\.[0-9]+\.[0-9]+",
    r"|nicht zugestellt|unzustellbar|pas pu être (?:remis|distribué)|no se (?:ha )?(?:pudo|podido) entregar",
    r"|no entregado|non è stato (?:recapitato|consegnato)|não (?:foi|pôde ser) entregue|niet (?:worden )?(?:bezorgd|afgeleverd)",
));

static ADDRESS: LazyPattern =
    LazyPattern::of(r"(?i)[a-z0-9!#$%&'*+/=?^_{|}~.\-]{1,64}@[a-z0-9.\-]{1,190}[a-z0-9]");

/// The addresses that a report's text names behind phrases of such reports ("was not delivered to",
/// 550 5.…).
pub(in crate::channels) fn addresses(shown: &str) -> impl Iterator<Item = String> + '_ {
    PHRASE.find_iter(shown).take(PHRASES_MAX).flat_map(move |found| {
        let behind = shown.get(found.end()..).unwrap_or_default();
        ADDRESS
            .find_iter(beginning(behind, WINDOW_BYTES))
            .filter_map(|it| fields::email_address(it.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&PHRASE, &ADDRESS]);
    }
}
