//! The parts of which pages are made. A part escapes what it is given, and needs no style of its
//! page.

mod address;
mod chart;
mod chips;
mod dialog;
mod form;
mod id;
mod live;
mod mark;
mod note;
mod number;
mod sign;
mod table;
mod text;
mod when;

pub(super) use self::{
    address::{MOUNT, Mount, at, link_outside, with_query},
    chart::{Axis, Chart, ChartLine, LineStyle, as_count, bar, mini_bars, numbers},
    chips::{Chip, Segment, chips, segments},
    dialog::dialog,
    form::{ButtonLook, button, choice, field, hidden_input, link_button, post_form},
    id::{id, id_link, trace_link},
    live::{live, live_count},
    mark::{StateMark, Tone},
    note::{banner, command, copy_button, empty, new_rows, note, nothing_back_to, older},
    number::{number, number_of, per_second, percent, two},
    sign::Sign,
    table::{Column, PageTable, ROWS, TableRow},
    text::{TEXT_CHARS_MAX, long_text, old_and_new, one_line, outside},
    when::{ago, clock, duration, since},
};

#[cfg(test)]
pub(super) use self::mark::assert_told_apart;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use maud::{Markup, Render as _, html};

    /// What every part makes of a text from outside.
    fn all(text: &str) -> Vec<Markup> {
        let at = Timestamp::from_millis(0);
        let values = [1.0, f64::NAN];
        let line = ChartLine { name: text, values: &values, style: LineStyle::First };
        let axis = Axis { from: at, to: at.plus_millis(60_000) };
        let chart = Chart {
            title: text,
            key: "a",
            axis,
            lines: vec![line],
            spell: as_count,
            is_stacked: true,
        };
        let chip =
            Chip { mark: StateMark::DUE, count: Some(7), is_on: true, href: with_query(text, []) };
        let segment = Segment { word: text, is_on: false, href: with_query("/", [("q", text)]) };
        let row =
            TableRow::new([html! { (outside(text)) }]).selectable("job", text, text).keyed(text);
        vec![
            outside(text),
            one_line(text, 90),
            long_text(text, Some(&with_query("/", [("q", text)]))),
            link_outside(text, text),
            id(text),
            id_link("/jobs", text),
            numbers(std::slice::from_ref(&chart), at),
            chart.render(),
            chips(text, &[chip]),
            segments(text, &[segment]),
            PageTable::new(text, [Column::new("a")]).rows([row]).render(),
            note(Tone::Bad, text, text, Some(link_button(&at_path(text), text))),
            banner(text, text),
            empty(text, text),
            nothing_back_to(at, at, &at_path(text)),
            command(text),
            copy_button(text, text),
            new_rows(&at_path(text)),
            older(Some(&at_path(text)), text),
            dialog(text, &at_path(text), text, text),
            post_form(
                "/jobs",
                html! { (hidden_input(text, text)) (button(ButtonLook::Danger, text)) },
            ),
            field(text, text, text, text, Some(text)),
            choice(text, text, text, [(text, text)]),
            live(text, text).text(Some(text)),
            live(text, text).whole(text),
        ]
    }

    fn at_path(text: &str) -> String {
        at(format!("/{text}"))
    }

    #[test]
    fn no_part_lets_a_text_from_outside_become_markup() {
        let hostile =
            "\"><script>alert(1)</script><img src=x onerror=alert(1)>'<svg/onload=alert(1)>";
        for part in all(hostile) {
            let html = part.into_string();
            assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
            assert!(!html.contains("<svg/") && !html.contains("'<"), "{html}");
        }
    }
}
