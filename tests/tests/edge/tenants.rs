use http::Request;
use serde_json::{Value, json};
use sluicegate_tests::{
    Answer, Client, Folder, Gateway, Upstream,
    client::{full, get},
};

use super::{
    document,
    issuer::{Issuer, since_1970},
    main_at,
};

const ALL: &str = r#"  - { name: all, match: { path: "/{*rest}" }, upstream: main }"#;

/// One request per tenant, then none for longer than the test lasts; and a line per request.
const ONE_EACH: &str = "limits: { rps: 0.001, burst: 1, per: tenant }\naccess_log: { path: access.log }";

async fn ask(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Client::h1(gateway.address()).await.ask(request.body(full("")).unwrap()).await
}

/// The tenants that the access log names, once it has so many lines.
async fn logged(gateway: &Gateway, lines: usize) -> Vec<Value> {
    let path = gateway.folder().path().join("access.log");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    sluicegate_tests::eventually("the log is written", || read().lines().count() >= lines).await;
    read().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tenant"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_parameter_names_the_tenant() {
    let upstream = Upstream::start().await;
    let extra = format!("tenants: {{ from: {{ query: tenant }} }}\n{ONE_EACH}");
    let gateway = Gateway::start(&document(&main_at(&upstream.url()), ALL, &extra));
    for (path, status) in [
        ("/?tenant=acme", 200),
        ("/?a=1&tenant=acme", 429),
        ("/?%74enant=ac%6de", 429),
        ("/?tenant=other", 200),
        ("/?Tenant=acme", 200),
        ("/", 429),
        ("/?tenant=a&tenant=b", 400),
        ("/?tenant=caf%C3%A9", 400),
    ] {
        assert_eq!(ask(&gateway, path, &[]).await.status, status, "{path}");
    }
    assert_eq!(upstream.seen()[0].target, "/?tenant=acme", "the query goes on as it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_names_the_tenant_and_is_found_nowhere() {
    let upstream = Upstream::start().await;
    let extra = format!(
        "tenants: {{ from: {{ api_key: x-api-key }}, classes: {{ premium: {{ multiplier: 2.0, members: [{}] }} }} }}\n{ONE_EACH}",
        // `printf %s secret-of-acme | sha256sum | cut -c1-32`
        "key-a350aa34bafeb5432544ced04ca4343b"
    );
    let gateway = Gateway::start(&document(&main_at(&upstream.url()), ALL, &extra));
    for (key, status) in
        [("secret-of-acme", 200), ("secret-of-acme", 200), ("secret-of-acme", 429), ("another-key", 200)]
    {
        assert_eq!(ask(&gateway, "/", &[("x-api-key", key)]).await.status, status, "{key}");
    }
    assert_eq!(upstream.seen()[0].get("x-api-key"), Some("secret-of-acme"), "the upstream gets the key");
    let tenants = logged(&gateway, 4).await;
    assert_eq!(tenants[0], "key-a350aa34bafeb5432544ced04ca4343b");
    assert_ne!(tenants[3], tenants[0]);
    let mut told = gateway.log().join("\n");
    told += &std::fs::read_to_string(gateway.folder().path().join("access.log")).unwrap();
    for path in ["/status", "/config", "/metrics"] {
        let answer = gateway.admin(http::Method::GET, path, "").await;
        told += &String::from_utf8_lossy(&answer.body);
    }
    assert!(!told.contains("secret-of-acme") && !told.contains("another-key"), "{told}");
}

fn with_keys(issuer: &Issuer, yaml: &str) -> Gateway {
    let folder = Folder::default();
    folder.write("jwks.json", issuer.set());
    folder.start(yaml)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_a_verified_token_names_the_tenant() {
    let (upstream, issuer, other) = (Upstream::start().await, Issuer::new("one"), Issuer::new("one"));
    let extra = format!(
        "tenants: {{ from: {{ claim: org }} }}\njwt: {{ jwks_file: jwks.json, issuer: \"https://id\", audience: [rag], leeway: 5s }}\n{ONE_EACH}"
    );
    let gateway = with_keys(&issuer, &document(&main_at(&upstream.url()), ALL, &extra));
    let of = |claims: Value| {
        let mut all = json!({ "iss": "https://id", "aud": "rag" });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    let acme = issuer.bearer(&of(json!({ "org": "acme" })));
    assert_eq!(ask(&gateway, "/", &[("authorization", &acme)]).await.status, 200);
    assert_eq!(upstream.seen()[0].get("authorization"), Some(acme.as_str()), "the token goes on");
    let again = issuer.bearer(&of(json!({ "org": "acme", "jti": "2" })));
    let refused = ask(&gateway, "/", &[("authorization", &again)]).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    // Nobody: without a token, and with one that names none.
    assert_eq!(ask(&gateway, "/", &[]).await.status, 200);
    let nameless = issuer.bearer(&of(json!({})));
    assert_eq!(ask(&gateway, "/", &[("authorization", &nameless)]).await.status, 429);
    assert_eq!(ask(&gateway, "/", &[("authorization", "Basic eA==")]).await.status, 429);
    let many = issuer.bearer(&of(json!({ "org": ["acme", "other"] })));
    let refused = ask(&gateway, "/", &[("authorization", &many)]).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "bad_request"), "two names are none");
    // Whoever pretends is not served as nobody either.
    let before = upstream.seen().len();
    let mut broken = acme.clone();
    broken.replace_range(acme.len() - 2.., if acme.ends_with("AA") { "BB" } else { "AA" });
    for (token, why) in [
        (other.bearer(&of(json!({ "org": "acme" }))), "signature is wrong"),
        (broken, "signature is wrong"),
        (issuer.bearer(&of(json!({ "org": "x", "exp": since_1970() - 60 }))), "has expired"),
        (issuer.bearer(&of(json!({ "org": "x", "nbf": since_1970() + 60 }))), "does not hold yet"),
        (issuer.bearer(&of(json!({ "org": "x", "iss": "https://evil" }))), "issuer"),
        (issuer.bearer(&of(json!({ "org": "x", "aud": "billing" }))), "somebody else"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJvcmciOiJhY21lIn0.".to_owned(), "cannot be read"),
        ("Bearer x".to_owned(), "cannot be read"),
    ] {
        let answer = ask(&gateway, "/", &[("authorization", &token)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "token_invalid"), "{why}");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\"") && challenge.contains(why),
            "{challenge}"
        );
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{answer:?}");
    }
    assert_eq!(upstream.seen().len(), before, "none of them reached the upstream");
    assert_eq!(gateway.count("sluicegate_jwt_total", "result=\"valid\"").await, 4);
    assert_eq!(gateway.count("sluicegate_jwt_total", "result=\"expired\"").await, 1);
    let told = gateway.log().join("\n")
        + &std::fs::read_to_string(gateway.folder().path().join("access.log")).unwrap();
    assert!(!told.contains(acme.split_once(' ').unwrap().1), "no token is logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_be_required_and_its_absence_is_told_in_every_form() {
    let (upstream, issuer) = (Upstream::start().await, Issuer::new("one"));
    let extra = "tenants: { from: { claim: sub } }\njwt: { jwks_file: jwks.json, issuer: i, required: true, header: x-token }";
    let gateway = with_keys(&issuer, &document(&main_at(&upstream.url()), ALL, extra));
    let missing = ask(&gateway, "/", &[]).await;
    assert_eq!((missing.status, missing.code().as_str()), (401, "token_missing"));
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let grpc = ask(&gateway, "/a.B/C", &[("content-type", "application/grpc")]).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, "16"));
    let token = issuer.bearer(&json!({ "sub": "u", "iss": "i" }));
    for value in [token.as_str(), token.split_once(' ').unwrap().1] {
        assert_eq!(ask(&gateway, "/", &[("x-token", value)]).await.status, 200);
    }
    assert_eq!(ask(&gateway, "/", &[("authorization", &token)]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arm_and_a_fence_go_by_a_claim() {
    let (stable, next, issuer) = (Upstream::start().await, Upstream::start().await, Issuer::new("one"));
    let upstreams = format!(
        "stable: {{ endpoints: [\"{}\"] }}, next: {{ endpoints: [\"{}\"] }}",
        stable.url(),
        next.url()
    );
    let routes = r#"  - { name: write, match: { path: /write, methods: [POST] }, upstream: stable, idempotency: { required: true, scope: [{ claim: /user/id }] } }
  - { name: read, match: { path: "/{*rest}" }, upstream: { rollout: r } }"#;
    let extra = "rollouts: { r: { active: stable, candidate: next, weight: 50, sticky: { claim: sub } } }\njwt: { jwks_file: jwks.json, issuer: i }";
    let gateway = with_keys(&issuer, &document(&upstreams, routes, extra));
    // Each user stays on one arm, whatever token says who it is; both arms have users.
    let mut on_next = 0;
    for user in 0..24 {
        let before = next.seen().len();
        for time in 0..4 {
            let claims = json!({ "iss": "i", "sub": format!("u{user}"), "jti": time });
            let answer = ask(&gateway, "/x", &[("authorization", &issuer.bearer(&claims))]).await;
            assert_eq!(answer.status, 200);
        }
        let came = next.seen().len() - before;
        assert!(came == 0 || came == 4, "user {user}: {came} of 4 on the candidate");
        on_next += usize::from(came == 4);
    }
    assert!((3..=21).contains(&on_next), "{on_next} of 24 users on the candidate");
    // Equal keys of two users are two keys.
    let mut client = Client::h1(gateway.address()).await;
    let mut write = async |user: Value| {
        let token = issuer.bearer(&json!({ "iss": "i", "user": { "id": user } }));
        let request = Request::post("/write").header("idempotency-key", "k").header("authorization", token);
        let answer = client.ask(request.body(full("w")).unwrap()).await;
        assert_eq!(answer.status, 200);
        answer.header("idempotency-replayed") == "true"
    };
    // So are those of two lists: who says something is not taken for who says nothing.
    let users = [json!("a"), json!("b"), json!(["a", "b"]), json!(["a", "c"]), json!({}), Value::Null];
    for again in [false, true] {
        for user in &users {
            assert_eq!(write(user.clone()).await, again, "{user}");
        }
    }
    assert_eq!(stable.count("/write"), users.len());
    // A route that goes by no claim looks at no token; these two do.
    let bad = ask(&gateway, "/x", &[("authorization", "Bearer x")]).await;
    assert_eq!((bad.status, bad.code().as_str()), (401, "token_invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_goes_by_no_claim_looks_at_no_token() {
    let (upstream, issuer) = (Upstream::start().await, Issuer::new("one"));
    let routes = r#"  - { name: write, match: { path: /write, methods: [POST] }, upstream: main, idempotency: { scope: [{ claim: sub }] } }
  - { name: rest, match: { path: "/{*rest}" }, upstream: main }"#;
    let gateway = with_keys(
        &issuer,
        &document(&main_at(&upstream.url()), routes, "jwt: { jwks_file: jwks.json, issuer: i }"),
    );
    assert_eq!(ask(&gateway, "/x", &[("authorization", "Bearer x")]).await.status, 200);
    assert_eq!(Client::h1(gateway.address()).await.ask(get("/y")).await.status, 200);
    let looked: u64 = gateway.counts("sluicegate_jwt_total").await.into_iter().map(|(_, count)| count).sum();
    assert_eq!(looked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_a_way_to_verify_it_is_refused() {
    let output = Folder::default().refused(&document(
        &main_at("http://127.0.0.1:1"),
        ALL,
        "tenants: { from: { claim: sub } }\n",
    ));
    assert!(
        output.stderr.contains("tenants.from.claim: no token is verified without `jwt`"),
        "{}",
        output.stderr
    );
    let folder = Folder::default();
    folder.write("jwks.json", "{}");
    let yaml = document(
        &main_at("http://127.0.0.1:1"),
        ALL,
        "tenants: { from: { claim: sub } }\njwt: { jwks_file: jwks.json, issuer: i }",
    );
    let output = folder.refused(&yaml);
    assert!(
        output.stderr.contains("jwt.jwks_file: ") && output.stderr.contains("no JSON Web Key Set"),
        "{}",
        output.stderr
    );
}
