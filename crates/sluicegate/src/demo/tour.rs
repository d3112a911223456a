//! What the demo prints: where everything is, and commands to try, each with the addresses
//! that are really in use.
//!
//! Comments and commands are printed so that the whole can be pasted into a shell.

use std::{env, fmt::Write, net::SocketAddr, time::Duration};

use super::{
    config::{PREFERRED, UPSTREAMS},
    stand::Stand,
};

/// One thing to try.
struct Step {
    /// What it shows.
    about: &'static str,
    commands: Vec<String>,
}

/// How this program is run again, as its user did: through cargo, or by its path.
pub(super) fn program() -> String {
    // Cargo names itself to what it runs.
    match (env::var_os("CARGO"), cfg!(debug_assertions)) {
        (Some(_), true) => "cargo run -q --".to_owned(),
        (Some(_), false) => "cargo run -q --release --".to_owned(),
        (None, _) => env::args().next().map_or_else(|| "sluicegate".to_owned(), |path| quoted(&path)),
    }
}

/// The tour of this demo; `program` is how commands of this program are begun.
pub(super) fn text(stand: &Stand, program: &str, took: Duration) -> String {
    let addresses = stand.addresses();
    let config = stand.config().display().to_string();
    let mut text = format!(
        "\nSluicegate runs in front of three versions of a small RAG service (up in {:.1} s).\n\n  \
         gateway        http://{}\n  admin API      http://{}\n  configuration  {config}\n",
        took.as_secs_f64(),
        addresses.listen,
        addresses.admin,
    );
    for ((name, _), address) in UPSTREAMS.iter().zip(addresses.instances) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "  {name:<13}  http://{address}");
    }
    let _ = writeln!(text, "\nTry this in another terminal, one by one:");
    let own_admin = env::var_os("SLUICEGATE_ADMIN").is_some();
    for step in steps(addresses.listen, addresses.admin, &config, program, own_admin) {
        let _ = writeln!(text, "\n# {}", step.about);
        for command in step.commands {
            let _ = writeln!(text, "{command}");
        }
    }
    text + "\nCtrl-C stops everything and removes the folder of the configuration. With --traffic, the demo\n\
            also sends requests of its own and tells each second how they fare."
}

/// The commands in their order. `own_admin` says that the shell has a `SLUICEGATE_ADMIN` of
/// its own, which would lead elsewhere.
fn steps(listen: SocketAddr, admin: SocketAddr, config: &str, program: &str, own_admin: bool) -> Vec<Step> {
    let at =
        if admin == PREFERRED[1] && !own_admin { String::new() } else { format!(" --admin http://{admin}") };
    let config = quoted(config);
    let json = "-H 'content-type: application/json'";
    let upsert = format!(
        "-X PUT http://{listen}/v1/documents/hello {json} -d '{{\"title\":\"Hello\",\"text\":\"Written through the gateway.\"}}'"
    );
    let queries = format!("-H 'x-tenant-id: trial' {json} -d '{{\"query\":\"write freeze\",\"k\":1}}'");
    let many = format!("'http://{listen}/v1/retrieve?[1-200]'");
    let status = format!("{program} status{at}");
    let manifest = format!("curl -sw '\\n' http://{listen}/index/manifest");
    let step = |about, commands| Step { about, commands };
    let mut steps = vec![
        step(
            "The best documents for a query",
            vec![format!(
                "curl -sw '\\n' http://{listen}/v1/retrieve {json} -d '{{\"query\":\"write freeze\",\"k\":2}}'"
            )],
        ),
        step(
            "An answer with citations, word by word, as an event stream",
            vec![format!("curl -sN 'http://{listen}/v1/answer?q=why+drain+writes+before+a+freeze'")],
        ),
        step(
            "Of two hundred queries at once a small tenant gets what its bucket holds; the others are told when to come back",
            vec![
                format!("curl -s {queries} -o /dev/null -w '%{{http_code}}\\n' {many} | sort | uniq -c"),
                format!("curl -siw '\\n' {queries} {many} | grep -am1 -A10 '^HTTP/1.1 429'"),
            ],
        ),
        step("A write goes through", vec![format!("curl -sw '\\n' {upsert}")]),
        step(
            "Under a key it happens once; the retry gets the same answer, marked as replayed",
            vec![
                format!("curl -sw '\\n' -H 'idempotency-key: order-1' {upsert}"),
                format!("curl -siw '\\n' -H 'idempotency-key: order-1' {upsert}"),
            ],
        ),
        step(
            "Stop writes for two minutes; it returns when no write runs any more",
            vec![format!("{program} freeze --for 2m --reason \"index rebuild\" --wait{at}")],
        ),
        step(
            "The same write is refused, and told when to come back",
            vec![format!("curl -siw '\\n' {upsert}")],
        ),
        step(
            "Under a key it is kept instead, to be applied after the freeze",
            vec![format!("curl -sw '\\n' -H 'idempotency-key: order-2' {upsert}")],
        ),
        step(
            "Reads go on; a header tells of the freeze",
            vec![format!("curl -siw '\\n' http://{listen}/v1/documents/hello")],
        ),
        step("What the gateway does", vec![status.clone()]),
        step("Let writes through again", vec![format!("{program} thaw{at}")]),
        step(
            "A moment later what was kept has been applied, and its key gives the answer",
            vec![
                format!("{program} intents list{at}"),
                format!("curl -sw '\\n' -H 'idempotency-key: order-2' {upsert}"),
            ],
        ),
    ];
    steps.push(step(
        "A quarter of the queries also went to the next version, unseen: how its answers compare, and the last that differs",
        vec![
            format!("{program} shadow report retrieve{at}"),
            format!("{program} shadow pairs retrieve --limit 1{at}"),
        ],
    ));
    steps.extend(rollout(listen, program, &at));
    steps.extend([
        step(
            "The configuration file is watched: a moment after every route is moved, another index answers",
            vec![format!("sed -i.bak 's/upstream: stable/upstream: next/' {config}"), manifest],
        ),
        step(
            "A mistake is refused and shown with its place; what ran goes on",
            vec![format!("sed -i.bak 's/^freeze:/freze:/' {config}"), status],
        ),
        step(
            "Put both right again",
            vec![format!(
                "sed -i.bak -e 's/^freze:/freeze:/' -e 's/upstream: next/upstream: stable/' {config}"
            )],
        ),
        step(
            "What was counted",
            vec![format!(
                "curl -s http://{admin}/metrics | grep -E '^(rag_request_count|sluicegate_(refusals|bucket_refused|freeze_blocked|config_gen)).* [1-9]'"
            )],
        ),
    ]);
    steps
}

/// A share of the users on the next version, and back.
fn rollout(listen: SocketAddr, program: &str, at: &str) -> [Step; 3] {
    let query = "-H 'content-type: application/json' -d '{\"query\":\"write freeze\",\"k\":1}'";
    let step = |about, commands| Step { about, commands };
    [
        step(
            "Half of the users get the next version; each stays where it is, and X-WFGY shows what answered",
            vec![
                format!("{program} rollout weight retriever 50{at}"),
                format!("curl -siw '\\n' http://{listen}/v1/retrieve -H 'x-user-id: ann' {query}"),
                format!("curl -siw '\\n' http://{listen}/v1/retrieve -H 'x-user-id: cem' {query}"),
            ],
        ),
        step(
            "Who relies on a version says so, and gets it or is told",
            vec![format!("curl -sw '\\n' http://{listen}/v1/retrieve -H 'x-wfgy: MODEL_VER=m-9' {query}")],
        ),
        step(
            "Everybody is back at once; what was decided stays on record",
            vec![
                format!("{program} rollout abort retriever --reason \"wrong citations\"{at}"),
                format!("{program} rollout history retriever{at}"),
            ],
        ),
    ]
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFERRED, quoted, steps};

    fn all(admin: &str, own_admin: bool) -> String {
        let steps =
            steps(PREFERRED[0], admin.parse().unwrap(), "/tmp/a b/gateway.yaml", "sluicegate", own_admin);
        steps.into_iter().flat_map(|step| step.commands).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn commands_name_the_admin_address_where_it_is_not_the_usual_one() {
        let usual = all("127.0.0.1:9901", false);
        assert!(!usual.contains("--admin"), "{usual}");
        let other = all("127.0.0.1:4444", false);
        let ours = other.lines().filter(|line| line.starts_with("sluicegate ")).collect::<Vec<_>>();
        assert_eq!(ours.len(), 10, "{other}");
        assert!(ours.iter().all(|line| line.ends_with(" --admin http://127.0.0.1:4444")), "{other}");
        assert!(all("127.0.0.1:9901", true).contains("--admin http://127.0.0.1:9901"));
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("/tmp/x-1/gateway.yaml"), "/tmp/x-1/gateway.yaml");
        assert_eq!(quoted("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert!(all("127.0.0.1:9901", false).contains("'/tmp/a b/gateway.yaml'"));
    }
}
