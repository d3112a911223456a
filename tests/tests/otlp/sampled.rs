//! Which traces have spans.

use sluicegate_tests::{Gateway, Upstream, config};

use crate::{TRACE, arrived, ask, collector, grpc, of, otlp, parent};

/// What the upstream was sent as `traceparent` by the last request.
fn sent(upstream: &Upstream) -> String {
    upstream.seen().last().unwrap().get("traceparent").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_began_a_trace_has_decided() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    for (number, sample) in ["0.0", "1.0"].into_iter().enumerate() {
        let section = otlp(&grpc(&collector), &format!(", sample: {sample}"));
        let gateway = Gateway::start(&config(&upstream.url(), &section));
        let (not, yes) = (format!("{:032x}", 0xa0 + number), format!("{:032x}", 0xb0 + number));
        ask(&gateway, &parent(&not, "00")).await;
        assert_eq!(sent(&upstream), format!("00-{not}-00f067aa0ba902b7-00"), "it passes as it came");
        ask(&gateway, &parent(&yes, "01")).await;
        let spans = arrived(&collector, &yes, 2).await;
        assert_eq!(spans[0].parent, "00f067aa0ba902b7");
        // Spans arrive in order: what was sent before would be here.
        assert!(of(&collector, &not).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_traces_that_begin_here_a_share_is() {
    let (collector, upstream) = (collector().await, Upstream::start().await);
    let start = |sample: &str| {
        let section = otlp(&grpc(&collector), &format!(", sample: {sample}"));
        Gateway::start(&config(&upstream.url(), &section))
    };
    let none = start("0.0");
    ask(&none, "").await;
    let begun = sent(&upstream);
    assert!(begun.ends_with("-00"), "{begun}");
    // One that its client began, after it in the same queue.
    ask(&none, &parent(TRACE, "01")).await;
    arrived(&collector, TRACE, 2).await;
    assert!(of(&collector, &begun[3..35]).is_empty());

    let all = start("1.0");
    ask(&all, "traceparent: nonsense\r\n").await;
    let begun = sent(&upstream);
    let spans = arrived(&collector, &begun[3..35], 2).await;
    assert_eq!((spans[0].parent.as_str(), &spans[1].parent), ("", &spans[0].id));
    assert_eq!(begun, format!("00-{}-{}-01", spans[1].trace, spans[1].id));

    let half = start("0.5");
    let mut sampled = 0;
    for _ in 0..200 {
        ask(&half, "").await;
        sampled += usize::from(sent(&upstream).ends_with("-01"));
    }
    // Five standard deviations and more.
    assert!((60..=140).contains(&sampled), "{sampled} of 200");
}
