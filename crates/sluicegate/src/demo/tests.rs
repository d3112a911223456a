//! The demo in this process, over real sockets: its traffic through a freeze and back.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{stand::Stand, traffic::Traffic};
use crate::logging::LogSwitch;

const FREE: [SocketAddr; 2] = {
    let any = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    [any, any]
};
const LIMIT: Duration = Duration::from_secs(30);

async fn ask(method: &'static str, url: String, body: Value) -> Value {
    let sent = tokio::task::spawn_blocking(move || {
        let request = http::Request::builder().method(method).uri(url);
        let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(None)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT))
            .build()
            .into();
        agent.run(request).unwrap().body_mut().read_to_string().unwrap()
    });
    serde_json::from_str(&sent.await.unwrap()).unwrap_or_default()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_on_through_a_freeze_a_reload_and_a_thaw() {
    let stand = Stand::start(Handle::current(), LogSwitch::none(), FREE).await.unwrap();
    let folder = stand.config().parent().unwrap().to_owned();
    let admin = stand.addresses().admin;
    let traffic = Traffic::start(stand.gateway());
    until("reads and writes", || traffic.totals().reads > 5 && traffic.totals().writes > 2).await;
    assert_eq!(traffic.totals().refused, 0);

    let order = json!({ "for": "2m", "reason": "index rebuild" });
    ask("PUT", format!("http://{admin}/freeze/manual"), order).await;
    until("refused writes", || traffic.totals().refused > 2).await;
    let writes = traffic.totals().writes;
    until("more of them", || traffic.totals().refused > 4).await;
    assert_eq!(traffic.totals().writes, writes, "a write went through the freeze");
    let line = traffic.line();
    assert!(line.contains("  FROZEN by manual  Retry-After 1"), "{line}");
    assert_eq!(traffic.totals().retry_afters, traffic.totals().refused);

    ask("POST", format!("http://{admin}/reload"), Value::Null).await;
    ask("DELETE", format!("http://{admin}/freeze/manual"), Value::Null).await;
    until("writes again", || traffic.totals().writes > writes + 2).await;
    assert_eq!(traffic.totals().errors, 0, "{}", traffic.line());

    let summary = traffic.stop().await;
    assert!(summary.ends_with(" 0 errors"), "{summary}");
    stand.stop(LIMIT).await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_versions_differ_and_stand_behind_their_names() {
    let stand = Stand::start(Handle::current(), LogSwitch::none(), FREE).await.unwrap();
    let mut hashes = Vec::new();
    for (address, model) in stand.addresses().instances.iter().zip(["m-1", "m-2", "m-3-rc1"]) {
        let manifest = ask("GET", format!("http://{address}/index/manifest"), Value::Null).await;
        assert_eq!(manifest["MODEL_VER"], model);
        hashes.push(manifest["INDEX_HASH"].as_str().unwrap().to_owned());
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 3);
    let listen = stand.addresses().listen;
    let through = ask("GET", format!("http://{listen}/index/manifest"), Value::Null).await;
    assert_eq!(through["MODEL_VER"], "m-1");
    stand.stop(LIMIT).await;
}
