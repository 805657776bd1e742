//! What a command needs to reach the daemon, also if the configuration is wrong.

use super::{
    Config, ConfigErrors, DEFAULT, DEFAULT_NAME, Secret, Sources, env, error::Errors, layers,
    merged, reader::SectionReader, references, sections,
};
use std::net::SocketAddr;

/// How to reach the daemon of a configuration, as far as that can be read.
#[derive(Debug)]
pub struct DaemonAccess {
    /// `server.bind`; `None` if it is wrong, or if it could be in a part that cannot be read.
    pub bind: Option<SocketAddr>,
    /// True if an environment variable sets `server.bind`: it may name another daemon of the same
    /// files.
    pub is_bind_variable: bool,
    /// True if `server.tls` is set.
    pub has_tls: bool,
    /// `admin.token`; `None` if it is not set, or cannot be read.
    pub token: Option<Secret>,
    /// What is wrong with the configuration.
    pub errors: Option<ConfigErrors>,
}

impl DaemonAccess {
    /// Reads the layers. If they are wrong, reads what is right in them; of a file that is not
    /// TOML, the lines above its first error.
    pub fn read(sources: &Sources) -> Self {
        match Config::load(sources) {
            Ok(config) => Self {
                bind: Some(config.server.bind),
                is_bind_variable: config
                    .origin("server.bind")
                    .is_some_and(layers::is_place_of_variable),
                has_tls: config.server.tls.is_some(),
                token: config.admin.token,
                errors: None,
            },
            Err(errors) => Self { errors: Some(errors), ..Self::salvaged(sources) },
        }
    }

    fn salvaged(sources: &Sources) -> Self {
        // The caller has the errors.
        let errors = Errors::default();
        let mut all = vec![layers::parse(DEFAULT_NAME, DEFAULT, true, &errors)];
        let mut are_whole = true;
        for path in sources.layers() {
            let (layer, is_whole) = layers::read_above_error(&path);
            all.push(layer);
            are_whole &= is_whole;
        }
        all.extend(env::layers(&merged(all.clone()), &sources.env, &errors));
        let mut table = merged(all);
        references::resolve(&mut table, "", &sources.env, &errors);
        let root = SectionReader { path: String::new(), table: &table, errors: &errors };
        let (server, admin) = (root.section("server"), root.section("admin"));
        let origin = server.as_ref().and_then(|it| it.origin("bind"));
        let is_bind_variable = origin.is_some_and(layers::Origin::is_variable);
        let may_be_unread = !are_whole && origin.is_none_or(|it| it.is_default);
        let server = server.map(|it| sections::server(&it));
        let token = admin.and_then(|it| sections::admin(&it, &[]).token);
        let is_right = |key: &str| !errors.has(key);
        Self {
            bind: server
                .as_ref()
                .map(|it| it.bind)
                .filter(|_| is_right("server.bind") && !may_be_unread),
            is_bind_variable,
            has_tls: server.is_some_and(|it| it.tls.is_some()),
            token: token.filter(|_| is_right("admin.token")),
            errors: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address and the token that can be read of this file.
    fn read(toml: &str) -> (Option<u16>, Option<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("c.toml");
        std::fs::write(&file, toml).expect("a file");
        let sources = Sources { files: vec![file], ..Sources::default() };
        let access = DaemonAccess::read(&sources);
        assert!(access.errors.is_some(), "the file is wrong");
        (access.bind.map(|it| it.port()), access.token.map(|it| it.expose().to_owned()))
    }

    #[test]
    fn what_is_right_in_wrong_files_is_read() {
        const RIGHT: &str =
            "server.bind = \"127.0.0.1:81\"\nadmin.token = \"a-token-of-24-characters\"\n";
        let token = || Some("a-token-of-24-characters".to_owned());
        for (wrong, expected) in [
            (format!("{RIGHT}[pools.default]\nsize = 0\n"), (Some(81), token())),
            (format!("{RIGHT}[pools.default]\nsize = = 3\n"), (Some(81), token())),
            (format!("{RIGHT}[pools.default\n"), (Some(81), token())),
            // A value that may be below the error is not guessed.
            (format!("nonsense\n{RIGHT}"), (None, None)),
            ("server.bind = \"here\"\nadmin.token = \"short\"\n".to_owned(), (None, None)),
            ("pools.default.size = 0\n".to_owned(), (Some(8080), None)),
        ] {
            assert_eq!(read(&wrong), expected, "{wrong}");
        }
        let none = Sources { files: vec!["no-such.toml".into()], ..Sources::default() };
        assert_eq!(DaemonAccess::read(&none).bind, None);
    }
}
