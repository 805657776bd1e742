//! The span that a job was made in, as it is stored with the job.

use std::fmt;

/// A span: the trace that it is a part of, and its own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TracePoint {
    /// The id of the trace.
    pub trace_id: u128,
    /// The id of the span.
    pub span_id: u64,
}

/// What stands between the making of a job and its run. Whatever waits for a clock or a person is a
/// trace of its own, linked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// Nothing: the job was due at once, and its run is a part of the same trace.
    None,
    /// A clock: the job was due later.
    Delayed,
    /// A person, who approved what the job sends.
    Approved,
    /// A failed attempt, or a person who had a job run again that had ended.
    Retry,
    /// A person, who had a held webhook taken again.
    Replayed,
}

impl TracePoint {
    /// The id of the trace, as tools spell it.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Reads a header `traceparent` of the W3C, version 00; `None` if it is none.
    pub fn of_header(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let (trace_id, span_id) =
            (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let is_well = version == "00" && (trace.len(), span.len()) == (32, 16);
        (is_well && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id })
    }
}

impl Hop {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::None, Self::Delayed, Self::Approved, Self::Retry, Self::Replayed];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Delayed => "delayed",
            Self::Approved => "approved",
            Self::Retry => "retry",
            Self::Replayed => "replayed",
        }
    }
}

/// The creation context of a job: the span that made it, and what stands in between.
///
/// It is stored only if that span is recorded, as text: the two ids in hexadecimal digits and the
/// hop, with dashes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobTrace {
    /// The span.
    pub made_in: TracePoint,
    /// What stands in between.
    pub hop: Hop,
}

impl JobTrace {
    /// Reads the text of [`fmt::Display`]; `None` if it is another one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let trace_id = u128::from_str_radix(parts.next()?, 16).ok()?;
        let span_id = u64::from_str_radix(parts.next()?, 16).ok()?;
        let word = parts.next()?;
        let hop = Hop::ALL.into_iter().find(|hop| hop.as_str() == word)?;
        Some(Self { made_in: TracePoint { trace_id, span_id }, hop })
    }

    /// This, for a job that is due after so many milliseconds.
    #[must_use]
    pub fn after(self, delay_ms: i64) -> Self {
        let is_delayed = delay_ms > 0 && self.hop == Hop::None;
        Self { hop: if is_delayed { Hop::Delayed } else { self.hop }, ..self }
    }
}

impl fmt::Display for TracePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:016x}", self.trace_id, self.span_id)
    }
}

impl fmt::Display for JobTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.made_in, self.hop.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_and_nothing_else() {
        let made_in = TracePoint { trace_id: 7 << 100, span_id: 9 };
        for hop in Hop::ALL {
            let trace = JobTrace { made_in, hop };
            assert_eq!(JobTrace::parse(&trace.to_string()), Some(trace));
        }
        for text in ["", "7", "7-9", "7-9-soon", "x-9-none", "7--none"] {
            assert_eq!(JobTrace::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_header_names_a_span_or_nothing() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span_id = TracePoint::of_header(good).map(|it| it.span_id);
        assert_eq!(span_id, Some(0x00f0_67aa_0ba9_02b7));
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for text in ["", "00", &good.replacen("00", "ff", 1), zero, "00-1-2-01"] {
            assert_eq!(TracePoint::of_header(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_stands_between_only_if_nothing_else_does() {
        let made_in = TracePoint { trace_id: 1, span_id: 2 };
        let after = |hop, ms| JobTrace { made_in, hop }.after(ms).hop;
        assert_eq!(after(Hop::None, 0), Hop::None);
        assert_eq!(after(Hop::None, 1), Hop::Delayed);
        assert_eq!(after(Hop::Approved, 1), Hop::Approved);
    }
}
