//! The document around every page: header, rail and foot.

use super::{
    assets,
    health::Health,
    parts::{Sign, Tone, at, field, hidden_input, live_count},
    visit::{Theme, Visit},
};
use crate::domain::visible::visible;
use actix_web::http::StatusCode;
use maud::{DOCTYPE, Markup, html};

/// The pages that the rail leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PagePlace {
    Overview,
    Inbox,
    Jobs,
    Pools,
    Actors,
    Received,
    Deliveries,
    Clients,
    Config,
    System,
    /// A page that the rail does not lead to.
    None,
}

impl PagePlace {
    /// In the order of the rail. A phone's bar has the first four and a menu with the others.
    const ALL: [Self; 10] = [
        Self::Overview,
        Self::Inbox,
        Self::Jobs,
        Self::Pools,
        Self::Actors,
        Self::Received,
        Self::Deliveries,
        Self::Clients,
        Self::Config,
        Self::System,
    ];
    const ON_PHONE: usize = 4;

    /// Path, name, sign, and the key behind `g`.
    const fn shown(self) -> (&'static str, &'static str, Sign, char) {
        match self {
            Self::Overview | Self::None => ("/", "Overview", Sign::Home, 'o'),
            Self::Inbox => ("/inbox", "Inbox", Sign::Inbox, 'i'),
            Self::Jobs => ("/jobs", "Jobs", Sign::Jobs, 'j'),
            Self::Pools => ("/pools", "Pools", Sign::Pools, 'p'),
            Self::Actors => ("/actors", "Actors", Sign::Actors, 'a'),
            Self::Received => ("/received", "Received", Sign::Received, 'r'),
            Self::Deliveries => ("/deliveries", "Deliveries", Sign::Send, 'd'),
            Self::Clients => ("/clients", "Clients", Sign::Clients, 'c'),
            Self::Config => ("/config", "Config", Sign::Config, 'k'),
            Self::System => ("/system", "System", Sign::System, 's'),
        }
    }

    /// The places that the viewer may see, in the order of the rail.
    fn seen(visit: &Visit) -> impl Iterator<Item = Self> + use<> {
        let sees_all = visit.viewer.clients.is_none();
        Self::ALL.into_iter().filter(move |place| sees_all || place.is_of_clients())
    }

    /// True for what shows things of clients, which can be limited to some of them.
    const fn is_of_clients(self) -> bool {
        matches!(self, Self::Inbox | Self::Jobs | Self::Received | Self::Deliveries | Self::Clients)
    }

    /// True for the first place of a group in the rail.
    const fn starts_group(self) -> bool {
        matches!(self, Self::Actors | Self::Clients)
    }
}

/// A page, before it stands in its frame.
#[derive(Clone, Debug)]
pub(super) struct PageContent {
    place: PagePlace,
    title: String,
    body: Markup,
    /// The topics of the stream that the page follows, with blanks between: `totals pools`.
    topics: String,
    /// How often the script fetches the page again, in seconds; `None` for its own measure.
    refresh_seconds: Option<u32>,
    /// From where the script fetches it again, if not from its own address.
    fetched_from: Option<String>,
    /// Whether the page fills the window and its parts scroll, as the inbox does.
    is_app: bool,
    pub(super) status: StatusCode,
}

impl PageContent {
    /// A page. Its body has the one `h1`. Its title says the same for tabs, such as
    /// `Jobs · failed · acme`. A text from outside in it cannot turn or hide the rest.
    pub(super) fn new(place: PagePlace, title: impl AsRef<str>, body: Markup) -> Self {
        Self {
            place,
            title: visible(title.as_ref(), &[]).into_owned(),
            body,
            topics: String::new(),
            refresh_seconds: None,
            fetched_from: None,
            is_app: false,
            status: StatusCode::OK,
        }
    }

    /// The same page, which is told about these topics while it is seen.
    #[must_use]
    pub(super) fn topics(self, topics: impl Into<String>) -> Self {
        Self { topics: topics.into(), ..self }
    }

    /// Those of the page, and those of the frame; `None` if nothing is told. Those who see some
    /// clients only are told about single leads and jobs.
    fn all_topics(&self, visit: &Visit) -> Option<String> {
        if visit.viewer.clients.is_some() {
            let single: Vec<&str> = self.topics.split(' ').filter(|it| it.contains('/')).collect();
            return Some(single.join(" ")).filter(|it| !it.is_empty());
        }
        Some(if self.topics.split(' ').any(|it| it == "totals") {
            self.topics.clone()
        } else {
            format!("totals {}", self.topics).trim_end().to_owned()
        })
    }

    /// The same page, which the script fetches again after so many seconds.
    #[must_use]
    pub(super) fn refresh(self, seconds: u32) -> Self {
        Self { refresh_seconds: Some(seconds), ..self }
    }

    /// The same page, which the script fetches again from this address. It names what is shown,
    /// where the page's own address shows what comes first.
    #[must_use]
    pub(super) fn again_from(self, address: Option<String>) -> Self {
        Self { fetched_from: address, ..self }
    }

    /// The same page as panes that fill the window.
    #[must_use]
    pub(super) fn app(self) -> Self {
        Self { is_app: true, ..self }
    }

    /// The same page, answered with this status.
    #[must_use]
    pub(super) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

/// What the frame tells of the whole daemon, from what was last read.
#[derive(Clone, Debug)]
struct FrameFacts {
    drafts: Option<i64>,
    quarantined: Option<i64>,
    uncertain: Option<i64>,
    is_config_refused: bool,
    /// How many things are wrong, and how bad that is.
    wrong: usize,
    tone: Tone,
}

impl FrameFacts {
    fn of(visit: &Visit) -> Self {
        let health = Health::of(visit);
        let totals = visit.api().last_totals();
        // These are counted over all clients.
        let totals = totals.filter(|_| visit.viewer.clients.is_none());
        Self {
            drafts: totals.as_ref().map(|it| it.drafts_pending),
            quarantined: totals.as_ref().map(|it| it.quarantined),
            uncertain: totals.as_ref().map(|it| it.deliveries_uncertain),
            is_config_refused: visit.state().tuner.status().refused().is_some(),
            wrong: health.count(),
            tone: health.tone,
        }
    }

    /// What the rail says beside a place.
    fn beside(&self, place: PagePlace) -> Option<RailNote> {
        let count = |tone, sign, count: Option<i64>, live, meaning| {
            Some(RailNote { tone, sign, count: count?, live, meaning, is_counted: true })
        };
        let (warn, unsure) = (Some(Sign::Warn), Some(Sign::Unsure));
        match place {
            PagePlace::Inbox => {
                count(Tone::Wait, None, self.drafts, "drafts/pending", "drafts wait")
            }
            PagePlace::Received => {
                count(Tone::Warn, warn, self.quarantined, "quarantine/held", "quarantined")
            }
            PagePlace::Deliveries => {
                count(Tone::Unsure, unsure, self.uncertain, "deliveries/uncertain", "uncertain")
            }
            PagePlace::Config => Some(RailNote {
                tone: Tone::Bad,
                sign: Some(Sign::Fail),
                count: i64::from(self.is_config_refused),
                live: "config/refused",
                meaning: "refused",
                is_counted: false,
            }),
            PagePlace::Overview
            | PagePlace::Jobs
            | PagePlace::Pools
            | PagePlace::Actors
            | PagePlace::Clients
            | PagePlace::System
            | PagePlace::None => None,
        }
    }
}

/// What the rail says beside a place.
struct RailNote {
    tone: Tone,
    sign: Option<Sign>,
    /// Nothing is said if it is 0.
    count: i64,
    /// The key under which the count is told.
    live: &'static str,
    meaning: &'static str,
    /// False if the count is hidden, and only read out by screen readers.
    is_counted: bool,
}

/// The whole document. Without a visit, nobody is signed in: then it has neither header nor rail.
pub(super) fn document(visit: Option<&Visit>, page: &PageContent) -> Markup {
    let theme = visit.map(|it| it.theme).filter(|it| *it != Theme::System);
    let keys = visit.is_some_and(|it| !it.has_keys).then_some("off");
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme.map(Theme::as_str)] data-keys=[keys] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (page.title) " – Postroom" }
                link rel="stylesheet" href=(at(assets::style()));
                link rel="icon" href=(at(assets::signs())) type="image/svg+xml";
                script src=(at(assets::script())) defer {}
            }
            body.app[page.is_app].alone[visit.is_none()] {
                a.skip href="#main" { "Skip to content" }
                @if let Some(visit) = visit { (around(visit, page)) }
                main #main tabindex="-1" data-topics=[visit.and_then(|it| page.all_topics(it))]
                    data-refresh=[page.refresh_seconds] data-from=[&page.fetched_from] data-now=[visit.map(|it| it.now.as_millis())] {
                    (page.body)
                }
                p.vh #told role="status" {}
            }
        }
    }
}

fn around(visit: &Visit, page: &PageContent) -> Markup {
    let facts = FrameFacts::of(visit);
    html! {
        header.top {
            div.brand { a href=(visit.to("/")) { "Postroom" }
                @if visit.viewer.clients.is_none() { (verdict_sign(visit, &facts)) } }
            (client_menu(visit))
            form.find role="search" aria-label="Everything" action=(at("/search")) {
                (Sign::Search)
                label.vh for="find" { "Search" }
                input #find type="search" name="q" placeholder="Any id, address, phone or request id"
                    autocomplete="off" spellcheck="false";
                kbd { "/" }
            }
            span.live.wait #live { (Sign::Dot) span { "as loaded" } }
            details.menu.me {
                summary { (visit.viewer.name) " " span.mut { (visit.viewer.role.as_str()) } (Sign::Chevron) }
                div.pop { (own_menu(visit)) }
            }
        }
        nav.rail aria-label="Pages" {
            ul {
                @for place in PagePlace::seen(visit).take(PagePlace::ON_PHONE) {
                    li { (rail_link(visit, &facts, place, page.place)) }
                }
                @for place in PagePlace::seen(visit).skip(PagePlace::ON_PHONE) {
                    li.x.gap[place.starts_group()] { (rail_link(visit, &facts, place, page.place)) }
                }
                li.only {
                    details.menu.on[is_in_menu(visit, page.place)] {
                        summary { (Sign::More) span { "More" } }
                        div.pop {
                            @for place in PagePlace::seen(visit).skip(PagePlace::ON_PHONE) {
                                (rail_link(visit, &facts, place, page.place))
                            }
                            p.mut { (visit.viewer.name) ", " (visit.viewer.role.as_str()) }
                            (own_menu(visit))
                        }
                    }
                }
            }
            @if visit.has_keys { p { kbd { "?" } " all keys" } }
        }
    }
}

fn is_in_menu(visit: &Visit, place: PagePlace) -> bool {
    PagePlace::seen(visit).skip(PagePlace::ON_PHONE).any(|it| it == place)
}

fn verdict_sign(visit: &Visit, facts: &FrameFacts) -> Markup {
    html! {
        a.st.(facts.tone.class()) href=(visit.to("/")) {
            (facts.tone.sign())
            @if facts.tone == Tone::Good { span.vh { "all is well" } }
            @else { (facts.wrong) span.vh { " problems" } }
        }
    }
}

fn rail_link(visit: &Visit, facts: &FrameFacts, place: PagePlace, here: PagePlace) -> Markup {
    let (path, name, sign, key) = place.shown();
    html! {
        a href=(visit.to(path)) aria-current=[(place == here).then_some("page")] data-go=(key) {
            (sign) span { (name) }
            @if let Some(RailNote { tone, sign, count, live, meaning, is_counted }) = facts.beside(place) {
                b.(tone.class()) data-badge hidden[count == 0] {
                    @if let Some(sign) = sign { (sign) }
                    span.vh[!is_counted] { (live_count("totals", live, Some(count))) }
                    span.vh { " " (meaning) }
                }
            }
        }
    }
}

fn client_menu(visit: &Visit) -> Markup {
    let named = visit.named_clients();
    html! {
        details.menu.l {
            summary {
                span.vh { "Client: " }
                span.one { @if let Some(client) = &visit.client { (client) } @else { "All clients" } }
                (Sign::Chevron)
            }
            div.pop {
                a href=(visit.with("client", None)) aria-current=[visit.client.is_none().then_some("true")] {
                    "All clients"
                }
                @for client in named.iter().flatten() {
                    @let is_on = visit.client.as_ref() == Some(client);
                    a href=(visit.with("client", Some(client))) aria-current=[is_on.then_some("true")] {
                        (client)
                    }
                }
                @if named.is_none() {
                    form action=(at(visit.path())) {
                        @for (name, value) in visit.kept_beside("client") { (hidden_input(name, value)) }
                        (field("Client", "client", visit.client.as_deref().unwrap_or_default(), "id", None))
                        button { "Show" }
                    }
                    a href=(at("/clients")) { "Find a client" }
                }
            }
        }
    }
}

/// Colours, keys, and the way out.
fn own_menu(visit: &Visit) -> Markup {
    let (keys, keys_word) = if visit.has_keys { ("off", "Keys: on") } else { ("on", "Keys: off") };
    html! {
        form method="post" action=(at("/look")) {
            input type="hidden" name="next" value=(visit.path());
            @for theme in Theme::ALL {
                button name="theme" value=(theme.as_str()) aria-pressed=((theme == visit.theme).to_string()) {
                    "Theme: " (theme.as_str())
                }
            }
        }
        form method="post" action=(at("/look")) {
            input type="hidden" name="next" value=(visit.path());
            button name="keys" value=(keys) { (keys_word) }
        }
        form method="post" action=(at("/logout")) { button { "Sign out" } }
    }
}
