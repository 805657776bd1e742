//! `ops/otel-collector.yaml` is an example that a collector can read, and chooses by what our spans
//! have.

use std::{collections::BTreeSet, fs, path::Path};
use yaml_rust2::{Yaml, YamlLoader};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The texts of a list.
fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// The keys of a map.
fn keys(map: &Yaml) -> BTreeSet<&str> {
    map.as_hash().unwrap().keys().map(|it| it.as_str().unwrap()).collect()
}

/// The names of attributes and events that spans can have.
fn names(text: &str) -> BTreeSet<&str> {
    let constants = text.lines().filter(|line| line.starts_with("pub(crate) const "));
    constants.filter_map(|line| line.split('"').nth(1)).collect()
}

#[test]
fn the_example_of_a_collector_is_whole_and_chooses_by_what_spans_have() {
    let text = file("ops/otel-collector.yaml");
    let documents = YamlLoader::load_from_str(&text).unwrap();
    let [document] = &documents[..] else { panic!("{documents:?}") };

    // What a pipeline names is there, and is used.
    let pipeline = &document["service"]["pipelines"]["traces"];
    for part in ["receivers", "processors", "exporters"] {
        let used: BTreeSet<&str> = texts(&pipeline[part]).into_iter().collect();
        assert_eq!(used, keys(&document[part]), "{part}");
    }

    // Each policy has a name of its own and the settings of its type, and names what spans have.
    let source = file("src/telemetry/traces/names.rs");
    let known = names(&source);
    assert!(known.len() > 20 && known.contains("postroom.hop"), "{known:?}");
    let makers =
        ["src/http/api/decisions.rs", "src/http/api/jobs.rs", "src/http/api/quarantine/one.rs"]
            .map(file)
            .concat();
    let policies = document["processors"]["tail_sampling"]["policies"].as_vec().unwrap();
    let mut policy_names = BTreeSet::new();
    for policy in policies {
        let (name, kind) = (policy["name"].as_str().unwrap(), policy["type"].as_str().unwrap());
        assert!(policy_names.insert(name), "{name} is there twice");
        assert_eq!(keys(policy), BTreeSet::from(["name", "type", kind]), "{name}");
        if let Some(key) = policy[kind]["key"].as_str() {
            assert!(known.contains(key), "{name}: no span has the attribute {key}");
        }
        if kind == "ottl_condition" {
            for condition in texts(&policy[kind]["span"]) {
                let span = condition.strip_prefix("name == ").unwrap();
                assert!(makers.contains(&format!("{span}, ")), "{name}: no span is named {span}");
            }
        }
    }
    for wanted in ["status_code", "latency", "probabilistic"] {
        assert!(policies.iter().any(|it| it["type"].as_str() == Some(wanted)), "{wanted}");
    }
}
