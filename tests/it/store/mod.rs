//! What the statements promise, on both databases.

mod life;
