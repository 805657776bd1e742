//! A server on this machine that plays the providers: it takes answers as they do, keeps them, and
//! fails on demand. For trying Postroom out, and for its tests.
//!
//! It speaks as much HTTP as that needs, on the bare socket, since it must break off an answer at
//! any byte.

mod fault;
mod http;
mod providers;

pub use self::{
    fault::{Fault, FaultRule},
    providers::SentReply,
};

use self::http::{FakeAnswer, Request};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How long a connection may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A call that a provider would understand, and how it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeCall {
    /// The channel.
    pub channel: &'static str,
    /// The delivery's id.
    pub delivery_id: String,
    /// How it failed; `None` if the answer was taken, and said so.
    pub fault: Option<Fault>,
}

/// Called with each answer that was taken.
pub type OnArrival = Box<dyn Fn(&SentReply) + Send + Sync>;

/// What it has taken, and how it fails. Its clones share both.
#[derive(Clone, Default)]
pub struct FakeProvider(Arc<FakeState>);

#[derive(Default)]
struct FakeState {
    sent: Mutex<Vec<SentReply>>,
    calls: Mutex<Vec<FakeCall>>,
    faults: Mutex<Vec<FaultRule>>,
    on_arrival: Option<OnArrival>,
}

impl FakeProvider {
    /// One that tells of each arrival.
    pub fn telling(on_arrival: OnArrival) -> Self {
        Self(Arc::new(FakeState { on_arrival: Some(on_arrival), ..FakeState::default() }))
    }

    /// What was taken, in the order of arrival.
    pub fn sent(&self) -> Vec<SentReply> {
        locked(&self.0.sent).clone()
    }

    /// The calls that providers would understand, in the order of arrival.
    pub fn calls(&self) -> Vec<FakeCall> {
        locked(&self.0.calls).clone()
    }

    /// How often each answer was taken, by its delivery's id.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for sent in locked(&self.0.sent).iter() {
            *counts.entry(sent.delivery_id.clone()).or_default() += 1;
        }
        counts
    }

    /// Fails by this rule from now on. The first rule that fits a call counts.
    pub fn fail(&self, rule: FaultRule) {
        locked(&self.0.faults).push(rule);
    }

    /// Forgets all rules.
    pub fn fail_no_more(&self) {
        locked(&self.0.faults).clear();
    }

    /// Serves until this future is dropped.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    connections.spawn(self.clone().converse(stream));
                }
                // Keeps the set small. An error of one connection concerns nobody else.
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves on a port of this machine, and returns it with the future that serves.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn listen(
        self,
        bind: SocketAddr,
    ) -> io::Result<(SocketAddr, impl Future<Output = io::Result<()>>)> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        Ok((address, self.serve(listener)))
    }

    /// Takes one request and answers it; then the connection ends.
    async fn converse(self, mut stream: TcpStream) -> io::Result<()> {
        let read = tokio::time::timeout(REQUEST_TIMEOUT, http::read(&mut stream)).await;
        let Ok(Ok(request)) = read else { return Ok(()) };
        if let Some(answer) = self.administer(&request) {
            return stream.write_all(&answer.bytes()).await;
        }
        let sent = match providers::judge(&request) {
            Ok(sent) => sent,
            Err(refusal) => return stream.write_all(&refusal.bytes()).await,
        };
        let fault = {
            let mut rules = locked(&self.0.faults);
            let fault = rules.iter_mut().find_map(|rule| rule.applies_to(sent.channel));
            rules.retain(FaultRule::is_left);
            fault
        };
        locked(&self.0.calls).push(FakeCall {
            channel: sent.channel,
            delivery_id: sent.delivery_id.clone(),
            fault: fault.clone(),
        });
        if let Some(answer) = fault.as_ref().and_then(Fault::refusal) {
            return stream.write_all(&answer.bytes()).await;
        }
        // From here on the answer is taken, whatever the sender learns of it.
        let success = {
            let mut all = locked(&self.0.sent);
            all.push(sent.clone());
            providers::success(&sent, all.len())
        };
        if let Some(tell) = &self.0.on_arrival {
            tell(&sent);
        }
        let answer = success.bytes();
        match fault {
            None => stream.write_all(&answer).await,
            Some(Fault::Unreadable) => {
                stream.write_all(&FakeAnswer::text(200, "<html>done").bytes()).await
            }
            // Nothing comes until the sender gives up and closes.
            Some(Fault::Hang) => stream.read(&mut [0]).await.map(drop),
            Some(Fault::Close) => Ok(()),
            Some(Fault::Reset) => reset(&stream),
            Some(Fault::ResetAfterFirstByte) => {
                stream.write_all(answer.get(..1).unwrap_or_default()).await?;
                // The byte must leave before the reset throws away what is not sent.
                tokio::time::sleep(Duration::from_millis(50)).await;
                reset(&stream)
            }
            Some(Fault::Refuse { .. }) => Ok(()),
        }
    }

    /// The answer to a request that is for the fake itself and plays no provider.
    fn administer(&self, request: &Request) -> Option<FakeAnswer> {
        Some(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/sent") => {
                let sent: Vec<Value> = self.sent().iter().map(SentReply::shown).collect();
                FakeAnswer::json(200, &json!({"sent": sent, "counts": self.counts()}))
            }
            ("POST", "/fail") => match String::from_utf8_lossy(&request.body).trim().parse() {
                Ok(rule) => {
                    self.fail(rule);
                    FakeAnswer::json(200, &json!({"ok": true}))
                }
                Err(reason) => FakeAnswer::json(422, &json!({"error": reason})),
            },
            ("DELETE", "/fail") => {
                self.fail_no_more();
                FakeAnswer::json(200, &json!({"ok": true}))
            }
            _ => return None,
        })
    }
}

/// Closes the connection so that the other side gets a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// A panic while the lock was held leaves lists that are whole, so they are used on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
