//! The shape of the code, checked like any other behaviour.
//!
//! The checks read text, not syntax, and do not see paths that macros make. A complaint says what
//! would be right. If the rule itself has become wrong, change the table and say why in
//! `docs/decisions/`.

#![expect(clippy::unwrap_used, reason = "a repository that cannot be read fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// `(folder of src, what it may use)`: never one below it.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("announcer", &[]),
    ("config", &["domain"]),
    ("telemetry", &["domain", "config"]),
    ("store", &["domain", "config", "telemetry"]),
    ("tuning", &["domain", "config", "telemetry", "store"]),
    ("channels", &["domain", "config", "telemetry"]),
    ("wire", &["domain", "channels"]),
    ("fake_provider", &[]),
    ("analyst", &["domain", "config", "telemetry"]),
    ("ingest", &["domain", "announcer", "config", "telemetry", "store", "channels"]),
    ("handlers", &["domain", "config", "telemetry", "store", "channels", "wire", "analyst"]),
    ("recorder", &["domain", "announcer", "config", "telemetry", "store"]),
    (
        "supervisor",
        &["domain", "announcer", "config", "telemetry", "store", "ingest", "handlers", "recorder"],
    ),
    (
        "http",
        &[
            "domain",
            "config",
            "telemetry",
            "store",
            "tuning",
            "channels",
            "analyst",
            "ingest",
            "supervisor",
        ],
    ),
];

/// `(layer of the store, the layers that it may use)`. The files at the top, which are the handles
/// and `mod.rs`, may use all layers; no layer may use them.
const STORE_LAYERS: &[(&str, &[&str])] =
    &[("engine", &[]), ("tables", &["engine"]), ("fleet", &["engine", "tables"])];

/// `(phase of the inbox, the phases that it may use)`: a webhook is read, decided and written.
const INBOX_PHASES: &[(&str, &[&str])] =
    &[("decide", &[]), ("read", &["decide"]), ("write", &["decide"])];

/// The parts that put the layers together and may use all of them. Each may use those before it,
/// and `main` all.
const COMPOSITION: &[&str] = &["registry", "app", "cli"];

/// `(crate, the only parts of src that may name it)`: each outside language has its place.
const FENCES: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("sqlx", &["store"]),
    ("sea_query_sqlx", &["store"]),
    ("entity", &["store"]),
    ("migration", &["store"]),
    ("actix_web", &["http", "app"]),
    ("actix_http", &["http"]),
    ("maud", &["http"]),
    ("tokio_rustls", &["http"]),
    ("actix", &["announcer", "ingest", "recorder", "supervisor", "http", "app"]),
    ("reqwest", &["wire", "analyst", "telemetry", "cli"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("hyper", &["cli"]),
    ("ratatui", &["cli"]),
    ("crossterm", &["cli"]),
    ("toml_edit", &["config"]),
    ("prometheus", &["telemetry"]),
    ("notify", &["tuning"]),
    ("opening_hours", &["domain"]),
    ("sd_notify", &["app"]),
];

/// `(part, types and functions that it never names)`: what it would do with them is another part's.
const NEVER_NAMED: &[(&str, &[&str])] = &[
    // Ingest decides what is stored of a webhook.
    ("http", &["Inbound", "Delivery", "body_hash", "commit_isolating"]),
];

/// `(shelf, call that registers a plug-in, what lies there without being one)`.
const SHELVES: &[(&str, &str, &[&str])] = &[
    (
        "channels",
        ".channel(",
        &[
            "fields", "json", "masks", "page", "phones", "samples", "sending", "tests", "text",
            "times",
        ],
    ),
    ("handlers", ".kind(", &["gate", "post_process", "send_rules"]),
];

/// The channels. Only [`MAY_NAME_CHANNELS`] may name one: a channel itself says what others must
/// know of it.
const CHANNELS: &[&str] = &["email", "sms", "linkedin", "smartlead", "instantly"];
const MAY_NAME_CHANNELS: &[&str] = &["channels", "registry", "fake_provider"];
/// What only looks like a channel: `(word, text that holds it, why)`.
const NO_CHANNELS: &[(&str, &str, &str)] = &[
    ("sms", "sms_dnd", "a column and a JSON field: the do-not-disturb flag"),
    ("email", "found(\"email\")", "mail addresses, as identities are stored"),
    ("email", "text(\"email\")", "a column: the lead's address"),
    ("email", "column(\"email\")", "the same, in a table of a command"),
    ("email", "\"sender_email_id\"", "a setting: the id of a mailbox"),
];

/// `(folder of src, names that its code must not hold)`: rules that see no database and no clock,
/// so that a test can ask them thousands of times.
const PURE: &[(&str, &[&str])] = &[
    ("domain", &["async", "sea_orm", "tokio", "wall_clock", "Instant", "SystemTime"]),
    (
        "store/inbox/decide",
        &["async", "sea_orm", "tokio", "wall_clock", "Instant", "SystemTime", "Tx", "Database"],
    ),
];

/// The metrics that dashboards and alerts rely on, without their prefix `postroom_`.
const METRICS: &[&str] = &[
    "webhooks_total",
    "webhook_seconds",
    "ingest_batch_size",
    "ingest_queue_depth",
    "jobs_total",
    "jobs_handed_off_total",
    "job_wait_seconds",
    "job_run_seconds",
    "jobs_pending",
    "jobs_running",
    "oldest_pending_seconds",
    "pool_size",
    "pool_busy",
    "pool_paused",
    "pool_override",
    "actor_restarts_total",
    "rescued_jobs_total",
    "ledger_imbalance_jobs",
    "quarantined_total",
    "quarantine_refused_total",
    "analyst_seconds",
    "model_calls_total",
    "model_call_seconds",
    "model_calls_not_kept_total",
    "deliveries_total",
    "drafts_pending",
    "deliveries_uncertain",
    "accounts_disconnected",
    "canary_seconds",
    "config_last_reload_successful",
    "config_last_reload_success_timestamp_seconds",
    "config_reloads_total",
    "config_pending_restart_keys",
];

/// Beyond this a file is taken apart. Its unit tests do not count.
const FILE_LINES_MAX: usize = 600;

/// The length of a comment line, in characters. `rustfmt` wraps code there, and leaves comments
/// alone.
const COMMENT_COLUMNS_MAX: usize = 100;

/// `(name, why several private types may share it)`.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Row", "a row of the JSON that one statement is given, or of the rows that it returns"),
    ("Inner", "the fields of a handle, which its clones share or which it hides"),
];

/// What declares a type, as it stands after its visibility.
const TYPE_KEYWORDS: &[&str] = &["struct ", "enum ", "trait ", "union ", "type "];

#[test]
fn code_depends_one_way() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let part = part_of(&file);
        let mut code = code_of(&read(&file));
        if code.contains("super::super::") {
            wrong.insert(format!(
                "{}: write `crate::…` instead of `super::super::`",
                file.display()
            ));
        }
        if file == Path::new("src").join(&part).join("mod.rs") {
            // In a part's own mod.rs, `super` is the crate.
            code = code.replace("super::", "crate::");
        }
        let Some(allowed) = allowed_in(&part) else { continue };
        for used in crate_paths(&code) {
            let is_part = LAYERS.iter().any(|(name, _)| *name == used)
                || COMPOSITION.contains(&used.as_str());
            if is_part && used != part && !allowed.contains(&used.as_str()) {
                wrong.insert(format!(
                    "{}: `{part}` must not use `crate::{used}` (it may use: {})",
                    file.display(),
                    allowed.join(", ")
                ));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn the_layers_of_the_store_depend_one_way() {
    let mut wrong = BTreeSet::new();
    for (layer, allowed) in STORE_LAYERS {
        let root = Path::new("src/store").join(layer);
        for file in rust_files(root.to_str().unwrap()) {
            let mut code = with_flat_uses(&code_of(&read(&file)));
            if file == root.join("mod.rs") {
                // In a layer's own mod.rs, `super` is the store.
                code = code.replace("super::", "crate::store::");
            }
            for used in paths_after("crate::store::", &code) {
                if used != *layer && !allowed.contains(&used.as_str()) {
                    wrong.insert(format!(
                        "{}: the layer `{layer}` must not use `crate::store::{used}` (it may use: {})",
                        file.display(),
                        allowed.join(", ")
                    ));
                }
            }
        }
    }
    let on_layers = STORE_LAYERS.iter().map(|(layer, _)| format!("src/store/{layer}/mod.rs"));
    wrong.extend(
        on_layers
            .filter(|file| !Path::new(file).is_file())
            .map(|file| format!("{file}: is missing")),
    );
    nothing(wrong);
}

#[test]
fn the_phases_of_the_inbox_depend_one_way() {
    let mut wrong = BTreeSet::new();
    for (phase, allowed) in INBOX_PHASES {
        let root = Path::new("src/store/inbox").join(phase);
        let files = rust_files(root.to_str().unwrap());
        assert!(!files.is_empty(), "{} has no files", root.display());
        for file in files {
            let mut code = with_flat_uses(&code_of(&read(&file)));
            if file == root.join("mod.rs") {
                // In a phase's own mod.rs, `super` is the inbox.
                code = code.replace("super::", "crate::store::inbox::");
            }
            let phases = INBOX_PHASES.iter().map(|(name, _)| *name);
            let used = paths_after("crate::store::inbox::", &code);
            for other in phases.filter(|name| *name != *phase && used.contains(*name)) {
                if !allowed.contains(&other) {
                    wrong.insert(format!("{}: `{phase}` must not use `{other}`", file.display()));
                }
            }
        }
    }
    nothing(wrong);
}

#[test]
fn no_files_of_a_layer_use_each_other_in_a_circle() {
    let mut wrong = BTreeSet::new();
    for (layer, _) in STORE_LAYERS {
        let root = Path::new("src/store").join(layer);
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in rust_files(root.to_str().unwrap()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let code = with_flat_uses(&code_of(without_tests(&read(&file))))
                .replace("crate::store::", "super::super::");
            let own_layer = format!("super::super::{layer}::");
            let code = code.replace(&own_layer, "super::");
            let mut used = paths_after("super::", &code);
            used.remove(&name);
            uses.insert(name, used);
        }
        // Removes the files that use none of the files that are left. The rest are in a circle, or
        // use one.
        while let Some(free) =
            uses.iter().find(|(_, used)| used.iter().all(|it| !uses.contains_key(it)))
        {
            let free = free.0.clone();
            uses.remove(&free);
        }
        if !uses.is_empty() {
            let files: Vec<String> = uses.keys().cloned().collect();
            wrong.insert(format!("src/store/{layer}: a circle is among {}", files.join(", ")));
        }
    }
    nothing(wrong);
}

#[test]
fn every_outside_language_has_its_place() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let (part, code) = (part_of(&file), code_of(&read(&file)));
        for (name, places) in FENCES {
            if mentions(&code, name) && !places.contains(&part.as_str()) {
                wrong.insert(format!(
                    "{}: `{name}` belongs in {} only",
                    file.display(),
                    places.join(", ")
                ));
            }
        }
    }
    // A migration must stay true to the day it was written on, and entities follow today's code.
    for (package, name) in
        [("migration", "entity"), ("migration", "postroom"), ("entity", "postroom")]
    {
        for file in rust_files(package) {
            if mentions(&code_of(&read(&file)), name) {
                wrong.insert(format!("{}: must not use `{name}`", file.display()));
            }
        }
    }
    nothing(wrong);
}

/// A channel's name in other parts would be a place that a new channel does not know of.
#[test]
fn no_channel_is_named_outside_of_the_channels() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let is_tests = file.file_stem().unwrap().to_str().unwrap().ends_with("tests");
        if is_tests || MAY_NAME_CHANNELS.contains(&part_of(&file).as_str()) {
            continue;
        }
        let text = read(&file);
        for line in stripped(without_tests(&text), true).lines() {
            if let Some(channel) = CHANNELS.iter().find(|channel| names_channel(line, channel)) {
                let line = line.trim();
                wrong.insert(format!("{}: names the channel `{channel}`: {line}", file.display()));
            }
        }
    }
    nothing(wrong);
    let registry = read(Path::new("src/registry.rs"));
    for channel in CHANNELS {
        assert!(registry.contains(&format!("channels::{channel}::")), "there is no `{channel}`");
    }
    assert_eq!(registry.matches(".channel(channels::").count(), CHANNELS.len(), "not all named");
}

/// True if a line of code names a channel: as a string, a part of a path or of a kind, or in an
/// identifier. Words of prose, as in regular expressions and keywords, do not count.
fn names_channel(line: &str, channel: &str) -> bool {
    if !line.to_lowercase().contains(channel) {
        return false;
    }
    let mut line = line.to_owned();
    for (_, text, _) in NO_CHANNELS.iter().filter(|(word, _, _)| *word == channel) {
        line = line.replace(text, "");
    }
    let code = code_of(&line);
    let is_mail = channel == "email";
    let in_code = identifiers(&code).any(|name| {
        let mut words = words_of_name(name);
        // An address is called `email`, too: of that one, only types and constants are names.
        let is_type = name.starts_with(|c: char| c.is_uppercase());
        (is_type || !is_mail) && words.any(|word| word == channel)
    });
    let in_strings = line.split('"').skip(1).step_by(2).any(|text| {
        let text = text.to_lowercase();
        let is_part = |separator: char| {
            text.contains(separator)
                && !text.contains([' ', '(', '|'])
                && text.split(separator).any(|part| part == channel)
        };
        text == channel || is_part('/') || is_part('_')
    });
    in_code || in_strings
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !is_identifier(c)).filter(|name| !name.is_empty())
}

/// The words of an identifier in small letters: `SmsPart` and `SMS_PART` are `sms` and `part`.
fn words_of_name(name: &str) -> impl Iterator<Item = String> {
    let is_constant = !name.contains(char::is_lowercase);
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && !is_constant {
            words.push(String::new());
        }
        words.last_mut().unwrap().extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[test]
fn no_part_does_the_work_of_another() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("src") {
        let (part, text) = (part_of(&file), read(&file));
        let code = code_of(&text);
        for (_, names) in NEVER_NAMED.iter().filter(|(name, _)| *name == part) {
            for name in code.split(|c| !is_identifier(c)).filter(|word| names.contains(word)) {
                wrong.insert(format!("{}: `{name}` is not for `{part}`", file.display()));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn rules_see_no_database_and_no_clock() {
    let mut wrong = BTreeSet::new();
    for (folder, names) in PURE {
        let files = rust_files(&format!("src/{folder}"));
        assert!(!files.is_empty(), "src/{folder} is there");
        for file in files {
            let code = code_of(without_tests(&read(&file)));
            for name in code.split(|c| !is_identifier(c)).filter(|word| names.contains(word)) {
                wrong.insert(format!("{}: `{name}` has no place in a rule", file.display()));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn every_part_has_a_layer() {
    let mut wrong = BTreeSet::new();
    for (path, name) in entries("src") {
        let known = LAYERS.iter().any(|(it, _)| *it == name)
            || COMPOSITION.contains(&name.as_str())
            || name == "main"
            || name == "lib";
        if !known {
            wrong.insert(format!("{}: say in LAYERS what it may use", path.display()));
        }
    }
    nothing(wrong);
}

/// A file that no `mod` line names is never compiled, and its mistakes are never seen.
#[test]
fn every_file_is_compiled() {
    let mut wrong = BTreeSet::new();
    for root in ["src", "entity/src", "migration/src"] {
        // A folder without code holds what is compiled in as it is.
        let has_code = |folder: &Path| {
            let files = files_under(folder);
            files.iter().any(|file| file.extension().is_some_and(|it| it == "rs"))
        };
        for folder in folders(root).into_iter().filter(|it| has_code(it)) {
            let parents = if folder == Path::new(root) {
                vec![folder.join("lib.rs"), folder.join("main.rs")]
            } else {
                vec![folder.join("mod.rs")]
            };
            if !parents.iter().any(|it| it.is_file()) {
                wrong.insert(format!("{}: has no mod.rs", folder.display()));
                continue;
            }
            let list: String =
                parents.iter().filter(|it| it.is_file()).map(|it| read(it)).collect();
            for (path, name) in entries(&folder) {
                let is_module = (path.is_dir() && has_code(&path))
                    || path.extension().is_some_and(|it| it == "rs");
                let is_named = declares(&list, &name) || names_by_path(&folder, &name);
                if is_module && !parents.contains(&path) && !is_named {
                    wrong.insert(format!("{}: no line `mod {name};` above it", path.display()));
                }
            }
        }
    }
    nothing(wrong);
}

/// A handler that nobody registered never runs, and a channel that nobody registered answers 404.
#[test]
fn every_plug_in_is_registered() {
    let mut wrong = BTreeSet::new();
    let registry = read(Path::new("src/registry.rs")).to_ascii_lowercase();
    for (shelf, call, helpers) in SHELVES {
        for (path, name) in entries(Path::new("src").join(shelf)) {
            if name == "mod" || helpers.contains(&name.as_str()) {
                continue;
            }
            // `auto_send_delayed` → `AutoSendDelayed`; compared without case, because of names such
            // as `LinkedIn`.
            let plug_in = format!("{shelf}::{name}::{}", name.replace('_', ""));
            // A handler that needs nothing is made by a closure.
            let lines = [format!("{call}{plug_in}"), format!("{call}|_| {plug_in}")];
            if !lines.iter().any(|line| registry.contains(line)) {
                wrong.insert(format!(
                    "{}: not registered in src/registry.rs (or, if it is none, not in SHELVES)",
                    path.display()
                ));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut wrong = BTreeSet::new();
    for file in ["src", "entity", "migration"].into_iter().flat_map(rust_files) {
        let lines = without_tests(&read(&file)).lines().count();
        let is_tests = file.file_stem().unwrap().to_str().unwrap().ends_with("tests");
        if lines > FILE_LINES_MAX && !is_tests {
            wrong.insert(format!(
                "{}: {lines} lines without its tests; take it apart at {FILE_LINES_MAX}",
                file.display()
            ));
        }
    }
    nothing(wrong);
}

/// One word means one thing, so that a reader need not ask which of two types a name stands for.
/// The name of each type occurs once in `src`, except for private types on the list
/// [`SHARED_NAMES`].
#[test]
fn a_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<(PathBuf, bool)>> = BTreeMap::new();
    for file in rust_files("src") {
        for (name, is_private) in types(&code_of(without_tests(&read(&file)))) {
            places.entry(name).or_default().push((file.clone(), is_private));
        }
    }
    assert!(places.len() > 200, "only {} types are found", places.len());
    let mut wrong = BTreeSet::new();
    for (name, _) in SHARED_NAMES {
        if places.get(*name).is_none_or(|types| types.len() < 2) {
            wrong.insert(format!("`{name}` is not shared: take it off the list"));
        }
    }
    for (name, types) in places {
        let is_listed = SHARED_NAMES.iter().any(|(shared, _)| *shared == name);
        let may_share = is_listed && types.iter().all(|(_, is_private)| *is_private);
        if types.len() > 1 && !may_share {
            let files: Vec<String> = types.iter().map(|it| it.0.display().to_string()).collect();
            let all = files.join(" and in ");
            wrong.insert(format!("`{name}` is declared in {all}: rename all but one"));
        }
    }
    nothing(wrong);
}

#[test]
fn comments_are_not_too_wide() {
    let mut wrong = BTreeSet::new();
    for file in ["src", "entity", "migration", "tests", "benches"].into_iter().flat_map(rust_files)
    {
        for (number, line) in read(&file).lines().enumerate() {
            let columns = line.chars().count();
            if columns > COMMENT_COLUMNS_MAX && line.trim_start().starts_with("//") {
                wrong.insert(format!(
                    "{}:{}: the comment has {columns} columns; wrap it at {COMMENT_COLUMNS_MAX}",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // Taken apart here, or this file would be found.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut wrong = BTreeSet::new();
    for file in ["src", "entity", "migration", "tests", "benches"].into_iter().flat_map(rust_files)
    {
        for (number, line) in read(&file).lines().enumerate() {
            if words(line).any(|word| marks.contains(&word)) {
                wrong.insert(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    nothing(wrong);
}

/// Comments and pages name pages: each of those exists.
#[test]
fn every_page_that_is_named_exists() {
    let pages: BTreeSet<String> = [".", "docs", "migration", "entity", "tests"]
        .into_iter()
        .flat_map(|root| if root == "." { files_in(root) } else { files_under(root) })
        .filter_map(|it| Some(it.file_name()?.to_str()?.to_owned()))
        .collect();
    let mut wrong = BTreeSet::new();
    for file in prose_and_code() {
        for (number, line) in read(&file).lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            if line.contains("shared/") {
                wrong.insert(format!("{place}: names a path outside the repository"));
            }
            // Few lines name one, and words are slow to find.
            if !line.contains(".md") {
                continue;
            }
            for page in words(line).filter(|it| it.ends_with(".md")) {
                let name = page.rsplit('/').next().unwrap();
                if !pages.contains(name) {
                    wrong.insert(format!("{place}: there is no page `{page}`"));
                }
            }
        }
    }
    nothing(wrong);
}

/// A page must not name a file that has moved. The guides show files that do not exist yet.
#[test]
fn every_file_that_a_page_names_exists() {
    let files: Vec<String> = ["src", "entity", "migration", "tests"]
        .into_iter()
        .flat_map(rust_files)
        .map(|it| format!("/{}", it.display()))
        .collect();
    let mut wrong = BTreeSet::new();
    for page in prose_and_code().iter().filter(|it| it.extension().is_some_and(|it| it == "md")) {
        if page.starts_with("docs/guides") {
            continue;
        }
        for (number, line) in read(page).lines().enumerate() {
            for name in words(line).filter(|it| it.ends_with(".rs")) {
                if !files.iter().any(|file| file.ends_with(&format!("/{name}"))) {
                    let place = format!("{}:{}", page.display(), number + 1);
                    wrong.insert(format!("{place}: there is no file `{name}`"));
                }
            }
        }
    }
    nothing(wrong);
}

/// Each test that is named as a proof exists: ``module::test`` in the pages of guarantees and
/// defects, as `cargo test` lists it, and behind `src::` for a test beside the code.
#[test]
fn every_proof_that_is_named_is_a_test() {
    let mut wrong = BTreeSet::new();
    for (page, least) in [("docs/RELIABILITY.md", 30), ("docs/DEFECTS.md", 38)] {
        let text = read(Path::new(page));
        let proofs: Vec<&str> = text.split('`').filter(|it| it.contains("::")).collect();
        for proof in &proofs {
            let (module, test) = proof.rsplit_once("::").unwrap();
            let module = match module.strip_prefix("src::") {
                Some(module) => Path::new("src").join(module.replace("::", "/")),
                None => Path::new("tests/it").join(module.replace("::", "/")),
            };
            let files = [module.with_extension("rs"), module.join("mod.rs")];
            let is_there = files.iter().any(|it| read(it).contains(&format!("fn {test}(")));
            if !is_there {
                wrong.insert(format!("{page}: there is no test `{proof}`"));
            }
        }
        assert!(
            proofs.len() > least,
            "{page} names its proofs, each between backticks: {proofs:?}"
        );
    }
    nothing(wrong);
}

/// A table whose rows get their ids from nodes raises the floor of new ids at a start. The ids of
/// nodes are made with their rows, and those of `job_later` are the jobs'.
#[test]
fn every_table_with_ids_raises_the_floor_of_new_ids() {
    let floor = read(Path::new("src/store/fleet/nodes.rs"));
    let mut tables = 0;
    for file in rust_files("migration/src") {
        let text = read(&file);
        for (name, columns) in
            text.split("create table ").skip(1).filter_map(|it| it.split_once(" ("))
        {
            if columns.trim_start().starts_with("id @bigint primary key") && name != "nodes" {
                tables += 1;
                let is_read = floor.contains(&format!("max(id) from {name})"))
                    && floor.contains(&format!("\n    \"{name}\",\n"));
                assert!(is_read, "`TABLES_WITH_IDS` and `READ_ID_FLOOR` lack `{name}`");
            }
        }
    }
    assert!(tables > 12, "tables with ids are recognized: {tables}");
}

/// The order in which to read the modules is that of the map.
#[test]
fn the_modules_stand_in_the_order_of_the_map() {
    let map = read(Path::new("docs/ARCHITECTURE.md"));
    let (_, map) = map.split_once("## Map").unwrap();
    let of_map: Vec<&str> = map
        .lines()
        .filter(|it| it.starts_with("| `"))
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    let list = read(Path::new("src/lib.rs"));
    let modules: Vec<&str> =
        list.lines().filter_map(|it| it.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(modules, of_map);
}

/// `just long` runs what is left out of `cargo test`, but what people start by hand: that takes
/// hours, or measures.
#[test]
fn every_test_that_is_left_out_is_long_or_by_hand() {
    let mut wrong = BTreeSet::new();
    for file in rust_files("tests/it") {
        let text = read(&file);
        if text.contains(concat!("#[", "ignore]")) {
            wrong.insert(format!("{}: an ignored test does not say why", file.display()));
        }
        for (_, rest) in
            text.match_indices("#[ignore = \"").map(|(at, it)| text[at..].split_at(it.len()))
        {
            let (Some((why, _)), Some((_, name))) = (rest.split_once('"'), rest.split_once("fn "))
            else {
                continue;
            };
            let name = name.split('(').next().unwrap_or_default();
            let is_left_to_hands = name.starts_with("by_hand_") || name == "no_test";
            // What the recipe leaves out by a part of the name.
            let is_skipped = name.contains("by_hand_") || name.contains("no_test");
            let is_long = why == "long: `just long`";
            if is_long == is_skipped || is_skipped != is_left_to_hands {
                wrong.insert(format!(
                    "{}: `{name}` is left out because {why:?}: say \"long: `just long`\", or begin the name with `by_hand_`",
                    file.display()
                ));
            }
        }
    }
    nothing(wrong);
}

/// Each defect and each race has its row, in order, with a proof.
#[test]
fn every_defect_and_race_has_its_proof() {
    let page = read(Path::new("docs/DEFECTS.md"));
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| D") || line.starts_with("| R")).collect();
    let names = (1..=25).map(|it| format!("D{it}")).chain((1..=13).map(|it| format!("R{it}")));
    let names: Vec<String> = names.collect();
    let found: Vec<&str> = rows.iter().map(|row| row[2..].split(' ').next().unwrap()).collect();
    assert_eq!(found, names);
    for row in rows {
        assert!(row.contains("::"), "no proof: {row}");
    }
}

#[test]
fn every_promised_metric_is_declared_once() {
    let files = ["metrics/mod", "config_metrics", "model_metrics", "shared_metrics"];
    let files = files.map(|name| format!("src/telemetry/{name}.rs"));
    let code: String =
        files.map(|file| stripped(without_tests(&read(Path::new(&file))), true)).concat();
    let mut wrong = BTreeSet::new();
    for name in METRICS {
        let count = [format!("\"{name}\""), format!("\"postroom_{name}\"")]
            .iter()
            .map(|literal| code.matches(literal.as_str()).count())
            .sum::<usize>();
        if count != 1 {
            wrong.insert(format!("src/telemetry: declares `{name}` {count} times"));
        }
    }
    nothing(wrong);
}

/// The points at which tests make actors and processes die are there only where debug assertions
/// are on, and the one profile that turns them on is the harness's own.
#[test]
fn a_release_has_no_faults() {
    let mut wrong = BTreeSet::new();
    let manifest = read(Path::new("Cargo.toml"));
    for section in manifest.split("\n[").filter(|it| it.contains("debug-assertions")) {
        let is_harness = section.starts_with("profile.chaos]");
        // Without checks, dependencies of tests are faster. No fault is in them.
        let is_off = section.starts_with("profile.dev.package]")
            && !section.contains("debug-assertions = true");
        if !is_harness && !is_off {
            let name = section.lines().next().unwrap();
            wrong.insert(format!("Cargo.toml: [{name} sets debug-assertions, which faults go by"));
        }
    }
    if manifest.contains("inherits = \"chaos\"") {
        wrong.insert("Cargo.toml: a profile inherits the harness's own".to_owned());
    }
    let text = read(Path::new("src/telemetry/faults.rs"));
    let blocks: Vec<&str> = text.split("#[cfg(").collect();
    for word in ["fn arm", "fn block", "POSTROOM_FAULTS\"", "assert!", "abort()"] {
        let mut found = blocks.iter().filter(|it| it.contains(word)).peekable();
        let is_there = found.peek().is_some();
        if !is_there || !found.all(|it| it.starts_with("debug_assertions)]")) {
            wrong.insert(format!("src/telemetry/faults.rs: `{word}` is not for debug builds only"));
        }
    }
    nothing(wrong);
}

/// Fails with all that is wrong, one a line.
#[track_caller]
fn nothing(wrong: BTreeSet<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The part of `src` that a file belongs to: its folder there, or its own name.
fn part_of(file: &Path) -> String {
    let first = file.strip_prefix("src").unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The parts that a part may use; `None` for those that may use all.
fn allowed_in(part: &str) -> Option<Vec<&'static str>> {
    if let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == part) {
        return Some(allowed.to_vec());
    }
    let place = COMPOSITION.iter().position(|name| *name == part)?;
    let layers = LAYERS.iter().map(|(name, _)| *name);
    Some(layers.chain(COMPOSITION.iter().take(place).copied()).collect())
}

/// First segments after `crate::`, with `use crate::{a, b::c}` taken apart.
fn crate_paths(code: &str) -> BTreeSet<String> {
    paths_after("crate::", code)
}

/// First segments after `start`, with `use start{a, b::c}` taken apart.
fn paths_after(start: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, rest) in code.match_indices(start).map(|(at, it)| code.split_at(at + it.len())) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(head(rest));
            continue;
        };
        let (mut depth, mut name) = (1, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => found.extend([head(&std::mem::take(&mut name))]),
                _ if depth == 1 => name.push(c),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        found.insert(head(&name));
    }
    found.remove("");
    found
}

/// The code, and behind it every `use` without braces: `use a::{b, c::{d}};` as `a::b` and
/// `a::c::d`.
fn with_flat_uses(code: &str) -> String {
    let mut flat = code.to_owned();
    for (at, _) in code.match_indices("use ") {
        let starts_a_word = code[..at].chars().next_back().is_some_and(is_identifier);
        if !starts_a_word && let Some((tree, _)) = code[at + "use ".len()..].split_once(';') {
            add_paths("", tree, &mut flat);
        }
    }
    flat
}

/// Adds the paths of a tree of a `use`, a line each.
fn add_paths(prefix: &str, tree: &str, paths: &mut String) {
    let Some((start, rest)) = tree.split_once('{') else {
        paths.push_str(&format!("\n{prefix}{};", tree.trim()));
        return;
    };
    let prefix = format!("{prefix}{}", start.trim());
    let group = rest.rsplit_once('}').map_or(rest, |(group, _)| group);
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                add_paths(&prefix, &group[begin..at], paths);
                begin = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
}

/// The identifier that a path starts with.
fn head(path: &str) -> String {
    path.trim().chars().take_while(|c| is_identifier(*c)).collect()
}

/// True if `name` is used as a crate: as the start of a path, or in a `use` of its own.
fn mentions(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, rest) = code.split_at(at);
        let after = rest.strip_prefix(name).unwrap();
        // `::name::…` names the crate, `other::name::…` does not.
        let outer = before.strip_suffix("::").unwrap_or(before);
        let is_start = !outer.ends_with(|c: char| is_identifier(c) || c == '>');
        is_start
            && (after.starts_with("::")
                || before.ends_with("use ") && !after.starts_with(is_identifier))
    })
}

/// The name of each type that is declared, and whether it is private. Associated types of a trait
/// (`type Result = …;`, indented) are left out: the trait gives them their names.
fn types(code: &str) -> Vec<(String, bool)> {
    let declared = |line: &str| {
        let mut rest = line.trim();
        let is_private = !(rest.starts_with("pub ") || rest.starts_with("pub("));
        if let Some(public) = rest.strip_prefix("pub") {
            let limit = public.strip_prefix('(').and_then(|it| it.split_once(')'));
            rest = limit.map_or(public, |(_, after)| after).trim_start();
        }
        let rest = rest.strip_prefix("unsafe ").unwrap_or(rest);
        if is_private && rest.starts_with("type ") && line.starts_with(' ') {
            return None;
        }
        let name = TYPE_KEYWORDS.iter().find_map(|it| Some(head(rest.strip_prefix(it)?)))?;
        (!name.is_empty()).then_some((name, is_private))
    };
    code.lines().filter_map(declared).collect()
}

/// True if a file in the folder takes `name.rs` in by `#[path]`, as is done for long unit tests.
fn names_by_path(folder: &Path, name: &str) -> bool {
    let attribute = format!("#[path = \"{name}.rs\"]");
    files_in(folder).iter().any(|it| read(it).contains(&attribute))
}

/// True if `list` has a line `mod name;`, whatever its visibility.
fn declares(list: &str, name: &str) -> bool {
    let end = format!("mod {name};");
    list.lines().any(|line| {
        let line = line.split("//").next().unwrap().trim();
        line == end || line.ends_with(&format!(" {end}"))
    })
}

/// The text without comments and without what stands in strings.
fn code_of(text: &str) -> String {
    stripped(text, false)
}

/// The text without comments, and without what stands in strings unless those are kept.
fn stripped(text: &str, keep_strings: bool) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            string_length(&code, rest)
        } else if c == '\'' {
            char_length(rest)
        } else {
            c.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if c == '"' && !keep_strings {
            code.push_str("\"\"");
        } else if !(token.starts_with("//") || token.starts_with("/*")) {
            code.push_str(token);
        }
        rest = after;
    }
    code
}

/// The length of the string that `rest` starts with; `before` tells whether it is a raw one.
fn string_length(before: &str, rest: &str) -> usize {
    let opening = before.trim_end_matches('#');
    if opening.ends_with('r') {
        let end = format!("\"{}", "#".repeat(before.len() - opening.len()));
        return rest.split_at(1).1.find(&end).map_or(rest.len(), |at| at + 1 + end.len());
    }
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    rest.len()
}

/// The length of the character that `rest` starts with, or of the quote alone when it is a
/// lifetime's.
fn char_length(rest: &str) -> usize {
    let inner = rest.split_at(1).1;
    let end = if inner.starts_with('\\') {
        inner.char_indices().skip(2).find(|(_, c)| *c == '\'').map(|(at, _)| at)
    } else {
        inner
            .chars()
            .next()
            .map(char::len_utf8)
            .filter(|at| inner.split_at(*at).1.starts_with('\''))
    };
    end.map_or(1, |at| at + 2)
}

/// The text up to its unit tests, the module under `#[cfg(test)]` at its end.
fn without_tests(text: &str) -> &str {
    let tail = text.match_indices("\n#[cfg(test)]\n").find(|(at, _)| {
        // Between the two, there are only further attributes.
        let mut after = text.split_at(*at).1.lines().skip(2);
        let next = after.find(|line| !line.starts_with(['#', ' ', ')']));
        next.is_some_and(|line| line.starts_with("mod "))
    });
    tail.map_or(text, |(at, _)| text.split_at(at).0)
}

/// Words as they occur in names of files and marks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !is_identifier(c) && !matches!(c, '.' | '-' | '/'))
        .map(|word| word.trim_matches(['.', '-', '/', ':']))
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All that readers are given: pages, code and configuration, without the tests.
fn prose_and_code() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["src", "entity", "migration", "docs", "config"]
        .into_iter()
        .flat_map(files_under)
        .collect();
    files
        .extend(["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(PathBuf::from));
    files.retain(|it| it.is_file());
    files
}

fn rust_files(root: &str) -> Vec<PathBuf> {
    let mut files = files_under(root);
    files.retain(|it| it.extension().is_some_and(|it| it == "rs"));
    files
}

/// All files below a folder; none if there is no such folder.
fn files_under(root: impl AsRef<Path>) -> Vec<PathBuf> {
    let below = subfolders(root.as_ref()).into_iter().flat_map(files_under);
    files_in(&root).into_iter().chain(below).collect()
}

fn files_in(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    entries(folder).into_iter().map(|(path, _)| path).filter(|it| it.is_file()).collect()
}

/// The folder and all below it.
fn folders(root: impl AsRef<Path>) -> Vec<PathBuf> {
    let below = subfolders(root.as_ref()).into_iter().flat_map(folders);
    [root.as_ref().to_owned()].into_iter().chain(below).collect()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().map(|(path, _)| path).filter(|it| it.is_dir()).collect()
}

/// What lies in a folder: paths, and names without `.rs`. Builds and hidden files are passed over.
fn entries(folder: impl AsRef<Path>) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    let named = entries.map(|it| (it.path(), it.file_name().into_string().unwrap()));
    named
        .filter(|(_, name)| !name.starts_with('.') && name != "target")
        .map(|(path, name)| (path, name.trim_end_matches(".rs").to_owned()))
        .collect()
}

fn read(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_checks_see_code_and_nothing_else() {
    let flat = with_flat_uses("use crate::{a, store::{b::{c, d as e}, self}};\nreuse x;");
    for path in ["\ncrate::a;", "\ncrate::store::b::c;", "\ncrate::store::b::d as e;"] {
        assert!(flat.contains(path), "{path} is not in {flat}");
    }
    assert!(!flat.contains("\nx;"), "{flat}");
    let text = r##"
use a::b; // sea_orm::x
/* sea_orm::y */ let c = ['"', '\'', '\\']; fn f<'a>(_: &'a str) {}
let s = "sea_orm::z \" // still"; let r = r#"sea_orm::"q""#; d::e();
"##;
    let code = code_of(text);
    assert!(!mentions(&code, "sea_orm"), "{code}");
    assert!(mentions(&code, "a") && mentions(&code, "d"), "{code}");
    assert!(mentions("pub use sqlx as s;", "sqlx") && mentions("::sqlx::query()", "sqlx"));
    assert!(!mentions("sea_orm::sqlx::query()", "sqlx") && !mentions("use sqlx_core;", "sqlx"));
    let used = crate_paths("use crate::{store::{self, queue}, domain::Job}; crate::http::f()");
    assert_eq!(used, ["domain", "http", "store"].map(str::to_owned).into());
    for line in [
        "if channel == \"sms\" {",
        "Self::Email => 1,",
        "const SMS_PARTS: usize = 3;",
        "let is_linkedin = true;",
        "JobKind(\"SMS_INBOUND_POST_PROCESS\")",
        "\"/webhooks/sms/demo\"",
        "IdentityKind::LinkedinUrl",
    ] {
        assert!(CHANNELS.iter().any(|channel| names_channel(line, channel)), "{line}");
    }
    for line in [
        "email: it.email.as_deref(),",
        "lead.sms_dnd = true;",
        "r\"(?:instantly|easily)\"",
        "\"stop sms\", \"stop emailing\"",
        "\"select l.email, l.phone from leads l\"",
    ] {
        assert!(!CHANNELS.iter().any(|channel| names_channel(line, channel)), "{line}");
    }
    let code =
        "pub(in a::b) struct A;\nenum B {\n    type Result = u8;\n    struct Row {\ntype C = u8;\n";
    let named = ["A", "B", "Row", "C"].map(|name| (name.to_owned(), name != "A"));
    assert_eq!(types(code), named);
    let file = "code\n#[cfg(test)]\nuse x;\ncode\n\n#[cfg(test)]\n#[expect(a)]\nmod tests {\n}\n";
    assert_eq!(without_tests(file), "code\n#[cfg(test)]\nuse x;\ncode\n");
}
