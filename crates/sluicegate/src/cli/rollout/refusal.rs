//! What a refusal means, and what to try next.

use crate::cli::{
    client::Problem,
    output::{plain, quoted},
};

/// The commands as they are typed, in the words of the API.
pub(super) fn typed(command: &str, name: &str) -> String {
    match command {
        "set_weight" => format!("sluicegate rollout weight {name} PERCENT"),
        other => format!("sluicegate rollout {other} {name}"),
    }
}

/// The refusal of a command for this rollout; none where its own words say all there is to say.
pub(super) fn in_words(problem: &Problem, name: &str) -> Option<String> {
    let name = quoted(name);
    let texts = |member: &str| {
        let texts = problem.body[member].as_array().into_iter().flatten();
        texts.filter_map(|text| Some(plain(text.as_str()?).into_owned())).collect::<Vec<_>>()
    };
    let detail = plain(&problem.detail);
    match problem.code.as_str() {
        "unknown_rollout" => Some(format!("{detail}\n`sluicegate rollout list` shows where each stands.")),
        "refused" => {
            let can = texts("can");
            let lines = can.iter().map(|command| format!("\n  {}", typed(command, &name)));
            // The commands stand below as they are typed.
            let why = detail.split("; possible now: ").next().unwrap_or(&detail);
            (!can.is_empty()).then(|| format!("{why}\nPossible now:{}", lines.collect::<String>()))
        }
        "not_ready" => {
            let diffs = texts("diffs").into_iter().map(|diff| format!("\n  {diff}"));
            Some(format!(
                "nothing was changed, because the arms are not ready:{}\n\
                 Put that right where it is served, or the pins in the document, and try again; `sluicegate status` \
                 shows each endpoint. abort, weight and rollback are never refused for this.",
                diffs.collect::<String>()
            ))
        }
        "only_here" => {
            let active = problem.body["rollout"]["active"].as_str().map(plain);
            let active = active.as_deref().unwrap_or("the active upstream");
            Some(format!(
                "`{name}` IS aborted on this gateway: everything is on {active}. The others have NOT been told: {detail}\n\
                 Where they cannot wait, give each the same command: sluicegate rollout abort {name} --admin URL"
            ))
        }
        "store_unavailable" => Some(format!(
            "{detail}\n\
             Where it stands: sluicegate rollout status {name}. What ails the store: sluicegate status. An abort holds \
             on the gateway that is asked even without the store: sluicegate rollout abort {name}"
        )),
        "busy" => Some(format!("{detail}\nWho changes it: sluicegate rollout history {name}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Problem, in_words};

    fn words(code: &str, detail: &str, members: Value) -> Option<String> {
        in_words(&Problem { code: code.to_owned(), detail: detail.to_owned(), body: members }, "embed")
    }

    #[test]
    fn a_refusal_names_what_to_type_instead() {
        let detail =
            "advance is not possible: the rollout is idle, and no run goes; possible now: start, set_weight";
        assert_eq!(
            words("refused", detail, json!({ "can": ["start", "set_weight"] })).unwrap(),
            "advance is not possible: the rollout is idle, and no run goes\nPossible now:\n  \
             sluicegate rollout start embed\n  sluicegate rollout weight embed PERCENT"
        );
        assert_eq!(words("refused", detail, json!({ "can": null })), None, "its own words name them");
        let diffs = json!({ "diffs": ["upstream next: INDEX_HASH is \"c0\u{1b}\"", "no endpoint of upstream `next`"] });
        let text = words("not_ready", "not ready: ...", diffs).unwrap();
        assert!(
            text.contains("not ready:\n  upstream next: INDEX_HASH is \"c0\\u{1b}\"\n  no endpoint of"),
            "{text}"
        );
        assert!(
            words("store_unavailable", "gone", json!({}))
                .unwrap()
                .contains("sluicegate rollout status embed")
        );
        assert_eq!(words("elsewhere", "the record is about others", json!({})), None);
    }

    #[test]
    fn an_abort_that_only_this_gateway_knows_is_said_to_hold() {
        let text = words("only_here", "no answer", json!({ "rollout": { "active": "stable" } })).unwrap();
        assert!(
            text.starts_with(
                "`embed` IS aborted on this gateway: everything is on stable. The others have NOT been told: no answer\n"
            ),
            "{text}"
        );
        assert!(words("only_here", "no answer", json!({})).unwrap().contains("on the active upstream."));
    }
}
