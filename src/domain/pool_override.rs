//! Overrides of pools: what operators set beside the configuration files, and when it ends.

use super::{Id, Timestamp};
use std::fmt;

/// What operators have set for the pool of one kind. Each key is by itself: it applies until it is
/// reset, expires, or the file's value of the same key changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOverride {
    /// The job kind.
    pub kind: String,
    /// The number of slots of each node; `None`: as the file says.
    pub size: Option<OverriddenKey<usize>>,
    /// Whether the pool is paused; `None`: as the file says.
    pub paused: Option<OverriddenKey<bool>>,
}

/// A key that an operator has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverriddenKey<T> {
    /// What is set.
    pub value: T,
    /// What the file said when it was set.
    pub base: T,
    /// Who set it, and why.
    pub set: OverrideOrigin,
}

/// Who has set a key, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideOrigin {
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

/// A key of an override of any type, for those who show or store it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideEntry<'a> {
    /// The key.
    pub key: OverrideKey,
    /// What is set, as in a file.
    pub value: String,
    /// What the file said when it was set.
    pub base: String,
    /// Who set it, and why.
    pub set: &'a OverrideOrigin,
}

/// A key of a pool that an override can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// What the files of a node said of those keys when it first read an override of them while it ran;
/// `None`: it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenInFiles {
    /// The number of slots.
    pub size: Option<usize>,
    /// Whether the pool is paused.
    pub paused: Option<bool>,
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
    /// The override of `kind` without a key.
    pub fn empty(kind: &str) -> Self {
        Self { kind: kind.to_owned(), size: None, paused: None }
    }

    /// Says which keys apply at `now`, while the files say `files`.
    ///
    /// The files of two nodes may differ, and the base is the value of the node that was asked: so
    /// only a value that is neither the base nor `seen` has changed. A node that has just started
    /// has seen nothing.
    pub fn judge(
        mut self,
        files: PoolInFiles,
        seen: SeenInFiles,
        now: Timestamp,
    ) -> JudgedOverride {
        let size = self.size.as_ref();
        let size = size.and_then(|it| it.dropped(OverrideKey::Size, files.size, seen.size, now));
        let paused = self.paused.as_ref();
        let paused =
            paused.and_then(|it| it.dropped(OverrideKey::Paused, files.paused, seen.paused, now));
        let dropped: Vec<DroppedKey> = [size, paused].into_iter().flatten().collect();
        dropped.iter().for_each(|it| self.clear(it.key));
        JudgedOverride { applies: self.unless_empty(), dropped }
    }

    /// Makes a key as the file says.
    pub fn clear(&mut self, key: OverrideKey) {
        match key {
            OverrideKey::Size => self.size = None,
            OverrideKey::Paused => self.paused = None,
        }
    }

    /// Itself, if it sets a key.
    pub fn unless_empty(self) -> Option<Self> {
        (self.size.is_some() || self.paused.is_some()).then_some(self)
    }

    /// The override of `kind` after a change, or `None` if nothing is left that differs from the
    /// files.
    ///
    /// Each key that the change names is by whom, why and until when it says, and the other key
    /// stays as it is. A change that names no key replaces the note and the expiry that it gives,
    /// of all keys that are set.
    pub fn changed(
        before: Option<Self>,
        kind: &str,
        change: &OverrideChange,
        files: PoolInFiles,
        now: Timestamp,
    ) -> Option<Self> {
        let mut after = before.unwrap_or_else(|| Self::empty(kind));
        let set = OverrideOrigin {
            by: change.by.clone(),
            note: change.note.clone(),
            at: now,
            expires_at: change.expires_in_ms.map(|ms| now.plus_millis(ms)),
            node: None,
        };
        if change.size.is_none() && change.paused.is_none() {
            for origin in after.origins_mut() {
                origin.note = set.note.clone().or(origin.note.take());
                origin.expires_at = set.expires_at.or(origin.expires_at);
            }
        }
        if let Some(value) = change.size {
            let key = OverriddenKey { value, base: files.size, set: set.clone() };
            after.size = Some(key).filter(|it| it.value != it.base);
        }
        if let Some(value) = change.paused {
            let key = OverriddenKey { value, base: files.paused, set };
            after.paused = Some(key).filter(|it| it.value != it.base);
        }
        after.unless_empty()
    }

    /// This override as one for `node` only.
    #[must_use]
    pub fn for_node(mut self, node: Id) -> Self {
        self.origins_mut().for_each(|it| it.node = Some(node));
        self
    }

    /// This override over one for all nodes: the keys that this one leaves are those of `shared`.
    #[must_use]
    pub fn over(mut self, shared: Option<&Self>) -> Self {
        let Some(shared) = shared else { return self };
        self.size = self.size.or_else(|| shared.size.clone());
        self.paused = self.paused.or_else(|| shared.paused.clone());
        self
    }

    /// What a pool of which the files say `files` is under this override.
    pub fn in_force(&self, files: PoolInFiles) -> PoolInFiles {
        PoolInFiles {
            size: self.size.as_ref().map_or(files.size, |it| it.value),
            paused: self.paused.as_ref().map_or(files.paused, |it| it.value),
        }
    }

    /// The keys that are set.
    pub fn keys(&self) -> impl Iterator<Item = OverrideEntry<'_>> {
        let size = self.size.as_ref().map(|it| it.entry(OverrideKey::Size));
        let paused = self.paused.as_ref().map(|it| it.entry(OverrideKey::Paused));
        [size, paused].into_iter().flatten()
    }

    /// Who has set a key; `None` if it is as the file says.
    pub fn origin(&self, key: OverrideKey) -> Option<&OverrideOrigin> {
        match key {
            OverrideKey::Size => self.size.as_ref().map(|it| &it.set),
            OverrideKey::Paused => self.paused.as_ref().map(|it| &it.set),
        }
    }

    /// Who has paused the pool; `None` if no operator has.
    pub fn pause(&self) -> Option<&OverrideOrigin> {
        self.paused.as_ref().filter(|it| it.value).map(|it| &it.set)
    }

    /// Who has set the key that was set last.
    pub fn latest(&self) -> Option<&OverrideOrigin> {
        self.keys().map(|it| it.set).max_by_key(|it| it.at)
    }

    fn origins_mut(&mut self) -> impl Iterator<Item = &mut OverrideOrigin> {
        let size = self.size.as_mut().map(|it| &mut it.set);
        let paused = self.paused.as_mut().map(|it| &mut it.set);
        [size, paused].into_iter().flatten()
    }
}

impl<T: PartialEq + Copy + ToString> OverriddenKey<T> {
    /// Why it, set for `key`, no longer applies; `None` while it does.
    fn dropped(
        &self,
        key: OverrideKey,
        in_file: T,
        seen: Option<T>,
        now: Timestamp,
    ) -> Option<DroppedKey> {
        let is_over = self.set.expires_at.is_some_and(|at| at <= now);
        let cause = drop_cause(is_over, self.value, self.base, in_file, seen)?;
        Some(DroppedKey { key, value: self.value.to_string(), in_file: in_file.to_string(), cause })
    }

    fn entry(&self, key: OverrideKey) -> OverrideEntry<'_> {
        let (value, base) = (self.value.to_string(), self.base.to_string());
        OverrideEntry { key, value, base, set: &self.set }
    }
}

/// Why a key that was set to `set` no longer applies; `None` while it does.
fn drop_cause<T: PartialEq + Copy>(
    is_over: bool,
    set: T,
    base: T,
    in_file: T,
    seen: Option<T>,
) -> Option<DropCause> {
    let is_base = base == in_file;
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

impl PoolInFiles {
    /// The value of a key, as in a file.
    pub fn text_of(&self, key: OverrideKey) -> String {
        match key {
            OverrideKey::Size => self.size.to_string(),
            OverrideKey::Paused => self.paused.to_string(),
        }
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

/// The key as in a file, and until when: `size = 16 until 2026-01-18T14:03:11.120Z`.
impl fmt::Display for OverrideEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key.as_str(), self.value)?;
        match self.set.expires_at {
            Some(at) => write!(f, " until {at}"),
            None => Ok(()),
        }
    }
}

/// Who has set it, and why: `by dana: the provider is down`.
impl fmt::Display for OverrideOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.note {
            Some(note) => write!(f, "by {}: {note}", self.by),
            None => write!(f, "by {}", self.by),
        }
    }
}

/// The keys that it sets, as in a file, each until when.
impl fmt::Display for PoolOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys().map(|it| it.to_string()).collect();
        f.write_str(&keys.join(", "))
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
            (16, 8, 8, None, false, None),
            (16, 8, 8, Some(8), false, None),
            (16, 8, 8, None, true, Some(Expired)),
            (16, 8, 12, None, true, Some(Expired)),
            (16, 8, 12, None, false, Some(FileChanged)),
            (16, 8, 12, Some(8), false, Some(FileChanged)),
            (16, 8, 16, None, false, Some(EqualsFile)),
            // Another node was asked, and its file says 8.
            (16, 8, 4, Some(4), false, None),
            (16, 8, 16, Some(16), false, None),
            (16, 8, 8, Some(4), false, None),
            (16, 8, 5, Some(4), false, Some(FileChanged)),
        ] {
            let found = drop_cause(is_over, set, base, in_file, seen);
            assert_eq!(found, cause, "{set} {base} {in_file} {seen:?} {is_over}");
        }
    }

    /// Who, why, when and until when.
    fn said(origin: Option<&OverrideOrigin>) -> Option<(&str, Option<&str>, i64, Option<i64>)> {
        let millis = |it: Timestamp| it.millis_since(NOW);
        let of = |it: &'_ OverrideOrigin| (millis(it.at), it.expires_at.map(millis));
        let (at, until) = origin.map(of)?;
        origin.map(|it| (it.by.as_str(), it.note.as_deref(), at, until))
    }

    #[test]
    fn each_key_is_by_whom_why_and_until_when_its_own_change_says() {
        use OverrideKey::{Paused, Size};
        let by = |who: &str, note: Option<&str>, ms: Option<i64>, change: OverrideChange| {
            let note = note.map(str::to_owned);
            OverrideChange { by: who.to_owned(), note, expires_in_ms: ms, ..change }
        };
        let pause = |paused: bool| change(None, Some(paused));
        let size = |size: usize| change(Some(size), None);
        let of_dana = |change| by("dana", Some("down"), Some(60), change);
        let of_erin = |change| by("erin", None, None, change);
        let of_kim = |change| by("kim", Some("a flood"), None, change);
        let dana = Some(("dana", Some("down"), 0, Some(60)));
        let erin = Some(("erin", None, 5, None));
        let kim = Some(("kim", Some("a flood"), 5, None));
        let noted = Some(("dana", Some("a flood"), 0, Some(60)));
        let longer = Some(("dana", Some("down"), 0, Some(95)));
        let (both, none) = (change(Some(4), Some(true)), change(None, None));
        // The first change, the second 5 ms later; what is said then of `size` and of `paused`.
        for (first, second, of_size, of_paused) in [
            (of_dana(pause(true)), of_erin(size(4)), erin, dana),
            (of_dana(size(4)), of_erin(pause(true)), dana, erin),
            (of_dana(size(4)), of_kim(size(5)), kim, None),
            (of_dana(size(4)), of_kim(size(4)), kim, None),
            (of_dana(both.clone()), of_kim(pause(false)), dana, None),
            (of_dana(both.clone()), of_kim(size(8)), None, dana),
            (of_dana(both.clone()), of_erin(pause(true)), dana, erin),
            // One that names no key.
            (of_dana(pause(true)), of_kim(none.clone()), None, noted),
            (of_dana(both), by("kim", None, Some(90), none), longer, longer),
        ] {
            let before = PoolOverride::changed(None, "SELF_CHECK", &first, FILES, NOW);
            let later = NOW.plus_millis(5);
            let after = PoolOverride::changed(before, "SELF_CHECK", &second, FILES, later).unwrap();
            let found = [Size, Paused].map(|key| said(after.origin(key)));
            assert_eq!(found, [of_size, of_paused], "{first:?}, {second:?}");
        }
    }

    #[test]
    fn an_override_is_told_as_in_a_file_with_the_end_of_each_key() {
        let pause = OverrideChange { expires_in_ms: Some(60_000), ..change(None, Some(true)) };
        let both = PoolOverride::changed(set(Some(16), None), "SELF_CHECK", &pause, FILES, NOW);
        let both = both.unwrap();
        assert_eq!(both.to_string(), "size = 16, paused = true until 1970-01-01T00:17:40.000Z");
        assert_eq!(both.size.unwrap().base, 8);
    }

    #[test]
    fn each_key_ends_at_its_own_time() {
        let pause = OverrideChange { expires_in_ms: Some(10), ..change(None, Some(true)) };
        let both = PoolOverride::changed(set(Some(16), None), "SELF_CHECK", &pause, FILES, NOW);
        let later = NOW.plus_millis(10);
        let judged = both.unwrap().judge(FILES, SeenInFiles::default(), later);
        assert_eq!(judged.applies, set(Some(16), None));
        let dropped: Vec<String> = judged.dropped.iter().map(ToString::to_string).collect();
        assert_eq!(dropped, ["paused = true"]);
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
        let one = one.for_node(7);
        let over = one.clone().over(Some(&all));
        assert_eq!(over.to_string(), "size = 2, paused = true");
        let nodes: Vec<_> = over.keys().map(|it| it.set.node).collect();
        assert_eq!(nodes, [Some(7), None]);
        assert_eq!(one.clone().over(None), one);
    }

    fn files() -> impl Strategy<Value = PoolInFiles> {
        (1..6_usize, any::<bool>()).prop_map(|(size, paused)| PoolInFiles { size, paused })
    }

    fn origins() -> impl Strategy<Value = OverrideOrigin> {
        ("[a-c]", prop::option::of("[x-z]"), 0..10_i64, prop::option::of(0..10_i64)).prop_map(
            |(by, note, at, expires)| OverrideOrigin {
                by,
                note,
                at: NOW.plus_millis(at),
                expires_at: expires.map(|ms| NOW.plus_millis(ms)),
                node: None,
            },
        )
    }

    fn overrides() -> impl Strategy<Value = PoolOverride> {
        let size = (1..6_usize, 1..6_usize, origins());
        let paused = (any::<bool>(), any::<bool>(), origins());
        (prop::option::of(size), prop::option::of(paused)).prop_map(|(size, paused)| PoolOverride {
            kind: "SELF_CHECK".to_owned(),
            size: size.map(|(value, base, set)| OverriddenKey { value, base, set }),
            paused: paused.map(|(value, base, set)| OverriddenKey { value, base, set }),
        })
    }

    fn seen() -> impl Strategy<Value = SeenInFiles> {
        (prop::option::of(1..6_usize), prop::option::of(any::<bool>()))
            .prop_map(|(size, paused)| SeenInFiles { size, paused })
    }

    proptest! {
        #[test]
        fn each_key_that_is_set_applies_or_is_dropped(
            set in overrides(), files in files(), seen in seen(), ms in 0..10_i64,
        ) {
            let keys = set.keys().count();
            let judged = set.judge(files, seen, NOW.plus_millis(ms));
            let applying = judged.applies.as_ref().map_or(0, |it| it.keys().count());
            prop_assert_eq!(applying + judged.dropped.len(), keys);
            // What applies applies on.
            if let Some(applies) = judged.applies {
                let again = applies.clone().judge(files, seen, NOW.plus_millis(ms));
                prop_assert_eq!(again, JudgedOverride { applies: Some(applies), dropped: vec![] });
            }
        }

        #[test]
        fn the_other_key_changes_nothing(
            set in overrides(), other in overrides(), files in files(), paused in any::<bool>(),
            ms in 0..10_i64,
        ) {
            let now = NOW.plus_millis(ms);
            let size = |set: PoolOverride, files: PoolInFiles| {
                set.judge(files, SeenInFiles::default(), now).applies.and_then(|it| it.size)
            };
            let alone = size(set.clone(), files);
            prop_assert_eq!(&alone, &size(set.clone(), PoolInFiles { paused, ..files }));
            prop_assert_eq!(&alone, &size(PoolOverride { paused: other.paused, ..set }, files));
        }

        #[test]
        fn a_change_of_one_key_leaves_the_other_whole(
            before in overrides(), size in 1..6_usize, paused in any::<bool>(), files in files(),
            note in prop::option::of("[x-z]"), expires_in_ms in prop::option::of(1..10_i64),
        ) {
            let changed = |named: OverrideChange| {
                let change =
                    OverrideChange { note: note.clone(), expires_in_ms, ..named };
                PoolOverride::changed(
                    Some(before.clone()), "SELF_CHECK", &change, files, NOW.plus_millis(20),
                )
            };
            let resized = changed(change(Some(size), None));
            prop_assert_eq!(resized.and_then(|it| it.paused), before.paused.clone());
            let switched = changed(change(None, Some(paused)));
            prop_assert_eq!(switched.and_then(|it| it.size), before.size.clone());
        }

        #[test]
        fn what_was_just_set_applies_until_the_file_changes_that_key(
            size in 1..6_usize, paused in any::<bool>(), before in files(), after in files(),
        ) {
            let set = PoolOverride::changed(
                None, "SELF_CHECK", &change(Some(size), Some(paused)), before, NOW,
            );
            if let Some(set) = set {
                let applies = set.clone().judge(after, SeenInFiles::default(), NOW).applies;
                let size = applies.as_ref().and_then(|it| it.size.clone());
                prop_assert_eq!(size, set.size.filter(|_| after.size == before.size));
                let paused = applies.and_then(|it| it.paused);
                prop_assert_eq!(paused, set.paused.filter(|_| after.paused == before.paused));
            }
        }
    }
}
