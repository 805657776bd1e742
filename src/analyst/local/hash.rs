//! A hash that never changes: what the weights were trained on depends on it. The standard
//! library's may change with any release.

/// A hash that is being made: FNV-1a of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Hash {
    /// A hash of nothing but `start`, which keeps hashes of different things apart.
    pub(super) const fn of(start: u32) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ start as u64).byte(0)
    }

    const fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The hash of what was hashed, then `text`.
    pub(super) fn text(self, text: &str) -> Self {
        text.bytes().fold(self, Self::byte)
    }

    /// The hash of what was hashed, then `text` and an end that no text holds.
    pub(super) fn part(self, text: &str) -> Self {
        self.text(text).byte(0xff)
    }

    /// The finished hash.
    pub(super) const fn value(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(Hash::of(1).part("call").part("me").value(), 0xd0ecc62bbb4e0fd5);
    }
}
