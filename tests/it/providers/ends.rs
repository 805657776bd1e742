//! Each way in which a provider can fail, and how the send ended by it.

use super::{TIMEOUT, call, handles, send_end, settings, with_fake};
use postroom::domain::sending::{AccountState, AccountTrouble, SendEnd};
use std::time::Duration;

/// What a send must end with.
enum Expected {
    Sent,
    NotSent(AccountState, u64),
    Failed,
    Unknown,
}

#[tokio::test]
async fn each_fault_at_each_provider_has_its_end() {
    use AccountState::{Disconnected, RateLimited};
    use Expected::{Failed, NotSent, Sent, Unknown};
    with_fake(async |fake, url, wire| {
        let settings = settings(&url);
        let mut taken = 0;
        // The fault, the end, and whether the provider took the answer.
        for (fault, expected, is_taken) in [
            ("", Sent, true),
            ("401", NotSent(Disconnected, 300), false),
            ("403", Failed, false),
            ("404", Failed, false),
            ("422", Failed, false),
            ("429", NotSent(RateLimited, 60), false),
            ("429:30", NotSent(RateLimited, 30), false),
            ("500", Unknown, false),
            ("502", Unknown, false),
            ("503", Unknown, false),
            ("503:7", NotSent(RateLimited, 7), false),
            ("unreadable", Unknown, true),
            ("close", Unknown, true),
            ("reset", Unknown, true),
            ("reset-after", Unknown, true),
            ("hang", Unknown, true),
        ] {
            for (name, handle) in handles() {
                if !fault.is_empty() {
                    fake.fail(format!("{name}/{fault}*1").parse().unwrap());
                }
                let call = call(name, &handle, &settings).unwrap();
                let timeout = if fault == "hang" { Duration::from_millis(300) } else { TIMEOUT };
                let end = send_end(name, wire.call(&call, timeout).await);
                let is_right = match (&expected, &end) {
                    // SmartLead gives the answer no id.
                    (Sent, SendEnd::Sent { provider_id }) => {
                        provider_id.is_some() == (name != "smartlead")
                    }
                    (Failed, SendEnd::Failed { .. }) | (Unknown, SendEnd::Unknown { .. }) => true,
                    (NotSent(state, seconds), SendEnd::NotSent { account, .. }) => {
                        let pause = Duration::from_secs(*seconds);
                        *account == Some(AccountTrouble { state: *state, pause })
                    }
                    _ => false,
                };
                assert!(is_right, "{name} {fault}: {end:?}");
                assert!(!format!("{end:?}").contains("key|of"), "{end:?}");
                taken += usize::from(is_taken);
                assert_eq!(fake.sent().len(), taken, "{name} {fault}");
            }
        }
        assert_eq!(fake.counts().values().sum::<usize>(), taken);
    })
    .await;
}

#[tokio::test]
async fn what_a_provider_would_refuse_is_refused() {
    with_fake(async |fake, url, wire| {
        for (name, handle) in handles() {
            let good = call(name, &handle, &settings(&url)).unwrap();
            // Without its key, without its body, at another path, by another method.
            let mut bad = [good.clone(), good.clone(), good.clone(), good.clone()];
            bad[0].headers.retain(|(name, _)| !["authorization", "x-api-key"].contains(name));
            bad[0].url = bad[0].url.split('?').next().unwrap().to_owned();
            bad[1].body = b"{}".to_vec();
            bad[2].url = bad[2].url.replace("/api/", "/ipa/").replace("/messages", "/massages");
            bad[3].method = "PUT";
            for (index, call) in bad.iter().enumerate() {
                let end = send_end(name, wire.call(call, TIMEOUT).await);
                let is_refused = match index {
                    0 => matches!(end, SendEnd::NotSent { account: Some(_), .. }),
                    _ => matches!(end, SendEnd::Failed { .. }),
                };
                assert!(is_refused, "{name} {index}: {end:?}");
            }
        }
        assert!(fake.sent().is_empty());
    })
    .await;
}
