//! What the daemon tells about itself: log lines, metrics, rates, and what its actors are doing.

pub mod board;
mod escaped;
pub mod faults;
pub mod http_metrics;
pub mod logging;
pub mod metrics;
pub mod rates;
pub mod sparse;
