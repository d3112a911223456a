use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use prometheus_client::{encoding::text::encode, registry::Registry};
use sluicegate_core::span::{Span, SpanKind, SpanSink};
use tokio::{runtime::Handle, time::Instant};

use super::{Spans, Tracer};
use crate::{
    carrier::{Carried, Carrier, Undelivered, Why},
    input::OtlpInput,
    settings::OtlpSettings,
};

/// What carriers of this thread's test do with each batch in turn, the last for all after it; and
/// the batches they got. `connect` is a plain function, so it stands here.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<Vec<Answer>>,
    got: Mutex<Vec<(String, Vec<u64>)>>,
}

#[derive(Clone, Debug)]
enum Answer {
    Takes,
    Leaves(u64),
    Away { passes: bool },
    Hangs,
}

thread_local! {
    static SCRIPT: OnceLock<Arc<Script>> = const { OnceLock::new() };
}

fn script() -> Arc<Script> {
    SCRIPT.with(|script| script.get_or_init(Arc::default).clone())
}

#[derive(Debug)]
struct Scripted(String, Arc<Script>);

impl Carrier for Scripted {
    fn carry<'a>(&'a self, batch: &'a [Span]) -> Carried<'a> {
        Box::pin(async move {
            self.1.got.lock().push((self.0.clone(), batch.iter().map(|span| span.id.get()).collect()));
            let answer = {
                let mut answers = self.1.answers.lock();
                if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().cloned() }
            };
            match answer {
                None | Some(Answer::Takes) => Ok(0),
                Some(Answer::Leaves(count)) => Ok(count),
                Some(Answer::Away { passes }) => {
                    Err(Undelivered { why: Why::Unreachable, words: "away".to_owned(), passes, after: None })
                }
                Some(Answer::Hangs) => std::future::pending().await,
            }
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is a `Connect`")]
fn connect(settings: &OtlpSettings) -> Result<Box<dyn Carrier>, (&'static str, String)> {
    Ok(Box::new(Scripted(settings.endpoint.clone(), script())))
}

fn input(queue: u32) -> OtlpInput {
    let text = format!(r#"{{"endpoint":"http://127.0.0.1:4317","queue":{queue}}}"#);
    serde_json::from_str(&text).unwrap()
}

fn as_is(path: &Path) -> PathBuf {
    path.to_owned()
}

struct Stand {
    spans: Spans,
    registry: Registry,
}

impl Stand {
    fn new(answers: &[Answer]) -> Self {
        *script().answers.lock() = answers.to_vec();
        let mut registry = Registry::default();
        Self { spans: Spans::open(Some(connect), Handle::current(), &mut registry), registry }
    }

    fn tracer(&self, queue: u32) -> Arc<Tracer> {
        let tracer = self.spans.prepare(Some(&input(queue)), &as_is).unwrap().unwrap();
        self.spans.apply(Some(&tracer));
        tracer
    }

    /// Sent, and dropped for this reason.
    fn counts(&self, why: Why) -> (u64, u64) {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        let dropped = format!("sluicegate_spans_dropped_total{{reason=\"{}\"}}", why.as_str());
        (of("sluicegate_spans_sent_total"), of(&dropped))
    }
}

fn send(tracer: &Tracer, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        tracer.take(Span {
            trace: 1,
            id: NonZeroU64::new(id).unwrap(),
            parent: None,
            state: "".into(),
            kind: SpanKind::Server,
            name: "GET".to_owned(),
            began: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            failed: false,
        });
    }
}

async fn settled() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn spans_go_in_batches_that_are_full_or_a_second_old() {
    let stand = Stand::new(&[Answer::Takes, Answer::Leaves(2), Answer::Takes]);
    let tracer = stand.tracer(4096);
    send(&tracer, 1..=1100);
    settled().await;
    let sizes: Vec<_> = script().got.lock().iter().map(|(_, batch)| batch.len()).collect();
    assert_eq!(sizes, [512, 512, 76]);
    assert_eq!(stand.counts(Why::Refused), (1098, 2));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_sent_again_and_what_may_not_is_not() {
    let away = Answer::Away { passes: true };
    let stand = Stand::new(&[away.clone(), away.clone(), Answer::Takes]);
    let tracer = stand.tracer(16);
    send(&tracer, [1]);
    settled().await;
    assert_eq!((stand.counts(Why::Unreachable), script().got.lock().len()), ((1, 0), 3));
    *script().answers.lock() = vec![away];
    send(&tracer, [2]);
    settled().await;
    assert_eq!((stand.counts(Why::Unreachable), script().got.lock().len()), ((1, 1), 6));
    *script().answers.lock() = vec![Answer::Away { passes: false }];
    send(&tracer, [3]);
    settled().await;
    assert_eq!((stand.counts(Why::Unreachable), script().got.lock().len()), ((1, 2), 7));
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_costs_what_the_queue_cannot_hold() {
    let stand = Stand::new(&[Answer::Hangs]);
    let tracer = stand.tracer(3);
    send(&tracer, [1]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // One is on its way, three wait, the rest is dropped on the spot.
    send(&tracer, 2..=10);
    assert_eq!(stand.counts(Why::QueueFull), (0, 6));
    settled().await;
    assert_eq!(stand.counts(Why::Timeout), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_waits_and_waits_for_two_seconds_at_most() {
    let stand = Stand::new(&[Answer::Takes]);
    let tracer = stand.tracer(2000);
    send(&tracer, 1..=700);
    stand.spans.close().await;
    assert_eq!(stand.counts(Why::Stopping), (700, 0));
    send(&tracer, [701]);
    assert_eq!(stand.counts(Why::Stopping), (700, 1));

    let stand = Stand::new(&[Answer::Hangs]);
    let tracer = stand.tracer(2000);
    send(&tracer, [1]);
    let began = Instant::now();
    stand.spans.close().await;
    assert!(began.elapsed() <= Duration::from_millis(2_001), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_change_makes_another_tracer_and_the_former_ends_with_its_last_request() {
    let stand = Stand::new(&[Answer::Takes]);
    let first = stand.tracer(16);
    assert!(Arc::ptr_eq(&first, &stand.tracer(16)), "nothing has changed");
    let mut other = input(16);
    other.endpoint = "http://127.0.0.1:9999".to_owned();
    let second = stand.spans.prepare(Some(&other), &as_is).unwrap().unwrap();
    stand.spans.apply(Some(&second));
    send(&first, [1]);
    send(&second, [2]);
    settled().await;
    let mut got = script().got.lock().clone();
    got.sort();
    let expected =
        [("http://127.0.0.1:4317".to_owned(), vec![1]), ("http://127.0.0.1:9999".to_owned(), vec![2])];
    assert_eq!(got, expected);
    assert_eq!(stand.spans.0.exporters.len(), 2);
    drop(first);
    settled().await;
    assert_eq!(stand.spans.0.exporters.len(), 1);
}

#[tokio::test]
async fn a_build_without_a_carrier_says_so() {
    let spans = Spans::open(None, Handle::current(), &mut Registry::default());
    assert!(spans.prepare(None, &as_is).unwrap().is_none());
    let faults = spans.prepare(Some(&input(1)), &as_is).unwrap_err();
    assert!(faults[0].1.contains("--features otlp"), "{faults:?}");
}

#[test]
fn header_fields_come_from_files_too_and_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "hush\n").unwrap();
    let mut input = input(1);
    input.headers_file = [("x-key".to_owned(), "key".into())].into();
    let settings = OtlpSettings::read(&input, &|path| folder.path().join(path)).unwrap();
    assert_eq!(settings.headers["x-key"], "hush");
    assert!(!format!("{settings:?}").contains("hush"));
    input.headers_file = [("x-key".to_owned(), "nowhere".into())].into();
    let faults = OtlpSettings::read(&input, &|path| folder.path().join(path)).unwrap_err();
    assert_eq!(faults[0].0, "headers_file.x-key");
}
