//! `[[admin.users]]`: the people who sign in.

use super::{
    client::Client,
    layers::Data,
    masking::quoted,
    reader::{SectionReader, Typed, from_text},
    schema::unknown_name,
    strength::{TOKEN_CHARS_MIN, flaw},
    value::Secret,
};
use crate::domain::UserRole;
use std::{collections::HashSet, sync::Arc};

/// A person who signs in with a token of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUser {
    /// Their name, as it stands in the audit log.
    pub name: String,
    /// What they may do.
    pub role: UserRole,
    /// Their bearer token, which is also what they sign in with.
    pub token: Secret,
    /// The only clients that they see, by id; `None` for all.
    pub clients: Option<Arc<[String]>>,
}

impl AdminUser {
    /// The user who owns `admin.token`, or the token that the first start makes.
    pub const ADMIN: &str = "admin";
}

/// Names that stand in the audit log for something else than a user.
const TAKEN: [&str; 4] = [AdminUser::ADMIN, "file", "signal", "postroom"];
const NAME_CHARS_MAX: usize = 64;

from_text!(UserRole, "`\"viewer\"`, `\"reviewer\"` or `\"operator\"`", |text| UserRole::named(
    text
));

/// Reads the users in `section`, which is `[admin]`. `admin` is its own token. Users may be limited
/// to some of `clients`.
pub(super) fn users(
    section: &SectionReader<'_>,
    admin: Option<&Secret>,
    clients: &[Client],
) -> Vec<AdminUser> {
    // A value in place of the list was noted when the keys were checked.
    let Some(Data::List(nodes)) = section.table.get("users").map(|it| &it.data) else {
        return Vec::new();
    };
    let (mut names, mut users) = (HashSet::new(), Vec::<AdminUser>::new());
    for (index, node) in nodes.iter().enumerate() {
        let Some(table) = node.as_table() else { continue };
        let unnamed = format!("{}[{index}]", section.key("users"));
        let reader = SectionReader { path: unnamed, table, errors: section.errors };
        let mut needed = ["name", "role", "token"].into_iter();
        if let Some(missing) = needed.find(|key| !table.contains_key(*key)) {
            let message = format!("`{}`: every user needs a `{missing}`", reader.path);
            section.errors.push(Some(&node.origin), &reader.path, message);
            continue;
        }
        let Some(name) = reader.read::<String>("name") else { continue };
        if let Some(reason) = flaw_of_name(&name) {
            reader.error("name", format!("`{}` is {name:?}: {reason}", reader.key("name")));
            continue;
        }
        let path = format!("{}.{name}", section.key("users"));
        let reader = SectionReader { path, ..reader };
        reader.errors.expect(reader.key("name"), String::EXPECTED);
        if !names.insert(name.clone()) {
            let message = format!("user `{name}` is there twice: every `name` must be unique");
            reader.error("name", message);
        }
        let (role, token): (Option<UserRole>, Secret) =
            (reader.read("role"), reader.read("token").unwrap_or_else(|| Secret::new("")));
        let key = reader.key("token");
        if !reader.errors.has(&key) {
            let same = users.iter().find(|other| other.token == token).map(|it| it.name.as_str());
            let same = same.or_else(|| (admin == Some(&token)).then_some(AdminUser::ADMIN));
            let flaw = flaw(token.expose(), TOKEN_CHARS_MIN);
            if let Some(reason) = flaw.or_else(|| Some(format!("is also that of `{}`", same?))) {
                reader.error("token", format!("`{key}` {reason}"));
            }
        }
        let clients = seen_clients(&reader, clients);
        let Some(role) = role else { continue };
        users.push(AdminUser { name, role, token, clients });
    }
    users
}

/// The only clients that a user sees; `None` for all. A list that names none is refused: it would
/// say that the user sees nothing, and is more likely a slip.
fn seen_clients(reader: &SectionReader<'_>, clients: &[Client]) -> Option<Arc<[String]>> {
    let ids: Option<Vec<String>> = reader.read("clients");
    let (ids, key) = (ids?, reader.key("clients"));
    if ids.is_empty() {
        reader.error("clients", format!("`{key}` is empty: name a client, or leave the key out"));
    }
    let known: Vec<&str> = clients.iter().map(|it| it.id.as_str()).collect();
    for id in ids.iter().filter(|id| !known.contains(&id.as_str())) {
        reader.error(
            "clients",
            format!("{} ({})", unknown_name("client", id, &key, &known), quoted(id)),
        );
    }
    Some(ids.into())
}

/// Why a user cannot have this name; `None` if they can.
fn flaw_of_name(name: &str) -> Option<String> {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || "_@+-".contains(char);
    if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(is_allowed) {
        return Some(format!(
            "expected 1 to {NAME_CHARS_MAX} of `a`-`z`, `A`-`Z`, `0`-`9` and `_@+-`"
        ));
    }
    let is_taken = TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name));
    is_taken.then(|| "this name stands for something else in the audit log".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, tests::sources};

    fn load(toml: &str) -> Result<Vec<AdminUser>, String> {
        let (sources, _dir) = sources(toml, &[("DANAS", "danas-token-of-24-characters")]);
        let loaded = Config::load(&sources).map(|config| config.admin.users);
        loaded.map_err(|errors| errors.to_string())
    }

    fn user(name: &str, role: &str, token: &str) -> String {
        format!("[[admin.users]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken = {token}\n")
    }

    const TOKEN: &str = "\"a-token-of-24-characters\"";

    #[test]
    fn users_are_read_in_order_and_tokens_may_be_kept_elsewhere() {
        assert_eq!(load(""), Ok(Vec::new()));
        let toml =
            user("dana", "operator", "{ env = \"DANAS\" }") + &user("k-im@x", "viewer", TOKEN);
        let users = load(&toml).expect("valid");
        let told: Vec<_> = users.iter().map(|it| (it.name.as_str(), it.role)).collect();
        assert_eq!(told, [("dana", UserRole::Operator), ("k-im@x", UserRole::Viewer)]);
        assert_eq!(users[0].token.expose(), "danas-token-of-24-characters");
        assert_eq!(users[0].clients, None);
        let toml = user("dana", "viewer", TOKEN) + "clients = [\"demo\"]\n";
        let users = load(&toml).expect("valid");
        assert_eq!(users[0].clients.as_deref(), Some(&["demo".to_owned()][..]));
    }

    #[test]
    fn a_wrong_user_is_refused_and_no_token_is_shown() {
        let other = "\"another-token-of-24-characters\"";
        for (toml, expected) in [
            ("admin.users = 3".to_owned(), "write each entry as `[[admin.users]]`"),
            ("[[admin.users]]\nname = \"dana\"\n".to_owned(), "every user needs a `role`"),
            (user("", "viewer", TOKEN), "expected 1 to 64 of"),
            (user("da na", "viewer", TOKEN), "expected 1 to 64 of"),
            (user("Admin", "viewer", TOKEN), "this name stands for something else"),
            (user("dana", "boss", TOKEN), "`admin.users.dana.role` is `\"boss\"`: expected"),
            (user("dana", "viewer", "\"short\""), "`admin.users.dana.token` has 5 characters"),
            (user("dana", "viewer", "\"\""), "`admin.users.dana.token` is blank"),
            (user("dana", "viewer", "{ env = \"NONE\" }"), "variable `NONE`, which is not set"),
            (
                user("dana", "viewer", TOKEN) + &user("kim", "viewer", TOKEN),
                "`admin.users.kim.token` is also that of `dana`",
            ),
            (
                format!("admin.token = {TOKEN}\n") + &user("dana", "viewer", TOKEN),
                "`admin.users.dana.token` is also that of `admin`",
            ),
            (
                user("dana", "viewer", TOKEN) + &user("dana", "viewer", other),
                "user `dana` is there twice",
            ),
            (
                user("dana", "viewer", TOKEN) + "clients = [\"demo\", \"dmo\"]\n",
                "unknown client in `admin.users.dana.clients`: the nearest known client is `demo`",
            ),
            (
                user("dana", "viewer", TOKEN) + "clients = []\n",
                "name a client, or leave the key out",
            ),
            (
                user("dana", "viewer", TOKEN) + "clients = \"demo\"\n",
                "`admin.users.dana.clients` is `\"demo\"`: expected a list of strings",
            ),
        ] {
            let error = load(&toml).expect_err(&toml);
            assert!(error.contains(expected), "{toml}: {error}");
            assert!(!error.contains("token-of-24"), "{error}");
        }
    }
}
