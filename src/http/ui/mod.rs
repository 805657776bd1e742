//! The pages: what is stored and what runs, for people.
//!
//! A page asks the functions that also answer the API, so that both say the same. Each page is a
//! file. The pages are made of `parts`, stand in the `frame`, and work without the script.

mod actors;
mod assets;
mod audit;
mod client;
mod clients;
mod command;
mod config;
mod config_loads;
mod deliveries;
mod delivery;
mod frame;
mod health;
mod inbox;
mod jobs;
mod lead;
mod login;
mod look;
mod many;
mod message;
mod overview;
mod parts;
mod pools;
mod problems;
mod quarantine;
mod received;
mod search;
mod sends;
pub(super) mod session;
mod system;
mod ticket;
mod viewer;
mod visit;

pub(super) use self::{
    session::{NotIn, SignIns},
    ticket::{CODE_MAX, IDLE_MAX},
    viewer::Viewer,
    visit::PageReads,
};

use self::visit::Visit;
use super::{admin, api::parse_id, problem::Problem};
use crate::domain::Id;
use actix_web::{
    FromRequest as _, HttpRequest, HttpResponse,
    http::header::ACCEPT,
    middleware::from_fn,
    web::{self, ServiceConfig},
};

/// What the handlers of pages return. A problem is shown as a page.
type PageResult = Result<HttpResponse, Problem>;

/// Mounts the pages and their files. The application data must hold `web::Data<State>` and
/// `web::Data<ApiState>`.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/assets/{name}").route(web::get().to(assets::show))).service(
        web::scope("")
            .wrap(from_fn(admin::carry_session))
            .wrap(from_fn(problems::finish))
            .service(
                web::resource("/login")
                    .route(web::get().to(login::show))
                    .route(web::post().to(login::sign_in)),
            )
            .route("/logout", web::post().to(login::sign_out))
            .route("/", web::get().to(overview::show))
            .route("/look", web::post().to(look::change))
            .route("/search", web::get().to(search::show))
            .configure(received_and_sent)
            .configure(set_up)
            .configure(work)
            .configure(inbox::configure)
            .configure(lead::configure)
            .default_service(web::to(not_found)),
    );
}

/// What came in, what went out, and what a person settles of it.
fn received_and_sent(cfg: &mut ServiceConfig) {
    cfg.route("/deliveries", web::get().to(deliveries::show))
        .route("/deliveries/{id}", web::get().to(delivery::show))
        .route("/deliveries/{id}/resolve", web::get().to(delivery::ask))
        .route("/deliveries/{id}/resolve", web::post().to(delivery::settle))
        .route("/received", web::get().to(received::show))
        .route("/messages/{id}", web::get().to(message::show))
        .route("/quarantine/replay", web::get().to(quarantine::leave_many))
        .route("/quarantine/replay", web::post().to(quarantine::replay_many))
        .route("/quarantine/discard", web::get().to(quarantine::leave_many))
        .route("/quarantine/discard", web::post().to(quarantine::discard_many))
        .route("/quarantine/{id}", web::get().to(quarantine::one))
        .route("/quarantine/{id}/replay", web::post().to(quarantine::replay_one))
        .route("/quarantine/{id}/discard", web::post().to(quarantine::discard_one));
}

/// How the daemon is set up, and who changed it.
fn set_up(cfg: &mut ServiceConfig) {
    cfg.route("/clients", web::get().to(clients::show))
        .route("/clients/{id}", web::get().to(client::show))
        .route("/config", web::get().to(config::show))
        .route("/config/reload", web::post().to(config::reload))
        .route("/system", web::get().to(system::show))
        .route("/sessions/{id}/revoke", web::post().to(system::revoke))
        .route("/audit", web::get().to(audit::show));
}

/// The pages of jobs, pools and actors, and what is done on them.
fn work(cfg: &mut ServiceConfig) {
    cfg.route("/jobs", web::get().to(jobs::list))
        .route("/jobs/retry", web::get().to(jobs::leave_many))
        .route("/jobs/retry", web::post().to(jobs::retry_many))
        .route("/jobs/cancel", web::get().to(jobs::leave_many))
        .route("/jobs/cancel", web::post().to(jobs::cancel_many))
        .route("/jobs/{id}", web::get().to(jobs::one))
        .route("/jobs/{id}/retry", web::post().to(jobs::retry_one))
        .route("/jobs/{id}/cancel", web::post().to(jobs::cancel_one))
        .route("/operations/{id}/stop", web::post().to(many::stop))
        .route("/pools", web::get().to(pools::show))
        .route("/pools/{kind}/size", web::get().to(pools::ask_size))
        .route("/pools/{kind}/size", web::post().to(pools::size))
        .route("/pools/{kind}/pause", web::get().to(pools::ask_pause))
        .route("/pools/{kind}/pause", web::post().to(pools::pause))
        .route("/pools/{kind}/resume", web::post().to(pools::resume))
        .route("/pools/{kind}/reset", web::post().to(pools::reset))
        .route("/actors", web::get().to(actors::show));
}

/// The id in a path.
///
/// # Errors
/// 404 if it is no id: then it names nothing.
fn id_in(path: &str, what: &str) -> Result<Id, Problem> {
    parse_id(path).ok_or_else(|| Problem::not_found(format!("there is no {what} {path}")))
}

/// Answers for a path at which there is nothing: to a person with a page, to a program as the API
/// would.
async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    if wants_page(&request) {
        // The problem is shown in the frame of the one who looks, if somebody is signed in.
        Visit::extract(&request).await.ok();
    }
    Err(Problem::not_found("there is nothing at this path"))
}

/// True if a browser asks, and not a program.
fn wants_page(request: &HttpRequest) -> bool {
    let accepts = request.headers().get(ACCEPT).and_then(|it| it.to_str().ok());
    accepts.is_some_and(|it| it.contains("text/html"))
}
