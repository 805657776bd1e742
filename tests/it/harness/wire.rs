//! A provider's side: one kept connection, and the exact end of each request.
//!
//! `reqwest` will not do: it retries by itself when a kept connection was closed, and does not say
//! whether a request was refused or cut off.

use serde_json::Value;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longer than any daemon takes for an answer; one that dies closes its connections at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a request ended.
#[derive(Debug)]
pub enum Reply {
    /// With a whole answer.
    Answered(u16, Value),
    /// Nobody listened on the port.
    Refused,
    /// The connection was there, and no whole answer came.
    Cut(Cut),
}

/// How a request was cut off.
#[derive(Debug)]
pub struct Cut {
    /// How long the connection had been idle; `None` for a new one.
    pub kept: Option<Duration>,
    /// The system's error.
    pub error: String,
}

/// One connection at a time, opened when it is needed.
#[derive(Debug)]
pub struct Wire {
    /// True if the connection is used again for as long as the other side keeps it.
    is_kept: bool,
    open: Option<Open>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    stream: TcpStream,
    port: u16,
    /// When the last answer came.
    answered_at: Option<Instant>,
}

impl Wire {
    /// The side of a provider that keeps connections, or of one that does not.
    pub const fn new(is_kept: bool) -> Self {
        Self { is_kept, open: None, buffer: Vec::new() }
    }

    /// Posts a body to a port of this machine.
    pub async fn post(&mut self, port: u16, path: &str, body: &str) -> Reply {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut open = match self.open.take().filter(|it| it.port == port) {
            Some(open) => open,
            None => match timeout(PATIENCE, TcpStream::connect(("127.0.0.1", port))).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).expect("a socket takes its options");
                    Open { stream, port, answered_at: None }
                }
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    return Reply::Refused;
                }
                // Reset while it was opened: nothing was sent.
                Ok(Err(error)) => return cut(None, &error),
                Err(_) => return Reply::Cut(Cut { kept: None, error: "not opened".into() }),
            },
        };
        let kept = open.answered_at.map(|it| it.elapsed());
        self.buffer.clear();
        match timeout(PATIENCE, exchange(&mut open.stream, &request, &mut self.buffer)).await {
            Ok(Ok((status, body, is_last))) => {
                open.answered_at = Some(Instant::now());
                if self.is_kept && !is_last {
                    self.open = Some(open);
                }
                Reply::Answered(status, body)
            }
            Ok(Err(error)) => cut(kept, &error),
            Err(_) => Reply::Cut(Cut { kept, error: "no answer in time".into() }),
        }
    }
}

fn cut(kept: Option<Duration>, error: &std::io::Error) -> Reply {
    Reply::Cut(Cut { kept, error: error.to_string() })
}

/// Sends a request and reads its answer: status, body, and whether it is the connection's last.
async fn exchange(
    stream: &mut TcpStream,
    request: &str,
    buffer: &mut Vec<u8>,
) -> std::io::Result<(u16, Value, bool)> {
    stream.write_all(request.as_bytes()).await?;
    loop {
        if stream.read_buf(buffer).await? == 0 {
            let what = if buffer.is_empty() { "closed without an answer" } else { "broken off" };
            return Err(std::io::Error::other(what));
        }
        if let Some(answer) = parsed(buffer) {
            return Ok(answer);
        }
    }
}

/// `None` while it is not whole.
fn parsed(bytes: &[u8]) -> Option<(u16, Value, bool)> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("heads are text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
    };
    let length: usize = field("content-length").and_then(|it| it.parse().ok()).expect("a length");
    let body = bytes.get(end + 4..end + 4 + length)?;
    let is_last = field("connection") == Some("close");
    Some((status, serde_json::from_slice(body).unwrap_or_default(), is_last))
}
