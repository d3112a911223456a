//! The API's description, held against what is served: each answer that any test here gets is
//! checked against it.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{admin, asking::Answer, port};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| crate::openapi::document(&crate::endpoints()));

/// The operation that a request asks for.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        let one = |(have, want): (&&str, &&str)| have == want || (want.starts_with('{') && !have.is_empty());
        template.len() == segments.len() && segments.iter().zip(&template).all(one)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // A path without a name in it goes before one with it.
    let found = paths.get(path).or_else(|| paths.iter().find(|(at, _)| fits(at)).map(|(_, found)| found));
    found?.get(method.to_ascii_lowercase())
}

/// Fails where the answer is not as the description says.
pub(super) fn check(method: &str, path: &str, answer: &Answer) {
    if method == "HEAD" {
        // That of GET, without what could be checked.
        return;
    }
    let Some(operation) = operation(method, path).filter(|_| method == method.to_ascii_uppercase()) else {
        assert!([401, 404, 405, 403].contains(&answer.status), "{method} {path}: {}", answer.head);
        return;
    };
    let described = &operation["responses"][answer.status.to_string()]["content"];
    assert!(described.is_object(), "{method} {path}: {} is not described", answer.status);
    let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = &described[kind]["schema"];
    assert!(schema.is_object(), "{method} {path}: {kind} is not described for {}", answer.status);
    if !kind.ends_with("json") {
        return;
    }
    let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
    let validator = jsonschema::draft202012::new(&whole).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(&answer.json()).map(|it| format!("{}: {it}", it.instance_path())).collect();
    assert!(faults.is_empty(), "{method} {path}: {faults:#?}\n{}", answer.body);
}

#[tokio::test]
async fn what_is_described_is_served_and_nothing_else() {
    let router = admin().0.router();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        let asked = path.replace(['{', '}'], "");
        let described: BTreeSet<_> =
            operations.as_object().unwrap().keys().map(|it| it.to_ascii_uppercase()).collect();
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
            let request = Request::builder().method(&method).uri(&asked).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            let is_refused = answer.status() == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(!is_refused, described.contains(method.as_str()), "{method} {path}");
            if is_refused {
                let allow = answer.headers()[header::ALLOW].to_str().unwrap();
                let allowed: BTreeSet<_> =
                    allow.split(',').filter(|it| *it != "HEAD").map(str::to_owned).collect();
                assert_eq!(allowed, described, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_document_is_whole_and_says_the_version_that_runs() {
    let port = port().await;
    let answer = port.get("/openapi.json").await;
    let document = answer.json();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("0.0.0-test")));
    let names: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.is_empty()), "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    let text = document.to_string();
    let referred = text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for name in referred {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn the_page_lists_what_is_served() {
    let page = include_str!("../../../../docs/admin-api.md");
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(endpoint, _)| endpoint.to_owned()))
        .filter(|endpoint| endpoint.contains(" /"))
        .collect();
    let served: BTreeSet<_> =
        crate::endpoints().iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    assert_eq!(listed, served);
}
