//! What waits for the reader of a stream, bounded: a reader that is too slow loses all that waits,
//! and is told to fetch its page again.

use actix_web::web::Bytes;
use std::collections::VecDeque;

/// The most messages that wait for a reader. A message is what one publication tells it.
const MESSAGES_MAX: usize = 64;
/// The most bytes of them. One message may be larger if nothing else waits.
const BYTES_MAX: usize = 256 << 10;

/// What waits for a reader.
#[derive(Debug, Default)]
pub(super) struct UpdateQueue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// True once something was lost, until the reader is told.
    is_behind: bool,
}

/// What a reader gets next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextUpdate {
    /// The oldest message.
    Message(Bytes),
    /// Something was lost: the reader has to begin again.
    Resync,
    /// Nothing waits.
    Nothing,
}

impl UpdateQueue {
    /// Puts a message at the end.
    pub(super) fn push(&mut self, message: Bytes) {
        if self.is_behind {
            return;
        }
        let is_full = self.waiting.len() >= MESSAGES_MAX || self.bytes + message.len() > BYTES_MAX;
        if is_full && !self.waiting.is_empty() {
            *self = Self { is_behind: true, ..Self::default() };
            return;
        }
        self.bytes += message.len();
        self.waiting.push_back(message);
    }

    /// Takes what the reader gets next.
    pub(super) fn pop(&mut self) -> NextUpdate {
        if std::mem::take(&mut self.is_behind) {
            return NextUpdate::Resync;
        }
        let Some(message) = self.waiting.pop_front() else { return NextUpdate::Nothing };
        self.bytes -= message.len();
        NextUpdate::Message(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(size: usize) -> Bytes {
        Bytes::from(vec![b'x'; size])
    }

    #[test]
    fn what_waits_comes_in_order() {
        let mut queue = UpdateQueue::default();
        for size in 1..=MESSAGES_MAX {
            queue.push(bytes(size));
        }
        for size in 1..=MESSAGES_MAX {
            assert_eq!(queue.pop(), NextUpdate::Message(bytes(size)));
        }
        assert_eq!((queue.pop(), queue.bytes), (NextUpdate::Nothing, 0));
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_all_and_is_told_once() {
        for (count, size) in [(MESSAGES_MAX + 1, 10), (6, 50 << 10)] {
            let mut queue = UpdateQueue::default();
            for _ in 0..count {
                queue.push(bytes(size));
            }
            for _ in 0..1_000 {
                queue.push(bytes(size));
            }
            assert_eq!((queue.waiting.len(), queue.bytes), (0, 0));
            assert_eq!(queue.pop(), NextUpdate::Resync);
            assert_eq!(queue.pop(), NextUpdate::Nothing);
            queue.push(bytes(3));
            assert_eq!(queue.pop(), NextUpdate::Message(bytes(3)));
        }
    }

    #[test]
    fn a_large_message_passes_if_nothing_else_waits() {
        let mut queue = UpdateQueue::default();
        queue.push(bytes(BYTES_MAX * 2));
        assert_eq!(queue.pop(), NextUpdate::Message(bytes(BYTES_MAX * 2)));
    }
}
