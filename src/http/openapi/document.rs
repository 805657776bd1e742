//! Puts the document together.

use super::{
    endpoint::{ApiEndpoint, BodyTold, EndpointAccess},
    parameters::{ApiParameter, Takes, body_schema},
};
use crate::{
    domain::UserRole,
    http::problem::{Cause, ProblemBody},
};
use actix_web::http::StatusCode;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What the names of the types that are serialized end with, and those of the document do not.
const SUFFIX: &str = "Json";
/// Examples of answers, by the name of their schema.
const EXAMPLES: &str = include_str!("examples.json");
const SCHEMAS: &str = "#/components/schemas/";

/// The names that only a registry knows.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The channels.
    pub channels: Vec<&'static str>,
    /// The job kinds.
    pub kinds: Vec<&'static str>,
}

/// The document that tells of these endpoints. `api` is the path of the admin API.
pub(in crate::http) fn document(
    endpoints: &[ApiEndpoint],
    api: &str,
    vocabulary: &Vocabulary,
) -> Value {
    with_examples(renamed(gathered(endpoints, api, vocabulary)))
}

/// The same, with the names of types that are used here, and without examples.
fn gathered(endpoints: &[ApiEndpoint], api: &str, vocabulary: &Vocabulary) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|it| {
        it.definitions_path = "/components/schemas".into();
        it.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<ProblemBody<'_>>();
    let mut paths: Map<String, Value> = Map::new();
    let mut statuses = BTreeSet::new();
    for endpoint in endpoints {
        statuses.extend(endpoint.all_problems());
        let told = endpoint.told(api, vocabulary, &mut schemas);
        let methods = paths.entry(&endpoint.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(endpoint.method.as_str().to_ascii_lowercase(), told);
        }
    }
    let problems = statuses.into_iter().map(|status| {
        (format!("Problem{}", status.as_u16()), problem_response(status, problem.as_value()))
    });
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postroom",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The HTTP API of Postroom. A field without a value is `null`, never \
                absent, and an empty list is `[]`. Ids are texts, opaque to readers. Fields may be \
                added; none is renamed or left out. An unknown parameter, field or value is a 400 \
                that names it. An empty value of a query counts as not given.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(false),
            "responses": problems.collect::<Map<String, Value>>(),
            "securitySchemes": security_schemes(),
        },
    });
    document
}

/// How requests show that they may be made.
fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http", "scheme": "bearer",
            "description": "The token of the admin API (`admin.token`, or the file \
                `data/admin.token`), or that of one of `[[admin.users]]`",
        },
        "webhookToken": {
            "type": "http", "scheme": "bearer", "description": "A secret of the client's channel",
        },
        "webhookHeader": {
            "type": "apiKey", "in": "header", "name": "X-Webhook-Secret",
            "description": "A secret of the client's channel",
        },
        "webhookQuery": {
            "type": "apiKey", "in": "query", "name": "secret",
            "description": "A secret of the client's channel. Prefer a header: this one ends up \
                in the access logs of proxies",
        },
    })
}

/// The response for all problems with this status.
fn problem_response(status: StatusCode, schema: &Value) -> Value {
    let causes = Cause::ALL.into_iter().filter(|cause| cause.may_be(status));
    let causes: Vec<String> =
        causes.map(|cause| format!("`{}`: {}", cause.urn(), cause.title())).collect();
    let mut headers = json!({"X-Request-Id": {"schema": {"type": "string"}, "required": true}});
    if let Some(headers) = headers.as_object_mut() {
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds = json!({"type": "integer", "minimum": 1});
            headers.insert(
                "Retry-After".to_owned(),
                json!({"schema": seconds, "description": "Seconds", "required": true}),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                "WWW-Authenticate".to_owned(),
                json!({"schema": {"type": "string"}, "required": true}),
            );
        }
    }
    json!({
        "description": causes.join("; "),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    })
}

impl ApiEndpoint {
    /// The statuses of all of its problems.
    fn all_problems(&self) -> BTreeSet<StatusCode> {
        let of_all: &[StatusCode] = match self.access {
            EndpointAccess::Api => &[
                StatusCode::BAD_REQUEST,
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::MISDIRECTED_REQUEST,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::SERVICE_UNAVAILABLE,
            ],
            EndpointAccess::Open | EndpointAccess::Webhook => &[StatusCode::TOO_MANY_REQUESTS],
        };
        let mut all: BTreeSet<StatusCode> = of_all.iter().chain(&self.problems).copied().collect();
        if self.path.contains('{') {
            all.insert(StatusCode::NOT_FOUND);
        }
        if !matches!(self.body, BodyTold::None) {
            all.insert(StatusCode::PAYLOAD_TOO_LARGE);
        }
        all
    }

    /// What the document says of it.
    fn told(&self, api: &str, vocabulary: &Vocabulary, schemas: &mut SchemaGenerator) -> Value {
        let mut told = Map::new();
        let mut set = |name: &str, value: Value| _ = told.insert(name.to_owned(), value);
        set("operationId", self.operation_id(api).into());
        set("summary", self.summary.into());
        // 1. Who may ask.
        match self.access {
            EndpointAccess::Api => {
                let path = self.path.strip_prefix(api).unwrap_or_default();
                let role = UserRole::needed_for(self.method.as_str(), path);
                set("description", format!("Needs the role `{}`.", role.as_str()).into());
            }
            EndpointAccess::Open => set("security", json!([])),
            EndpointAccess::Webhook => set(
                "security",
                json!([{}, {"webhookToken": []}, {"webhookHeader": []}, {"webhookQuery": []}]),
            ),
        }
        // 2. What is asked for.
        let mut parameters: Vec<Value> = self
            .names_in_path(vocabulary)
            .iter()
            .map(|it| it.spelled("path", vocabulary))
            .collect();
        parameters.extend(self.query.iter().map(|it| it.spelled("query", vocabulary)));
        if self.takes_version {
            parameters.push(json!({
                "name": "If-Match", "in": "header", "required": false,
                "schema": {"type": "string", "pattern": r#"^(\*|"[0-9a-zA-Z]*")$"#},
                "description": "The `ETag` of the draft that the caller has seen: if the draft has \
                    another text by now, the answer is 409",
            }));
        }
        set("parameters", parameters.into());
        if let Some(body) = self.body_told(vocabulary) {
            set("requestBody", body);
        }
        // 3. What is answered.
        let mut responses = Map::new();
        for status in &self.statuses {
            let schema = match self.answer {
                Some(schema) => schema(schemas).to_value(),
                None => json!({"type": "string"}),
            };
            let reason = status.canonical_reason().unwrap_or_default();
            let mut response = json!({
                "description": reason, "content": {self.media: {"schema": schema}},
            });
            if self.path.contains("/drafts/")
                && let Some(response) = response.as_object_mut()
            {
                let tag =
                    json!({"schema": {"type": "string"}, "description": "The draft's version"});
                response.insert("headers".to_owned(), json!({"ETag": tag}));
            }
            responses.insert(status.as_u16().to_string(), response);
        }
        for status in self.all_problems() {
            let status = status.as_u16();
            let problem = json!({"$ref": format!("#/components/responses/Problem{status}")});
            responses.entry(status.to_string()).or_insert(problem);
        }
        set("responses", responses.into());
        Value::Object(told)
    }

    /// What the document says of its body, if it takes one.
    fn body_told(&self, vocabulary: &Vocabulary) -> Option<Value> {
        match &self.body {
            BodyTold::None => None,
            BodyTold::Fields(fields) => Some(json!({
                "required": fields.iter().any(ApiParameter::is_needed),
                "content": {"application/json": {"schema": body_schema(fields, vocabulary)}},
            })),
            BodyTold::Posted => Some(json!({
                "required": true,
                "description": "What the provider posts",
                "content": {"application/json": {"schema": {"type": "object"}}},
            })),
        }
    }

    /// `get_jobs_id_explain`.
    fn operation_id(&self, api: &str) -> String {
        let path = self.path.strip_prefix(api).unwrap_or(&self.path);
        let words = path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
        let words = words.filter(|word| !word.is_empty());
        let method = self.method.as_str().to_ascii_lowercase();
        std::iter::once(method.as_str()).chain(words).collect::<Vec<&str>>().join("_")
    }

    /// The names in braces.
    fn names_in_path(&self, vocabulary: &Vocabulary) -> Vec<ApiParameter> {
        let words = self.path.split('/');
        let names = words.filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let of = |name: &str| match name {
            "channel" => ApiParameter::new("channel", Takes::Channels),
            "client" => ApiParameter::new("client", Takes::Names),
            "kind" if !vocabulary.kinds.is_empty() => ApiParameter::new("kind", Takes::Kinds),
            "kind" => ApiParameter::new("kind", Takes::Names),
            _ if self.path.contains("/clients/") => ApiParameter::new("id", Takes::Names),
            _ => ApiParameter::new("id", Takes::Id),
        };
        names.map(of).collect()
    }
}

/// The document with names of schemas that no longer tell how the types are called here.
fn renamed(document: Value) -> Value {
    match document {
        Value::Object(fields) => {
            let rename = |(name, value): (String, Value)| {
                let value = match (name.as_str(), value) {
                    ("$ref", Value::String(text)) if text.starts_with(SCHEMAS) => {
                        Value::String(text.replace(SUFFIX, ""))
                    }
                    ("schemas", Value::Object(schemas)) => {
                        let schemas = schemas.into_iter();
                        let schemas =
                            schemas.map(|(it, value)| (it.replace(SUFFIX, ""), renamed(value)));
                        Value::Object(schemas.collect())
                    }
                    (_, value) => renamed(value),
                };
                (name, value)
            };
            Value::Object(fields.into_iter().map(rename).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(renamed).collect()),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}

/// The document with the examples of its schemas.
fn with_examples(mut document: Value) -> Value {
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    if let Some(schemas) = schemas {
        for (name, example) in examples {
            if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
                schema.insert("examples".to_owned(), json!([example]));
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary { channels: vec!["pager"], kinds: vec!["SELF_CHECK"] }
    }

    fn whole() -> Value {
        crate::http::openapi(&vocabulary())
    }

    #[test]
    fn no_two_schemas_get_the_same_name() {
        let before = gathered(&crate::http::endpoints(), "/api/v1", &vocabulary());
        let names = |document: &Value| -> Vec<String> {
            document["components"]["schemas"].as_object().unwrap().keys().cloned().collect()
        };
        let mut expected: Vec<String> =
            names(&before).iter().map(|it| it.replace(SUFFIX, "")).collect();
        expected.sort_unstable();
        assert_eq!(names(&whole()), expected, "one of two schemas got lost");
        for name in names(&before) {
            assert!(!name.ends_with('2'), "{name}: two types have this name");
        }
    }

    /// All values of `$ref`, at any depth.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|it| references(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| references(it, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = whole();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let path = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(found.contains(format!("{SCHEMAS}{name}").as_str()), "{name} is not used");
            assert!(!name.contains(SUFFIX), "{name}");
        }
    }

    #[test]
    fn every_endpoint_is_told_once_and_in_words() {
        let (document, endpoints) = (whole(), crate::http::endpoints());
        let mut ids = BTreeSet::new();
        for endpoint in &endpoints {
            let method = endpoint.method.as_str().to_ascii_lowercase();
            let told = &document["paths"][&endpoint.path][&method];
            let what = format!("{method} {}", endpoint.path);
            assert!(!told["summary"].as_str().unwrap().is_empty(), "{what}");
            assert!(ids.insert(told["operationId"].as_str().unwrap().to_owned()), "{what}");
        }
        let told = document["paths"].as_object().unwrap().values();
        let told: usize = told.map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!(told, endpoints.len(), "an endpoint is listed twice");
    }

    #[test]
    fn an_example_has_every_field_and_none_that_is_unknown() {
        let document = whole();
        let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap();
        assert!(examples.len() >= 5);
        for (name, example) in &examples {
            let schema = &document["components"]["schemas"][name];
            let shown = example.as_object().unwrap();
            for field in schema["required"].as_array().unwrap() {
                assert!(shown.contains_key(field.as_str().unwrap()), "{name}: no {field}");
            }
            for field in shown.keys() {
                assert!(schema["properties"].get(field).is_some(), "{name}: {field} is unknown");
            }
        }
    }
}
