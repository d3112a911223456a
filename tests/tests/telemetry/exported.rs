//! The table of metrics, and what a gateway that has everything exports.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    ops::Range,
    process::Stdio,
};

use http::{Method, Request};
use sluicegate_test_servers::promtool;
use sluicegate_tests::{Client, Gateway, client::full, comes_true};
use tokio::task::spawn_blocking;

use crate::traffic::Traffic;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A metric's type and the names of its labels.
type Shape = (String, BTreeSet<String>);

/// The page's table: name, type, labels, and whether it takes more than this test's traffic.
fn documented() -> BTreeMap<String, (Shape, bool)> {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split(" | ").map(str::trim).collect();
        let [name, kind, labels, says] = cells[..] else { return None };
        let labels = labels.split(", ").map(|it| it.trim_matches('`').to_owned()).filter(|it| it != "none");
        let rare = says.contains("Appears with the first");
        Some((name.trim_matches('`').to_owned(), ((kind.to_owned(), labels.collect()), rare)))
    };
    PAGE.lines().filter_map(row).collect()
}

async fn scraped(gateway: &Gateway) -> String {
    let mut client = Client::h1(gateway.admin_address()).await;
    let request = Request::builder().method(Method::GET).uri("/metrics").header("accept", "text/plain");
    let answer = client.ask(request.body(full("")).unwrap()).await;
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What was exported: of each name its type and labels.
fn exported(text: &str) -> BTreeMap<String, Shape> {
    let mut found = BTreeMap::<String, Shape>::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (sample, labels) = series.split_once('{').unwrap_or((series, ""));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| sample.strip_suffix(end))
                .find(|name| found.get(*name).is_some_and(|(kind, _)| kind == "histogram"))
                .unwrap_or(sample);
            let (_, known) = found.get_mut(name).unwrap_or_else(|| panic!("{sample} has no type"));
            // No label of this traffic holds a quote or a comma.
            let names = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            known.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
        }
    }
    found
}

/// Labels whose values come from a fixed list.
const LISTED: [&str; 8] = ["by", "how", "kind", "outcome", "reason", "result", "state", "why"];

/// Values of such labels that the page leaves out where it lists them.
fn untold(text: &str) -> BTreeSet<String> {
    let mut untold = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.rsplit_once(' ').and_then(|(series, _)| series.split_once('{'))
        else {
            continue;
        };
        let Some(row) = PAGE.lines().find(|row| row.starts_with(&format!("| `{name}` |"))) else { continue };
        let says = row.rsplit(" | ").next().unwrap_or_default();
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        for (label, value) in labels.filter(|(label, _)| LISTED.contains(label)) {
            let value = value.trim_matches('"');
            if says.contains('`') && !says.contains(&format!("`{value}`")) {
                untold.insert(format!("{name}: {label}=\"{value}\""));
            }
        }
    }
    untold
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_the_page_says() {
    let traffic = Traffic::start().await;
    traffic.send_everything().await;
    let gateway = &traffic.gateway;
    // What came of copies and intents is told when it is known.
    comes_true("copies are compared", async || gateway.count("sluicegate_shadow_pairs_total", "").await > 0)
        .await;
    comes_true("an intent is applied", async || {
        gateway.count("sluicegate_intents_reached_total", "state=\"applied\"").await == 1
    })
    .await;
    let text = scraped(gateway).await;
    let (documented, exported) = (documented(), exported(&text));
    for (name, shape) in &exported {
        let told = documented.get(name).unwrap_or_else(|| panic!("docs/metrics.md lacks {name} {shape:?}"));
        // A family that is looked at when it is asked for may have nothing to tell.
        let told = if shape.1.is_empty() { (told.0.0.clone(), BTreeSet::new()) } else { told.0.clone() };
        assert_eq!(told, *shape, "{name}");
    }
    let untold = untold(&text);
    assert!(untold.is_empty(), "values that docs/metrics.md does not list: {untold:#?}");
    let missing: Vec<_> =
        documented.iter().filter(|(name, (_, rare))| !rare && !exported.contains_key(*name)).collect();
    assert!(missing.is_empty(), "documented and not exported: {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong() {
    let traffic = Traffic::start().await;
    traffic.send_everything().await;
    let text = scraped(&traffic.gateway).await;
    let checked = spawn_blocking(move || {
        let mut promtool = promtool().unwrap();
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = promtool.spawn().unwrap();
        running.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        running.wait_with_output().unwrap()
    });
    let checked = checked.await.unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.trim().is_empty(), "{}: {said}", checked.status);
}

/// Requests with names of the client's own wherever one can be put: tenants, lanes, keys, pins, hosts,
/// paths, queries, methods, and freezes that are asked after.
async fn flood(gateway: &Gateway, names: Range<usize>) {
    let mut client = Client::h1(gateway.address()).await;
    for number in names {
        let name = format!("flood-{number}");
        let request = |method: &str, path: String| {
            Request::builder()
                .method(method)
                .uri(path)
                .header("x-tenant-id", &name)
                .header("x-lane", &name)
                .header("user-agent", &name)
                .header("idempotency-key", &name)
                .header("x-wfgy", format!("{name}=1"))
                .header("host", format!("{name}.test"))
                .body(full(""))
                .unwrap()
        };
        for path in ["read", "docs", "nowhere"] {
            client.ask(request("POST", format!("/{path}/{name}?{name}={name}"))).await;
        }
        for path in ["limited", "model", "gone"] {
            client.ask(request("POST", format!("/{path}"))).await;
        }
        client.ask(request(&name.to_ascii_uppercase(), "/read/a".to_owned())).await;
        gateway.admin(Method::GET, &format!("/freeze/{name}"), "").await;
        gateway.admin(Method::GET, &format!("/{name}"), "").await;
        gateway.admin(Method::from_bytes(name.as_bytes()).unwrap(), "/status", "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_client_chooses_is_no_label_and_a_flood_of_them_adds_no_series() {
    let traffic = Traffic::start().await;
    let gateway = &traffic.gateway;
    flood(gateway, 0..50).await;
    // Asking is counted, too.
    scraped(gateway).await;
    let before = scraped(gateway).await;
    flood(gateway, 50..100).await;
    let after = scraped(gateway).await;
    let named: Vec<_> = after.lines().filter(|line| line.to_ascii_lowercase().contains("flood")).collect();
    assert!(named.is_empty(), "{named:#?}");
    let series = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let more: Vec<_> = series(&after).difference(&series(&before)).cloned().collect();
    assert!(more.is_empty(), "{more:#?}");
}
