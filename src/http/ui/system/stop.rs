//! What a stop of this node would cut off: whether it may be restarted.

use crate::http::{
    api::{SENDING_MAX, StopJson},
    ui::{
        parts::{
            Column, PageTable, Sign, StateMark, TableRow, Tone, ago, duration, id_link, number_of,
            since,
        },
        visit::Visit,
    },
};
use maud::{Markup, html};

/// The jobs that run here, against the time that a stop waits, and the sends on the wire, if they
/// were counted.
pub(super) fn section(visit: &Visit, stop: &StopJson, sending: Option<usize>) -> Markup {
    let waits = duration(i64::try_from(stop.timeout_ms).unwrap_or(i64::MAX));
    html! {
        section.sec aria-labelledby="stop" {
            h2 #stop { "If this node is stopped now" }
            p.ut { (mark(stop)) " " (sentence(stop, &waits)) }
            p.ut { (on_the_wire(visit, sending)) }
            @if !stop.jobs.is_empty() { (table(visit, stop)) }
            @if stop.running > stop.jobs.len() {
                p.sm.mut.ut { (stop.running - stop.jobs.len()) " more run, for less long." }
            }
        }
    }
}

fn mark(stop: &StopJson) -> StateMark {
    match (stop.running, stop.may_be_cut_off) {
        (0, _) => StateMark::new(Tone::Good, Sign::Ok, "nothing runs"),
        (_, 0) => StateMark::new(Tone::Good, Sign::Ok, "all ends in time"),
        _ => StateMark::new(Tone::Warn, Sign::Warn, "may cut off"),
    }
}

fn sentence(stop: &StopJson, waits: &str) -> String {
    let jobs = |count: usize| {
        if count == 1 { "1 job runs".to_owned() } else { format!("{count} jobs run") }
    };
    match (stop.running, stop.may_be_cut_off) {
        (0, _) => "No job runs here: it ends at once.".to_owned(),
        (running, 0) => format!(
            "{} here. A stop waits {waits}, and by the time-out of its kind each ends sooner.",
            jobs(running)
        ),
        (running, late) => format!(
            "{} here. A stop waits {waits} for what runs; {} may by the time-out take longer. What is cut \
             off has used an attempt and is tried again at once.",
            jobs(running),
            if late == running { "each".to_owned() } else { late.to_string() }
        ),
    }
}

/// How many sends are on the wire, on all nodes.
fn on_the_wire(visit: &Visit, sending: Option<usize>) -> Markup {
    let Some(count) = sending else {
        return html! { span.z { "How many sends are on the wire is not known now." } };
    };
    let list = visit.to_with("/deliveries", &[("status", "sending"), ("client", "")]);
    html! {
        @if count == 0 { "No send is on the wire, on any node." }
        @else {
            a href=(list) {
                (number_of(count)) @if count >= SENDING_MAX { "+" }
                @if count == 1 { " send is" } @else { " sends are" } " on the wire"
            }
            ", on all nodes together. One that is cut off there becomes uncertain, and is not sent twice."
        }
    }
}

fn table(visit: &Visit, stop: &StopJson) -> Markup {
    let columns = [
        Column::new("job"),
        Column::new("kind").below(),
        Column::number("has run for").beside(),
        Column::number("ends at the latest"),
        Column::new("at a stop"),
    ];
    let rows = stop.jobs.iter().map(|job| {
        TableRow::new([
            id_link("/jobs", job.job_id.0),
            html! { span.mono { (job.kind) } },
            since(job.since, visit.now),
            ago(job.until, visit.now),
            if job.may_be_cut_off {
                StateMark::new(Tone::Warn, Sign::Warn, "may be cut off").badge()
            } else {
                StateMark::new(Tone::Good, Sign::Ok, "ends in time").quiet()
            },
        ])
        .keyed(job.job_id.0)
    });
    html! { (PageTable::new("Jobs that run on this node", columns).rows(rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(running: usize, may_be_cut_off: usize) -> StopJson {
        StopJson { timeout_ms: 30_000, running, may_be_cut_off, jobs: Vec::new() }
    }

    #[test]
    fn a_stop_says_what_it_waits_for() {
        for (running, late, word, says) in [
            (0, 0, "nothing runs", "No job runs here: it ends at once."),
            (1, 0, "all ends in time", "1 job runs here. A stop waits 30 s"),
            (3, 2, "may cut off", "3 jobs run here. A stop waits 30 s for what runs; 2 may"),
            (3, 3, "may cut off", "for what runs; each may"),
        ] {
            let met = stop(running, late);
            assert_eq!(mark(&met).word, word);
            assert!(sentence(&met, "30 s").contains(says), "{}", sentence(&met, "30 s"));
        }
    }
}
