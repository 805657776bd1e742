//! The weights, and what they say about a message.

use super::{
    features::{Features, VERSION},
    known_keys::KnownKeys,
    training::Weights,
};
use crate::domain::Sentiment;
use std::{borrow::Cow, sync::LazyLock};

/// How many classes there are.
pub(super) const CLASSES: usize = 12;

/// What a message may be: a tag, where opt-outs and everything else that is `Blacklist` are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Class {
    OptOut,
    OtherBlacklist,
    AutomatedReply,
    OutOfOffice,
    MeetingBooked,
    MeetingRequested,
    CallRequested,
    InformationRequested,
    FollowUp,
    NotInterested,
    Interested,
    Neutral,
}

impl Class {
    pub(super) fn of(tag: Sentiment, opt_out: bool) -> Self {
        match tag {
            Sentiment::Blacklist if opt_out => Self::OptOut,
            Sentiment::Blacklist => Self::OtherBlacklist,
            Sentiment::AutomatedReply => Self::AutomatedReply,
            Sentiment::OutOfOffice => Self::OutOfOffice,
            Sentiment::MeetingBooked => Self::MeetingBooked,
            Sentiment::MeetingRequested => Self::MeetingRequested,
            Sentiment::CallRequested => Self::CallRequested,
            Sentiment::InformationRequested => Self::InformationRequested,
            Sentiment::FollowUp => Self::FollowUp,
            Sentiment::NotInterested => Self::NotInterested,
            Sentiment::Interested => Self::Interested,
            Sentiment::Neutral => Self::Neutral,
        }
    }
}

/// The likelihood of each class by its logit. A `temperature` above 1 makes them more alike.
pub(super) fn likelihoods(logits: &[f32; CLASSES], temperature: f32) -> [f32; CLASSES] {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut all = logits.map(|logit| ((logit - most) / temperature).exp());
    let sum: f32 = all.iter().sum();
    for it in &mut all {
        *it /= sum;
    }
    all
}

/// What the weights of a file begin with.
const MARK: &[u8; 4] = b"PRW2";
/// The bytes of the hash of what the weights were learned from.
pub(super) const HASH_LEN: usize = 32;
/// The bytes before the keys of the features and their weights.
const HEAD_LEN: usize = 4 + 4 + HASH_LEN + 4 + 2 * 4 * CLASSES;

static COMPILED_IN: LazyLock<LearnedModel> = LazyLock::new(|| {
    LearnedModel::read(include_bytes!("weights.bin")).unwrap_or(LearnedModel::UNIFORM)
});

/// Learned weights, one byte each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LearnedModel {
    /// The hash of what they were learned from.
    pub(super) learned_from: [u8; HASH_LEN],
    /// The temperature at which its likelihoods are true: above 1, it is less sure than its weights
    /// say.
    temperature: f32,
    /// The bias of each class.
    bias: [f32; CLASSES],
    /// The largest weight of each class.
    largest: [f32; CLASSES],
    /// The features that have weights.
    known: KnownKeys,
    /// The weights: of each known feature, one for each class.
    of_feature: Cow<'static, [[u8; CLASSES]]>,
}

impl LearnedModel {
    /// A model that finds all classes equally likely.
    const UNIFORM: Self = Self {
        learned_from: [0; HASH_LEN],
        temperature: 1.0,
        bias: [0.0; CLASSES],
        largest: [0.0; CLASSES],
        known: KnownKeys::EMPTY,
        of_feature: Cow::Borrowed(&[]),
    };

    /// The model that is compiled in.
    pub(super) fn compiled_in() -> &'static Self {
        &COMPILED_IN
    }

    /// Rounds learned weights to a byte each.
    pub(super) fn of(weights: &Weights, temperature: f32, learned_from: [u8; HASH_LEN]) -> Self {
        let mut largest = [f32::MIN_POSITIVE; CLASSES];
        for feature in &weights.of_feature {
            for (largest, weight) in largest.iter_mut().zip(feature) {
                *largest = largest.max(weight.abs());
            }
        }
        let rounded = |feature: &[f32; CLASSES]| {
            let mut bytes = [0_u8; CLASSES];
            for ((byte, weight), largest) in bytes.iter_mut().zip(feature).zip(largest) {
                *byte = byte_of(weight / largest);
            }
            bytes
        };
        let of_feature = Cow::Owned(weights.of_feature.iter().map(rounded).collect());
        let (bias, known) = (weights.bias, weights.known.clone());
        Self { learned_from, temperature, bias, largest, known, of_feature }
    }

    /// Reads a file of weights; `None` if it is none, or one of other features.
    pub(super) fn read(file: &'static [u8]) -> Option<Self> {
        let (head, behind) = file.split_at_checked(HEAD_LEN)?;
        let (mark, head) = head.split_at_checked(4)?;
        let (version, head) = head.split_at_checked(4)?;
        let (hash, numbers) = head.split_at_checked(HASH_LEN)?;
        let (known, behind) = KnownKeys::read(behind)?;
        let (of_feature, rest) = behind.as_chunks();
        let is_ours = mark == MARK
            && version == VERSION.to_le_bytes()
            && of_feature.len() == known.count()
            && rest.is_empty();
        let mut numbers = numbers.chunks_exact(4).map(|it| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(it);
            f32::from_le_bytes(bytes)
        });
        let temperature = numbers.next()?;
        let mut of_classes = || {
            let mut all = [0.0; CLASSES];
            all.fill_with(|| numbers.next().unwrap_or_default());
            all
        };
        let (bias, largest) = (of_classes(), of_classes());
        let learned_from = hash.try_into().ok()?;
        let of_feature = Cow::Borrowed(of_feature);
        is_ours.then_some(Self { learned_from, temperature, bias, largest, known, of_feature })
    }

    /// The file of these weights.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut file = MARK.to_vec();
        file.extend(VERSION.to_le_bytes());
        file.extend(self.learned_from);
        let numbers = [self.temperature].into_iter().chain(self.bias).chain(self.largest);
        file.extend(numbers.flat_map(f32::to_le_bytes));
        file.extend(self.known.file());
        file.extend(self.of_feature.iter().flatten());
        file
    }

    /// The likelihood of each class.
    pub(super) fn likelihoods(&self, features: &Features) -> [f32; CLASSES] {
        let mut logits = self.bias;
        for (key, value) in features {
            let weights = self.known.place(*key).and_then(|place| self.of_feature.get(place));
            let Some(bytes) = weights else { continue };
            for ((logit, byte), largest) in logits.iter_mut().zip(bytes).zip(self.largest) {
                *logit += share_of(*byte) * largest * value;
            }
        }
        likelihoods(&logits, self.temperature)
    }
}

/// A number from -1 to 1 as a byte. Small numbers, which most are, keep more of their digits.
fn byte_of(share: f32) -> u8 {
    let size = (share.abs().sqrt() * 127.0).round() as i8;
    (if share < 0.0 { -size } else { size }).cast_unsigned()
}

/// The number of a byte.
fn share_of(byte: u8) -> f32 {
    let size = f32::from(byte.cast_signed()) / 127.0;
    size * size.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_keeps_a_weight_within_a_hundredth() {
        for share in [-1.0_f32, -0.5, -0.01, 0.0, 0.003, 0.2, 0.77, 1.0] {
            assert!((share_of(byte_of(share)) - share).abs() < 0.01, "{share}");
        }
    }

    #[test]
    fn a_file_that_is_not_of_these_features_is_refused() {
        assert_eq!(LearnedModel::read(b"PRW2"), None);
        assert_eq!(LearnedModel::read(&[0; HEAD_LEN + 2_000]), None);
        let file = include_bytes!("weights.bin");
        let model = LearnedModel::read(file).expect("weights of these features");
        assert!(file.len() <= 2 << 20, "{}", file.len());
        assert_eq!(model.file(), file);
    }
}
