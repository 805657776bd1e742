//! People who look at the pages while a measurement runs: event streams that are read as they come,
//! and the overview, loaded once a second.

use crate::http::STREAMS_OF_USER;
use anyhow::Context;
use reqwest::{Client, Response, header};
use std::{
    net::{IpAddr, Ipv4Addr},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinSet, time::Instant};

/// What the streams tell of.
const STREAM: &str = "/api/v1/events?topics=totals,pools,actors";
const PAGE: &str = "/";
const PAGE_EVERY: Duration = Duration::from_secs(1);
/// The address that they come from: not that of the load, since a daemon accepts a limited number
/// of connections from each.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));

/// What the watchers have seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchersSaw {
    /// Bytes of all streams.
    pub(super) stream_bytes: usize,
    /// Pages loaded.
    pub(super) pages: usize,
}

/// Watchers at work, on a thread of their own.
pub(super) struct Watchers {
    stop: oneshot::Sender<()>,
    seen: oneshot::Receiver<anyhow::Result<WatchersSaw>>,
    thread: JoinHandle<()>,
}

impl Watchers {
    /// Opens `streams` streams of the daemon at `url`, up to [`STREAMS_OF_USER`] for each token,
    /// and returns once all are open.
    ///
    /// # Errors
    /// If a stream is refused.
    pub(super) async fn start(
        url: &str,
        streams: usize,
        tokens: Vec<String>,
    ) -> anyhow::Result<Self> {
        let url = url.to_owned();
        let (opened, opening) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (done, seen) = oneshot::channel();
        let thread = std::thread::Builder::new().name("watchers".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = runtime
                .map_err(anyhow::Error::from)
                .and_then(|it| it.block_on(watch(&url, streams, &tokens, opened, stopped)));
            // The measurement may have failed meanwhile, so that nobody waits for the result.
            done.send(result).ok();
        })?;
        let watchers = Self { stop, seen, thread };
        match opening.await {
            Ok(()) => Ok(watchers),
            // It has failed, and says why.
            Err(_) => watchers.stop().await.and(Err(anyhow::anyhow!("the watchers ended"))),
        }
    }

    /// Closes the streams.
    ///
    /// # Errors
    /// If a stream or a page has failed meanwhile.
    pub(super) async fn stop(self) -> anyhow::Result<WatchersSaw> {
        // They may have ended by themselves.
        self.stop.send(()).ok();
        let seen = self.seen.await.context("the watchers ended without a result")?;
        if self.thread.join().is_err() {
            anyhow::bail!("the watchers panicked");
        }
        seen
    }
}

async fn watch(
    url: &str,
    streams: usize,
    tokens: &[String],
    opened: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<WatchersSaw> {
    // Fails only if it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::builder().no_proxy().tls_certs_only([]).local_address(SOURCE).build()?;
    let (mut readers, mut seen) = (JoinSet::new(), WatchersSaw { stream_bytes: 0, pages: 0 });
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..streams {
        let token = tokens.get(number / STREAMS_OF_USER).context("there are too few users")?;
        let stream = ask(&client, url, STREAM, token, "text/event-stream").await?;
        readers.spawn(read(stream, told.clone()));
    }
    opened.send(()).ok();
    let token = tokens.first().context("there are no users")?;
    let mut stopped = std::pin::pin!(stopped);
    let mut next_page = Instant::now();
    loop {
        tokio::select! {
            // Stopped, or nobody is there any more to do so.
            _ = &mut stopped => return Ok(seen),
            Some(bytes) = heard.recv() => seen.stream_bytes += bytes,
            Some(ended) = readers.join_next() => {
                ended??;
                anyhow::bail!("the daemon ended a stream");
            }
            () = tokio::time::sleep_until(next_page) => {
                ask(&client, url, PAGE, token, "text/html").await?.bytes().await?;
                seen.pages += 1;
                next_page += PAGE_EVERY;
            }
        }
    }
}

async fn ask(
    client: &Client,
    url: &str,
    path: &str,
    token: &str,
    accept: &str,
) -> anyhow::Result<Response> {
    let request = client.get(format!("{url}{path}")).bearer_auth(token);
    let answer = request.header(header::ACCEPT, accept).send().await?;
    let status = answer.status();
    if !status.is_success() {
        anyhow::bail!("{path} was answered {status}: {}", answer.text().await?);
    }
    Ok(answer)
}

/// Reads a stream to its end, and tells how many bytes came at a time.
async fn read(
    mut stream: Response,
    told: tokio::sync::mpsc::UnboundedSender<usize>,
) -> anyhow::Result<()> {
    while let Some(bytes) = stream.chunk().await? {
        if told.send(bytes.len()).is_err() {
            break;
        }
    }
    Ok(())
}
