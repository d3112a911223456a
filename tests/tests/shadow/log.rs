//! The differing pairs as lines of a file: complete, without what nobody may read, and rotated.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::{Value, json};
use sluicegate_tests::{Client, Folder, Gateway, client::post, comes_true, eventually};

use crate::{
    Rules, ended,
    origin::{Origin, json as reply},
};

/// What only the services and their clients know.
const SECRET: &str = "Wombats sleep by day";

async fn services() -> (Origin, Origin) {
    let answer = |title: &'static str, text: &'static str| {
        move |_| async move { reply(&json!({ "title": title, "text": text, "score": 0.5 })) }
    };
    let main = Origin::start(answer("Wombats", SECRET)).await;
    let lab = Origin::start(answer("Koalas", "Wombats dig by night")).await;
    (main, lab)
}

fn rules(log: &str) -> Rules {
    let compare = format!("show: [/title], log: {{ path: shadow.jsonl{log} }}");
    Rules::of(format!("percent: 100, noise: 0, max_in_flight: 10000, timeout: 60s, compare: {{ {compare} }}"))
}

async fn ask(gateway: &Gateway, before: u64, count: u64) {
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..count {
        let mut request = post("/search?q=my+ailment&k=3", "what ails me");
        request.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
        assert_eq!(client.ask(request).await.status, 200);
    }
    ended(gateway, before + count).await;
}

/// The whole lines of a file; none where there is no file.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_differing_pair_is_a_line_that_says_where_and_not_what() {
    let (main, lab) = services().await;
    let gateway = rules("").start(&main.url(), &lab.url());
    ask(&gateway, 0, 3).await;
    let path = gateway.folder().path().join("shadow.jsonl");
    eventually("three lines", || lines(&path).len() == 3).await;
    for line in lines(&path) {
        assert_eq!(
            (&line["route"], &line["to"], &line["against"]),
            (&json!("all"), &json!("lab"), &json!("shadow"))
        );
        let request = &line["request"];
        assert_eq!((&request["method"], &request["path"]), (&json!("POST"), &json!("/search?q&k")));
        let copies = lab.seen();
        let copy =
            copies.iter().find(|copy| request["shadow_id"] == copy.get("shadow-id")).expect("its copy");
        assert_eq!(request["hash"], copy.get("req-hash"));
        assert_eq!(request["id"], copy.get("x-request-id"));
        assert_eq!(
            (&line["primary"]["status"], &line["copy"]["answered"]["status"]),
            (&json!(200), &json!(200))
        );
        assert!(line["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        let mut classes: Vec<_> =
            line["classes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        classes.sort_unstable();
        assert_eq!(classes, ["/text", "/title"]);
        let text = line.to_string();
        for shown in ["Wombats\"", "Koalas"] {
            assert!(text.contains(shown), "`show` names it: {text}");
        }
        for hidden in [SECRET, "by night", "ail"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_moved_away_is_made_anew_and_no_line_is_lost() {
    let (main, lab) = services().await;
    let gateway = rules("").start(&main.url(), &lab.url());
    let path = gateway.folder().path().join("shadow.jsonl");
    let mut moved = Vec::new();
    for round in 0..4 {
        ask(&gateway, round * 10, 10).await;
        eventually("ten lines", || lines(&path).len() == 10).await;
        let aside = path.with_extension(format!("{round}"));
        fs::rename(&path, &aside).unwrap();
        moved.push(aside);
        let generation = async || gateway.admin_get("/config").await["generation"].as_u64();
        let before = generation().await;
        gateway.signal(Signal::HUP);
        comes_true("it is read again", async || generation().await > before).await;
    }
    let all: Vec<_> = moved.iter().flat_map(|path| lines(path)).collect();
    let mut ids: Vec<_> = all.iter().map(|line| line["request"]["shadow_id"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_takes_no_more_than_it_may() {
    let (main, lab) = services().await;
    let gateway = rules(", max_size: 64KiB, files: 2").start(&main.url(), &lab.url());
    let path = gateway.folder().path().join("shadow.jsonl");
    let older = gateway.folder().path().join("shadow.jsonl.1");
    let mut asked = 0;
    // Until the second file has been put aside for the third.
    while asked < 1000 {
        ask(&gateway, asked, 100).await;
        asked += 100;
    }
    let size = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    eventually("the files are full", || size(&older) > 32 << 10).await;
    assert!(size(&path) <= 64 << 10 && size(&older) <= 64 << 10);
    assert!(!gateway.folder().path().join("shadow.jsonl.2").exists());
    assert!((lines(&path).len() + lines(&older).len()) < 1000, "the oldest are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_hurts_nobody_and_heals() {
    let (main, lab) = services().await;
    let folder = Folder::default();
    // In the way of the file.
    fs::create_dir(folder.path().join("shadow.jsonl")).unwrap();
    let gateway = folder.start(&rules("").document(&main.url(), &lab.url()));
    ask(&gateway, 0, 5).await;
    let path = gateway.folder().path().join("shadow.jsonl");
    let told = || gateway.log().iter().any(|line| line.contains("shadow.jsonl"));
    eventually("it is told", told).await;
    fs::remove_dir(&path).unwrap();
    ask(&gateway, 5, 5).await;
    eventually("the next lines are there", || lines(&path).len() == 5).await;
}
