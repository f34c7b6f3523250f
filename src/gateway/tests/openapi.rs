//! The OpenAPI document against its checked-in copy, against itself, and against the router: every
//! example in it is asked for again and must come back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::fake::{ALICE, BOB, Fake, event, get};
use crate::gateway::openapi::{document, document_with};
use crate::gateway::routes::{Access, ROUTES};
use crate::types::feed::FeedItem;

/// Set to 1 to write the examples and `docs/openapi.json` anew.
const UPDATE: &str = "UPDATE_OPENAPI";
const EXAMPLES: &str = "src/gateway/openapi_examples.json";
const DOCUMENT: &str = "docs/openapi.json";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Compared as values: the order of keys in an example depends on features of the JSON library.
fn assert_kept(path: &str, new: &Value, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let kept = parsed(&std::fs::read_to_string(&file).unwrap_or_default());
    assert!(
        kept == *new,
        "{path} is not what the code does; if the change of the API is meant, run\n\
         {UPDATE}=1 cargo test --lib gateway::tests::openapi\nand commit the file"
    );
}

/// The address of an operation with the examples of its parameters filled in.
fn uri(path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let example = match &parameter["example"] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), &example),
            "query" => query.push(format!("{name}={example}")),
            other => panic!("an example {other} parameter"),
        }
    }
    assert!(!path.contains('{'), "a path parameter of {path} has no example");
    format!("{path}?{}", query.join("&"))
}

/// The greeting and the first event of a stream.
async fn stream_start(router: &Router, uri: &str) -> String {
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("event: ") {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn every_example_is_what_the_router_answers_and_fits_its_schema() {
    let fake = Arc::new(Fake::default());
    fake.publish(vec![FeedItem::Observed(event(120, 0, ALICE, BOB))]);
    let router = fake.router();
    let description = parsed(&document());
    let mut examples = Map::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let operation = &item["get"];
        // Answers to one caller hold ids and times of theirs; `auth` asks for those.
        if operation.is_null() || operation["security"].is_array() || path == "/auth/jwks.json" {
            continue;
        }
        let mut answers = Map::new();
        for (content_type, content) in operation["responses"]["200"]["content"].as_object().unwrap()
        {
            let uri = uri(path, operation);
            let answer = match content_type.as_str() {
                "application/json" if path.ends_with("openapi.json") => continue,
                "application/json" => {
                    let answer = get(&router, &uri).await;
                    assert_eq!(answer.status, 200, "{uri}: {}", answer.text);
                    let answer = answer.json();
                    fits(&description, &content["schema"], &answer, path);
                    answer
                }
                "text/csv" => get(&router, &format!("{uri}&format=csv")).await.text.into(),
                "text/event-stream" => stream_start(&router, &uri).await.into(),
                other => panic!("no way to ask for {other}"),
            };
            answers.insert(content_type.clone(), answer);
        }
        let id = operation["operationId"].as_str().unwrap();
        examples.insert(id.to_owned(), answers.into());
    }
    let text = serde_json::to_string_pretty(&examples).unwrap() + "\n";
    let generated = document_with(&examples);
    assert_kept(EXAMPLES, &Value::Object(examples), &text);
    assert_kept(DOCUMENT, &parsed(&generated), &generated);
}

#[tokio::test]
async fn problems_fit_their_schema() {
    let router = Arc::new(Fake::default()).router();
    let description = parsed(&document());
    for uri in ["/nothing", "/api/v1/events?limit=0", "/api/v1/tokens?cursor=x"] {
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        fits(&description, &schema, &get(&router, uri).await.json(), uri);
    }
}

#[test]
fn operations_are_named_once_and_lists_have_limits() {
    let description = parsed(&document());
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut seen = HashSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            assert!(seen.insert(operation["operationId"].to_string()), "{verb} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let maximum = &parameter["schema"]["maximum"];
                let limited = parameter["name"] != "limit" || maximum.is_u64();
                assert!(limited, "{path}: {parameter}");
            }
        }
    }
}

#[test]
fn every_route_of_the_table_is_described_with_who_may() {
    let description = parsed(&document());
    let mut described = 0;
    for route in ROUTES.iter().filter(|route| !route.path.starts_with("/rpc/")) {
        let operation = &description["paths"][route.path][route.verb.word()];
        assert!(operation.is_object(), "{} {}", route.verb.word(), route.path);
        let signed_in = matches!(route.access, Access::May(_));
        assert_eq!(operation["security"].is_array(), signed_in, "{}", route.path);
        described += 1;
    }
    let paths = description["paths"].as_object().unwrap();
    let all: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(all, described, "a description without a route");
}

/// Enough of JSON Schema for our own document: references, types, required and unknown keys.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference.strip_prefix('#').and_then(|place| document.pointer(place));
        let target = target.expect("the reference leads somewhere");
        return fits(document, target, value, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(several) => several.iter().any(|one| one == kind),
        _ => panic!("{at}: a schema without a type: {schema}"),
    };
    assert!(allowed, "{at}: {value} is not {}", schema["type"]);
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(key.as_str().unwrap()).is_some(), "{at}: {key} is missing");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item, at);
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let inner = match schema["properties"].get(key) {
            Some(inner) => inner,
            None => &schema["additionalProperties"],
        };
        assert!(inner.is_object(), "{at}: {key} is not described");
        fits(document, inner, item, &format!("{at}.{key}"));
    }
}
