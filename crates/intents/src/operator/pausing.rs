//! The operator's switch: a pause of the backfill.
//!
//! It is a record of the store, so that it survives restarts and holds for every gateway that
//! shares the store. The others see it within a second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_store::{Expect, Put, RecordKey, StoreError, Swapped, Tag};

use crate::{
    error::IntentError,
    home::{Home, Intents},
    outcome::UNSETTLED,
};

/// A pause that holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PausedRecord {
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// Who paused it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What the record holds: JSON, so that a switch can be added without another form.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Switches {
    backfill_paused: Option<PausedRecord>,
}

/// The longest reason and name, in bytes.
const LONGEST: usize = 1024;

/// Two operators at once are few; more often than this the record changes by a fault.
const TRIES: usize = 8;

impl Intents {
    /// Pauses the backfill, here and on every gateway that shares the store. What is in flight
    /// goes on to its end. A pause that holds keeps its start.
    pub async fn pause(&self, by: Option<&str>, reason: Option<&str>) -> Result<PausedRecord, IntentError> {
        if [by, reason].into_iter().flatten().any(|text| text.len() > LONGEST) {
            return Err(IntentError::Invalid(format!(
                "the name or the reason is longer than {LONGEST} bytes"
            )));
        }
        let since_ms = self.0.clock.unix_millis();
        let wanted = |since_ms| PausedRecord {
            since_ms,
            by: by.map(str::to_owned),
            reason: reason.map(str::to_owned),
        };
        let paused = self
            .0
            .switch(|known| Some(wanted(known.map_or(since_ms, |known| known.since_ms))))
            .await?
            .unwrap_or_else(|| wanted(since_ms));
        tracing::info!(by, reason, "the backfill is paused");
        Ok(paused)
    }

    /// Lets the backfill go on.
    pub async fn resume(&self) -> Result<(), IntentError> {
        self.0.switch(|_| None).await?;
        tracing::info!("the backfill goes on");
        self.0.wake.notify_one();
        Ok(())
    }
}

impl Home {
    /// The pause that holds.
    pub(crate) async fn paused(&self) -> Result<Option<PausedRecord>, StoreError> {
        match self.store.get(RecordKey::SWITCHES).await? {
            Some(record) => Ok(switches(&record.value)?.backfill_paused),
            None => Ok(None),
        }
    }

    async fn switch(
        &self,
        turn: impl Fn(Option<PausedRecord>) -> Option<PausedRecord>,
    ) -> Result<Option<PausedRecord>, IntentError> {
        for _ in 0..TRIES {
            let found = self.store.get(RecordKey::SWITCHES).await?;
            let known = match &found {
                Some(record) => switches(&record.value)?.backfill_paused,
                None => None,
            };
            let paused = turn(known);
            let put = match &paused {
                None => None,
                Some(_) => Some(Put {
                    tag: Tag::draw(&self.chance),
                    value: serde_json::to_vec(&Switches { backfill_paused: paused.clone() })
                        .map_err(StoreError::new)?
                        .into(),
                    owner: "".into(),
                    ttl: UNSETTLED,
                    held: false,
                }),
            };
            let expect = found.map_or(Expect::Absent, |record| Expect::Tag(record.tag));
            match self.store.swap(RecordKey::SWITCHES, expect, put).await? {
                Swapped::Done => {
                    self.seen.lock().paused.clone_from(&paused);
                    return Ok(paused);
                }
                Swapped::Conflict(_) => {}
                Swapped::Full(full) => {
                    let message = format!(
                        "the store has no room for the pause (its bound on {} is reached); raise the bound, or \
                         free keys",
                        full.as_str()
                    );
                    return Err(IntentError::Invalid(message));
                }
            }
        }
        Err(StoreError::new("the record of the operators' switches kept changing").into())
    }
}

fn switches(value: &bytes::Bytes) -> Result<Switches, StoreError> {
    serde_json::from_slice(value).map_err(|error| {
        StoreError::new(format!("the record of the operators' switches cannot be read: {error}"))
    })
}
