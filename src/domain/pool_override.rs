//! Overrides of pools: what operators set beside the configuration files, and when it ends.

use super::{Id, Timestamp};
use std::fmt;

/// What an operator has set for the pool of one kind, on all nodes. It applies until it is reset,
/// expires, or the file's value of the same key changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOverride {
    /// The job kind.
    pub kind: String,
    /// The number of slots of each node; `None`: as the file says.
    pub size: Option<usize>,
    /// Whether the pool is paused; `None`: as the file says.
    pub paused: Option<bool>,
    /// The file's size when `size` was set.
    pub base_size: Option<usize>,
    /// The file's `paused` when `paused` was set.
    pub base_paused: Option<bool>,
    /// Who set it.
    pub by: String,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// When it was set.
    pub at: Timestamp,
    /// When it ends by itself; `None`: not by itself.
    pub expires_at: Option<Timestamp>,
    /// The only node that it is for, which keeps it in memory; `None`: it is for all nodes.
    pub node: Option<Id>,
}

/// A key of a pool that an override can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideKey {
    /// The number of slots.
    Size,
    /// Whether the pool is paused.
    Paused,
}

/// What the configuration files say of those keys for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolInFiles {
    /// The number of slots.
    pub size: usize,
    /// Whether the pool is paused.
    pub paused: bool,
}

/// A change of an override by a person. At least one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverrideChange {
    /// The number of slots.
    pub size: Option<usize>,
    /// Whether the pool is paused.
    pub paused: Option<bool>,
    /// Why, in the words of the person.
    pub note: Option<String>,
    /// When it ends by itself, in milliseconds from the change.
    pub expires_in_ms: Option<i64>,
    /// Who makes the change.
    pub by: String,
}

/// Why a key of an override no longer applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Its time is over.
    Expired,
    /// The file says the same.
    EqualsFile,
    /// The file's value of the key is another one than when the override was made.
    FileChanged,
}

/// A key of an override that no longer applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedKey {
    /// The key.
    pub key: OverrideKey,
    /// The value that the override has set.
    pub value: String,
    /// The value of the file, which applies instead.
    pub in_file: String,
    /// Why.
    pub cause: DropCause,
}

/// What an override comes to at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedOverride {
    /// The keys that apply; `None` if none does.
    pub applies: Option<PoolOverride>,
    /// The keys that no longer apply.
    pub dropped: Vec<DroppedKey>,
}

impl PoolOverride {
    /// Says which keys apply at `now`, while the files say `files`.
    ///
    /// `seen` is what this node's files said when it first read the override while running. The
    /// files of two nodes may differ, and the base is the value of the node that was asked: so only
    /// a value that is neither the base nor `seen` has changed. A node that has just started has
    /// seen nothing.
    pub fn judge(
        mut self,
        files: PoolInFiles,
        seen: Option<PoolInFiles>,
        now: Timestamp,
    ) -> JudgedOverride {
        let is_over = self.expires_at.is_some_and(|at| at <= now);
        let mut dropped = Vec::new();
        let seen_size = seen.map(|it| it.size);
        let size = self.size.and_then(|set| {
            let cause = drop_cause(is_over, set, self.base_size, files.size, seen_size)?;
            Some((set.to_string(), files.size.to_string(), cause))
        });
        if let Some((value, in_file, cause)) = size {
            dropped.push(DroppedKey { key: OverrideKey::Size, value, in_file, cause });
            self.clear(OverrideKey::Size);
        }
        let seen_paused = seen.map(|it| it.paused);
        let paused = self.paused.and_then(|set| {
            let cause = drop_cause(is_over, set, self.base_paused, files.paused, seen_paused)?;
            Some((set.to_string(), files.paused.to_string(), cause))
        });
        if let Some((value, in_file, cause)) = paused {
            dropped.push(DroppedKey { key: OverrideKey::Paused, value, in_file, cause });
            self.clear(OverrideKey::Paused);
        }
        JudgedOverride { applies: self.unless_empty(), dropped }
    }

    /// Makes a key as the file says.
    pub const fn clear(&mut self, key: OverrideKey) {
        match key {
            OverrideKey::Size => (self.size, self.base_size) = (None, None),
            OverrideKey::Paused => (self.paused, self.base_paused) = (None, None),
        }
    }

    /// Itself, if it sets a key.
    pub fn unless_empty(self) -> Option<Self> {
        (self.size.is_some() || self.paused.is_some()).then_some(self)
    }

    /// The override of `kind` after a change, or `None` if nothing is left that differs from the
    /// files.
    ///
    /// A change that names a key says by whom, why and until when for the whole override. One that
    /// names no key replaces only the fields that it gives.
    pub fn changed(
        before: Option<Self>,
        kind: &str,
        change: &OverrideChange,
        files: PoolInFiles,
        now: Timestamp,
    ) -> Option<Self> {
        let names_key = change.size.is_some() || change.paused.is_some();
        let mut after = before.unwrap_or_else(|| Self {
            kind: kind.to_owned(),
            size: None,
            paused: None,
            base_size: None,
            base_paused: None,
            by: String::new(),
            note: None,
            at: now,
            expires_at: None,
            node: None,
        });
        if let Some(size) = change.size {
            let set = Some(size).filter(|size| *size != files.size);
            (after.size, after.base_size) = (set, set.map(|_| files.size));
        }
        if let Some(paused) = change.paused {
            let set = Some(paused).filter(|paused| *paused != files.paused);
            (after.paused, after.base_paused) = (set, set.map(|_| files.paused));
        }
        let expires_at = change.expires_in_ms.map(|ms| now.plus_millis(ms));
        if names_key {
            (after.note, after.expires_at) = (change.note.clone(), expires_at);
        } else {
            after.note = change.note.clone().or(after.note);
            after.expires_at = expires_at.or(after.expires_at);
        }
        (after.by, after.at) = (change.by.clone(), now);
        after.unless_empty()
    }

    /// This override over one for all nodes: the keys that this one leaves are those of `shared`.
    #[must_use]
    pub fn over(mut self, shared: Option<&Self>) -> Self {
        let Some(shared) = shared else { return self };
        if self.size.is_none() {
            (self.size, self.base_size) = (shared.size, shared.base_size);
        }
        if self.paused.is_none() {
            (self.paused, self.base_paused) = (shared.paused, shared.base_paused);
        }
        self
    }
}

/// Why a key that was set to `set` no longer applies; `None` while it does.
fn drop_cause<T: PartialEq + Copy>(
    is_over: bool,
    set: T,
    base: Option<T>,
    in_file: T,
    seen: Option<T>,
) -> Option<DropCause> {
    let is_base = base.is_none_or(|base| base == in_file);
    if is_over {
        Some(DropCause::Expired)
    } else if !is_base && seen == Some(in_file) {
        // This node's file differs from that of the node that was asked, and has not changed.
        None
    } else if set == in_file {
        Some(DropCause::EqualsFile)
    } else {
        (!is_base).then_some(DropCause::FileChanged)
    }
}

impl OverrideKey {
    /// Its name in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for DroppedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key.as_str(), self.value)
    }
}

/// The keys that it sets, as in a file, and until when.
impl fmt::Display for PoolOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::with_capacity(3);
        parts.extend(self.size.map(|size| format!("size = {size}")));
        parts.extend(self.paused.map(|paused| format!("paused = {paused}")));
        parts.extend(self.expires_at.map(|at| format!("until {at}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const FILES: PoolInFiles = PoolInFiles { size: 8, paused: false };

    fn change(size: Option<usize>, paused: Option<bool>) -> OverrideChange {
        OverrideChange { size, paused, by: "dana".to_owned(), ..OverrideChange::default() }
    }

    fn set(size: Option<usize>, paused: Option<bool>) -> Option<PoolOverride> {
        PoolOverride::changed(None, "SELF_CHECK", &change(size, paused), FILES, NOW)
    }

    #[test]
    fn an_override_ends_for_one_of_three_reasons() {
        use DropCause::{EqualsFile, Expired, FileChanged};
        // What is set, the base, what the file says now, what this node has seen before; why it is
        // dropped.
        for (set, base, in_file, seen, is_over, cause) in [
            (16, Some(8), 8, None, false, None),
            (16, Some(8), 8, Some(8), false, None),
            (16, Some(8), 8, None, true, Some(Expired)),
            (16, Some(8), 12, None, true, Some(Expired)),
            (16, Some(8), 12, None, false, Some(FileChanged)),
            (16, Some(8), 12, Some(8), false, Some(FileChanged)),
            (16, Some(8), 16, None, false, Some(EqualsFile)),
            // Another node was asked, and its file says 8.
            (16, Some(8), 4, Some(4), false, None),
            (16, Some(8), 16, Some(16), false, None),
            (16, Some(8), 8, Some(4), false, None),
            (16, Some(8), 5, Some(4), false, Some(FileChanged)),
            // Nothing is known of the file of that time.
            (16, None, 8, None, false, None),
            (16, None, 16, None, false, Some(EqualsFile)),
        ] {
            let found = drop_cause(is_over, set, base, in_file, seen);
            assert_eq!(found, cause, "{set} {base:?} {in_file} {seen:?} {is_over}");
        }
    }

    #[test]
    fn a_change_says_by_whom_why_and_until_when_for_the_whole_override() {
        let first = OverrideChange {
            note: Some("a flood".to_owned()),
            expires_in_ms: Some(60_000),
            ..change(Some(16), None)
        };
        let first = PoolOverride::changed(None, "SELF_CHECK", &first, FILES, NOW).unwrap();
        assert_eq!(first.to_string(), "size = 16, until 1970-01-01T00:17:40.000Z");
        assert_eq!((first.base_size, first.base_paused), (Some(8), None));
        let later = NOW.plus_millis(5);
        let pause = OverrideChange { by: "kim".to_owned(), ..change(None, Some(true)) };
        let second =
            PoolOverride::changed(Some(first.clone()), "SELF_CHECK", &pause, FILES, later).unwrap();
        assert_eq!(second.to_string(), "size = 16, paused = true");
        assert_eq!((second.by.as_str(), second.note, second.at), ("kim", None, later));
        let note = OverrideChange { note: Some("still".to_owned()), ..change(None, None) };
        let third =
            PoolOverride::changed(Some(first.clone()), "SELF_CHECK", &note, FILES, later).unwrap();
        assert_eq!((third.note.as_deref(), third.expires_at), (Some("still"), first.expires_at));
    }

    #[test]
    fn a_key_that_is_set_to_the_value_of_the_file_leaves_the_override() {
        assert_eq!(set(Some(8), None), None);
        assert_eq!(set(None, Some(false)), None);
        let both = set(Some(16), Some(true));
        let resumed =
            PoolOverride::changed(both, "SELF_CHECK", &change(None, Some(false)), FILES, NOW);
        assert_eq!(resumed, set(Some(16), None));
    }

    #[test]
    fn an_override_of_one_node_lies_over_that_of_all() {
        let (all, one) = (set(Some(16), Some(true)).unwrap(), set(Some(2), None).unwrap());
        let over = one.clone().over(Some(&all));
        assert_eq!((over.size, over.paused), (Some(2), Some(true)));
        assert_eq!(one.clone().over(None), one);
    }

    fn files() -> impl Strategy<Value = PoolInFiles> {
        (1..6_usize, any::<bool>()).prop_map(|(size, paused)| PoolInFiles { size, paused })
    }

    fn overrides() -> impl Strategy<Value = PoolOverride> {
        let sizes = (prop::option::of(1..6_usize), prop::option::of(1..6_usize));
        let pauses = (prop::option::of(any::<bool>()), prop::option::of(any::<bool>()));
        (sizes, pauses, prop::option::of(0..10_i64)).prop_map(|(size, paused, expires)| {
            PoolOverride {
                kind: "SELF_CHECK".to_owned(),
                size: size.0,
                base_size: size.1,
                paused: paused.0,
                base_paused: paused.1,
                by: "dana".to_owned(),
                note: None,
                at: NOW,
                expires_at: expires.map(|ms| NOW.plus_millis(ms)),
                node: None,
            }
        })
    }

    proptest! {
        #[test]
        fn each_key_that_is_set_applies_or_is_dropped(
            set in overrides(), files in files(), seen in prop::option::of(files()), ms in 0..10_i64,
        ) {
            let keys = usize::from(set.size.is_some()) + usize::from(set.paused.is_some());
            let judged = set.judge(files, seen, NOW.plus_millis(ms));
            let applying = judged.applies.as_ref().map_or(0, |it| {
                usize::from(it.size.is_some()) + usize::from(it.paused.is_some())
            });
            prop_assert_eq!(applying + judged.dropped.len(), keys);
            // What applies applies on.
            if let Some(applies) = judged.applies {
                let again = applies.clone().judge(files, seen, NOW.plus_millis(ms));
                prop_assert_eq!(again, JudgedOverride { applies: Some(applies), dropped: vec![] });
            }
        }

        #[test]
        fn the_other_key_changes_nothing(
            set in overrides(), files in files(), other in any::<bool>(), ms in 0..10_i64,
        ) {
            let now = NOW.plus_millis(ms);
            let size = |files: PoolInFiles| {
                set.clone().judge(files, None, now).applies.and_then(|it| it.size)
            };
            prop_assert_eq!(size(files), size(PoolInFiles { paused: other, ..files }));
        }

        #[test]
        fn what_was_just_set_applies_until_the_file_changes_that_key(
            size in 1..6_usize, paused in any::<bool>(), before in files(), after in files(),
        ) {
            let set = PoolOverride::changed(
                None, "SELF_CHECK", &change(Some(size), Some(paused)), before, NOW,
            );
            if let Some(set) = set {
                let applies = set.clone().judge(after, None, NOW).applies;
                let size = applies.as_ref().and_then(|it| it.size);
                prop_assert_eq!(size, set.size.filter(|_| after.size == before.size));
                let paused = applies.as_ref().and_then(|it| it.paused);
                prop_assert_eq!(paused, set.paused.filter(|_| after.paused == before.paused));
            }
        }
    }
}
