//! The daemon that runs, as it answers, and as the world reaches it.

use super::finding::Finding;
use crate::{
    channels::AnyChannel,
    cli::{
        http::{below, client, no_answer, shown},
        token::Token,
    },
    config::{Loaded, Secret},
    http::DECIDING_CHECKS,
    registry,
};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The version of this command.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An answer.
struct HttpReply {
    status: StatusCode,
    body: Value,
    text: String,
}

/// Asks for a path below `base`.
///
/// # Errors
/// Why there is no answer.
async fn get(
    http: &Client,
    base: &Url,
    path: &[&str],
    token: Option<&Secret>,
) -> Result<HttpReply, String> {
    let request = http.get(below(base, path)).timeout(LIMIT);
    let request = match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    };
    let failed = |error| no_answer(base, error, LIMIT);
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    Ok(HttpReply { status, body: serde_json::from_str(&text).unwrap_or_default(), text })
}

/// Whether a daemon answers at an address.
pub(super) enum Answering {
    /// It does.
    Daemon,
    /// Nobody does, for this reason.
    Nobody(String),
    /// Another program does.
    Other,
}

/// Finds out who answers at `base`.
pub(super) async fn answering(http: &Client, base: &Url) -> Answering {
    match get(http, base, &["healthz"], None).await {
        Ok(HttpReply { status: StatusCode::OK, body, .. })
            if body.get("status") == Some(&"ok".into()) =>
        {
            Answering::Daemon
        }
        Ok(_) => Answering::Other,
        Err(why) => Answering::Nobody(why),
    }
}

/// Makes an HTTP client for `base`.
///
/// # Errors
/// The finding that says why there is none.
pub(super) fn http(base: &Url) -> Result<Client, Finding> {
    client(base, 1).map_err(|_| Finding::warn("daemon", "no HTTP client can be made", "see above"))
}

/// Asks a daemon how it is: its checks, its version, and the other nodes.
pub(super) async fn examine(
    http: &Client,
    base: &Url,
    token: &Token,
    loaded: &Loaded,
) -> Vec<Finding> {
    let mut findings = match get(http, base, &["readyz"], None).await {
        Ok(reply) => readiness(shown(base), reply.status == StatusCode::OK, &reply.body),
        Err(why) => vec![Finding::bad("daemon", why, "restart it")],
    };
    let overview = get(http, base, &["api", "v1", "overview"], token.secret.as_ref()).await;
    match overview {
        Ok(HttpReply { status: StatusCode::OK, body, .. }) => {
            findings.push(version(body.get("version").and_then(Value::as_str).unwrap_or_default()));
            findings.extend(sends(&body));
            findings.extend(alerts(&body));
            let path = ["api", "v1", "nodes"];
            let nodes = get(http, base, &path, token.secret.as_ref()).await;
            let nodes = nodes.ok().filter(|it| it.status == StatusCode::OK).map(|it| it.body);
            let own = body.get("node").unwrap_or(&Value::Null);
            findings.push(skew(&nodes.unwrap_or_default(), own, loaded.hash()));
        }
        Ok(HttpReply { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }) => {
            findings.push(Finding::warn(
                "token",
                format!("the daemon refuses the token from {}", token.source),
                "name the daemon's configuration with --config, or give its token by POSTROOM_TOKEN",
            ));
        }
        // `/readyz` says why.
        Ok(_) | Err(_) => {}
    }
    findings
}

fn readiness(base: &str, is_ready: bool, body: &Value) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    let checks = body.get("checks").and_then(Value::as_object);
    let failed = checks
        .into_iter()
        .flatten()
        .filter(|(_, check)| check.get("ok").and_then(Value::as_bool) == Some(false));
    let mut findings = vec![if is_ready {
        Finding::ok(CHECK, format!("ready at {base}"))
    } else {
        Finding::bad(CHECK, format!("not ready at {base}"), "see the next lines, and its log")
    }];
    for (name, check) in failed {
        let detail = check.get("detail").and_then(Value::as_str).unwrap_or("failed");
        let found = format!("{name}: {detail}");
        findings.push(if DECIDING_CHECKS.contains(&name.as_str()) {
            Finding::bad(CHECK, found, "docs/OPERATIONS.md#down")
        } else {
            let section = if name == "accounts" { "account-disconnected" } else { "jobs-late" };
            Finding::warn(CHECK, found, format!("docs/OPERATIONS.md#{section}"))
        });
    }
    findings
}

/// What the overview says of sends: whether they are on, which have an unknown end, and which
/// accounts are in trouble.
fn sends(overview: &Value) -> Vec<Finding> {
    const CHECK: &str = "sends";
    let mut findings = Vec::new();
    if overview.get("sending_enabled") == Some(&Value::Bool(false)) {
        let mend = "set `sending.enabled = true`, and `postroom reload`";
        findings.push(Finding::warn(CHECK, "switched off: approved answers wait", mend));
    }
    let uncertain =
        overview.get("deliveries_uncertain").and_then(Value::as_u64).unwrap_or_default();
    if uncertain > 0 {
        let found = format!("{uncertain} with an unknown end");
        findings.push(Finding::warn(CHECK, found, "docs/OPERATIONS.md#sends-uncertain"));
    }
    let accounts = overview.get("accounts").and_then(Value::as_array);
    for account in accounts.into_iter().flatten() {
        let text = |name| account.get(name).and_then(Value::as_str).unwrap_or_default();
        let (client, channel) = (text("client_id"), text("channel"));
        let is_disconnected = text("state") == "disconnected";
        let how = if is_disconnected { "is disconnected" } else { "pauses" };
        let found = format!(
            "the account of {client} for {channel} {how} until {} ({})",
            text("until"),
            text("error")
        );
        let mend = match is_disconnected {
            true => "docs/OPERATIONS.md#account-disconnected",
            false => "nothing: its provider has asked for the pause",
        };
        findings.push(Finding::warn(CHECK, found, mend));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "on, and no account is in trouble"));
    }
    findings
}

/// The alerts of the overview that no other check tells.
fn alerts(overview: &Value) -> Vec<Finding> {
    const CHECK: &str = "alerts";
    const TOLD: [&str; 5] =
        ["Down", "SendsUncertain", "AccountDisconnected", "SendingOff", "PoolPaused"];
    let Some(verdict) = overview.get("verdict") else { return Vec::new() };
    let text =
        |of: &Value, name| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let wrong = verdict.get("wrong").and_then(Value::as_array);
    let told = |alert: &&Value| !TOLD.contains(&text(alert, "alert").as_str());
    let finding = |alert: &Value| {
        let found = format!("{} (since {})", text(alert, "sentence"), text(alert, "since"));
        let mend = match alert.get("runbook").and_then(Value::as_str) {
            Some(section) => format!("docs/OPERATIONS.md#{section}"),
            None => format!("see {}", text(alert, "link")),
        };
        let fires = alert.get("fires").and_then(Value::as_bool) == Some(true);
        match text(alert, "severity") == "page" && fires {
            true => Finding::bad(CHECK, found, mend),
            false => Finding::warn(CHECK, found, mend),
        }
    };
    let findings: Vec<Finding> = wrong.into_iter().flatten().filter(told).map(finding).collect();
    if findings.is_empty() { vec![Finding::ok(CHECK, "none")] } else { findings }
}

fn version(of_daemon: &str) -> Finding {
    if of_daemon == VERSION {
        return Finding::ok("version", format!("the daemon and this command are {VERSION}"));
    }
    Finding::warn(
        "version",
        format!("the daemon is {of_daemon}, and this command {VERSION}"),
        "restart the daemon after an upgrade, or use its own command",
    )
}

/// Compares the nodes with each other, as the daemon has compared those that live, and the
/// configuration of the daemon, which has the id `own`, with the files that this command read,
/// whose hash is `hash`.
fn skew(nodes: &Value, own: &Value, hash: &str) -> Finding {
    const CHECK: &str = "nodes";
    let items = nodes.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let running = items.iter().find(|node| node.get("id") == Some(own));
    let Some(running) = running.and_then(|node| node.get("config_hash")?.as_str()) else {
        return Finding::ok(CHECK, "this version does not tell their versions and configurations");
    };
    if nodes.get("config_differs") == Some(&Value::Bool(true)) {
        return Finding::warn(
            CHECK,
            "nodes run with different versions or configurations",
            "`postroom nodes list` shows which: finish an upgrade, and give all the same files",
        );
    }
    if running != hash {
        let found = format!("the files have the hash {hash}, and the daemon runs with {running}");
        return Finding::warn(
            CHECK,
            found,
            "`postroom config diff` shows which keys; variables of the daemon that are not set here count, too",
        );
    }
    match items.len() {
        0 | 1 => Finding::ok(CHECK, "one runs, with these files"),
        _ => Finding::ok(CHECK, "those that live have the same version, and this one these files"),
    }
}

/// Checks that providers reach the daemon at `server.public_url`, and that nobody reads there what
/// is for operators.
pub(super) async fn public_url(loaded: &Loaded) -> Vec<Finding> {
    const CHECK: &str = "public_url";
    let Some(base) = loaded.config.server.public_url.as_deref().filter(|it| !it.is_empty()) else {
        return vec![Finding::ok(
            CHECK,
            "not set: it is not checked that providers reach the daemon",
        )];
    };
    let Some((base, http)) = Url::parse(base).ok().and_then(|url| {
        let http = client(&url, 1).ok()?;
        Some((url, http))
    }) else {
        return vec![Finding::bad(CHECK, format!("`{base}` cannot be asked"), "correct it")];
    };
    let channels = registry::postroom().channels;
    let Some(channel) = channels.first().map(|it| AnyChannel::name(&**it).0) else {
        return Vec::new();
    };
    // A GET tells nothing about the client, so any will do.
    let path = ["webhooks", channel, "doctor"];
    let mut findings = vec![match get(&http, &base, &path, None).await {
        Ok(reply) => webhooks(shown(&base), channel, reply.status, &reply.body),
        Err(why) => {
            let mend = "providers may still reach it if this machine cannot reach its own address";
            Finding::bad(CHECK, why, mend)
        }
    }];
    if let Ok(reply) = get(&http, &base, &["metrics"], None).await {
        findings.extend(metrics(shown(&base), reply.status, &reply.text));
    }
    findings
}

fn webhooks(base: &str, channel: &str, status: StatusCode, body: &Value) -> Finding {
    const CHECK: &str = "public_url";
    if status == StatusCode::OK && body.get("channel") == Some(&channel.into()) {
        return Finding::ok(CHECK, format!("webhooks reach a daemon at {base}"));
    }
    Finding::bad(
        CHECK,
        format!("{base}/webhooks/{channel}/… answers {status}, and not as a daemon does"),
        "correct `server.public_url`, or let the proxy pass `/webhooks/` on to the daemon",
    )
}

/// A finding if the world can read the metrics.
fn metrics(base: &str, status: StatusCode, text: &str) -> Option<Finding> {
    let is_ours = status == StatusCode::OK && text.contains("postroom_");
    is_ours.then(|| {
        Finding::warn(
            "public_url",
            format!("everybody can read {base}/metrics"),
            "let the proxy pass on `/webhooks/` and nothing else",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::{Grade, worst};
    use serde_json::json;

    #[test]
    fn a_check_that_decides_is_bad_and_another_one_is_a_warning() {
        let body = |name: &str| json!({"checks": {name: {"ok": false, "detail": "away"}, "migrations": {"ok": true, "detail": null}}});
        let found = readiness("http://x", false, &body("database"));
        let [_, database] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((database.grade, database.found.as_str()), (Grade::Bad, "database: away"));
        assert_eq!(worst(&readiness("http://x", true, &body("pools"))), Grade::Warn);
        assert_eq!(worst(&readiness("http://x", true, &json!({"checks": {}}))), Grade::Ok);
        assert_eq!(worst(&readiness("http://x", false, &Value::Null)), Grade::Bad);
    }

    #[test]
    fn what_keeps_answers_from_being_sent_is_told() {
        let account = |state: &str| {
            json!({"client_id": "acme", "channel": "sms", "state": state,
                "until": "2026-11-28T20:00:00.000Z", "since": "2026-11-28T19:00:00.000Z", "error": "401: no"})
        };
        let body = |enabled: bool, uncertain: u64, accounts: Value| json!({"sending_enabled": enabled, "deliveries_uncertain": uncertain, "accounts": accounts});
        for (body, grade, part) in [
            (body(true, 0, json!([])), Grade::Ok, "no account is in trouble"),
            (body(false, 0, json!([])), Grade::Warn, "switched off"),
            (body(true, 2, json!([])), Grade::Warn, "2 with an unknown end"),
            (
                body(true, 0, json!([account("disconnected")])),
                Grade::Warn,
                "of acme for sms is disconnected until",
            ),
            (
                body(true, 0, json!([account("rate_limited")])),
                Grade::Warn,
                "of acme for sms pauses until",
            ),
            // An older daemon.
            (json!({}), Grade::Ok, ""),
        ] {
            let found = sends(&body);
            let [one] = found.as_slice() else { panic!("{found:?}") };
            assert!(one.grade == grade && one.found.contains(part), "{body}: {one:?}");
        }
        let all = body(false, 1, json!([account("disconnected"), account("rate_limited")]));
        assert_eq!(sends(&all).len(), 4);
    }

    #[test]
    fn an_alert_that_no_other_check_tells_is_told() {
        let alert = |name: &str, severity: &str, fires: bool| {
            json!({"alert": name, "severity": severity, "fires": fires, "since": "2026-11-28T20:00:00.000Z",
                "sentence": "It is so.", "link": "/pools", "runbook": "jobs-late"})
        };
        for (wrong, grade, found) in [
            (json!([]), Grade::Ok, "none"),
            (json!([alert("SendsUncertain", "ticket", true)]), Grade::Ok, "none"),
            (
                json!([alert("JobsLate", "page", false)]),
                Grade::Warn,
                "It is so. (since 2026-11-28T20:00:00.000Z)",
            ),
            (
                json!([alert("JobsLate", "page", true)]),
                Grade::Bad,
                "It is so. (since 2026-11-28T20:00:00.000Z)",
            ),
        ] {
            let all = alerts(&json!({"verdict": {"wrong": wrong}}));
            let [one] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!((one.grade, one.found.as_str()), (grade, found));
        }
        assert!(alerts(&json!({})).is_empty(), "an older daemon");
    }

    #[test]
    fn nodes_that_live_and_differ_are_told() {
        let node = |id: &str, hash: &str| json!({"id": id, "config_hash": hash});
        for (nodes, differs, grade, part) in [
            (vec![], false, Grade::Ok, "does not tell"),
            (vec![json!({"id": "1"})], false, Grade::Ok, "does not tell"),
            (vec![node("1", "a")], false, Grade::Ok, "one runs"),
            // The second is dead, or has another address.
            (vec![node("1", "a"), node("2", "b")], false, Grade::Ok, "the same version"),
            (vec![node("1", "a"), node("2", "b")], true, Grade::Warn, "different versions or"),
            (vec![node("1", "b")], false, Grade::Warn, "hash a, and the daemon runs with b"),
        ] {
            let body = json!({"items": nodes, "config_differs": differs});
            let found = skew(&body, &json!("1"), "a");
            assert!(found.grade == grade && found.found.contains(part), "{body}: {found:?}");
        }
    }

    #[test]
    fn an_older_daemon_is_told() {
        assert_eq!(version(VERSION).grade, Grade::Ok);
        assert_eq!(version("0.0.1").grade, Grade::Warn);
    }

    #[test]
    fn what_is_no_webhook_address_is_bad_and_open_metrics_are_told() {
        let answer = json!({"channel": "sms", "events": []});
        assert_eq!(webhooks("https://x", "sms", StatusCode::OK, &answer).grade, Grade::Ok);
        for (status, body) in [
            (StatusCode::OK, Value::Null),
            (StatusCode::OK, json!({"channel": "email"})),
            (StatusCode::NOT_FOUND, answer),
        ] {
            assert_eq!(webhooks("https://x", "sms", status, &body).grade, Grade::Bad, "{status}");
        }
        assert!(metrics("https://x", StatusCode::OK, "postroom_connections 3").is_some());
        assert!(metrics("https://x", StatusCode::OK, "<html>").is_none());
        assert!(metrics("https://x", StatusCode::NOT_FOUND, "postroom_").is_none());
    }
}
