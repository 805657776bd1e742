//! What becomes of a webhook or a message, in words, for lists of what was received.

/// What is stored, and then what left no row.
pub const RECEIVED_OUTCOMES: [&str; 10] = [
    "stored",
    "sent",
    "quarantined",
    "ignored",
    "duplicate",
    "unauthenticated",
    "rate_limited",
    "queue_full",
    "database_away",
    "draining",
];

/// Those of [`RECEIVED_OUTCOMES`] that are stored: the first two of messages, the third of webhooks
/// in quarantine.
pub const STORED_OUTCOMES: [&str; 3] = ["stored", "sent", "quarantined"];

/// Those of [`RECEIVED_OUTCOMES`] that leave no row.
pub const UNTRACED_OUTCOMES: [&str; 7] = [
    "ignored",
    "duplicate",
    "unauthenticated",
    "rate_limited",
    "queue_full",
    "database_away",
    "draining",
];
