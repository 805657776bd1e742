//! The waiting room: what answers requests before the daemon can.

use super::service_manager::ServiceManager;
use crate::http;
use std::{io, net::TcpListener, time::Duration};
use tokio::time::Instant;

/// How long it may take to answer its open requests when it closes.
const CLOSE_LIMIT: Duration = Duration::from_millis(800);

/// The waiting room: a small HTTP server that answers requests while the daemon waits for the
/// database. It opens only if it is needed.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    /// `None` until it opens.
    server: Option<http::ClosableServer>,
    pub(super) tls: http::Tls,
    /// Is told once the room opens.
    pub(super) manager: Option<ServiceManager>,
}

impl WaitingRoom {
    /// A room that tells the service manager that the daemon waits.
    pub(super) fn told_to(manager: ServiceManager) -> Self {
        Self { manager: Some(manager), ..Self::default() }
    }

    /// Opens the room, if it is not open. True if it was not.
    ///
    /// # Errors
    /// If the system has no socket or thread for it.
    pub(super) fn open(&mut self, listener: &TcpListener) -> io::Result<bool> {
        if self.server.is_some() {
            return Ok(false);
        }
        let server = http::waiting_room(listener.try_clone()?, self.tls.clone())?;
        self.server = Some(server);
        if let Some(manager) = &self.manager {
            manager.awaits_database();
        }
        Ok(true)
    }

    /// Closes the room, if it is open. New requests go to the daemon's server.
    pub(super) async fn leave_socket(&mut self) {
        if let Some(server) = &self.server {
            server.leave_socket(Instant::now() + CLOSE_LIMIT).await;
        }
        self.server = None;
    }

    /// Answers the requests inside and those that wait at `listener`, and closes the room.
    ///
    /// # Errors
    /// As [`WaitingRoom::open`].
    pub(super) async fn close(mut self, listener: TcpListener) -> io::Result<()> {
        self.manager = None;
        self.open(&listener)?;
        drop(listener);
        if let Some(server) = self.server {
            server.close(Instant::now() + CLOSE_LIMIT).await;
        }
        Ok(())
    }
}
