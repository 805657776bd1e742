//! Signs: small drawings beside a word. They lie in one file, so that a page names them only.

use super::address::mounted;
use crate::http::ui::assets;
use maud::{Markup, Render, html};

/// A sign of `assets/signs.svg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::ui) enum Sign {
    Actors,
    Behind,
    Cancelled,
    Chevron,
    Claimed,
    Clients,
    Config,
    Copy,
    Dot,
    Due,
    Fail,
    Held,
    Home,
    Inbox,
    Jobs,
    Later,
    More,
    Ok,
    Pause,
    Pools,
    Received,
    Retry,
    Run,
    Search,
    Send,
    System,
    Unsure,
    Warn,
}

impl Sign {
    #[cfg(test)]
    pub(in crate::http::ui) const ALL: [Self; 28] = [
        Self::Actors,
        Self::Behind,
        Self::Cancelled,
        Self::Chevron,
        Self::Claimed,
        Self::Clients,
        Self::Config,
        Self::Copy,
        Self::Dot,
        Self::Due,
        Self::Fail,
        Self::Held,
        Self::Home,
        Self::Inbox,
        Self::Jobs,
        Self::Later,
        Self::More,
        Self::Ok,
        Self::Pause,
        Self::Pools,
        Self::Received,
        Self::Retry,
        Self::Run,
        Self::Search,
        Self::Send,
        Self::System,
        Self::Unsure,
        Self::Warn,
    ];

    /// The id of its symbol.
    pub(in crate::http::ui) const fn as_str(self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::Behind => "behind",
            Self::Cancelled => "cancelled",
            Self::Chevron => "chevron",
            Self::Claimed => "claimed",
            Self::Clients => "clients",
            Self::Config => "config",
            Self::Copy => "copy",
            Self::Dot => "dot",
            Self::Due => "due",
            Self::Fail => "fail",
            Self::Held => "held",
            Self::Home => "home",
            Self::Inbox => "inbox",
            Self::Jobs => "jobs",
            Self::Later => "later",
            Self::More => "more",
            Self::Ok => "ok",
            Self::Pause => "pause",
            Self::Pools => "pools",
            Self::Received => "received",
            Self::Retry => "retry",
            Self::Run => "run",
            Self::Search => "search",
            Self::Send => "send",
            Self::System => "system",
            Self::Unsure => "unsure",
            Self::Warn => "warn",
        }
    }
}

impl Render for Sign {
    fn render(&self) -> Markup {
        let file = mounted(assets::signs());
        html! { svg.i aria-hidden="true" { use href={ (file) "#" (self.as_str()) } {} } }
    }
}
