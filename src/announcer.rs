//! Announcements: an actor tells today's supervisor what has happened.

use actix::{Message, Recipient};
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// Announces events `E` to the actor that listens today. A clone has the same listener, also after
/// a restart has put another one in its place.
///
/// An announcement only saves the listener from waiting for its next tick, so it may be lost: if
/// nobody listens, or if the mailbox of the listener is full.
#[derive(Clone, Debug)]
pub struct Announcer<E>(Arc<ArcSwapOption<Recipient<E>>>)
where
    E: Message + Send + 'static,
    E::Result: Send;

impl<E> Default for Announcer<E>
where
    E: Message + Send + 'static,
    E::Result: Send,
{
    /// An announcer without a listener, whose announcements are dropped.
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<E> Announcer<E>
where
    E: Message + Send + 'static,
    E::Result: Send,
{
    /// Makes `listener` the one that is told from now on.
    pub fn set(&self, listener: Recipient<E>) {
        self.0.store(Some(Arc::new(listener)));
    }

    /// Tells the listener. Never waits.
    pub fn announce(&self, event: E) {
        if let Some(listener) = self.0.load().as_ref()
            && listener.try_send(event).is_err()
        {
            tracing::trace!("the supervisor is busy: its tick will find what was announced");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::{Actor, Context, Handler};
    use tokio::sync::mpsc;

    #[derive(Clone, Copy, Debug, Message)]
    #[rtype(result = "()")]
    struct Happened(u8);

    struct Listens(mpsc::UnboundedSender<u8>);

    impl Actor for Listens {
        type Context = Context<Self>;
    }

    impl Handler<Happened> for Listens {
        type Result = ();

        fn handle(&mut self, Happened(number): Happened, _: &mut Self::Context) {
            self.0.send(number).unwrap();
        }
    }

    #[test]
    fn every_clone_tells_the_listener_of_today_and_without_one_nothing_happens() {
        actix_rt::System::new().block_on(async {
            let announcer = Announcer::default();
            let clone = announcer.clone();
            announcer.announce(Happened(1));
            let mut heard = Vec::new();
            for number in [2, 3] {
                let (sender, mut receiver) = mpsc::unbounded_channel();
                announcer.set(Listens(sender).start().recipient());
                clone.announce(Happened(number));
                heard.push(receiver.recv().await);
            }
            assert_eq!(heard, [Some(2), Some(3)]);
        });
    }
}
