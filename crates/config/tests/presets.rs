//! What routes, upstreams and rollouts say of the APIs behind them, and whether it fits together.

#![allow(clippy::unwrap_used)]

use sluicegate_config::{Loaded, Rejected, Source, parse};
use sluicegate_core::PresetName;

/// A document with these upstreams and these members of its only route.
fn read(upstreams: &str, route: &str) -> Result<Loaded, Rejected> {
    let text = format!(
        "listen: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ {upstreams} }}\n\
         rollouts: {{ moving: {{ active: one, candidate: two }} }}\n\
         routes: [{{ name: all, {route} }}]\n"
    );
    parse(&text, &Source::sent(".".as_ref()))
}

fn upstreams(one: &str, two: &str) -> String {
    format!("one: {{ endpoints: [\"http://a:1\"]{one} }}, two: {{ endpoints: [\"http://b:1\"]{two} }}")
}

#[test]
fn the_routes_preset_goes_before_the_upstreams() {
    let (qdrant, rolled) = (", preset: qdrant", "upstream: { rollout: moving }");
    let own = format!("{rolled}, preset: milvus");
    let table = [
        ("", "", "upstream: one", None),
        (qdrant, "", "upstream: one", Some(PresetName::Qdrant)),
        (qdrant, "", "upstream: one, preset: mcp", Some(PresetName::Mcp)),
        (qdrant, "", "upstream: two", None),
        (qdrant, qdrant, rolled, Some(PresetName::Qdrant)),
        (qdrant, "", &own, Some(PresetName::Milvus)),
    ];
    for (one, two, route, preset) in table {
        let route = format!("match: {{ path: /mcp }}, {route}");
        let document = read(&upstreams(one, two), &route).unwrap().document;
        assert_eq!(document.preset(&document.routes[0]), preset, "{one} {two} {route}");
    }
    let route = format!("match: {{ path: /mcp }}, {rolled}");
    let error = read(&upstreams(qdrant, ""), &route).unwrap_err().to_string();
    assert!(error.contains("routes[0].upstream: leads to upstreams of different presets"), "{error}");
}

#[test]
fn what_does_nothing_or_too_much_is_warned_of() {
    let warned = |path: &str, route: &str| {
        let route = format!("match: {{ path: \"{path}\" }}, upstream: one, {route}");
        let warnings = read(&upstreams("", ""), &route).unwrap().warnings;
        let of_route = warnings.iter().map(ToString::to_string).filter(|it| it.contains("routes[0]"));
        of_route.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(warned("/mcp", "preset: mcp, read_tools: [a]"), "");
    assert!(warned("/mcp", "read_tools: [a]").contains("add `preset: mcp`"));
    assert!(warned("/mcp", "preset: qdrant, read_tools: [a]").contains("add `preset: mcp`"));
    assert!(warned("/mcp", "preset: mcp, access: read, read_tools: [a]").contains("`access` decides"));
    assert!(warned("/{*rest}", "preset: mcp").contains("every path counts as an MCP endpoint"));
    assert_eq!(warned("/mcp/{*rest}", "preset: mcp"), "");
    assert_eq!(warned("/{*rest}", "preset: mcp, access: write"), "", "`access` decides");
}
