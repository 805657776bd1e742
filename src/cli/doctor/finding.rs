//! What the doctor finds, and how it is printed.

use crate::cli::output::line;
use serde_json::{Value, json};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// Nothing needs to be done.
    Ok,
    /// The daemon works, but not as it should, or not for long.
    Warn,
    /// The daemon does not start, does not work, or can lose data.
    Bad,
}

impl Grade {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// One line of the doctor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The thing that was looked at.
    pub(super) check: &'static str,
    pub(super) grade: Grade,
    /// How it is.
    pub(super) found: String,
    /// What to do about it; empty if it is well.
    pub(super) mend: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, grade: Grade::Ok, found: found.into(), mend: String::new() }
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, grade: Grade::Warn, found: found.into(), mend: mend.into() }
    }

    pub(super) fn bad(
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { check, grade: Grade::Bad, found: found.into(), mend: mend.into() }
    }
}

/// The worst of all.
pub(super) fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Ok)
}

/// A line each: the grade, the thing, how it is, and what to do.
pub(super) fn lines(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let text = |finding: &Finding| {
        let Finding { check, grade, found, mend } = finding;
        let (found, mend) = (line(found), line(mend));
        let arrow = if mend.is_empty() { "" } else { ": " };
        format!("{:<4}  {check:<width$}  {found}{arrow}{mend}", grade.as_str())
    };
    findings.iter().map(text).collect::<Vec<_>>().join("\n")
}

pub(super) fn document(findings: &[Finding]) -> Value {
    let item = |finding: &Finding| {
        let mend = Some(&finding.mend).filter(|it| !it.is_empty());
        json!({
            "check": finding.check,
            "grade": finding.grade.as_str(),
            "found": finding.found,
            "mend": mend,
        })
    };
    json!({"grade": worst(findings).as_str(), "items": findings.iter().map(item).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_what_to_do() {
        let findings = [
            Finding::ok("clock", "12 ms apart"),
            Finding::bad("open files", "at most 64", "raise\nit"),
            Finding::warn("token", "none", "make one"),
        ];
        assert_eq!(
            lines(&findings),
            "ok    clock       12 ms apart\nbad   open files  at most 64: raise it\nwarn  token       none: make one"
        );
        assert_eq!(worst(&findings), Grade::Bad);
        assert_eq!(worst(&findings[..1]), Grade::Ok);
        assert_eq!(worst(&[]), Grade::Ok);
        let document = document(&findings);
        assert_eq!(document.get("grade"), Some(&json!("bad")));
        let item = json!({"check": "clock", "grade": "ok", "found": "12 ms apart", "mend": null});
        assert_eq!(document.pointer("/items/0"), Some(&item));
    }
}
