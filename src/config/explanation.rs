//! Everything that is known about one key, for `postroom config explain`.

use super::{
    Loaded,
    client::NOT_INHERITED,
    descriptions,
    error::{Errors, Expected},
    key_path::{ANY, KeyPath},
    layers::{Data, Table, TreeNode},
    schema::{self, Applies, Shape, unknown_name},
    show::{self, EffectiveValue},
};
use crate::domain::{ChannelName, JobKind};

/// What is known about one key, or about a section.
#[derive(Clone, Debug)]
pub struct KeyExplanation {
    /// The dotted key.
    pub key: String,
    /// The comment in `config/default.toml`, in its lines; empty if there is none.
    pub meaning: String,
    /// When a change takes effect in a running daemon. `None` for a section.
    pub applies: Option<Applies>,
    /// The type and the bounds, as the code that reads the key has them. `None` for a section, and
    /// for a key that no client sets.
    pub expected: Option<Expected>,
    /// The value in TOML if nothing sets the key.
    pub default: Option<String>,
    /// The value that the layers give, which may stand in `[pools.default]`. `None` for a section,
    /// and if no layer sets the key.
    pub effective: Option<EffectiveValue>,
    /// Each layer that sets the key, the highest first.
    pub layers: Vec<LayerValue>,
    /// The keys of a section that have a value.
    pub keys: Vec<EffectiveValue>,
}

/// The value that one layer sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerValue {
    /// The value in TOML, secrets as `"***"`.
    pub value: String,
    /// The place.
    pub origin: String,
    /// True if this is the value that applies; false if a higher layer hides it.
    pub wins: bool,
}

/// A key of the schema.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// The dotted name, with `*` for the name of a kind, a client, a channel, a template or a
    /// campaign.
    pub pattern: String,
    /// When a change takes effect in a running daemon.
    pub applies: Applies,
}

/// All keys that a configuration may have, in the order of `config/default.toml`.
pub fn known_keys() -> Vec<KnownKey> {
    let known =
        |path: KeyPath| KnownKey { applies: schema::applies(&path.key()), pattern: path.key() };
    KeyPath::all().into_iter().map(known).collect()
}

impl Loaded {
    /// Explains the key or section `name`. `kinds` and `channels` are those that a configuration
    /// may name. The layers are told as their files are now.
    ///
    /// # Errors
    /// That there is no such key, kind, client or channel, with the nearest one.
    pub fn explain(
        &self,
        name: &str,
        kinds: &[JobKind],
        channels: &[ChannelName],
    ) -> Result<KeyExplanation, String> {
        let path = KeyPath::find(name)?;
        self.check_names(&path, kinds, channels)?;
        let key = path.key();
        let places = places(&path);
        let values = self.values();
        // Find the value that applies.
        let effective = places.iter().find_map(|place| {
            let key = place.join(".");
            values.iter().find(|value| value.key == key).cloned()
        });
        // Find what each layer sets: the highest layer first, and a kind's own section before the
        // default of all kinds.
        let layers =
            super::loaded::all_layers(self.sources(), &self.sources().layers(), &Errors::default());
        let mut set = Vec::new();
        for place in &places {
            let found = layers.iter().rev().filter_map(|layer| node_at(layer, place));
            set.extend(found.map(|node| layer_value(path.shape, node, effective.as_ref())));
        }
        let defaults = layers.first();
        let inherited = defaults.and_then(|layer| node_at(layer, &inherited(&path)?));
        set.extend(inherited.map(|node| layer_value(path.shape, node, effective.as_ref())));
        set.dedup();
        // The keys below a section.
        let below = format!("{key}.");
        let is_below = |value: &EffectiveValue| value.key.starts_with(&below);
        let keys: Vec<EffectiveValue> = values.into_iter().filter(is_below).collect();
        let is_section = path.is_section();
        let in_defaults = |place: &Vec<String>| node_at(defaults?, place);
        let default = places.iter().find_map(in_defaults).or(inherited);
        Ok(KeyExplanation {
            meaning: descriptions::comment(&path.pattern),
            applies: (!is_section).then(|| schema::applies(&key)),
            expected: self.expected(&path),
            default: default.filter(|_| !is_section).map(|it| shown(path.shape, it)),
            effective: effective.filter(|_| !is_section),
            layers: if is_section { Vec::new() } else { set },
            keys: if is_section { keys } else { Vec::new() },
            key,
        })
    }

    /// What is expected of a key: of this one, or of the same key in another client or kind.
    fn expected(&self, path: &KeyPath) -> Option<Expected> {
        let is_alike = |key: &str| {
            KeyPath::find(key).is_ok_and(|it| it.pattern == path.pattern && !it.is_section())
        };
        let all = || self.expected_by_key().iter();
        let own = all().find(|(key, _)| **key == path.key());
        own.or_else(|| all().find(|(key, _)| is_alike(key))).map(|(_, expected)| expected.clone())
    }

    /// Checks the names of a kind, a client and a channel in `path`.
    fn check_names(
        &self,
        path: &KeyPath,
        kinds: &[JobKind],
        channels: &[ChannelName],
    ) -> Result<(), String> {
        let kinds: Vec<&str> = ["default"].into_iter().chain(kinds.iter().map(|it| it.0)).collect();
        let channels: Vec<&str> = channels.iter().map(|it| it.0).collect();
        let clients: Vec<&str> = self.config.clients.iter().map(|it| it.id.as_str()).collect();
        let mut before = "";
        for (at, (word, pattern)) in path.words.iter().zip(&path.pattern).enumerate() {
            let known = match (*pattern, before) {
                (ANY, "pools") => Some(("job kind", &kinds)),
                (ANY, "clients") => Some(("client", &clients)),
                (ANY, "channels") => Some(("channel", &channels)),
                _ => None,
            };
            if let Some((what, known)) = known
                && word != ANY
                && !known.contains(&word.as_str())
            {
                let key = path.words.get(..=at).unwrap_or_default().join(".");
                return Err(unknown_name(what, word, &key, known));
            }
            before = pattern;
        }
        Ok(())
    }
}

/// The places at which a key may be set, the one that wins first: the key itself, and for a kind
/// the default of all kinds.
fn places(path: &KeyPath) -> Vec<Vec<String>> {
    let mut places = vec![path.words.clone()];
    if let ["pools", ANY, _, ..] = path.pattern.as_slice()
        && let [_, kind, ..] = path.words.as_slice()
        && kind != "default"
    {
        let mut of_all = path.words.clone();
        of_all.splice(1..2, ["default".to_owned()]);
        places.push(of_all);
    }
    places
}

/// The place of the client in `config/default.toml` from which a client takes the key, if clients
/// inherit it.
fn inherited(path: &KeyPath) -> Option<Vec<String>> {
    let ["clients", ANY, first, ..] = path.pattern.as_slice() else { return None };
    let mut place = path.words.clone();
    place.splice(1..2, [ANY.to_owned()]);
    (!NOT_INHERITED.contains(first)).then_some(place)
}

/// The node at these names. A client or a user is found by their name, or is the first for
/// [`ANY`].
fn node_at<'a>(table: &'a Table, place: &[String]) -> Option<&'a TreeNode> {
    let (first, rest) = place.split_first()?;
    let node = table.get(first)?;
    match &node.data {
        _ if rest.is_empty() => Some(node),
        Data::Table(table) => node_at(table, rest),
        Data::List(nodes) => {
            let (id, rest) = rest.split_first()?;
            let is_meant =
                |table: &&Table| id == ANY || show::name_in_list(table).as_ref() == Some(id);
            node_at(nodes.iter().filter_map(TreeNode::as_table).find(is_meant)?, rest)
        }
        Data::Text(_) | Data::Integer(_) | Data::Decimal(_) | Data::Flag(_) | Data::Raw(_) => None,
    }
}

fn layer_value(shape: &Shape, node: &TreeNode, effective: Option<&EffectiveValue>) -> LayerValue {
    let origin = node.origin.to_string();
    // A reference has its target after the place.
    let reference = format!("{origin} (");
    let wins = effective.is_some_and(|it| it.origin == origin || it.origin.starts_with(&reference));
    LayerValue { value: shown(shape, node), origin, wins }
}

fn shown(shape: &Shape, node: &TreeNode) -> String {
    let mut values = Vec::new();
    show::value(shape, node, "", &mut values);
    values.into_iter().next().map(|it| it.value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{schema::NOT_LIVE, tests::sources},
        *,
    };

    const KINDS: [JobKind; 2] = [JobKind("SELF_CHECK"), JobKind("SMS_INBOUND_POST_PROCESS")];
    const CHANNELS: [ChannelName; 2] = [ChannelName("email"), ChannelName("sms")];

    fn explained(toml: &str, env: &[(&str, &str)], key: &str) -> Result<KeyExplanation, String> {
        let (sources, _dir) = sources(toml, env);
        let loaded = Loaded::load(&sources).expect("valid");
        loaded.explain(key, &KINDS, &CHANNELS)
    }

    /// The values of the layers, the highest first; the one that wins in brackets.
    fn layers(toml: &str, env: &[(&str, &str)], key: &str) -> Vec<String> {
        let explained = explained(toml, env, key).unwrap_or_else(|error| panic!("{key}: {error}"));
        let value = |it: LayerValue| if it.wins { format!("[{}]", it.value) } else { it.value };
        explained.layers.into_iter().map(value).collect()
    }

    #[test]
    fn each_layer_that_sets_a_key_is_told_and_one_wins() {
        let toml = "[pools.default]\nsize = 4\n[pools.SELF_CHECK]\nsize = 2\n";
        let env = [("POSTROOM__POOLS__DEFAULT__SIZE", "5")];
        assert_eq!(layers(toml, &env, "pools.SELF_CHECK.size"), ["[2]", "5", "4", "8"]);
        assert_eq!(layers(toml, &env, "pools.default.size"), ["[5]", "4", "8"]);
        assert_eq!(layers("", &env, "pools.SELF_CHECK.size"), ["[5]", "8"]);
        assert_eq!(layers("", &[], "pools.SELF_CHECK.backoff.cap"), ["[\"15m\"]"]);
        let toml = "[admin]\ntoken = { env = \"T\" }";
        let env = [("T", "a-token-of-24-characters")];
        assert_eq!(layers(toml, &env, "admin.token"), ["[\"***\"]", "\"\""]);
        // A list of clients is replaced as a whole; what a client leaves out is inherited.
        let toml = "[[clients]]\nid = \"acme\"\nrate_limit = \"5/s\"\n";
        assert_eq!(layers(toml, &[], "clients.acme.rate_limit"), ["[\"5/s\"]", "\"off\""]);
        assert_eq!(layers(toml, &[], "clients.acme.country"), ["[\"\"]"]);
        assert_eq!(layers("", &[], "clients.demo.country"), ["[\"\"]"]);
        assert_eq!(layers(toml, &[], "clients.country"), ["\"\""]);
        assert_eq!(layers(toml, &[], "clients.acme.name"), [""; 0]);
    }

    #[test]
    fn a_key_is_explained_by_the_comment_in_the_default_file() {
        let size = explained("[pools.default]\nsize = 4\n", &[], "pools.SELF_CHECK.size");
        let size = size.expect("explained");
        assert!(size.meaning.starts_with("Slots: jobs of the kind that run"), "{}", size.meaning);
        let expected = size.expected.expect("a type");
        assert_eq!(expected.what, "a whole number");
        assert_eq!(expected.range, Some(("1".to_owned(), "10000".to_owned())));
        assert_eq!(size.default.as_deref(), Some("8"));
        let effective = size.effective.expect("a value");
        assert_eq!((effective.key.as_str(), effective.value.as_str()), ("pools.default.size", "4"));
        for (key, part) in [
            ("server.tls.key", "the PEM files of the certificate"),
            ("ingest.quarantine_bytes", "the bytes of their bodies"),
            ("clients.demo.channels.sms.secret", "shared secret of at least 16 characters"),
            ("clients.demo.channels.sms.signature.window", "how far from now the signed time"),
            ("clients.demo.channels.sms.send", "the account through which answers are sent"),
            ("clients.demo.templates.Interested", "Templates of its own"),
            ("pools.default.backoff.base", "The pause after attempt n"),
            ("clients.demo", "The tenants."),
            ("pools", ""),
        ] {
            let explained = explained("", &[], key).unwrap_or_else(|it| panic!("{key}: {it}"));
            assert!(explained.meaning.contains(part), "{key}: {}", explained.meaning);
        }
        let section = explained("", &[], "retention").expect("explained");
        assert_eq!(section.keys.len(), 4);
        assert!(section.effective.is_none() && section.layers.is_empty());
    }

    #[test]
    fn every_key_with_a_default_has_a_comment_and_a_type() {
        for path in KeyPath::all() {
            let key = path.key();
            assert!(!descriptions::comment(&path.pattern).is_empty(), "{key} is not described");
            if matches!(path.shape, Shape::Free) || key.ends_with(".*") {
                continue;
            }
            let toml = "[[clients]]\nid = \"a\"\n[clients.channels.sms]\n\
                signature = { scheme = \"standard_webhooks\", secrets = \"sixteen-letters!\" }\n\
                send = { api_key = \"key\" }\n\
                [[admin.users]]\nname = \"dana\"\nrole = \"viewer\"\ntoken = \"a-token-of-24-characters\"\n";
            let named = key.replace("clients.*", "clients.a").replace("channels.*", "channels.sms");
            let named =
                named.replace("pools.*", "pools.SELF_CHECK").replace("users.*", "users.dana");
            let explained = explained(toml, &[], &named).unwrap_or_else(|it| panic!("{it}"));
            assert!(explained.expected.is_some(), "{named} has no type");
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_told_with_the_nearest() {
        for (key, expected) in [
            (
                "pools.SELF_CHEK.size",
                "unknown job kind in `pools.SELF_CHEK`: the nearest known job kind is `SELF_CHECK`",
            ),
            (
                "clients.dmo.country",
                "unknown client in `clients.dmo`: the nearest known client is `demo`",
            ),
            (
                "clients.demo.channels.sns.secret",
                "unknown channel in `clients.demo.channels.sns`: the nearest known channel is `sms`",
            ),
        ] {
            assert_eq!(explained("", &[], key).err().as_deref(), Some(expected));
        }
    }

    /// The marks at the end of comments and the data of the schema say the same.
    #[test]
    fn the_default_file_marks_the_keys_that_do_not_apply_at_once() {
        for path in KeyPath::all() {
            let comment = descriptions::comment(&path.pattern).replace('\n', " ");
            let mark = match schema::applies(&path.key()) {
                Applies::Live => "",
                Applies::NextJob => "(From the next job.)",
                Applies::Restart => "(Restart.)",
            };
            let marks = ["(From the next job.)", "(Restart.)"];
            let found = marks.iter().find(|it| comment.ends_with(**it)).copied();
            assert_eq!(found.unwrap_or_default(), mark, "{}: {comment}", path.key());
            let count: usize = marks.iter().map(|it| comment.matches(*it).count()).sum();
            assert_eq!(count, usize::from(!mark.is_empty()), "{}: {comment}", path.key());
        }
    }

    #[test]
    fn the_page_lists_the_keys_that_do_not_apply_at_once() {
        let page = include_str!("../../docs/CONFIGURATION.md");
        let words: Vec<&str> = page.split_whitespace().collect();
        let page = words.join(" ");
        for (applies, ending) in [
            (Applies::Restart, "apply at the next start."),
            (Applies::NextJob, "applies to jobs that are stored from then on."),
        ] {
            let keys = NOT_LIVE.iter().filter(|(_, it)| *it == applies);
            let keys: Vec<String> = keys.map(|(key, _)| format!("`{key}`")).collect();
            let list = match keys.split_last() {
                Some((last, others)) if !others.is_empty() => {
                    format!("{} and {last} {ending}", others.join(", "))
                }
                _ => format!("{} {ending}", keys.join("")),
            };
            assert!(page.contains(&list), "{list}");
        }
    }
}
