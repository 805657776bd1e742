//! Counts and logs the ends of sends, also those that handlers do not settle, and counts drafts.

use crate::{
    domain::{
        SendNews,
        sending::{AccountState, DeliveryStatus},
    },
    store::OnSendNews,
    telemetry::metrics::Metrics,
};

/// The listener that counts each delivery that ends, and logs what a person should know.
pub(super) fn listener(metrics: Metrics) -> OnSendNews {
    Box::new(move |news| match news {
        SendNews::Ended { delivery_id, channel, status, cause } => {
            metrics.delivery(channel, *status);
            log_end(*delivery_id, channel, *status, cause.as_deref().unwrap_or_default());
        }
        SendNews::Draft { channel, status } => metrics.drafts(channel, status, 1),
        SendNews::Account { client_id, channel, state, cause } => match state {
            Some(AccountState::Disconnected) => tracing::error!(
                client.id = client_id,
                channel,
                cause,
                "an account's credentials are not accepted: nothing is sent through it"
            ),
            Some(AccountState::RateLimited) => {
                tracing::warn!(client.id = client_id, channel, cause, "an account pauses");
            }
            None => tracing::info!(client.id = client_id, channel, "an account sends again"),
        },
    })
}

fn log_end(id: i64, channel: &str, status: DeliveryStatus, cause: &str) {
    match status {
        DeliveryStatus::Failed => {
            tracing::warn!(delivery.id = id, channel, cause, "an answer was not sent");
        }
        DeliveryStatus::Uncertain => tracing::warn!(
            delivery.id = id,
            channel,
            cause,
            "nobody knows whether an answer was sent: a person must resolve it"
        ),
        DeliveryStatus::Sent | DeliveryStatus::Sending => {
            tracing::info!(delivery.id = id, channel, "an answer was sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::MetricLabels;

    #[test]
    fn each_end_is_counted() {
        let metrics = Metrics::new(MetricLabels::default()).expect("metrics");
        let tell = listener(metrics.clone());
        for status in [DeliveryStatus::Sent, DeliveryStatus::Failed, DeliveryStatus::Failed] {
            let channel = "sms".to_owned();
            tell(&SendNews::Ended { delivery_id: 1, channel, status, cause: None });
        }
        let (client_id, channel) = ("acme".to_owned(), "sms".to_owned());
        tell(&SendNews::Account { client_id, channel, state: None, cause: String::new() });
        tell(&SendNews::Draft { channel: "sms".to_owned(), status: "approved" });
        let text = metrics.render().expect("text");
        let drafts = "postroom_drafts_total{channel=\"sms\",status=\"approved\"} 1\n";
        assert!(text.contains(drafts), "{text}");
        for (outcome, count) in [("sent", 1), ("failed", 2)] {
            let line = format!(
                "postroom_deliveries_total{{channel=\"sms\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(text.contains(&line), "{text}");
        }
    }
}
