//! Topics: what a stream of updates tells about.

use crate::{domain::Id, http::api::parse_id};
use std::{collections::BTreeSet, fmt};

/// The most jobs and leads that one stream follows.
pub(in crate::http) const IDS_MAX: usize = 100;

/// What a stream can tell about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::http) enum Topic {
    /// The counts and rates of the overview.
    Totals,
    /// The pools of this node.
    Pools,
    /// The actors of this node.
    Actors,
    /// The configuration that runs.
    Config,
    /// The drafts that wait for a person.
    Drafts,
    /// One lead.
    Lead(Id),
    /// One job.
    Job(Id),
}

/// Why a list of topics is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum WrongTopics {
    /// It is empty.
    None,
    /// There is no such topic.
    Unknown(String),
    /// It names more jobs and leads than [`IDS_MAX`].
    TooMany,
}

impl Topic {
    /// The topic with this name.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "totals" => Some(Self::Totals),
            "pools" => Some(Self::Pools),
            "actors" => Some(Self::Actors),
            "config" => Some(Self::Config),
            "drafts" => Some(Self::Drafts),
            name => match name.split_once('/')? {
                ("lead", id) => parse_id(id).map(Self::Lead),
                ("job", id) => parse_id(id).map(Self::Job),
                _ => None,
            },
        }
    }

    /// The topics with these names, each once.
    pub(in crate::http) fn all<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeSet<Self>, WrongTopics> {
        let parse =
            |name: &str| Self::parse(name).ok_or_else(|| WrongTopics::Unknown(name.to_owned()));
        let topics: BTreeSet<Self> = names.into_iter().map(parse).collect::<Result<_, _>>()?;
        match topics.iter().filter(|topic| topic.id().is_some()).count() {
            _ if topics.is_empty() => Err(WrongTopics::None),
            ids if ids > IDS_MAX => Err(WrongTopics::TooMany),
            _ => Ok(topics),
        }
    }

    /// The id of the lead or job.
    pub(in crate::http) const fn id(self) -> Option<Id> {
        match self {
            Self::Lead(id) | Self::Job(id) => Some(id),
            Self::Totals | Self::Pools | Self::Actors | Self::Config | Self::Drafts => None,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Totals => f.write_str("totals"),
            Self::Pools => f.write_str("pools"),
            Self::Actors => f.write_str("actors"),
            Self::Config => f.write_str("config"),
            Self::Drafts => f.write_str("drafts"),
            Self::Lead(id) => write!(f, "lead/{id}"),
            Self::Job(id) => write!(f, "job/{id}"),
        }
    }
}

impl fmt::Display for WrongTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KNOWN: &str = "known are totals, pools, actors, config, drafts, lead/ID and job/ID";
        match self {
            Self::None => write!(f, "name at least one topic; {KNOWN}"),
            Self::Unknown(name) => write!(f, "unknown topic `{name}`; {KNOWN}"),
            Self::TooMany => write!(f, "a stream follows at most {IDS_MAX} leads and jobs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_spelled_as_it_is_read() {
        for name in ["totals", "pools", "actors", "config", "drafts", "lead/7", "job/42"] {
            assert_eq!(Topic::parse(name).map(|it| it.to_string()).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_no_topic_is_refused_by_name() {
        for name in ["", "jobs", "job", "job/", "job/x", "job/-1", "job/1/2", "total", "lead/0"] {
            assert_eq!(Topic::all([name]), Err(WrongTopics::Unknown(name.to_owned())));
        }
        assert_eq!(Topic::all([]), Err(WrongTopics::None));
    }

    #[test]
    fn a_hundred_ids_are_followed_and_each_once() {
        let names = |count: usize| (1..=count).map(|id| format!("job/{id}")).collect::<Vec<_>>();
        let all =
            |names: &[String]| Topic::all(names.iter().map(String::as_str)).map(|it| it.len());
        assert_eq!(all(&names(IDS_MAX)), Ok(IDS_MAX));
        assert_eq!(all(&names(IDS_MAX + 1)), Err(WrongTopics::TooMany));
        assert_eq!(all(&["pools".to_owned(), "pools".to_owned()]), Ok(1));
    }
}
