use std::{path::Path, sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_body::{Budget, Teed};
use sluicegate_core::{Chance, Clock, Refusal};
use sluicegate_shadow::{
    AnswersInput, CopyTap, ShadowInput, ShadowLayer, ShadowPlan, Shadowing, Shadows, ShadowsOptions, Targets,
};
use sluicegate_upstream::{Upstream, UpstreamMetrics, UpstreamSettings, Upstreams, input::UpstreamInput};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_layer::Layer;

use super::{Cli, Exit, Gateway};
use crate::cli::shadow::outcomes;

/// What the route's own upstream answers.
const ANSWER: &str = r#"{"hits":[{"id":"a","title":"of a"},{"id":"b","title":"of b"}]}"#;

/// A home without any shadow.
pub(super) fn open(registry: &mut Registry) -> Shadows {
    let options = ShadowsOptions {
        bodies: Budget::new(64 << 20),
        clock: Clock::system(),
        chance: Arc::new(Chance::seeded(7)),
    };
    Shadows::open(options, registry)
}

impl Gateway {
    /// An upstream with one endpoint.
    fn upstream(&self, endpoint: &str) -> Arc<Upstream> {
        let input: UpstreamInput = serde_json::from_value(json!({ "endpoints": [endpoint] })).unwrap();
        let settings = UpstreamSettings::check("any", &input, &Path::to_path_buf).unwrap();
        let metrics = UpstreamMetrics::register(&mut Registry::default());
        let upstreams = Upstreams::new(metrics, self.handle.clone());
        upstreams.prepare(vec![settings]).get("any").unwrap().clone()
    }

    /// One whose server gives this answer.
    fn serving(&self, answer: &'static str) -> Arc<Upstream> {
        let bound = self.handle.block_on(async { TcpListener::bind("127.0.0.1:0").await.unwrap() });
        let endpoint = format!("http://{}", bound.local_addr().unwrap());
        let json = [("content-type", "application/json")];
        let router = Router::new().fallback(move || async move { (json, answer) });
        self.handle.spawn(async move { axum::serve(bound, router).await.unwrap() });
        self.upstream(&endpoint)
    }

    fn shadowing(&self, route: &str, input: Value, shadow: Arc<Upstream>) -> Arc<Shadowing> {
        let input: ShadowInput = serde_json::from_value(input).unwrap();
        let answers: AnswersInput = serde_json::from_value(json!({ "ids": "/hits/*/id" })).unwrap();
        let settings = input.check(&answers, &Path::to_path_buf).unwrap();
        let targets = Targets {
            shadow,
            own: [Some(self.serving(ANSWER)), None],
            version: String::new(),
            rewrite: None,
        };
        self.shadows.shadowing(route, settings, targets)
    }

    /// Sends so many requests through a shadow, and waits until all are compared.
    fn send(&self, shadowing: &Arc<Shadowing>, route: &str, to: &str, count: u64) {
        let plan = ShadowPlan([shadowing.clone()].into());
        let layer = ShadowLayer::new(self.shadows.clone(), Chance::seeded(1)).with_plan(plan);
        let service =
            layer.layer(tower::service_fn(|request: Request<Teed<Full<Bytes>, CopyTap>>| async move {
                drop(request.into_body().collect().await);
                let answer = Response::builder().header("content-type", "application/json");
                Ok::<_, Refusal>(answer.body(Full::<Bytes>::from(ANSWER)).unwrap())
            }));
        let compared = || {
            let reports = self.shadows.report(route);
            let of_it = reports.into_iter().find(|report| report.status.to == to).unwrap();
            of_it.report.is_some_and(|report| report.shadow.pairs == count)
        };
        let sent = async {
            for _ in 0..count {
                let request = Request::get("/v1/retrieve?q=secret").header("x-request-id", "req-1");
                let answer = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
                drop(answer.into_body().collect().await.unwrap());
            }
            while !compared() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.handle.block_on(async { tokio::time::timeout(Duration::from_secs(30), sent).await }).unwrap();
    }
}

/// A gateway whose route `retrieve` has a shadow that answers otherwise, by the verdict too, and one
/// that nobody compares; `answer` has one that is not there.
fn shadowed() -> (Gateway, [Arc<Shadowing>; 3]) {
    let gateway = Gateway::start();
    let other = gateway.serving(r#"{"hits":[{"id":"a","title":"else"},{"id":"c"}]}"#);
    let compare = json!({ "pairs": 40, "allow": 0.5 });
    let lab = json!({ "to": "lab", "percent": 100, "noise": 100, "compare": compare });
    let gone = gateway.upstream("http://127.0.0.1:9");
    let all = [
        gateway.shadowing("retrieve", lab, other.clone()),
        gateway.shadowing("retrieve", json!({ "to": "next", "percent": 2.5 }), other),
        gateway.shadowing("answer", json!({ "to": "lab", "percent": 100, "compare": { "pairs": 2 } }), gone),
    ];
    gateway.shadows.apply(&all);
    (gateway, all)
}

#[test]
fn a_report_says_the_verdict_first_and_its_exit_code_is_the_verdict() {
    let (gateway, all) = shadowed();
    gateway.send(&all[0], "retrieve", "lab", 60);
    let ended = gateway.type_in(&["shadow", "report", "retrieve", "--to", "lab"]);
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Different, ""), "{}", ended.out);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines[0], "retrieve -> lab: DIFFERENT");
    assert!(lines[1].contains("of the answers differ beyond noise, proven of"), "{}", ended.out);
    assert_eq!(lines[2], "  look at the last ones: sluicegate shadow pairs retrieve --to lab");
    for text in [
        "\n  answered  60\n",
        "\n  A/B  own and shadow  60     60      100.00%  -\n",
        "\n  A/A  own and own     60     0       0.00%    -\n",
        "; 50.00% is allowed, 40 pairs of each kind are needed\n",
        "\n  ids A/B  overlap 0.500, ",
        "other ids in 60 of 60 pairs",
        "\n  the route's own ",
        "\n  copies to lab ",
        "\n  of 60 pairs, the copy took longer in ",
    ] {
        assert!(ended.out.contains(text), "{text}\n{}", ended.out);
    }
    let ids = ended.out.lines().find(|line| line.starts_with("  ids  ")).unwrap();
    assert!(ids.contains("different  100.00%  0.00%"), "{ids}");
    assert!(ids.contains("% to "), "{ids}");

    let json = gateway.type_in(&["shadow", "report", "retrieve", "--to", "lab", "--json"]);
    assert_eq!((json.exit, &json.json()["shadows"][0]["verdict"]), (Exit::Different, &json!("different")));
    // All of a route's shadows: one of them is different.
    let both = gateway.type_in(&["shadow", "report", "retrieve"]);
    assert_eq!(both.exit, Exit::Different);
    assert!(
        both.out.contains("\n\nretrieve -> next: not compared\n  add `compare: {}` to it"),
        "{}",
        both.out
    );
    let open = gateway.type_in(&["shadow", "report", "retrieve", "--to", "next"]);
    assert_eq!(open.exit, Exit::Open, "what is not compared proves nothing");
    let few = gateway.type_in(&["shadow", "report", "answer"]);
    assert_eq!((few.exit, few.out.lines().next()), (Exit::Open, Some("answer -> lab: too few pairs")));
    assert!(
        few.out.contains("of the requests, counted since the gateway has the shadow\n  none yet\n"),
        "{}",
        few.out
    );
}

#[test]
fn a_shadow_that_is_the_same_lets_a_script_go_on() {
    let gateway = Gateway::start();
    let input = json!({ "to": "lab", "percent": 100, "noise": 0, "compare": { "pairs": 40, "allow": 0.5 } });
    let shadow = gateway.shadowing("retrieve", input, gateway.serving(ANSWER));
    gateway.shadows.apply(std::slice::from_ref(&shadow));
    gateway.send(&shadow, "retrieve", "lab", 60);
    let same = gateway.type_in(&["shadow", "report", "retrieve"]);
    assert_eq!(same.exit, Exit::Done, "{}", same.out);
    assert!(same.out.starts_with("retrieve -> lab: same\n  at most "), "{}", same.out);
    assert!(!same.out.contains("DIFFER IN") && !same.out.contains("look at"), "{}", same.out);
    let none = gateway.type_in(&["shadow", "pairs", "retrieve"]);
    assert_eq!(
        (none.exit, none.out.as_str()),
        (Exit::Done, "none is kept; what the comparisons say: sluicegate shadow report retrieve --to lab\n")
    );
}

#[test]
fn a_shadow_that_never_answers_is_told_loudly() {
    let (gateway, all) = shadowed();
    gateway.send(&all[2], "answer", "lab", 3);
    let told = gateway.type_in(&["shadow", "report", "answer"]).out;
    assert!(
        told.contains("\n  NO ANSWER  none of 3 copies was answered, most for `unreachable`\n"),
        "{told}"
    );
    assert!(
        told.contains("\n  unreachable  3  no connection: is the upstream up, and its address right?"),
        "{told}"
    );
    let list = gateway.type_in(&["shadow", "list"]);
    let lines = "answer -> lab (100%): too few pairs  copies: 0 answered, 3 without an answer, 0 left out\n  \
                 NO ANSWER  none of 3 copies was answered, most for `unreachable`\n\
                 retrieve -> lab (100%): too few pairs  copies: 0 answered, 0 without an answer, 0 left out\n\
                 retrieve -> next (2.5%): not compared  copies: 0 answered, 0 without an answer, 0 left out\n";
    assert_eq!((list.exit, list.out.as_str()), (Exit::Done, lines));
    assert_eq!(gateway.type_in(&["shadow", "list", "--json"]).json()["shadows"][0]["route"], "answer");
    let status = gateway.type_in(&["status"]).out;
    assert!(status.contains("\nshadows\n  answer -> lab (100%): too few pairs  copies: "), "{status}");
    let pair = gateway.type_in(&["shadow", "pairs", "answer", "--limit", "1"]).out;
    assert!(pair.contains("; lab no answer, unreachable\n"), "{pair}");
}

#[test]
fn every_outcome_that_a_gateway_counts_is_explained() {
    let (gateway, _all) = shadowed();
    let status = &gateway.shadows.status()[0];
    assert!(status.copies.len() > 10 && status.unpaired.len() > 3, "{status:?}");
    for name in status.copies.keys() {
        assert!(outcomes::copy_means(name).is_some(), "{name}");
    }
    for name in status.unpaired.keys() {
        assert!(outcomes::unpaired_means(name).is_some(), "{name}");
    }
}

#[test]
fn a_gateway_without_shadows_says_so() {
    let gateway = Gateway::start();
    let list = gateway.type_in(&["shadow", "list"]);
    assert_eq!(
        (list.exit, list.out.as_str()),
        (Exit::Done, "none; declare one under `shadow` of a route in the configuration\n")
    );
    assert!(!gateway.type_in(&["status"]).out.contains("shadows"));
}

#[test]
fn each_differing_pair_is_shown_in_a_few_lines_without_what_it_holds() {
    let (gateway, all) = shadowed();
    gateway.send(&all[0], "retrieve", "lab", 3);
    let pairs = gateway.type_in(&["shadow", "pairs", "retrieve", "--to", "lab", "--limit", "2"]);
    assert_eq!((pairs.exit, pairs.err.as_str()), (Exit::Done, ""));
    let lines: Vec<_> = pairs.out.lines().collect();
    assert!(lines[0].contains("Z  GET /v1/retrieve?q  request req-1  shadow-id "), "{}", pairs.out);
    assert!(lines[1].starts_with("  own 200 in ") && lines[1].contains("; lab 200 in "), "{}", pairs.out);
    assert!(lines[2].starts_with("  ids: overlap 0.50, rank distance "), "{}", pairs.out);
    assert!(lines[2].ends_with("; missing b; new c"), "{}", pairs.out);
    assert!(lines[3].starts_with("  /hits/0/title: text of 4 characters ("), "{}", pairs.out);
    assert!(lines[3].contains(") -> text of 4 characters ("), "{}", pairs.out);
    assert!(pairs.out.ends_with("\n3 are kept; --limit 3 shows all of them\n"), "{}", pairs.out);
    for secret in ["secret", "of a", "else"] {
        assert!(!pairs.out.contains(secret), "{secret}: {}", pairs.out);
    }
    let json = gateway.type_in(&["shadow", "pairs", "retrieve", "--to", "lab", "--json"]).json();
    assert_eq!(json["pairs"].as_array().unwrap().len(), 3);
}

#[test]
fn a_reset_forgets_and_says_how_to_go_on() {
    let (gateway, all) = shadowed();
    gateway.send(&all[0], "retrieve", "lab", 3);
    let reset = gateway.type_in(&["shadow", "reset", "retrieve", "--to", "lab"]);
    assert_eq!(
        (reset.exit, reset.out.as_str()),
        (
            Exit::Done,
            "what was found of retrieve -> lab is forgotten; pairs are counted anew from now on\n\
             see how it goes with: sluicegate shadow report retrieve --to lab\n"
        )
    );
    let report = gateway.type_in(&["shadow", "report", "retrieve", "--to", "lab"]).out;
    assert!(report.contains("\n  A/B  own and shadow  0      0       -      -\n"), "{report}");
    assert!(report.contains("\n  answered  3\n"), "copies are not forgotten: {report}");
    let json = gateway.type_in(&["shadow", "reset", "answer", "--json"]).json();
    assert_eq!(json["report"]["shadow"]["pairs"], 0);
}

#[test]
fn a_refusal_says_what_to_type_instead() {
    let (gateway, _all) = shadowed();
    for command in ["pairs", "reset"] {
        let unclear = gateway.type_in(&["shadow", command, "retrieve"]);
        assert_eq!((unclear.exit, unclear.out.as_str()), (Exit::Failed, ""));
        assert_eq!(
            unclear.err,
            format!(
                "sluicegate: `retrieve` has several shadows. Name one:\n  \
                 sluicegate shadow {command} retrieve --to lab\n  sluicegate shadow {command} retrieve --to next\n"
            )
        );
    }
    for (line, text) in [
        (&["report", "retreive"][..], "did you mean `retrieve`?\n`sluicegate shadow list` shows"),
        (
            &["report", "retrieve", "--to", "x y"],
            "do not go to `x y`; they go to lab, next\n`sluicegate shadow list`",
        ),
        (
            &["pairs", "retrieve", "--to", "next"],
            "add `compare: {}` to it in the configuration\n`sluicegate shadow report retrieve` shows",
        ),
    ] {
        let refused = gateway.type_in(&[&["shadow"], line].concat());
        assert_eq!(refused.exit, Exit::Failed);
        assert!(refused.err.contains(text), "{text}\n{}", refused.err);
    }
    for line in [&["shadow"][..], &["shadow", "report"], &["shadow", "pairs", "retrieve", "--limit", "0"]] {
        let error = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}
