//! Presets: whether what a route says of its API fits together.

use sluicegate_core::{PresetName, units::Size};

use super::Findings;
use crate::Document;

/// A body is read and decoded on the thread that serves others, too.
const MOST_PEEKED: Size = Size::kib(1024);

pub(super) fn check(document: &Document, found: &mut Findings) {
    for (at, route) in document.routes.iter().enumerate() {
        let path = format!("routes[{at}]");
        let led_to = document.presets_led_to(route);
        if route.preset.is_none() && led_to.windows(2).any(|pair| pair[0] != pair[1]) {
            let message =
                "leads to upstreams of different presets; name one on the route, or the same on both";
            found.fault(format!("{path}.upstream"), message);
        }
        if document.preset(route) == Some(PresetName::Mcp)
            && route.access.is_none()
            && route.r#match.path.has_rest()
            && route.r#match.path.segments().is_empty()
        {
            let message = "every path counts as an MCP endpoint here, where DELETE ends a session and is no write; match the endpoint's own path";
            found.warn(format!("{path}.match.path"), message);
        }
        if route.read_tools.is_some() {
            let message = if document.preset(route) != Some(PresetName::Mcp) {
                Some("does nothing: only calls of MCP tools are told apart by it; add `preset: mcp`")
            } else if route.access.is_some() {
                Some("does nothing: the route's `access` decides; remove one of them")
            } else {
                None
            };
            if let Some(message) = message {
                found.warn(format!("{path}.read_tools"), message);
            }
        }
        let peek = route.peek;
        if !(Size(1)..=MOST_PEEKED).contains(&peek) {
            let message = format!("`{peek}` is out of range; {} to {MOST_PEEKED} can be read", Size(1));
            found.fault(format!("{path}.peek"), message);
        }
    }
}
