//! What copies a value of the configuration, and so has to follow a reload: it is prepared before
//! the configuration is replaced, since it may refuse the new value.

use super::token::ensure_token;
use crate::{
    config::{ConfigError, ConfigErrors, Loaded, TlsConfig},
    http::{FallbackToken, PreparedTls, Tls},
    registry::Registry,
    telemetry::{logging, traces::Traces},
    tuning::{Prepare, Prepared},
};
use std::sync::Arc;

/// Checks a configuration against the lists of channels and kinds, and prepares the log filter,
/// TLS, the token of the admin API and the share of traces.
pub(super) fn prepare(
    registry: &Registry,
    token: &FallbackToken,
    tls: &Tls,
    traces: &Traces,
) -> Prepare {
    let (registry, token, tls) = (Arc::new(registry.clone()), token.clone(), tls.clone());
    let traces = traces.clone();
    Box::new(move |loaded| {
        let (registry, token, tls) = (registry.clone(), token.clone(), tls.clone());
        let traces = traces.clone();
        Box::pin(async move {
            let config = &loaded.config;
            registry.check(config)?;
            let filter = logging::prepare(&config.telemetry.log)
                .map_err(|error| refusal(&loaded, "telemetry.log", error.to_string()))?;
            let encryption = load_tls(config.server.tls.clone())
                .await
                .map_err(|why| refusal(&loaded, "server.tls.cert", why))?;
            // The last that may refuse, since it may make a file.
            ensure_token(config, &token).await.map_err(|error| {
                refusal(&loaded, "admin.token", format!("`admin.token` is not set: {error}"))
            })?;
            let share = config.telemetry.sample;
            let prepared: Prepared = vec![
                Box::new(move || filter.apply()),
                Box::new(move || tls.set(encryption)),
                Box::new(move || traces.sample(share)),
            ];
            Ok(prepared)
        })
    })
}

/// Reads the certificate and its key on a thread of their own, since a file system may hang.
async fn load_tls(files: Option<TlsConfig>) -> Result<PreparedTls, String> {
    let load = move || PreparedTls::load(files.as_ref());
    let loaded = tokio::task::spawn_blocking(load).await;
    loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// The refusal of the value at `key`.
fn refusal(loaded: &Loaded, key: &str, message: String) -> ConfigErrors {
    let value = loaded.values().into_iter().find(|value| value.key == key);
    let (origin, key) = (value.map(|it| it.origin), Some(key.to_owned()));
    ConfigErrors(vec![ConfigError { origin, key, message }])
}
