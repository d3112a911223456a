use super::port;
use crate::{NamedToken, Role};

fn token(name: &str, role: Role, secret: &str) -> NamedToken {
    NamedToken { name: name.to_owned(), role, secret: secret.to_owned() }
}

#[tokio::test]
async fn with_a_token_only_the_probes_are_open() {
    let port = port().await;
    port.tokens.set(&[token("operate", Role::Operate, "secret")]);
    port.readiness.set_serving();
    for path in ["/", "/status", "/config", "/freeze", "/keys", "/intents", "/audit", "/metrics", "/nothing"]
    {
        let answer = port.get(path).await;
        assert_eq!(answer.problem().0, 401, "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"sluicegate admin\""));
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(port.get(path).await.status, 200, "{path}");
    }
    let with = |token| [("authorization", token)];
    assert_eq!(port.ask("GET", "/status", &with("Bearer wrong"), "").await.status, 401);
    assert_eq!(port.ask("GET", "/status", &with("Bearer secret"), "").await.status, 200);
    // Who has the token may come from anywhere.
    let far = [("authorization", "Bearer secret"), ("host", "gateway.test"), ("origin", "https://page.test")];
    assert_eq!(port.ask("POST", "/reload", &far, "").await.status, 200);

    port.tokens.set(&[token("operate", Role::Operate, "rotated")]);
    assert_eq!(port.ask("GET", "/status", &with("Bearer secret"), "").await.status, 401);
    assert_eq!(port.ask("GET", "/status", &with("Bearer rotated"), "").await.status, 200);
}

#[tokio::test]
async fn a_token_to_look_changes_nothing_and_is_told_what_it_lacks() {
    let port = port().await;
    port.tokens.set(&[token("night", Role::Operate, "hand"), token("board", Role::Read, "eye")]);
    let eye = [("authorization", "Bearer eye")];
    for path in
        ["/", "/status", "/config", "/freeze", "/keys", "/intents", "/audit", "/metrics", "/openapi.json"]
    {
        assert_eq!(port.ask("GET", path, &eye, "").await.status, 200, "{path}");
    }
    for (method, path) in [
        ("PUT", "/config"),
        ("POST", "/reload"),
        ("PUT", "/freeze/manual"),
        ("DELETE", "/freeze/manual"),
        ("POST", "/keys/x/resolve"),
        ("POST", "/intents/pause"),
        ("POST", "/rollouts/x/abort"),
        ("PUT", "/rollouts/x/weight"),
        ("POST", "/shadows/x/reset"),
    ] {
        let (status, code, detail) = port.ask(method, path, &eye, "").await.problem();
        assert_eq!((status, code.as_str()), (403, "role_required"), "{method} {path}");
        let said = format!("the token `board` has the role read, and {method} {path} needs the role operate");
        assert!(detail.starts_with(&said), "{detail}");
    }
    assert!(!port.freezes.status().active);
    assert!(port.config.taken.lock().is_empty());
    // Neither another method, nor another spelling of method or path, is a way around it.
    for (method, path, expected) in [
        ("PATCH", "/freeze/manual", 403),
        ("TRACE", "/freeze/manual", 403),
        ("put", "/freeze/manual", 403),
        ("get", "/freeze/manual", 403),
        ("PUT", "/freeze/manual/", 403),
        ("PUT", "/freeze%2Fmanual", 403),
        ("PUT", "//freeze/manual", 403),
        ("PUT", "/livez/../freeze/manual", 403),
        ("PUT", "/config?persist=true", 403),
        ("HEAD", "/freeze", 200),
        ("OPTIONS", "/freeze/manual", 405),
        ("GET", "/reload", 405),
        ("HEAD", "/intents/pause", 405),
        ("GET", "/freeze/manual?wait=1ms", 404),
        ("GET", "/freeze?_method=PUT", 400),
    ] {
        let overridden = [eye[0], ("x-http-method-override", "PUT"), ("x-method-override", "PUT")];
        assert_eq!(port.ask(method, path, &overridden, "").await.status, expected, "{method} {path}");
    }
    // The probes are open to look at, and to nothing else.
    assert_eq!(port.ask("POST", "/livez", &[], "").await.status, 405);
    assert!(!port.freezes.status().active);
    assert!(port.config.taken.lock().is_empty());
}

#[tokio::test]
async fn the_audit_log_tells_whose_token_it_was_who_they_said_they_are_and_from_where() {
    let port = port().await;
    port.tokens.set(&[token("night", Role::Operate, "hand")]);
    let hand = [("authorization", "Bearer hand"), ("x-sluicegate-actor", "alice")];
    let frozen = port.ask("PUT", "/freeze/manual", &hand, "{}").await.json();
    let by = frozen["by"].as_str().unwrap();
    assert!(by.starts_with("alice (token night, 127.0.0.1:"), "{by}");
    let audit = port.ask("GET", "/audit?limit=1", &hand, "").await.json();
    let actor = &audit["entries"][0]["actor"];
    assert_eq!((&actor["token"], &actor["claimed"]), (&"night".into(), &"alice".into()), "{audit}");
    assert!(actor["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{audit}");
    assert!(!audit.to_string().contains("hand"), "no token is ever told");
}

#[tokio::test]
async fn without_a_token_foreign_pages_and_names_change_nothing() {
    let port = port().await;
    let strangers =
        [[("host", "rebound.test")], [("origin", "https://page.test")], [("sec-fetch-site", "cross-site")]];
    for headers in strangers {
        for (method, path) in [
            ("POST", "/reload"),
            ("PUT", "/freeze/manual"),
            ("DELETE", "/freeze/manual"),
            ("PUT", "/config"),
            ("POST", "/keys/x/resolve"),
            ("POST", "/intents/x/drop"),
            ("POST", "/intents/pause"),
        ] {
            let (status, code, detail) = port.ask(method, path, &headers, "").await.problem();
            assert_eq!((status, code.as_str()), (403, "forbidden_origin"), "{method} {path}");
            let said = headers[0].1;
            assert!(detail.contains(said) && detail.contains("token_file"), "{detail}");
        }
    }
    assert!(!port.freezes.status().active);
    assert!(port.config.taken.lock().is_empty());
}

#[tokio::test]
async fn without_a_token_a_name_that_was_made_to_lead_here_reads_nothing() {
    let port = port().await;
    port.readiness.set_serving();
    let rebound = [("host", "rebound.test")];
    for path in ["/", "/status", "/config", "/audit", "/keys", "/intents", "/shadows", "/metrics", "/nothing"]
    {
        let (status, code, _) = port.ask("GET", path, &rebound, "").await.problem();
        assert_eq!((status, code.as_str()), (403, "forbidden_origin"), "{path}");
        assert_eq!(port.ask("HEAD", path, &rebound, "").await.status, 403, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(port.ask("GET", path, &rebound, "").await.status, 200, "{path}");
    }
    // What a page sends blindly under a loopback name may be answered: it cannot read it.
    assert_eq!(port.ask("GET", "/status", &[("origin", "https://page.test")], "").await.status, 200);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_answered_as_problems() {
    let port = port().await;
    let (status, code, detail) = port.get("/metrics/").await.problem();
    assert_eq!((status, code.as_str()), (404, "not_found"));
    assert_eq!(detail, "the admin API has no `/metrics/`; `GET /` lists what there is");
    let answer = port.ask("POST", "/freeze/manual", &[], "{}").await;
    assert_eq!(answer.problem().0, 405);
    let allow = answer.header("allow").unwrap();
    assert!(allow.contains("PUT") && allow.contains("DELETE") && !allow.contains("POST"), "{allow}");
}
