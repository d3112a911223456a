//! What a snapshot takes from the `preset` of its routes and upstreams.

use std::sync::Arc;

use sluicegate_classify::{ByPreset, Preset, RpcForm};
use sluicegate_config::document::{Document, RefusalForm, RouteInput};
use sluicegate_shadow::{AnswersInput, Pointers};

/// The preset of a route, with the tools that the route says only read.
pub(super) fn of(document: &Document, route: &RouteInput) -> Result<Option<Arc<ByPreset>>, String> {
    let Some(name) = document.preset(route) else { return Ok(None) };
    // The files are built in and tested; this is for a build with another one.
    let preset = Preset::known(name)
        .map_err(|fault| format!("the preset `{}` of this build cannot be read: {fault}", name.as_str()))?;
    let tools = route.read_tools.iter().flatten().map(String::as_str);
    let by = ByPreset::new(preset, tools);
    // The product sees its own paths; a prefix that cannot be taken off is told where it is checked.
    Ok(Some(Arc::new(match route.stripped() {
        Ok(Some(prefix)) => by.below(prefix),
        Ok(None) | Err(_) => by,
    })))
}

/// How the refusals of a route are worded for JSON-RPC, if they are.
pub(super) fn rpc_form(route: &RouteInput, preset: Option<&ByPreset>) -> Option<RpcForm> {
    match route.refusal {
        None if preset.is_some_and(|by| by.preset().is_json_rpc()) => Some(RpcForm { always_ok: false }),
        None | Some(RefusalForm::Http) => None,
        Some(RefusalForm::JsonRpc) => Some(RpcForm { always_ok: false }),
        Some(RefusalForm::Rpc) => Some(RpcForm { always_ok: true }),
    }
}

/// Where a route's answers have what: as it says itself, else as its preset does.
pub(super) fn answers(document: &Document, route: &RouteInput) -> AnswersInput {
    let known = document.preset(route).filter(|_| route.answers.is_empty());
    let Some(preset) = known.and_then(|name| Preset::known(name).ok()) else { return route.answers.clone() };
    let answers = preset.answers();
    let all = |pointers: &[String]| Pointers::Many(pointers.to_vec());
    AnswersInput { ids: all(&answers.ids), scores: all(&answers.scores), texts: all(&answers.texts) }
}
