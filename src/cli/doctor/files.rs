//! The files of a daemon: its configuration, its secrets, its data.

use super::finding::Finding;
use crate::{
    app::{Distrust, IsOpen, holder_of, judge, lock_path, others_can_exchange_files, token_path},
    cli::failure::chain,
    config::{Config, ConfigErrors, Loaded, Sources},
    registry, store,
};
use rustix::fs::{Access, access};
use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

/// The program's view of the files of the data: what they are for, and what others could do.
const RUN_AS: &str = "run this as the daemon's user (`sudo -u postroom postroom doctor`), or give it the files (`chown`)";

/// Loads the configuration, and says what is wrong with it. `None` if it cannot be loaded.
pub(super) fn configuration(sources: &Sources) -> (Option<Loaded>, Vec<Finding>) {
    const CHECK: &str = "configuration";
    let bad = |errors: &ConfigErrors| -> Vec<Finding> {
        let each = errors.0.iter();
        each.map(|error| Finding::bad(CHECK, "refused", error.to_string())).collect()
    };
    let loaded = match Loaded::load(sources) {
        Ok(loaded) => loaded,
        Err(errors) => return (None, bad(&errors)),
    };
    if let Err(errors) = registry::postroom().check(&loaded.config) {
        return (None, bad(&errors));
    }
    let warnings = loaded.config.warnings().iter();
    let mut findings: Vec<Finding> =
        warnings.map(|warning| Finding::warn(CHECK, "unsafe", warning.to_string())).collect();
    if findings.is_empty() {
        let count = loaded.config.clients.len();
        let clients = if count == 1 { "1 client".to_owned() } else { format!("{count} clients") };
        findings.push(Finding::ok(CHECK, format!("valid, {clients}, hash {}", loaded.hash())));
    }
    (Some(loaded), findings)
}

/// Checks who can read the files that hold secrets: those that the configuration refers to, and the
/// token that the first start made.
pub(super) fn secrets(loaded: &Loaded, layers: &[PathBuf]) -> Vec<Finding> {
    const CHECK: &str = "secrets";
    let referred = loaded.read_paths().iter().filter(|path| !layers.contains(path));
    let mut paths: Vec<&Path> = referred.map(PathBuf::as_path).collect();
    let token = token_path();
    if loaded.config.admin.token.is_none() {
        paths.push(&token);
    }
    let mut findings = Vec::new();
    let mut closed = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(found) => match secret_file(CHECK, path, &found) {
                Some(finding) => findings.push(finding),
                None => closed.push(format!("`{}`", path.display())),
            },
            // A file that a configuration refers to was read, so this is the token's.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path == token {
                    let text = format!("there is no `{}` yet", path.display());
                    findings.push(Finding::ok(CHECK, format!("{text}: the first start makes it")));
                }
            }
            Err(error) => {
                findings.push(Finding::bad(
                    CHECK,
                    format!("`{}`: {error}", path.display()),
                    RUN_AS,
                ));
            }
        }
    }
    if !closed.is_empty() {
        let text = format!("closed to other users: {}", closed.join(", "));
        findings.push(Finding::ok(CHECK, text));
    } else if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "the configuration names no file for one"));
    }
    findings
}

fn secret_file(check: &'static str, path: &Path, found: &Metadata) -> Option<Finding> {
    let path = path.display();
    match judge(found) {
        Ok(IsOpen::No) => None,
        Ok(IsOpen::Ours) => Some(Finding::warn(
            check,
            format!("other users can read `{path}`"),
            format!("`chmod 600 {path}`, and change the secret if they may have read it"),
        )),
        // Root chose who reads it. What everybody reads is no secret.
        Ok(IsOpen::Roots) => {
            let is_public = std::os::unix::fs::MetadataExt::mode(found) & 0o004 != 0;
            is_public.then(|| {
                let text = format!("every user can read `{path}`, which belongs to root");
                Finding::warn(check, text, format!("`chmod o= {path}`"))
            })
        }
        Err(
            distrust @ (Distrust::Foreign { .. }
            | Distrust::Link
            | Distrust::NoFile
            | Distrust::Open { .. }),
        ) => Some(Finding::warn(check, format!("`{path}` {distrust}"), RUN_AS)),
    }
}

/// Checks the SQLite file and its directory. Nothing on PostgreSQL.
pub(super) fn data(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "data";
    let Some(path) = store::sqlite_path(config.database.url.expose()) else { return Vec::new() };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let shown = directory.display();
    let mut findings = Vec::new();
    match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no `{shown}` yet: the first start makes it");
            return vec![Finding::ok(CHECK, text)];
        }
        Err(error) => return vec![Finding::bad(CHECK, format!("`{shown}`: {error}"), RUN_AS)],
        Ok(found) => {
            if access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
                findings.push(Finding::bad(CHECK, format!("`{shown}` cannot be written"), RUN_AS));
            }
            if others_can_exchange_files(&found) {
                let text = format!("other users can exchange files in `{shown}`");
                findings.push(Finding::warn(CHECK, text, format!("`chmod 700 {shown}`")));
            }
        }
    }
    match fs::metadata(&path) {
        Ok(found) => findings.extend(database_file(&path, &found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            findings.push(Finding::bad(CHECK, format!("`{}`: {error}", path.display()), RUN_AS));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("`{shown}` belongs to this user")));
    }
    findings
}

fn database_file(path: &Path, found: &Metadata) -> Option<Finding> {
    let path = path.display();
    match judge(found) {
        Ok(IsOpen::No | IsOpen::Roots) => None,
        Ok(IsOpen::Ours) => Some(Finding::warn(
            "data",
            format!("other users can open `{path}`"),
            "the next start closes it to them".to_owned(),
        )),
        Err(distrust) => Some(Finding::bad("data", format!("`{path}` {distrust}"), RUN_AS)),
    }
}

/// Checks that a daemon could keep webhooks on the disk of the SQLite file.
pub(super) fn disk(config: &Config) -> Finding {
    const CHECK: &str = "disk";
    if !config.database.url.is_sqlite() {
        return Finding::ok(CHECK, "the database is elsewhere");
    }
    match store::disk_trouble(config.database.url.expose()) {
        None => {
            let room = store::disk_room(config.database.url.expose());
            Finding::ok(
                CHECK,
                room.unwrap_or_else(|| "the system does not say its room".to_owned()),
            )
        }
        Some(why) => Finding::bad(
            CHECK,
            format!("webhooks are refused: {why}"),
            "make room, or move the database to a larger disk",
        ),
    }
}

/// The process that holds the lock of the SQLite file; `None` if there is none, or if the system
/// does not tell.
pub(super) fn lock_holder(config: &Config) -> Option<u32> {
    let path = store::sqlite_path(config.database.url.expose())?;
    holder_of(&lock_path(&path))
}

/// The text of an error with its causes, for a finding.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::{Grade, worst};
    use std::os::unix::fs::PermissionsExt;

    fn sources(toml: &str, directory: &Path) -> Sources {
        let file = directory.join("c.toml");
        fs::write(&file, toml).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
        Sources { files: vec![file], ..Sources::default() }
    }

    fn loaded(toml: &str, directory: &Path) -> (Loaded, Vec<PathBuf>) {
        let sources = sources(toml, directory);
        (Loaded::load(&sources).expect("valid"), sources.files)
    }

    #[test]
    fn a_refused_configuration_is_told_with_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let (found, findings) =
            configuration(&sources("[ingest]\nbatch_mx = 5\n", directory.path()));
        assert!(found.is_none());
        assert_eq!(worst(&findings), Grade::Bad);
        assert!(findings.iter().any(|it| it.mend.contains("c.toml:2")), "{findings:?}");
        let other_kind = sources("[pools.READ_A_FAX]\nsize = 1\n", directory.path());
        assert_eq!(worst(&configuration(&other_kind).1), Grade::Bad);
        let (found, findings) =
            configuration(&sources("[ingest]\nbatch_max = 5\n", directory.path()));
        assert!(found.is_some());
        assert_eq!(worst(&findings), Grade::Ok);
        let is_told = findings.iter().any(|it| it.found.starts_with("valid, 1 client, hash "));
        assert!(is_told, "{findings:?}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = directory.path().join("token");
        fs::write(&secret, "0123456789abcdef01234567").expect("a file");
        let toml = format!("[admin]\ntoken = {{ file = \"{}\" }}\n", secret.display());
        for (mode, grade) in [(0o600, Grade::Ok), (0o640, Grade::Warn), (0o644, Grade::Warn)] {
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("a mode");
            let (loaded, layers) = loaded(&toml, directory.path());
            let findings = secrets(&loaded, &layers);
            assert_eq!(worst(&findings), grade, "{mode:o}: {findings:?}");
            let shown = format!("{findings:?}");
            assert!(!shown.contains("0123456789abcdef"), "{shown}");
        }
    }

    #[test]
    fn a_directory_of_data_that_others_write_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let data_directory = directory.path().join("data");
        let url = format!("sqlite://{}", data_directory.join("x.db").display());
        let toml = format!("[database]\nurl = \"{url}\"\n");
        let (loaded, _) = loaded(&toml, directory.path());
        let grade = || worst(&data(&loaded.config));
        assert_eq!(grade(), Grade::Ok, "it is made");
        fs::create_dir(&data_directory).expect("a directory");
        for (mode, expected) in [(0o700, Grade::Ok), (0o777, Grade::Warn)] {
            fs::set_permissions(&data_directory, fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(grade(), expected, "{mode:o}");
        }
        fs::set_permissions(&data_directory, fs::Permissions::from_mode(0o700)).expect("a mode");
        fs::write(data_directory.join("x.db"), "").expect("a file");
        fs::set_permissions(data_directory.join("x.db"), fs::Permissions::from_mode(0o644))
            .expect("a mode");
        assert_eq!(grade(), Grade::Warn);
    }
}
