//! The OpenAPI document: it is that of the daemon that serves it, and names what the daemon takes.

use crate::support::{
    both::Place,
    daemon::Daemon,
    http,
    web::{Answer, ask},
};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// An operation of the document.
struct Operation<'a> {
    method: Method,
    /// With real words in the place of the names.
    path: String,
    told: &'a Map<String, Value>,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, told) in methods.as_object().expect("methods") {
            let path = path
                .replace("{id}", "1")
                .replace("{kind}", "SELF_CHECK")
                .replace("{channel}", "sms")
                .replace("{client}", "demo");
            let method = method.to_uppercase().parse().expect("a method");
            found.push(Operation { method, path, told: told.as_object().expect("an operation") });
        }
    }
    found
}

impl Operation<'_> {
    /// The names of the parameters in the query.
    fn query(&self) -> Vec<&Value> {
        let parameters = self.told["parameters"].as_array().expect("parameters");
        parameters.iter().filter(|it| it["in"] == "query").collect()
    }

    fn fields(&self) -> Vec<&str> {
        let schema = &self.told.get("requestBody").map(|it| &it["content"]["application/json"]);
        let properties = schema.and_then(|it| it["schema"]["properties"].as_object());
        properties.map(|it| it.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    fn is_of_api(&self) -> bool {
        self.path.starts_with("/api/v1/")
    }
}

/// The names behind `known here: `, in the order of the alphabet.
fn known_here(answer: &Answer) -> Vec<String> {
    let detail = answer.body["detail"].as_str().expect("a detail");
    let (_, names) = detail.split_once("known here: ").unwrap_or_else(|| panic!("{detail}"));
    let mut names: Vec<String> = names.split(", ").map(str::to_owned).collect();
    names.retain(|it| it != "none");
    names.sort_unstable();
    names
}

async fn document(daemon: &Daemon) -> Value {
    let answer = ask(daemon.api(Method::GET, "/openapi.json")).await;
    assert_eq!(answer.status, 200);
    answer.body
}

#[tokio::test]
async fn the_document_is_that_of_the_daemon_and_names_what_it_takes() {
    let daemon = Place::sqlite().start("").await;
    let document = document(&daemon).await;

    // The same as `postroom openapi` prints, without a daemon. It wants the token, as all of the
    // API does.
    let printed = postroom::http::openapi(&postroom::registry::postroom().vocabulary());
    assert!(printed == document, "the document that is printed is another one");
    assert_eq!(ask(daemon.get("/api/v1/openapi.json")).await.status, 401);

    for operation in operations(&document) {
        let Operation { method, path, .. } = &operation;
        let what = format!("{method} {path}");
        let request = |query: &str, body: &Value| {
            let url = daemon.url(&format!("{path}{query}"));
            let request = http().request(method.clone(), url);
            let request = request.bearer_auth(daemon.admin_token());
            if body.is_null() { request } else { request.json(body) }
        };
        if !operation.is_of_api() {
            continue;
        }

        // Its parameters are those that are known, and no others.
        let answer = ask(request("?no_such_name=1", &Value::Null)).await;
        assert_eq!((answer.status, &answer.body["field"]), (400, &json!("no_such_name")), "{what}");
        let mut named: Vec<&str> =
            operation.query().iter().map(|it| it["name"].as_str().expect("a name")).collect();
        named.sort_unstable();
        assert_eq!(named, known_here(&answer), "{what}");

        // So are the words of those that take words.
        for parameter in operation.query() {
            let schema = &parameter["schema"];
            let words = schema.pointer("/items/enum").or_else(|| schema.get("enum"));
            let Some(words) = words.and_then(Value::as_array) else { continue };
            let name = parameter["name"].as_str().expect("a name");
            let answer = ask(request(&format!("?{name}=no_such_word"), &Value::Null)).await;
            assert_eq!(answer.status, 400, "{what} {name}: {answer:?}");
            let detail = answer.body["detail"].as_str().expect("a detail");
            for word in words.iter().filter_map(Value::as_str) {
                assert!(detail.contains(word), "{what} {name}: `{word}` is not in {detail}");
            }
        }

        // And its fields.
        let fields = operation.fields();
        if !fields.is_empty() {
            let answer = ask(request("", &json!({"no_such_name": 1}))).await;
            assert_eq!(answer.status, 400, "{what}: {answer:?}");
            let detail = answer.body["detail"].as_str().expect("a detail");
            if detail.contains("known here: ") {
                assert_eq!(fields, known_here(&answer), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn every_path_takes_the_methods_of_the_document_and_no_others() {
    let daemon = Place::sqlite().start("").await;
    let document = document(&daemon).await;
    let operations = operations(&document);
    let mut paths: Vec<&str> = operations.iter().map(|it| it.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths.into_iter().filter(|it| it.starts_with("/api/v1/")) {
        let url = daemon.url(path);
        let request = http().request(Method::OPTIONS, url);
        let answer = request.bearer_auth(daemon.admin_token()).send().await.expect("an answer");
        assert_eq!(answer.status(), 405, "{path}");
        let allow = answer.headers()["allow"].to_str().expect("a text").to_owned();
        let mut allowed: Vec<&str> = allow.split(", ").collect();
        allowed.sort_unstable();
        let told = operations.iter().filter(|it| it.path == path).map(|it| it.method.as_str());
        let mut told: Vec<&str> = told.collect();
        told.sort_unstable();
        assert_eq!(allowed, told, "{path}");
    }
}
