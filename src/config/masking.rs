//! Hides what must not be shown: values whose key stands for a secret, and users and passwords in
//! URLs.

use super::value::MASK;
use url::Url;

/// Words in the name of a key that mark its value as secret (`api_key`, `Authorization`).
const SECRET_WORDS: [&str; 20] = [
    "auth", "bearer", "cookie", "cred", "dsn", "hmac", "jwt", "key", "login", "otp", "pass", "pat",
    "pin", "private", "pwd", "salt", "secret", "session", "sig", "token",
];

/// True for a key whose name stands for a secret. It may be true for a harmless key (`pattern`),
/// too.
pub(super) fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// `text` with `***` for the users and passwords of URLs, and for those of their parameters whose
/// names stand for a secret.
pub(super) fn without_userinfo(text: &str) -> String {
    let hidden = Url::parse(text).ok().and_then(hidden_in);
    hidden_behind_slashes(hidden.as_deref().unwrap_or(text))
}

/// `text` as an error quotes it, without users and passwords.
pub(super) fn quoted(text: &str) -> String {
    format!("`{:?}`", without_userinfo(text))
}

/// The URL with its secrets hidden; `None` if the parser finds none in it.
fn hidden_in(mut url: Url) -> Option<String> {
    if url.cannot_be_a_base() {
        return without_authority(&url);
    }
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    let is_hidden =
        has_userinfo && url.set_password(None).is_ok() && url.set_username(MASK).is_ok();
    let has_secret = url.query_pairs().any(|(name, _)| names_a_secret(&name));
    if has_secret {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if names_a_secret(&name) { MASK.into() } else { value };
                (name.into_owned(), value.into_owned())
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    (is_hidden || has_secret).then(|| url.to_string())
}

/// `USER:PASSWORD@HOST`, which a parser takes for a URL whose scheme is the user.
fn without_authority(url: &Url) -> Option<String> {
    let text = url.as_str();
    let (before, host) = text.rsplit_once('@')?;
    let is_one = url.scheme() != "mailto" && !text.contains(char::is_whitespace);
    (is_one && !before.contains('/')).then(|| format!("{MASK}@{host}"))
}

/// `text` with `***` between each `//` and the `@` that belongs to it.
///
/// This is for a URL inside a text, and for one that cannot be parsed because its password holds an
/// unescaped `/`, `?` or `#`. It may hide more than needed, but never less.
fn hidden_behind_slashes(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let (before, behind) = rest.split_at(at + 2);
        shown.push_str(before);
        let end = behind.find(|char: char| char.is_whitespace() || "\"'<>".contains(char));
        let word = behind.get(..end.unwrap_or(behind.len())).unwrap_or_default();
        let authority = word.find(['/', '?', '#']).and_then(|end| word.get(..end)).unwrap_or(word);
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        // A port has no letters: this is a password that goes on after the `/`.
        let is_cut = !authority.contains('@') && port.contains(|it: char| !it.is_ascii_digit());
        let searched = if is_cut { word } else { authority };
        rest = match searched.rfind('@') {
            Some(at) => {
                shown.push_str(MASK);
                behind.get(at..).unwrap_or_default()
            }
            None => behind,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_user_and_password() {
        for (text, shown) in [
            ("https://u:hunter2@h/x?a=b", "https://***@h/x?a=b"),
            ("https://hunter2@h", "https://***@h/"),
            ("https://:hunter2@h:8443/x", "https://***@h:8443/x"),
            ("https:u:hunter2@h/x", "https://***@h/x"),
            ("https:\\\\u:hunter2@h", "https://***@h/"),
            (" https://u:hunter2@h/\n", "https://***@h/"),
            ("redis://u:hunter2@h:6379/0", "redis://***@h:6379/0"),
            ("amqp+ssl://u:hunter2@h", "amqp+ssl://***@h"),
            ("https://u:hun/ter2@h/x", "https://***@h/x"),
            ("https://u:hun#ter2@h/x", "https://***@h/x"),
            ("https://u:hun?ter2@h", "https://***@h"),
            ("https://u:hun@ter2@h/", "https://***@h/"),
            ("//u:hunter2@h", "//***@h"),
            (
                "see https://u:hunter2@h/x, or <ftp://hunter2@h>",
                "see https://***@h/x, or <ftp://***@h>",
            ),
            ("u:hunter2@h", "***@h"),
            ("https://u:hunter2@h/?next=ftp://v:hunter2@i", "https://***@h/?next=ftp://***@i"),
            ("https://h/x?api_key=hunter2&a=b", "https://h/x?api_key=***&a=b"),
            ("https://h/x?a=b&access_token=hunter2", "https://h/x?a=b&access_token=***"),
        ] {
            assert_eq!(without_userinfo(text), shown, "{text}");
        }
        for text in [
            "",
            "plain",
            "a@b.example",
            "https://h/@rita",
            "https://h:80/@rita",
            "mailto:a@b",
            "https://h/x?a=b@c",
            "1/2 // 3",
            "https://[::1]:80/",
            "Hi {first_name}, https://h/x",
            "Europe/Berlin",
            "127.0.0.1:8080",
            "note: write to a@b.example",
            "a:b",
        ] {
            assert_eq!(without_userinfo(text), text);
        }
    }
}
