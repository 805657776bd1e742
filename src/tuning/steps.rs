//! Which names in the file system lead to a file.
//!
//! A mounted `ConfigMap` is `app.toml` → `..data/app.toml`, and `..data` → a folder with a date. An
//! update makes a new folder and replaces the link `..data`: the file itself is never written.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// The most links that are followed for one file; the system follows as many.
const LINKS_MAX: usize = 40;

/// What a name in the file system stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A file or a directory.
    There,
    /// A symbolic link, with its target as it is written.
    Link(PathBuf),
    /// Nothing.
    Missing,
}

/// The names that decide which file `path` is: each link on the way, the name that is missing, the
/// file itself. Each is absolute, as `path` must be. If one of them changes in its directory,
/// `path` may be another file.
pub(super) fn steps(path: &Path, kind_of: impl Fn(&Path) -> NameKind) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut rest: VecDeque<OsString> = words(path).collect();
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    while let Some(word) = rest.pop_front() {
        if word == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&word);
        match kind_of(&next) {
            NameKind::Link(target) if links < LINKS_MAX => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                for word in words(&target).collect::<Vec<_>>().into_iter().rev() {
                    rest.push_front(word);
                }
                steps.push(next);
            }
            NameKind::There if !rest.is_empty() => here = next,
            NameKind::There | NameKind::Missing | NameKind::Link(_) => {
                steps.push(next);
                break;
            }
        }
    }
    steps
}

/// The names in a path, with `..` and without `.` and the root.
fn words(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links by their name; a name with an empty target is missing.
    fn found(path: &str, links: &[(&str, &str)]) -> Vec<String> {
        let kind_of = |name: &Path| match links.iter().find(|(link, _)| name == Path::new(link)) {
            Some((_, "")) => NameKind::Missing,
            Some((_, target)) => NameKind::Link(target.into()),
            None => NameKind::There,
        };
        let steps = steps(Path::new(path), kind_of);
        steps.iter().map(|step| step.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_link_on_the_way_is_a_step() {
        for (path, links, expected) in [
            ("/etc/p/a.toml", &[][..], &["/etc/p/a.toml"][..]),
            // A mounted ConfigMap.
            (
                "/etc/p/a.toml",
                &[("/etc/p/a.toml", "..data/a.toml"), ("/etc/p/..data", "..2026_01")],
                &["/etc/p/a.toml", "/etc/p/..data", "/etc/p/..2026_01/a.toml"],
            ),
            // An absolute link, and one that goes up.
            (
                "/srv/now/a.toml",
                &[("/srv/now", "/releases/7"), ("/releases/7/a.toml", "../common/./a.toml")],
                &["/srv/now", "/releases/7/a.toml", "/releases/common/a.toml"],
            ),
            // What is not there yet.
            ("/etc/p/a/local.toml", &[("/etc/p/a", "")], &["/etc/p/a"]),
            (
                "/srv/config/local.toml",
                &[("/srv/config/local.toml", "")],
                &["/srv/config/local.toml"],
            ),
            ("/srv/a", &[("/srv/a", "b"), ("/srv/b", "")], &["/srv/a", "/srv/b"]),
        ] {
            assert_eq!(found(path, links), expected, "{path}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let steps = found("/a", &[("/a", "b"), ("/b", "a")]);
        assert_eq!(steps.len(), LINKS_MAX + 1);
    }
}
