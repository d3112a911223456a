//! Reading the manifests of an upstream's endpoints.
//!
//! One task per endpoint and snapshot runs on the side runtime and ends as the
//! [probes](crate::health) do; one that hangs holds up no other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use serde_json::value::RawValue;
use sluicegate_core::pins::{Pins, fault};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::Told;
use crate::{fetch::fetch, input::ManifestInput, registry::Upstream};

/// A manifest has a few members; this many bytes would be something else.
const LARGEST: usize = 64 * 1024;
/// So much of a value that no pin can have is kept, to be shown.
const SHOWN: usize = 128;

/// Starts what reads the manifests of `upstream`.
pub(crate) fn watch(upstream: &Arc<Upstream>, side: &tokio::runtime::Handle) {
    let Some(pinned) = &upstream.pinned else { return };
    let Some(manifest) = &pinned.manifest else { return };
    for told in &pinned.told {
        side.spawn(follow(Arc::downgrade(upstream), told.clone(), manifest.clone()));
    }
}

async fn follow(upstream: Weak<Upstream>, told: Arc<Told>, manifest: ManifestInput) {
    let mut turns = interval_at(Instant::now(), manifest.interval.0);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(alive) = upstream.upgrade() else { return };
        if !told.endpoint.is_entrusted(alive.id) {
            return;
        }
        drop(alive);
        look(&told, &manifest).await;
    }
}

/// Reads the manifest once.
pub(super) async fn look(told: &Told, manifest: &ManifestInput) {
    let asked = fetch(&told.endpoint, &manifest.path, Some(LARGEST));
    let read = match timeout(manifest.timeout.0, asked).await {
        Err(_) => Err(format!("no answer within {}", manifest.timeout)),
        Ok(Err(why)) => Err(why),
        Ok(Ok((status, _))) if !status.is_success() => Err(format!("status {status}")),
        Ok(Ok((_, body))) => members(&body, &told.terms.pins),
    };
    told.read(read.map_err(|why| format!("{}: {why}", manifest.path)));
}

/// The members that are pins, as texts: a number or a boolean as it is written. What is neither,
/// and what is not pinned and could not be, is passed over.
fn members(body: &[u8], declared: &Pins) -> Result<Pins, String> {
    let all: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| format!("it is not a JSON object: {error}"))?;
    let texts = all.into_iter().filter_map(|(name, raw)| {
        let text = match raw.get().as_bytes().first()? {
            b'"' => serde_json::from_str(raw.get()).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => raw.get().to_owned(),
        };
        Some((name, text))
    });
    let pins = texts.filter_map(|(name, text)| {
        let fits = fault(&name, &text).is_none();
        let kept = if fits || text.chars().count() <= SHOWN {
            text
        } else {
            // Longer than any pin: cut, it must still be none.
            text.chars().take(SHOWN).chain(['…']).collect()
        };
        (fits || declared.get(&name).is_some()).then_some((name, kept))
    });
    Ok(Pins::new(pins))
}

#[cfg(test)]
mod tests {
    use sluicegate_core::pins::Pins;

    use super::members;

    #[test]
    fn texts_numbers_and_booleans_are_pins_and_the_rest_is_passed_over() {
        let declared = Pins::new([("NORM", "l2"), ("EMBED_DIM", "768")]);
        let body = br#" { "INDEX_HASH": "b7f3", "DOC_COUNT": 1200, "EMBED_DIM": 768.0, "NORM": true,
            "metric": null, "list": [1], "object": { "NORM": "l2" }, "note": "two words", "A\u0042": "\u0031" } "#;
        let pins = members(body, &declared).unwrap();
        let all: Vec<_> = pins.iter().collect();
        assert_eq!(
            all,
            [
                ("AB", "1"),
                ("DOC_COUNT", "1200"),
                ("EMBED_DIM", "768.0"),
                ("INDEX_HASH", "b7f3"),
                ("NORM", "true")
            ]
        );
        let told: Vec<_> = declared.contradicted(&pins).into_iter().map(|diff| diff.pin).collect();
        assert_eq!(told.iter().map(|pin| &**pin).collect::<Vec<_>>(), ["EMBED_DIM", "NORM"]);
    }

    #[test]
    fn a_pinned_member_that_no_pin_can_be_differs_and_is_cut() {
        let pin = "x".repeat(128);
        let declared = Pins::new([("A", pin.as_str()), ("B", "b")]);
        let body = serde_json::json!({ "A": "x".repeat(60_000), "B": "" }).to_string();
        let told = members(body.as_bytes(), &declared).unwrap();
        assert_eq!(told.get("A"), Some(format!("{pin}…").as_str()));
        assert_eq!(declared.contradicted(&told).len(), 2);
    }

    #[test]
    fn what_is_no_object_says_so() {
        for body in ["", "[]", "\"x\"", "{ \"A\": ", "{} {}", "nothing", "\u{feff}{}"] {
            let error = members(body.as_bytes(), &Pins::default()).unwrap_err();
            assert!(error.starts_with("it is not a JSON object: "), "{body}: {error}");
        }
        assert!(members(b"\xff", &Pins::default()).is_err());
    }
}
