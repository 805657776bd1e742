//! `postroom reload`: has a running daemon read its configuration again.

use super::{
    admin::{Admin, AdminRefusal, Remote},
    failure::Failure,
    files::Files,
    http::block_on,
    output::{self, Times},
};
use serde_json::Value;
use std::{process::ExitCode, time::Duration};
use tokio::time::Instant;

/// The exit code if the daemon refused its files.
const REFUSED: u8 = 2;
/// The exit code if the change is not in the database at the end of the wait.
const STILL_APPLYING: u8 = 3;
/// How long to wait for the answer if the option says nothing.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two looks at what is still being applied.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a daemon takes at most to see a change of its files. It counts wrong tokens, so it is
/// not asked much oftener.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// The pause before a daemon that refused the token is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(super) struct ReloadArgs {
    /// Wait at most this long, until the change is also in the database (`5s`), else exit with 3
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command. `files` are those given before it.
pub(super) fn run(args: ReloadArgs, files: Files) -> Result<ExitCode, Failure> {
    let (is_json, times) = (args.remote.json, args.remote.times());
    let admin = args.remote.connect(files)?;
    let has_waited = args.wait.is_some();
    let report = block_on(reload(&admin, args.wait))??;
    let is_refused = report.get("outcome").and_then(Value::as_str) == Some("refused");
    if is_json {
        output::print_json(&report)?;
    } else if is_refused {
        output::complain(&refusal(&report));
    } else {
        output::print(&told(&report, &times))?;
    }
    let is_applying = has_waited && !output::items(&report, "applying").is_empty();
    Ok(match (is_refused, is_applying) {
        (true, _) => ExitCode::from(REFUSED),
        (false, true) => ExitCode::from(STILL_APPLYING),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Reloads, and waits until nothing is left to be applied if the caller waits at all.
async fn reload(admin: &Admin, wait: Option<Duration>) -> Result<Value, Failure> {
    let limit = wait.unwrap_or(ANSWER_LIMIT);
    let until = Instant::now() + limit;
    let answer = tokio::time::timeout_at(until, asked(admin, until)).await;
    let mut report = answer.map_err(|_| {
        let limit = humantime::format_duration(limit);
        Failure::Failed(format!("the daemon has not reloaded within {limit}: its log may say why"))
    })??;
    while wait.is_some() && !output::items(&report, "applying").is_empty() && Instant::now() < until
    {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = admin.get(&["config"], &[]).await?;
        if let (Some(applying), Some(report)) = (now.get("applying"), report.as_object_mut()) {
            report.insert("applying".to_owned(), applying.clone());
        }
    }
    Ok(report)
}

/// The answer of the daemon. A token that was changed in the files just now is refused until the
/// daemon has seen that change: then it is asked again.
async fn asked(admin: &Admin, until: Instant) -> Result<Value, AdminRefusal> {
    let until = until.min(Instant::now() + SEEN_WITHIN);
    loop {
        match admin.post(&["config", "reload"], &[], None).await {
            Err(AdminRefusal::Token(_))
                if admin.has_configured_token() && Instant::now() + ASK_AGAIN_AFTER < until =>
            {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            answer => return answer,
        }
    }
}

/// A report for people.
fn told(report: &Value, times: &Times) -> String {
    const COLUMNS: [&str; 5] = ["key", "old", "new", "applies", "origin"];
    let (changed, pending) = (output::items(report, "changed"), output::items(report, "pending"));
    let outcome = output::text(report.get("outcome"));
    let mut parts = vec![format!("{outcome}: configuration {}", output::text(report.get("hash")))];
    if !changed.is_empty() {
        parts.push(output::table(&COLUMNS, output::rows(changed, &COLUMNS)));
    }
    if !pending.is_empty() {
        let table = output::table(&COLUMNS, output::rows(pending, &COLUMNS));
        parts.push(format!("waits for a restart:\n{table}"));
    }
    if let Some(applied) = report.get("last_applied").filter(|it| it.is_object()) {
        let at = times.cell("at", applied.get("at"));
        let mut text = format!("applied last at {at} by {}", output::text(applied.get("by")));
        let changed = output::items(applied, "changed");
        if !changed.is_empty() {
            let table = output::table(&COLUMNS, output::rows(changed, &COLUMNS));
            text.push_str(&format!(":\n{table}"));
        }
        parts.push(text);
    }
    for overruled in output::items(report, "overruled") {
        let [key, origin, by] =
            ["key", "origin", "by"].map(|name| output::text(overruled.get(name)));
        parts.push(format!("no effect: {key} ({origin}), since the {by} wins"));
    }
    if !output::items(report, "applying").is_empty() {
        parts.push(format!("still being applied: {}", output::text(report.get("applying"))));
    }
    parts.join("\n\n")
}

/// Why the files were refused, one error a line.
fn refusal(report: &Value) -> String {
    let error = |error: &Value| {
        let message = output::text(error.get("message"));
        match error.get("origin").and_then(Value::as_str) {
            Some(origin) => format!("{}: {message}", output::line(origin)),
            None => message,
        }
    };
    let mut lines: Vec<String> = output::items(report, "errors").iter().map(error).collect();
    lines.push("error: the files are refused, and the configuration of before runs on".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_tells_what_changed_and_what_waits() {
        let change = json!({"key": "pools.default.size", "old": "8", "new": "16", "applies": "live",
            "origin": "a.toml:7"});
        let mut report = json!({"outcome": "applied", "hash": "0123456789ab", "changed": [change],
            "pending": [], "errors": [], "applying": []});
        assert_eq!(
            told(&report, &Times::utc()),
            "applied: configuration 0123456789ab\n\n\
             key                 old  new  applies  origin\n\
             pools.default.size  8    16   live     a.toml:7"
        );
        let mut later = json!({"outcome": "unchanged", "hash": "0123456789ab"});
        later["last_applied"] =
            json!({"at": "2026-01-18T14:03:11.120Z", "by": "file", "changed": report["changed"]});
        assert_eq!(
            told(&later, &Times::utc()),
            "unchanged: configuration 0123456789ab\n\n\
             applied last at 2026-01-18 14:03:11 UTC by file:\n\
             key                 old  new  applies  origin\n\
             pools.default.size  8    16   live     a.toml:7"
        );
        report["changed"] = json!([]);
        report["pending"] = json!([{"key": "server.bind", "old": null, "new": "x",
            "applies": "restart", "origin": "a.toml:1"}]);
        report["applying"] = json!(["caps", "clients"]);
        assert_eq!(
            told(&report, &Times::utc()),
            "applied: configuration 0123456789ab\n\n\
             waits for a restart:\n\
             key          old  new  applies  origin\n\
             server.bind  -    x    restart  a.toml:1\n\n\
             still being applied: caps,clients"
        );
    }

    #[test]
    fn a_refusal_has_a_line_for_each_error() {
        let report = json!({"outcome": "refused", "errors": [
            {"origin": "a.toml:7", "message": "`x` is wrong"},
            {"origin": null, "message": "`y` is wrong"},
        ]});
        let text = refusal(&report);
        assert!(text.starts_with("a.toml:7: `x` is wrong\n`y` is wrong\nerror: "), "{text}");
    }
}
