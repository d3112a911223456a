//! Commands: what they may say, and how they are carried out and written down.
//!
//! Each runs to its end whether or not the client stays, and is in the audit log before it is
//! answered: an abort in the night must not hang on a terminal.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sluicegate_rollout::{Command, RolloutStatus};

use super::problem;
use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::Endpoint,
    extract::Segment,
    problem::{Problem, fresh_json},
};

/// A command is a reason or a number.
const LARGEST_ORDER: usize = 16 << 10;

/// What a `POST` may ask for.
pub(crate) struct Order {
    path: &'static str,
    /// Its name in code that is made from the description.
    id: &'static str,
    says: &'static str,
    /// Its name in the audit log.
    action: &'static str,
    makes: Makes,
}

enum Makes {
    Bare(Command),
    /// One that may say why.
    Reasoned(fn(Option<String>) -> Command),
}

static ORDERS: [Order; 8] = [
    Order {
        path: "/rollouts/{name}/start",
        id: "startRollout",
        says: "begin a run at its first step",
        action: "rollout_start",
        makes: Makes::Bare(Command::Start),
    },
    Order {
        path: "/rollouts/{name}/advance",
        id: "advanceRollout",
        says: "take the next step now, whatever the gates say",
        action: "rollout_advance",
        makes: Makes::Bare(Command::Advance),
    },
    Order {
        path: "/rollouts/{name}/hold",
        id: "holdRollout",
        says: "stay at this step: {\"reason\"} or nothing",
        action: "rollout_hold",
        makes: Makes::Reasoned(|reason| Command::Hold { reason }),
    },
    Order {
        path: "/rollouts/{name}/resume",
        id: "resumeRollout",
        says: "go on from a hold; the step is looked at anew",
        action: "rollout_resume",
        makes: Makes::Bare(Command::Resume),
    },
    Order {
        path: "/rollouts/{name}/promote",
        id: "promoteRollout",
        says: "the candidate becomes the active arm",
        action: "rollout_promote",
        makes: Makes::Bare(Command::Promote),
    },
    Order {
        path: "/rollouts/{name}/abort",
        id: "abortRollout",
        says: "everything on the active arm, at once: {\"reason\"} or nothing",
        action: "rollout_abort",
        makes: Makes::Reasoned(|reason| Command::Abort { reason }),
    },
    Order {
        path: "/rollouts/{name}/switch",
        id: "switchRollout",
        says: "exchange the arms in one step, and watch the new active one",
        action: "rollout_switch",
        makes: Makes::Bare(Command::Switch),
    },
    Order {
        path: "/rollouts/{name}/rollback",
        id: "rollbackRollout",
        says: "exchange them back: {\"reason\"} or nothing",
        action: "rollout_rollback",
        makes: Makes::Reasoned(|reason| Command::Rollback { reason }),
    },
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let orders = ORDERS.iter().map(|it| {
        let endpoint = Endpoint::post(it.path, move |shared, name, request| order(it, shared, name, request))
            .named(it.id, it.says);
        described(match it.makes {
            Makes::Bare(_) => endpoint.takes::<body::Nothing>(false),
            Makes::Reasoned(_) => endpoint.takes::<Reason>(false),
        })
    });
    let weight = Endpoint::put("/rollouts/{name}/weight", weight)
        .named("weighRollout", "put this percentage of keys on the candidate: {\"weight\": 10}")
        .takes::<Weight>(true);
    orders.chain([described(weight)]).collect()
}

/// What all commands answer.
fn described(command: Endpoint) -> Endpoint {
    command
        .answers::<RolloutStatus>()
        .refuses(400, &["invalid"])
        .refuses(404, &["unknown_rollout"])
        .refuses(409, &["refused", "not_ready", "elsewhere", "busy"])
        .refuses(503, &["store_unavailable", "only_here"])
        .refuses(507, &["no_room"])
}

pub(crate) async fn order(
    order: &'static Order,
    State(shared): State<Arc<Shared>>,
    Segment(name): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    let body = body::read(request, LARGEST_ORDER).await?;
    let (command, asked) = match &order.makes {
        Makes::Bare(command) => {
            body::nothing(&body)?;
            (command.clone(), json!({}))
        }
        Makes::Reasoned(make) => {
            let reason = reason(&body)?;
            (make(reason.clone()), json!({ "reason": reason }))
        }
    };
    body::to_the_end(async move { carried_out(&shared, order.action, &name, command, asked, by).await }).await
}

pub(crate) async fn weight(
    State(shared): State<Arc<Shared>>,
    Segment(name): Segment,
    request: Request,
) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    let weight = percent(&body::read(request, LARGEST_ORDER).await?)?;
    let asked = json!({ "weight": weight });
    body::to_the_end(async move {
        let command = Command::SetWeight { weight };
        carried_out(&shared, "rollout_weight", &name, command, asked, by).await
    })
    .await
}

/// Does it, writes down how that went, and answers with the rollout as it is now.
async fn carried_out(
    shared: &Shared,
    action: &'static str,
    name: &str,
    command: Command,
    asked: Value,
    by: Actor,
) -> Result<Response, Problem> {
    let made = shared.rollouts.command(name, command, &by.to_string()).await;
    // What is in effect although it failed is best told with what now holds.
    let now = made.as_ref().err().and_then(|_| shared.rollouts.status_of(name).ok());
    let entry = match &made {
        Ok(status) => Entry::done(action, name, by, told(status, asked)),
        Err(error) => {
            let mut entry = Entry::failed(action, name, by, error.code(), &error.to_string());
            entry.detail["asked"] = asked;
            if error.in_effect() {
                entry.detail["in_effect"] = Value::Bool(true);
            }
            entry
        }
    };
    shared.audit.record(entry).await;
    made.map(|status| fresh_json(&json!(status))).map_err(|error| problem(&error, now.as_ref()))
}

fn told(status: &RolloutStatus, asked: Value) -> Value {
    let mut told = json!({
        "phase": status.phase,
        "weight": status.weight,
        "active": status.active,
        "candidate": status.candidate,
        "version": status.version,
        "epoch": status.epoch,
    });
    told["asked"] = asked;
    told
}

/// Why it is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// For whoever reads the history.
    #[schemars(length(max = 1024))]
    reason: Option<String>,
}

fn reason(body: &[u8]) -> Result<Option<String>, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Reason { reason } = body::object(body).map_err(|error| {
        Problem::bad_request(format!(
            "the body cannot be read: {error}; send {{\"reason\": \"...\"}} or nothing"
        ))
    })?;
    Ok(reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty()))
}

/// A share of keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Weight {
    /// A whole percentage.
    #[schemars(with = "u8", range(max = 100))]
    weight: Value,
}

fn percent(body: &[u8]) -> Result<u8, Problem> {
    let form = "send {\"weight\": 10}, a whole percentage from 0 to 100";
    let Weight { weight } = body::object(body)
        .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}; {form}")))?;
    let percent =
        body::whole(&weight).and_then(|weight| u8::try_from(weight).ok()).filter(|weight| *weight <= 100);
    percent.ok_or_else(|| {
        Problem::bad_request(format!("`weight` is {weight}, and that is no share of keys; {form}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{percent, reason};

    #[test]
    fn a_weight_is_a_whole_percentage() {
        for (body, expected) in [
            (r#"{"weight": 0}"#, 0),
            (r#"{"weight": 25}"#, 25),
            (r#"{"weight": 100}"#, 100),
            (r#"{"weight": 14.0}"#, 14),
        ] {
            assert_eq!(percent(body.as_bytes()).unwrap(), expected, "{body}");
        }
        for (body, detail) in [
            (r#"{"weight": 101}"#, "`weight` is 101, and that is no share of keys; send {\"weight\": 10}"),
            (r#"{"weight": 356}"#, "`weight` is 356"),
            (r#"{"weight": -1}"#, "`weight` is -1"),
            (r#"{"weight": 0.5}"#, "`weight` is 0.5"),
            (r#"{"weight": "10"}"#, "`weight` is \"10\""),
            (r#"{"wieght": 10}"#, "the body cannot be read: unknown field `wieght`"),
            ("{}", "the body cannot be read: missing field `weight`"),
            ("10", "the body cannot be read: it is not a JSON object; send {\"weight\": 10}"),
            ("", "the body cannot be read: it is not a JSON object; send {\"weight\": 10}"),
        ] {
            let problem = percent(body.as_bytes()).unwrap_err();
            assert!(problem.detail().starts_with(detail), "{body}: {problem:?}");
        }
    }

    #[test]
    fn a_reason_is_words_or_nothing() {
        for (body, expected) in [
            ("", None),
            ("{}", None),
            (r#"{"reason": null}"#, None),
            (r#"{"reason": " "}"#, None),
            (r#"{"reason": " errors on the phones\n"}"#, Some("errors on the phones")),
        ] {
            assert_eq!(reason(body.as_bytes()).unwrap().as_deref(), expected, "{body}");
        }
        for body in ["why", r#"{"raeson": "x"}"#, r#"{"reason": 5}"#, r#"["x"]"#] {
            let problem = reason(body.as_bytes()).unwrap_err();
            assert!(
                problem.detail().contains("; send {\"reason\": \"...\"} or nothing"),
                "{body}: {problem:?}"
            );
        }
    }
}
