//! The colours of states, as the style sheet has them: any two are told apart, also by readers who
//! lack one kind of cones.

use super::{super::parts::Tone, STYLE};

/// The least distance of two colours of states, as the ΔE of CIE 1976. A ΔE of 2.3 is just seen.
const DISTANCE_MIN: f64 = 15.0;

/// Red, green and blue, or lightness, a and b.
type Colour = [f64; 3];
type Matrix = [Colour; 3];

/// How readers see red, green and blue in linear light: those with all cones, and those who lack
/// the cones for long, middle and short waves. By Machado, Oliveira and Fernandes (2009), "A
/// Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.0.
const READERS: [(&str, Matrix); 4] = [
    ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    ),
    (
        "deuteranopia",
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ),
    (
        "tritanopia",
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ),
];

/// From red, green and blue of sRGB in linear light to X, Y and Z, which are divided by those of
/// white (D65).
const TO_XYZ: Matrix = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
];
const WHITE: Colour = [0.95047, 1.0, 1.08883];

fn times(matrix: &Matrix, colour: Colour) -> Colour {
    matrix.map(|row| row.iter().zip(colour).map(|(share, part)| share * part).sum())
}

/// The linear light of a colour in the spelling `#1A2B3C`.
fn light(hex: &str) -> Colour {
    let digits = hex.strip_prefix('#').filter(|it| it.len() == 6);
    let digits = digits.unwrap_or_else(|| panic!("{hex}: expected a colour such as `#1A2B3C`"));
    let number = u32::from_str_radix(digits, 16).expect("six hexadecimal digits");
    [16, 8, 0].map(|shift| {
        let value = f64::from((number >> shift) & 0xFF) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    })
}

/// What a reader sees. No screen shows more or less light than it has.
fn seen(reader: &Matrix, light: Colour) -> Colour {
    times(reader, light).map(|it| it.clamp(0.0, 1.0))
}

/// Lightness, a and b (CIELAB).
fn lab(light: Colour) -> Colour {
    let [x, y, z] = times(&TO_XYZ, light);
    let [x, y, z] = [x / WHITE[0], y / WHITE[1], z / WHITE[2]].map(|it| {
        if it > 216.0 / 24_389.0 { it.cbrt() } else { (24_389.0 / 27.0 * it + 16.0) / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// How far apart a reader sees two colours.
fn distance(reader: &Matrix, one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(|it| lab(seen(reader, light(it))));
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

/// What stands between `start`, which is there once, and the next `end`.
#[track_caller]
fn between<'a>(style: &'a str, start: &str, end: char) -> &'a str {
    assert_eq!(style.matches(start).count(), 1, "how many times the style has `{start}`");
    style.split_once(start).and_then(|it| it.1.split_once(end)).expect("it ends").0
}

/// The colours of a tone in the light theme and in the dark one.
fn colours_of(style: &str, tone: Tone) -> [&str; 2] {
    let name = between(style, &format!(".{}{{--c:var(", tone.class()), ')');
    let both = between(style, &format!("{name}:"), ')');
    let both = both.strip_prefix("light-dark(").and_then(|it| it.split_once(','));
    both.unwrap_or_else(|| panic!("`{name}` has no colour for each theme")).into()
}

#[test]
fn any_two_colours_of_states_are_told_apart_by_all_readers() {
    let style = std::str::from_utf8(&STYLE.bytes).unwrap();
    let colours = Tone::ALL.map(|tone| (tone, colours_of(style, tone)));
    let (mut alike, mut pairs) = (Vec::new(), 0);
    for (number, (tone, ours)) in colours.iter().enumerate() {
        for (other_tone, theirs) in &colours[number + 1..] {
            pairs += 1;
            for (theme, (one, other)) in ["light", "dark"].iter().zip(ours.iter().zip(theirs)) {
                for (reader, matrix) in &READERS {
                    let distance = distance(matrix, one, other);
                    if distance < DISTANCE_MIN {
                        let pair = format!("{tone:?} {one} and {other_tone:?} {other}");
                        alike.push(format!("{pair}, {theme}, {reader}: {distance:.1}"));
                    }
                }
            }
        }
    }
    assert_eq!(pairs, 15);
    assert!(alike.is_empty(), "less than {DISTANCE_MIN} apart: {alike:#?}");
}

#[test]
fn known_colours_are_as_far_apart_as_known() {
    for (hex, known) in [
        ("#FFFFFF", [100.0, 0.0, 0.0]),
        ("#FF0000", [53.24, 80.09, 67.20]),
        ("#00FF00", [87.73, -86.18, 83.18]),
        ("#0000FF", [32.30, 79.19, -107.86]),
    ] {
        let lab = lab(light(hex));
        assert!(
            lab.iter().zip(known).all(|(it, known)| (it - known).abs() < 0.01),
            "{hex}: {lab:?}"
        );
    }
    // Without the cones for long or for middle waves, red and green come nearer; without those for
    // short waves, green and blue do.
    let known = [[170.57, 258.68], [65.87, 190.29], [27.75, 187.99], [153.24, 71.51]];
    for ((reader, matrix), [to_red, to_blue]) in READERS.iter().zip(known) {
        for (other, known) in [("#FF0000", to_red), ("#0000FF", to_blue)] {
            let distance = distance(matrix, "#00FF00", other);
            assert!((distance - known).abs() < 0.01, "{reader}: green and {other}: {distance}");
        }
    }
}

#[test]
fn a_grey_is_the_same_grey_to_all_readers() {
    for hex in ["#000000", "#1A1A1A", "#808080", "#FFFFFF"] {
        for (reader, matrix) in &READERS {
            let [grey, seen] = [light(hex), seen(matrix, light(hex))].map(lab);
            let is_same = grey.iter().zip(seen).all(|(grey, seen)| (grey - seen).abs() < 0.01);
            assert!(is_same, "{reader}: {hex} is seen as {seen:?}");
        }
    }
}
