//! The part of the work that a process takes on.

use std::str::FromStr;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// It takes webhooks and works on jobs.
    #[default]
    All,
    /// It takes webhooks and works on no jobs.
    Ingest,
    /// It works on jobs and takes no webhooks.
    Worker,
}

impl Role {
    /// As given on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingest => "ingest",
            Self::Worker => "worker",
        }
    }

    /// True if it takes webhooks.
    pub const fn takes_webhooks(self) -> bool {
        matches!(self, Self::All | Self::Ingest)
    }

    /// True if it works jobs off.
    pub const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::All, Self::Ingest, Self::Worker]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no role: use `all`, `ingest` or `worker`"))
    }
}
