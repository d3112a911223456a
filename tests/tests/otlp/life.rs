//! Reloads, stops, and a build that can send no spans.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sluicegate_tests::{
    Folder, Gateway, Upstream, comes_true, config,
    gateway::{binary, run},
};
use tokio::net::TcpListener;

use crate::{TRACE, arrived, ask, collector, grpc, of, otlp, parent};

#[tokio::test(flavor = "multi_thread")]
async fn another_collector_is_used_from_the_reload_on_and_none_where_there_is_none() {
    let (first, second, upstream) = (collector().await, collector().await, Upstream::start().await);
    let document = |section: &str| config(&upstream.url(), section);
    let gateway = Gateway::start(&document(&otlp(&grpc(&first), "")));
    let trace = |number: u8| format!("{number:032x}");
    let reload = async |section: &str, generation: f64| {
        gateway.folder().replace("gateway.yaml", document(section));
        let taken = async || {
            gateway.metric("sluicegate_config_generation").await.iter().any(|(_, is)| *is >= generation)
        };
        comes_true("the document is taken", taken).await;
    };
    ask(&gateway, &parent(&trace(1), "01")).await;
    arrived(&first, &trace(1), 2).await;
    reload(&otlp(&grpc(&second), ""), 2.0).await;
    ask(&gateway, &parent(&trace(2), "01")).await;
    arrived(&second, &trace(2), 2).await;
    assert!(of(&first, &trace(2)).is_empty() && of(&second, &trace(1)).is_empty());
    reload("", 3.0).await;
    ask(&gateway, &parent(&trace(3), "01")).await;
    let sent = upstream.seen().last().unwrap().get("traceparent").unwrap().to_owned();
    assert_eq!(sent, format!("00-{}-00f067aa0ba902b7-01", trace(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_what_waits_and_is_not_held_up() {
    let upstream = Upstream::start().await;
    let quick = "shutdown: { drain_delay: 0s }\n";
    let collector = collector().await;
    let section = quick.to_owned() + &otlp(&grpc(&collector), "");
    let mut gateway = Gateway::start(&config(&upstream.url(), &section));
    for _ in 0..50 {
        ask(&gateway, &parent(TRACE, "01")).await;
    }
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit_code(), 0);
    arrived(&collector, TRACE, 100).await;

    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hangs.local_addr().unwrap());
    for protocol in ["grpc", "http"] {
        let section = quick.to_owned() + &otlp(&endpoint, &format!(", timeout: 1m, protocol: {protocol}"));
        let mut gateway = Gateway::start(&config(&upstream.url(), &section));
        ask(&gateway, "").await;
        // Its span is on its way.
        let _asked = hangs.accept().await.unwrap();
        let began = Instant::now();
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.exit_code(), 0, "{protocol}");
        assert!(began.elapsed() < Duration::from_secs(10), "{protocol}: {:?}", began.elapsed());
    }
}

fn without() -> PathBuf {
    binary().with_file_name("gateway_without_otlp")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_the_feature_refuses_the_section_and_says_what_to_do() {
    let folder = Folder::default();
    let section = otlp("http://127.0.0.1:4317", "");
    folder.write("gateway.yaml", config("http://127.0.0.1:1", &section));
    let check = |program: PathBuf| run(Command::new(program).arg("check").arg(folder.config()));
    let checked = check(without());
    assert_eq!(checked.code, 2, "{checked:?}");
    for part in ["gateway.yaml:6:", "telemetry.otlp", "without the feature otlp", "--features otlp", "remove"]
    {
        assert!(checked.stderr.contains(part), "{part}: {checked:?}");
    }
    assert_eq!(check(binary()).code, 0);
    let served = run(Command::new(without()).arg("serve").arg("--config").arg(folder.config()));
    assert!(served.code == 2 && served.stderr.contains("--features otlp"), "{served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_the_feature_tells_the_same_metrics_and_keeps_traces() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("gateway.yaml", config(&upstream.url(), ""));
    let mut command = Command::new(without());
    command.arg("serve").arg("--config").arg(folder.config());
    let gateway = Gateway::launch(&mut command, folder, 1, 1);
    assert_eq!(ask(&gateway, &parent(TRACE, "01")).await.status, 200);
    assert_eq!(gateway.counts("sluicegate_spans_sent_total").await, [(String::new(), 0)]);
    let dropped = gateway.counts("sluicegate_spans_dropped_total").await;
    assert!(dropped.len() == 5 && dropped.iter().all(|(_, count)| *count == 0), "{dropped:?}");
    let sent = upstream.seen()[0].get("traceparent").unwrap().to_owned();
    assert_eq!(sent, format!("00-{TRACE}-00f067aa0ba902b7-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_section_is_told_where_it_stands() {
    let folder = Folder::default();
    folder.write("empty.pem", "");
    for (endpoint, more, path, part) in [
        ("127.0.0.1:4317", "", "telemetry.otlp.endpoint", "http://127.0.0.1:4317"),
        ("http://a/v1", "", "telemetry.otlp.endpoint", "protocol: http"),
        ("http://a", ", sample: 2", "telemetry.otlp.sample", "from 0 to 1"),
        ("http://a", ", queue: 0", "telemetry.otlp.queue", "between 1 and"),
        ("https://a", ", ca: empty.pem", "telemetry.otlp.ca", "no certificate"),
        ("https://a", ", protocol: http, ca: empty.pem", "telemetry.otlp.ca", "no certificate"),
        ("https://a", ", ca: nowhere.pem", "telemetry.otlp.ca", "cannot be read"),
        ("http://a", ", headers_file: { x: nowhere }", "telemetry.otlp.headers_file.x", "cannot read"),
    ] {
        folder.write("gateway.yaml", config("http://127.0.0.1:1", &otlp(endpoint, more)));
        let checked = run(Command::new(binary()).arg("check").arg(folder.config()));
        assert_eq!(checked.code, 2, "{endpoint}{more}: {checked:?}");
        assert!(
            checked.stderr.contains(path) && checked.stderr.contains(part),
            "{endpoint}{more}: {checked:?}"
        );
    }
}
