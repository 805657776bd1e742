//! What people look at: pages, and the streams that keep them live.

mod events;
