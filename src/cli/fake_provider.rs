//! `postroom fake-provider`: plays the providers on this machine.

use super::{failure::Failure, output};
use crate::fake_provider::{FakeProvider, FaultRule};
use std::{io, net::SocketAddr};
use tokio::signal;

#[derive(clap::Args)]
pub(super) struct FakeProviderArgs {
    /// Where to listen: an address of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9925")]
    bind: SocketAddr,
    /// Fail so: `[CHANNEL/]FAULT[*TIMES]`, such as `429:30*2` (Retry-After 30, twice), `sms/hang`,
    /// `500`, `close`, `reset`, `reset-after`, `unreadable`; may be repeated
    #[arg(long, value_name = "RULE")]
    fail: Vec<FaultRule>,
}

/// Serves until Ctrl-C, and prints a line for each answer that arrives.
pub(super) fn run(args: FakeProviderArgs) -> Result<(), Failure> {
    if !args.bind.ip().is_loopback() {
        let message = "it takes anything from anybody: `--bind` must be an address of this machine";
        return Err(Failure::Wrong(message.to_owned()));
    }
    let provider = FakeProvider::telling(Box::new(|sent| {
        let line = format!("reply to {} over {}: {}", sent.to, sent.channel, sent.text);
        // A closed stdout does not stop the server: `GET /sent` still tells.
        output::print(&line.replace(['\r', '\n'], " ")).ok();
    }));
    for rule in args.fail {
        provider.fail(rule);
    }
    super::http::block_on(async move {
        let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", args.bind));
        let (address, serving) = provider.listen(args.bind).await.map_err(failed)?;
        output::print(&format!(
            "plays the providers at http://{address}: set `base_url = \"http://{address}\"` and \
             `allow_private = true` in a channel's `send`; what it took is at http://{address}/sent"
        ))?;
        tokio::select! {
            served = serving => served.map_err(failed),
            _ = signal::ctrl_c() => Ok(()),
        }
    })?
}
