//! The bytes of a connection, watched: the clock of the connection learns when something comes and
//! when the peer does not read, and the connection can be ended from outside.

use super::{ConnectionGuard, OpenConnection};
use socket2::SockRef;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A stream of bytes whose connection is registered as long as it lives.
#[derive(Debug)]
pub(in crate::http) struct Watched {
    tcp: TcpStream,
    guard: ConnectionGuard,
    /// True from the moment when a write has to wait until all is sent.
    is_blocked: bool,
}

impl Watched {
    pub(in crate::http) const fn new(tcp: TcpStream, guard: ConnectionGuard) -> Self {
        Self { tcp, guard, is_blocked: false }
    }

    /// The connection of the stream.
    pub(in crate::http) const fn connection(&self) -> &Arc<OpenConnection> {
        self.guard.connection()
    }

    /// Notes that both sides have agreed on keys. The time for the first head begins.
    pub(in crate::http) fn agreed(&self) {
        self.guard.agreed();
    }

    /// Fails if the connection was ended from outside. Otherwise such an end will wake its task.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        let connection = self.connection();
        connection.waker.register(cx.waker());
        match connection.ended() {
            None => Ok(()),
            Some(ending) => {
                if ending.drops_what_is_unsent() {
                    // If this fails, the system lets the socket go a little later.
                    SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).ok();
                }
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => {
                self.is_blocked = true;
                self.guard.blocked();
            }
            Poll::Ready(Ok(bytes)) if self.is_blocked => self.connection().took(*bytes),
            Poll::Ready(_) => {}
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.tcp).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.guard.received();
        } else if matches!(read, Poll::Ready(Ok(()))) && buffer.remaining() > 0 {
            this.guard.hung_up();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, slices);
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        // A flush comes when nothing is left to write.
        if std::mem::take(&mut this.is_blocked) {
            this.guard.flushed();
        }
        Pin::new(&mut this.tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}
