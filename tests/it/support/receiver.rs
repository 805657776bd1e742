//! A server that keeps the bodies that are posted to it, and answers each with a status.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
};

/// The server. It ends when this is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    posted: Mutex<Vec<(String, Vec<u8>)>>,
    status: AtomicU16,
    /// True if it answers nothing.
    holds: AtomicBool,
    is_over: AtomicBool,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            posted: Mutex::default(),
            status: AtomicU16::new(200),
            holds: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = of_thread.clone();
                thread::spawn(move || shared.answer(stream.expect("a connection")));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers with this status.
    pub fn answers(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// From now on it takes requests and never answers them.
    pub fn holds(&self) {
        self.shared.holds.store(true, Ordering::Relaxed);
    }

    /// The path and the body of each request so far.
    pub fn posted(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.posted.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    /// Answers one request, and closes the connection.
    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().expect("a length");
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = head[0].split(' ').nth(1).expect("a path").to_owned();
        self.posted.lock().unwrap().push((path, body));
        if self.holds.load(Ordering::Relaxed) {
            // Until the other side gives up.
            reader.read_to_end(&mut Vec::new()).ok();
            return;
        }
        let status = self.status.load(Ordering::Relaxed);
        let answer =
            format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        (&stream).write_all(answer.as_bytes()).ok();
    }
}
