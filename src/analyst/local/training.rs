//! Learns the weights from labelled replies: a linear model (softmax regression) by `AdaGrad`.
//!
//! The same replies give the same weights: there is one thread, no clock, and the order in which
//! replies are taken comes from a fixed number.

use super::{
    concepts::LEXICON,
    features::{Features, Input, KEY_BITS, VERSION, features},
    known_keys::KnownKeys,
    model::{CLASSES, Class, HASH_LEN, LearnedModel, likelihoods},
    phrase_tree::is_of_this_lexicon,
    tokens,
};
use crate::{
    analyst::replies::LabelledReply,
    domain::opt_out::{self, ReadText},
};
use sha2::{Digest, Sha256};

/// How often all replies are gone through.
const EPOCHS: usize = 16;
/// How many models are learned, each in another order. The weights are their mean.
pub(super) const ENSEMBLE: usize = 3;
/// The step of learning.
const LEARNING_RATE: f32 = 0.2;
/// How much of each weight decays at a step.
const WEIGHT_DECAY: f32 = 0.000_02;
/// The parts into which the replies are divided to measure how sure the model may be.
pub(super) const FOLDS: usize = 5;
/// Replies that stand together are often of one kind: so many are left out together.
const NEIGHBOURS: usize = 3;
/// The temperatures of which the best is taken.
const TEMPERATURES: [f32; 8] = [0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5];

/// Features of fewer replies get no weight: they say little, and each costs 14 bytes.
const REPLIES_MIN: u32 = 2;
/// The most features that get weights: as many as 2 MiB hold. The rarest ones are left out.
const FEATURES_MAX: usize = 149_000;

/// A labelled reply, as it is learned.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub(super) features: Features,
    pub(super) class: Class,
}

impl Example {
    pub(super) fn of(reply: &LabelledReply) -> Self {
        let subject = reply.subject.as_deref();
        let text = ReadText::of(tokens::beginning(&reply.text));
        let input = Input { subject, text: &text, sentences: &tokens::sentences_of(&text) };
        Self { features: features(&input), class: Class::of(reply.tag, reply.opt_out) }
    }
}

/// The file of the weights that are learned from `replies`, to be compiled in. `None` if the
/// phrases that are compiled in are not those of the lexicon: what they teach is no longer so.
pub fn weights_of(replies: &[LabelledReply]) -> Option<Vec<u8>> {
    is_of_this_lexicon().then(|| model_of(replies).file())
}

fn model_of(replies: &[LabelledReply]) -> LearnedModel {
    let examples: Vec<Example> = replies.iter().map(Example::of).collect();
    let weights = learn(&examples.iter().collect::<Vec<_>>(), ENSEMBLE);
    LearnedModel::of(&weights, temperature(&examples), learned_from(replies))
}

/// The hash of all that weights depend on: the replies, the lexicon, the signs of opt-outs, and the
/// version of features.
pub(super) fn learned_from(replies: &[LabelledReply]) -> [u8; HASH_LEN] {
    let mut hash = Sha256::new();
    hash.update(VERSION.to_le_bytes());
    hash.update(opt_out::texts_of_signs());
    for (lang, phrases) in LEXICON {
        hash.update(lang);
        hash.update(phrases);
    }
    for reply in replies {
        let of_reply = (&reply.text, &reply.subject, reply.tag, reply.opt_out);
        hash.update(format!("{of_reply:?}"));
    }
    hash.finalize().into()
}

/// The temperature at which the likelihoods of unseen replies are what they say. Each part of the
/// replies is judged by weights that were learned from the others.
fn temperature(examples: &[Example]) -> f32 {
    let fold = |at: usize| (at / NEIGHBOURS) % FOLDS;
    let mut log_loss = [0.0_f64; TEMPERATURES.len()];
    for left_out in 0..FOLDS {
        let is_in = |(at, _): &(usize, &Example)| fold(*at) != left_out;
        let (others, part): (Vec<_>, Vec<_>) = examples.iter().enumerate().partition(is_in);
        let others: Vec<&Example> = others.into_iter().map(|(_, it)| it).collect();
        let weights = learn(&others, ENSEMBLE);
        for (_, example) in part {
            let logits = weights.logits(&weights.placed(&example.features));
            for (sum, temperature) in log_loss.iter_mut().zip(TEMPERATURES) {
                let likely = likelihoods(&logits, temperature);
                let of_true = likely.get(example.class as usize).copied().unwrap_or_default();
                *sum -= f64::from(of_true.max(1e-6)).ln();
            }
        }
    }
    let best = log_loss.iter().zip(TEMPERATURES).min_by(|a, b| a.0.total_cmp(b.0));
    best.map_or(1.0, |(_, temperature)| temperature)
}

/// The features of `examples` that get weights.
fn known_keys(examples: &[&Example]) -> KnownKeys {
    let mut replies = vec![0_u32; 1 << KEY_BITS];
    for (key, _) in examples.iter().flat_map(|it| &it.features) {
        if let Some(count) = replies.get_mut(*key as usize) {
            *count += 1;
        }
    }
    let mut least = REPLIES_MIN;
    while replies.iter().filter(|it| **it >= least).count() > FEATURES_MAX {
        least += 1;
    }
    // Of the rarest that may be known, the first ones fill what is left.
    let mut left = FEATURES_MAX - replies.iter().filter(|it| **it >= least).count();
    let is_rare = |count: u32| count >= REPLIES_MIN && count + 1 == least;
    let mut keys = Vec::with_capacity(FEATURES_MAX);
    for (key, count) in (0_u32..).zip(replies) {
        if count >= least {
            keys.push(key);
        } else if is_rare(count) && left > 0 {
            left -= 1;
            keys.push(key);
        }
    }
    KnownKeys::of(&keys)
}

/// Weights before they are rounded: of each known feature, one for each class.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub(super) known: KnownKeys,
    pub(super) of_feature: Vec<[f32; CLASSES]>,
    pub(super) bias: [f32; CLASSES],
}

impl Weights {
    fn all(known: KnownKeys, value: f32) -> Self {
        let of_feature = vec![[value; CLASSES]; known.count()];
        Self { known, of_feature, bias: [value; CLASSES] }
    }

    /// The features that are known, by their places.
    fn placed(&self, features: &Features) -> Features {
        let place = |key| self.known.place(key).map(|place| place as u32);
        features.iter().filter_map(|(key, value)| Some((place(*key)?, *value))).collect()
    }

    /// The logit of each class, by features of which the places are known.
    fn logits(&self, placed: &Features) -> [f32; CLASSES] {
        let mut logits = self.bias;
        for (place, value) in placed {
            let Some(weights) = self.of_feature.get(*place as usize) else { continue };
            for (score, weight) in logits.iter_mut().zip(weights) {
                *score += weight * value;
            }
        }
        logits
    }
}

/// The weights that tell the classes of `examples` best.
pub(super) fn learn(examples: &[&Example], ensemble: usize) -> Weights {
    let mut mean = Weights::all(known_keys(examples), 0.0);
    let placed: Vec<Example> = examples
        .iter()
        .map(|it| Example { features: mean.placed(&it.features), class: it.class })
        .collect();
    let share = 1.0 / ensemble as f32;
    let mut order = Order::new();
    for _ in 0..ensemble {
        let learned = learn_once(&placed, &mean.known, &mut order);
        for (sum, one) in mean.of_feature.iter_mut().zip(&learned.of_feature) {
            add(sum, one, share);
        }
        add(&mut mean.bias, &learned.bias, share);
    }
    mean
}

fn add(sum: &mut [f32; CLASSES], one: &[f32; CLASSES], share: f32) {
    for (sum, one) in sum.iter_mut().zip(one) {
        *sum += one * share;
    }
}

/// `examples` have the places of their features among those that are `known`.
fn learn_once(examples: &[Example], known: &KnownKeys, order: &mut Order) -> Weights {
    let mut weights = Weights::all(known.clone(), 0.0);
    let mut squares = Weights::all(known.clone(), 1e-6);
    let mut shuffled: Vec<&Example> = examples.iter().collect();
    for _ in 0..EPOCHS {
        order.shuffle(&mut shuffled);
        for example in &shuffled {
            let mut residuals = likelihoods(&weights.logits(&example.features), 1.0);
            for (class, residual) in residuals.iter_mut().enumerate() {
                *residual -= f32::from(u8::from(class == example.class as usize));
            }
            step(&mut weights.bias, &mut squares.bias, &residuals, 1.0, 0.0);
            for (place, value) in &example.features {
                let place = *place as usize;
                if let (Some(weights), Some(squares)) =
                    (weights.of_feature.get_mut(place), squares.of_feature.get_mut(place))
                {
                    step(weights, squares, &residuals, *value, WEIGHT_DECAY);
                }
            }
        }
    }
    weights
}

/// One step of `AdaGrad`: the more a weight has moved, the less it moves.
fn step(
    weights: &mut [f32; CLASSES],
    squares: &mut [f32; CLASSES],
    residuals: &[f32; CLASSES],
    value: f32,
    decay: f32,
) {
    for ((weight, square), residual) in weights.iter_mut().zip(squares).zip(residuals) {
        let gradient = residual * value + decay * *weight;
        *square += gradient * gradient;
        *weight -= LEARNING_RATE * gradient / square.sqrt();
    }
}

/// The order in which replies are taken: pseudo-random and always the same.
struct Order(u64);

impl Order {
    const fn new() -> Self {
        Self(88_172_645_463_325_252)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            items.swap(last, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::replies;
    use std::{fs, path::Path};

    fn replies() -> Vec<LabelledReply> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replies/train");
        let entries = fs::read_dir(directory).expect("the directory of the labelled replies");
        let mut files: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
        files.retain(|it| it.extension().is_some_and(|it| it == "jsonl"));
        files.sort();
        let read = |file| replies::read(&fs::read_to_string(file).expect("a file of replies"));
        files.iter().flat_map(|file| read(file).expect("labelled replies")).collect()
    }

    #[test]
    fn the_weights_belong_to_the_replies_the_lexicon_and_the_features() {
        assert!(
            LearnedModel::compiled_in().learned_from == learned_from(&replies()),
            "run `cargo run --release -- analyst train`, build again, and write docs/UNDERSTANDING.md"
        );
    }

    #[test]
    fn the_same_replies_give_the_same_weights() {
        let some: Vec<Example> = replies().iter().step_by(97).map(Example::of).collect();
        let some: Vec<&Example> = some.iter().collect();
        let [first, second] =
            [(), ()].map(|()| LearnedModel::of(&learn(&some, 2), 1.0, [0; HASH_LEN]));
        assert!(first == second, "training depends on more than the replies");
        let right = some.iter().filter(|it| {
            let likely = first.likelihoods(&it.features);
            likely.get(it.class as usize).is_some_and(|likely| *likely > 0.5)
        });
        assert!(right.count() * 10 > some.len() * 9, "what was learned is not known");
    }
}
