use std::process::Command;

use http::Request;
use sluicegate_test_servers::{Brand, Settings};
use sluicegate_tests::{
    Client, Folder, Gateway, Upstream,
    client::{full, get},
    gateway::{binary, run},
};

use super::{document, main_at};

/// Starts a gateway with these variables in its environment.
fn start(yaml: &str, variables: &[(&str, &str)]) -> Gateway {
    let folder = Folder::default();
    folder.write("gateway.yaml", yaml);
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .arg("--config")
        .arg(folder.config())
        .current_dir("/")
        .envs(variables.iter().copied());
    Gateway::launch(&mut command, folder, 1, 1)
}

fn yaml() -> String {
    document(
        "main: { endpoints: [\"${MAIN_URL}\"], max_idle: \"${MAX_IDLE:-7}\" }",
        r#"  - name: all
    match: { path: "/{*rest}" }
    upstream: main
    request: { set: { authorization: "Bearer ${SERVICE_TOKEN}", x-literal: "$${HOME}" } }
    response: { set: { x-served-by: "${WHERE:-nowhere}" } }"#,
        "freeze: { reason: \"${SERVICE_TOKEN} is rotated\" }",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_from_the_environment_and_are_shown_nowhere() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let gateway = start(&yaml(), &[("MAIN_URL", &url), ("SERVICE_TOKEN", "hush-hush-4711"), ("WHERE", "")]);
    let answer = Client::h1(gateway.address()).await.ask(get("/")).await;
    assert_eq!((answer.status, answer.header("x-served-by")), (200, "nowhere"));
    let seen = &upstream.seen()[0];
    assert_eq!(seen.get("authorization"), Some("Bearer hush-hush-4711"));
    assert_eq!(seen.get("x-literal"), Some("${HOME}"));

    let config = gateway.admin_get("/config").await;
    let shown = &config["document"];
    assert_eq!(shown["upstreams"]["main"]["endpoints"][0], "${MAIN_URL}");
    assert_eq!(shown["upstreams"]["main"]["max_idle"], "${MAX_IDLE:-7}");
    assert_eq!(shown["freeze"]["reason"], "${SERVICE_TOKEN} is rotated");
    assert_eq!(shown["routes"][0]["request"]["set"]["authorization"], "[redacted]");

    // What is wrong with a value is told without the value, wherever it is told.
    let broken = yaml().replace("protocol: auto", "")
        + "access_log: { path: \"/none/${SERVICE_TOKEN}/log\" }\nlog: { level: \"${SERVICE_TOKEN}\" }\n";
    let refused = gateway.put_config("", &broken).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let told = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(told.contains("log.level") && told.contains("${SERVICE_TOKEN}"), "{told}");
    let opened = yaml() + "access_log: { path: \"/none/${SERVICE_TOKEN}/log\" }\n";
    assert_eq!(gateway.put_config("", &opened).await.status, 422);
    let mut all = gateway.log().join("\n") + &told;
    for path in ["/config", "/status", "/metrics"] {
        all += &String::from_utf8_lossy(&gateway.admin(http::Method::GET, path, "").await.body);
    }
    assert!(all.contains("access_log.path"), "{all}");
    assert!(!all.contains("hush-hush"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_variable_is_told_with_its_place() {
    let folder = Folder::default();
    folder.write("gateway.yaml", yaml());
    let check = || {
        let mut command = Command::new(binary());
        command.arg("check").arg(folder.config()).env("MAIN_URL", "http://127.0.0.1:1");
        command
    };
    let output = run(&mut check());
    assert_ne!(output.code, 0);
    let lines: Vec<_> = (output.stdout + &output.stderr).lines().map(str::to_owned).collect();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("has no variable `SERVICE_TOKEN`")).collect();
    assert_eq!(told.len(), 2, "{lines:?}");
    assert!(told[0].contains("gateway.yaml:9:38: routes[0].request.set.authorization: "), "{}", told[0]);
    let output = run(check().env("SERVICE_TOKEN", "hush-hush-4711"));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!(output.stdout + &output.stderr).contains("hush-hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_adds_nothing_to_the_structure_around_it() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let trick = "x\", admin: { address: \"0.0.0.0:1\" } #\nroutes: []";
    let yaml = yaml().replace("request: { set:", "request: { remove: [x-gone], set:");
    let gateway = start(&yaml, &[("MAIN_URL", &url), ("SERVICE_TOKEN", "t"), ("WHERE", "a, b: c")]);
    let request = Request::get("/").header("x-gone", "1").body(full("")).unwrap();
    let answer = Client::h1(gateway.address()).await.ask(request).await;
    assert_eq!((answer.status, answer.header("x-served-by")), (200, "a, b: c"));
    let folder = Folder::default();
    folder.write("gateway.yaml", &yaml);
    let mut command = Command::new(binary());
    command.arg("check").arg(folder.config()).env("MAIN_URL", "http://127.0.0.1:1");
    let output = run(command.env("SERVICE_TOKEN", trick));
    let told = output.stdout + &output.stderr;
    assert!(output.code != 0 && told.contains("routes[0].request.set.authorization"), "{told}");
    assert!(!told.contains("0.0.0.0"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stand_in_files_that_are_read_again_when_they_change() {
    let (upstream, lab) = (Upstream::start().await, Upstream::start().await);
    let upstreams =
        format!("main: {{ endpoints: [\"{}\"] }}, lab: {{ endpoints: [\"{}\"] }}", upstream.url(), lab.url());
    let routes = r#"  - name: all
    match: { path: "/{*rest}" }
    upstream: main
    request: { set_file: { authorization: secrets/main } }
    shadow: { to: lab, percent: 100, set_file: { authorization: secrets/lab } }"#;
    let yaml = document(&upstreams, routes, "intents: { headers_file: { authorization: secrets/main } }");
    let folder = Folder::default();
    folder.write("secrets/main", "Bearer of-main-1\n").write("secrets/lab", "Bearer of-lab\r\n");
    let gateway = folder.start(&yaml);
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/")).await.status, 200);
    assert_eq!(upstream.seen()[0].get("authorization"), Some("Bearer of-main-1"));
    sluicegate_tests::eventually("the copy came", || lab.seen().len() == 1).await;
    assert_eq!(lab.seen()[0].get("authorization"), Some("Bearer of-lab"));
    gateway.folder().replace("secrets/main", "Bearer of-main-2\n");
    sluicegate_tests::comes_true("the file is read again", async || {
        assert_eq!(client.ask(get("/again")).await.status, 200);
        upstream.seen_at("/again").last().unwrap().get("authorization") == Some("Bearer of-main-2")
    })
    .await;
    let told = gateway.admin_get("/config").await.to_string() + &gateway.log().join("\n");
    assert!(told.contains("secrets/main") && !told.contains("of-main") && !told.contains("of-lab"), "{told}");
    // What cannot be used changes nothing.
    gateway.folder().replace("secrets/main", "\n");
    sluicegate_tests::comes_true("it is told", async || gateway.log().join("\n").contains("is empty")).await;
    assert_eq!(client.ask(get("/still")).await.status, 200);
    assert_eq!(upstream.seen_at("/still")[0].get("authorization"), Some("Bearer of-main-2"));
    for (wrong, expected) in [
        ("set_file: { authorization: none }", "routes[0].request.set_file.authorization: cannot read "),
        (
            "set: { a: b }, set_file: { A: secrets/main }",
            "routes[0].request.set_file.A: `A` is in `set` as well",
        ),
        ("set_file: { host: secrets/main }", "routes[0].request.set_file.host: "),
    ] {
        let folder = Folder::default();
        folder.write("secrets/main", "x").write("secrets/lab", "x");
        let output = folder.refused(&yaml.replacen("set_file: { authorization: secrets/main }", wrong, 1));
        assert!(output.code != 0 && output.stderr.contains(expected), "{wrong}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_redis_stands_in_a_file() {
    let settings = Settings::durable(Brand::Redis).with("requirepass", "hush-of-redis");
    let (redis, upstream) = (settings.start().await.unwrap(), Upstream::start().await);
    let routes =
        r#"  - { name: all, match: { path: "/{*rest}" }, upstream: main, idempotency: { required: true } }"#;
    let yaml = |more: &str| {
        let store = format!("redis: {{ url: \"redis://127.0.0.1:{}\"{more} }}", redis.port());
        document(&main_at(&upstream.url()), routes, "").replace("memory: {}", &store)
    };
    let start = |password: &str| {
        let folder = Folder::default();
        folder.write("secrets/redis", password);
        folder.start(&yaml(", password_file: secrets/redis"))
    };
    let write = async |gateway: &Gateway| {
        let request = Request::post("/w").header("idempotency-key", "k").body(full("w")).unwrap();
        Client::h1(gateway.address()).await.ask(request).await
    };
    let shown = async |gateway: &Gateway| {
        let mut all = gateway.log().join("\n");
        for path in ["/config", "/status", "/readyz", "/metrics"] {
            all += &String::from_utf8_lossy(&gateway.admin(http::Method::GET, path, "").await.body);
        }
        all
    };
    let gateway = start("hush-of-redis\n");
    assert_eq!(write(&gateway).await.status, 200);
    assert_eq!(write(&gateway).await.header("idempotency-replayed"), "true");
    let told = shown(&gateway).await;
    assert!(told.contains("secrets/redis") && !told.contains("hush"), "{told}");
    // Another password is not let in, and is not shown either.
    let other = start("hush-of-another\n");
    let refused = write(&other).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    let told = shown(&other).await;
    assert!(told.contains("does not accept the user or password") && !told.contains("hush"), "{told}");
    for (file, yaml, expected) in [
        ("other", yaml(", password_file: secrets/redis"), "store.redis.password_file: cannot read "),
        ("secrets/redis", yaml(", password_file: secrets/redis"), "secrets/redis is empty"),
        (
            "secrets/redis",
            yaml(", password_file: secrets/redis").replace("redis://", "redis://:hush@"),
            "store.redis.password_file: the URL has a password as well",
        ),
    ] {
        let folder = Folder::default();
        folder.write(file, "\n");
        let output = folder.refused(&yaml);
        assert!(output.code != 0 && output.stderr.contains(expected), "{expected}: {}", output.stderr);
        assert!(!output.stderr.contains("hush"), "{}", output.stderr);
    }
}
