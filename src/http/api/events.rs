//! `GET /events`: live updates as server-sent events.

use super::{ApiResult, query::Query};
use crate::{
    http::{
        State, admin,
        connections::OpenConnection,
        live::{OF_OWNER_MAX, STREAMS_MAX, StreamRefusal, Topic, UpdateStream},
        openapi::{ApiEndpoint, ApiParameter, Takes, get},
        problem::{Cause, Problem},
        ui::Viewer,
    },
    telemetry::page_metrics::PageMetrics,
};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use futures_util::{StreamExt as _, future::LocalBoxFuture, stream};
use std::{collections::BTreeSet, future, sync::Arc};

/// The parameters of a stream.
const PARAMETERS: [ApiParameter; 1] = [ApiParameter::new("topics", Takes::Names).needed()];

/// Live updates.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/events", stream)
            .says("Live updates, as server-sent events")
            .takes(&PARAMETERS)
            .answers_as("text/event-stream"),
    ]
}

/// The seconds after which to ask again if as many streams are open as may.
const RETRY_SECONDS: u64 = 5;

/// Who opens a stream, and how long it may stay open.
struct Watcher {
    /// Whose streams are counted together.
    owner: String,
    /// Ends when the request would not be let in any more.
    revoked: LocalBoxFuture<'static, ()>,
}

impl Watcher {
    /// The one who was let in. All sessions of a user count together; those who share the admin's
    /// token count by the names that they give.
    fn of(state: &State, request: &HttpRequest, viewer: Viewer) -> Self {
        let owner = match &viewer.session {
            Some(ticket) => format!("user {}", ticket.user),
            None => viewer.name.clone(),
        };
        let revoked = state.clone().until_out(viewer, request.headers().clone());
        Self { owner, revoked: Box::pin(revoked) }
    }
}

/// A stream that is counted as open while it lives.
struct CountedStream {
    updates: UpdateStream,
    metrics: PageMetrics,
}

impl CountedStream {
    fn new(metrics: PageMetrics, updates: UpdateStream) -> Self {
        metrics.stream_opened();
        Self { updates, metrics }
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.metrics.stream_ended();
    }
}

/// `GET /events?topics=…`.
pub(super) async fn stream(state: web::Data<State>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let names = query.values("topics");
    let topics = Topic::all(names.iter().map(String::as_str))
        .map_err(|wrong| Problem::bad_request("topics", wrong.to_string()))?;
    let viewer = admin::admit(&request).await?;
    let topics = seen_by(&viewer, &state, topics).await?;
    let person = viewer.session.is_some().then(|| viewer.name.clone());
    let Watcher { owner, revoked } = Watcher::of(&state, &request, viewer);
    let updates = state.hub.open(owner, person, topics).map_err(refusal)?;
    let counted = CountedStream::new(state.metrics.pages().clone(), updates);
    let body = stream::unfold(counted, next).take_until(revoked);
    let body = body.take_until(hung_up(&request));
    // The connection ends with the stream, so that a server that stops need not wait for it.
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("x-accel-buffering", "no"))
        .force_close()
        .streaming(Box::pin(body)))
}

/// The topics that a viewer may follow. Leads and jobs of other clients are left out, as those are
/// that are not there: nothing is told about either.
async fn seen_by(
    viewer: &Viewer,
    state: &State,
    topics: BTreeSet<Topic>,
) -> Result<BTreeSet<Topic>, Problem> {
    if viewer.clients.is_none() {
        return Ok(topics);
    }
    if let Some(topic) = topics.iter().find(|it| it.id().is_none()) {
        let detail = format!("`{topic}` is about all clients, and you see some of them only");
        return Err(Problem::new(Cause::Forbidden, detail));
    }
    let desk = state.store.desk();
    let ids = |is_wanted: fn(&Topic) -> bool| {
        topics.iter().filter(|it| is_wanted(it)).filter_map(|it| it.id()).collect()
    };
    let jobs = desk.jobs_with(ids(|it| matches!(it, Topic::Job(_)))).await?;
    let leads = desk.lead_marks(ids(|it| matches!(it, Topic::Lead(_)))).await?;
    let jobs = jobs.iter().map(|it| (Topic::Job(it.id), &it.client_id));
    let leads = leads.iter().map(|it| (Topic::Lead(it.id), &it.client_id));
    Ok(jobs.chain(leads).filter(|it| viewer.sees(it.1)).map(|it| it.0).collect())
}

/// Ends when the peer is gone. A server would notice that only when it writes.
fn hung_up(request: &HttpRequest) -> impl Future<Output = ()> + use<> {
    let connection = request.conn_data::<Arc<OpenConnection>>().cloned();
    async move {
        match connection {
            Some(connection) => connection.hung_up().await,
            None => future::pending().await,
        }
    }
}

async fn next(mut stream: CountedStream) -> Option<(Result<web::Bytes, Error>, CountedStream)> {
    let bytes = stream.updates.next().await?;
    Some((Ok(bytes), stream))
}

fn refusal(refusal: StreamRefusal) -> Problem {
    let full = |detail: String| Problem::unavailable(detail, RETRY_SECONDS);
    match refusal {
        StreamRefusal::Full => full(format!("{STREAMS_MAX} streams are open, as many as may be")),
        StreamRefusal::FullForOwner => {
            full(format!("you have {OF_OWNER_MAX} streams open, as many as one may have"))
        }
        StreamRefusal::Draining => Problem::new(Cause::Draining, "the daemon is stopping"),
    }
}
