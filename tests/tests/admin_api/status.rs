//! `GET /status`, held against the page that tells its members.

use std::collections::BTreeSet;

use http::Method;
use sluicegate_tests::{Gateway, Upstream, config};

const PAGE: &str = include_str!("../../../docs/admin-api.md");

#[tokio::test(flavor = "multi_thread")]
async fn each_member_is_told_on_the_page() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), ""));
    let status = gateway.admin(Method::GET, "/status", "").await.json();
    let served: BTreeSet<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let (_, section) = PAGE.split_once("## What `/status` holds").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let in_table = section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    let told: BTreeSet<_> =
        in_table.chain(["version", "started_at", "readiness", "config", "freeze"]).collect();
    assert_eq!(told, served);
}
