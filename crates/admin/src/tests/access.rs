use super::port;

#[tokio::test]
async fn with_a_token_only_the_probes_are_open() {
    let port = port().await;
    port.token.set(Some("secret"));
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

    port.token.set(Some("rotated"));
    assert_eq!(port.ask("GET", "/status", &with("Bearer secret"), "").await.status, 401);
    assert_eq!(port.ask("GET", "/status", &with("Bearer rotated"), "").await.status, 200);
}

#[tokio::test]
async fn without_a_token_foreign_pages_and_names_change_nothing() {
    let port = port().await;
    for headers in [[("host", "rebound.test")], [("origin", "https://page.test")]] {
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
            assert!(detail.contains(headers[0].1) && detail.contains("token_file"), "{detail}");
        }
        assert_eq!(port.ask("GET", "/status", &headers, "").await.status, 200);
    }
    assert!(!port.freezes.status().active);
    assert!(port.config.taken.lock().is_empty());
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
