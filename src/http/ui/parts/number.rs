//! Numbers. A zero recedes, so that the others stand out.

use maud::{Markup, html};

/// A count, with commas between thousands.
pub(in crate::http::ui) fn number(count: i64) -> Markup {
    if count == 0 {
        return html! { span.z { "0" } };
    }
    html! { (spelled(count)) }
}

/// The same of another type of counts: `usize`, `u64`.
pub(in crate::http::ui) fn number_of(count: impl TryInto<i64>) -> Markup {
    number(count.try_into().unwrap_or(i64::MAX))
}

/// How many of a hundred `part` is of `all`; `None` if there are none.
pub(in crate::http::ui) fn percent(part: usize, all: usize) -> Option<usize> {
    (part * 100 + all / 2).checked_div(all)
}

/// A rate: `8.4/s`.
pub(in crate::http::ui) fn per_second(rate: f64) -> Markup {
    // What would be shown as 0.0 counts as zero.
    if rate < 0.05 {
        html! { span.z { "0.0" } }
    } else {
        html! { (format!("{rate:.1}")) }
    }
}

/// Two values of one cell that belong together: the second is smaller and grey.
pub(in crate::http::ui) fn two(first: impl maud::Render, second: impl maud::Render) -> Markup {
    html! { (first) span.sub { (second) } }
}

/// With commas between thousands.
pub(super) fn spelled(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if count < 0 {
        text.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        for (count, text) in [
            (7, "7"),
            (999, "999"),
            (1_000, "1,000"),
            (-12_345, "−12,345"),
            (1_204_118, "1,204,118"),
            (i64::MIN, "−9,223,372,036,854,775,808"),
        ] {
            assert_eq!(spelled(count), text);
        }
        assert_eq!(number(0).into_string(), "<span class=\"z\">0</span>");
        assert_eq!(number_of(1_000_usize).into_string(), "1,000");
        assert!(per_second(0.04).into_string().contains("0.0"));
        assert_eq!(per_second(8.44).into_string(), "8.4");
    }

    #[test]
    fn a_share_is_a_whole_number_of_a_hundred() {
        let shares = [(0, 0), (0, 3), (2, 3), (3, 3)].map(|(part, all)| percent(part, all));
        assert_eq!(shares, [None, Some(0), Some(67), Some(100)]);
    }
}
