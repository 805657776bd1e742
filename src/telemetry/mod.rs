//! What the daemon tells about itself: log lines, metrics, rates, and the state of its actors.

pub mod board;
pub mod config_metrics;
pub mod database_metrics;
mod escaped;
pub mod faults;
pub mod history;
pub mod history_source;
pub mod http_metrics;
pub mod logging;
pub mod metrics;
pub mod model_metrics;
pub mod page_metrics;
pub mod pool_post;
pub mod rates;
pub mod shared_metrics;
pub mod sparse;
pub mod traces;
