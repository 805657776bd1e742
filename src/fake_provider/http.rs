//! As much of HTTP/1.1 as one request with a `Content-Length` and one answer need.

use serde_json::Value;
use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

/// The longest head, and the longest body, in bytes.
const PART_BYTES_MAX: usize = 1024 * 1024;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path without its query, as it was sent.
    pub(super) path: String,
    /// The query, without `?`.
    pub(super) query: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The first value of a header, whose name is given in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
pub(super) struct FakeAnswer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl FakeAnswer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As it goes over the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (status, length) = (self.status, self.body.len());
        let head =
            format!("HTTP/1.1 {status} \r\n{headers}content-length: {length}\r\nconnection: close");
        format!("{head}\r\n\r\n{}", self.body).into_bytes()
    }
}

/// Reads one request.
///
/// # Errors
/// The connection broke off, or this is no request, or it is too long.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut request = head_of(&head).ok_or(io::ErrorKind::InvalidData)?;
    let length = request.header("content-length").unwrap_or("0").parse::<usize>();
    let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        more(stream, &mut body).await?;
    }
    body.truncate(length);
    request.body = body;
    Ok(request)
}

async fn more(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> io::Result<()> {
    let count = stream.read_buf(bytes).await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if bytes.len() > PART_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

/// The request with this head, without its body.
fn head_of(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: lines.filter_map(header).collect(),
        body: Vec::new(),
    })
}
