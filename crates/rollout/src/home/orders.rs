//! What operators ask for.

use std::sync::atomic::{AtomicBool, Ordering};

use sluicegate_store::Expect;

use super::{
    Entry, Home, Rollouts,
    entry::{How, Known},
    keeper::{TRIES, Trouble, Written},
};
use crate::{
    error::RolloutError,
    history::History,
    machine::{Actor, Command},
    status::RolloutStatus,
};

/// The longest name of an operator and the longest reason, in bytes.
const LONGEST: usize = 1024;

impl Rollouts {
    /// Begins a run at its first step.
    pub async fn start(&self, name: &str, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Start, by).await
    }

    /// Takes the next step now, whatever the gates say.
    pub async fn advance(&self, name: &str, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Advance, by).await
    }

    /// Stays at this step.
    pub async fn hold(
        &self,
        name: &str,
        by: &str,
        reason: Option<&str>,
    ) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Hold { reason: reason.map(str::to_owned) }, by).await
    }

    /// Goes on; the step is looked at anew.
    pub async fn resume(&self, name: &str, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Resume, by).await
    }

    /// Puts this percentage of keys on the candidate.
    pub async fn set_weight(&self, name: &str, weight: u8, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::SetWeight { weight }, by).await
    }

    /// Makes the candidate the active arm, for good.
    pub async fn promote(&self, name: &str, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Promote, by).await
    }

    /// Everything on the active arm: on this gateway when the call is first polled, and on
    /// all when it returns `Ok`, within their next look at the record. Safe to say twice.
    pub async fn abort(
        &self,
        name: &str,
        by: &str,
        reason: Option<&str>,
    ) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Abort { reason: reason.map(str::to_owned) }, by).await
    }

    /// Exchanges the roles in one step and watches the new active arm.
    pub async fn switch(&self, name: &str, by: &str) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Switch, by).await
    }

    /// Exchanges the roles back, after a switch or a promote.
    pub async fn rollback(
        &self,
        name: &str,
        by: &str,
        reason: Option<&str>,
    ) -> Result<RolloutStatus, RolloutError> {
        self.command(name, Command::Rollback { reason: reason.map(str::to_owned) }, by).await
    }

    /// Any of these. `by` says who asks, for the record.
    pub async fn command(
        &self,
        name: &str,
        command: Command,
        by: &str,
    ) -> Result<RolloutStatus, RolloutError> {
        check(&command, by)?;
        let entry = self.0.entry(name)?;
        let aborts = matches!(command, Command::Abort { .. });
        let mut written = None;
        if aborts {
            let how = How::Ordered(command.clone());
            written = entry.cut(&mut entry.lock(), how, Actor::operator(by), self.0.now());
        }
        if written.is_some() {
            self.0.changed();
        }
        let done = self.0.order(&entry, &command, by, written.as_deref()).await;
        if let Err(RolloutError::Store(error)) = &done
            && aborts
            && entry.lock().cut.is_some()
        {
            entry.wake.notify_one();
            return Err(RolloutError::OnlyHere(error.clone()));
        }
        done?;
        self.status_of(name)
    }

    /// What was decided, oldest first. What a store has lost of it and this gateway remembers is
    /// written again.
    pub async fn history(&self, name: &str) -> Result<History, RolloutError> {
        let entry = self.0.entry(name)?;
        Ok(self.0.history(&entry).await?)
    }
}

impl Home {
    /// Carries a command out over the present record, however often that changes meanwhile.
    /// An abort that holds here already is over once it is `written`: whatever somebody else has
    /// made of the rollout since then came after it.
    async fn order(
        &self,
        entry: &Entry,
        command: &Command,
        by: &str,
        written: Option<&AtomicBool>,
    ) -> Result<(), RolloutError> {
        let mut ready = !command.needs_ready_arms();
        for _ in 0..TRIES {
            self.read(entry).await?;
            if matches!(command, Command::Abort { .. }) {
                // Also one that a judge has begun, since it may be that which holds here.
                self.write_cut(entry).await?;
                if written.is_some_and(|written| written.load(Ordering::Acquire)) {
                    return Ok(());
                }
            }
            let (known, said) = {
                let inner = entry.lock();
                (inner.known.clone(), inner.declared.clone())
            };
            let (Some(Known { state, tag }), Some(said)) = (known, said) else {
                return Err(RolloutError::Store("the record of the rollout was not read yet".to_owned()));
            };
            let is_way_out = matches!(command, Command::Abort { .. });
            if !is_way_out && state.slot_of_active(&said.declared.settings).is_none() {
                return Err(RolloutError::Elsewhere {
                    name: entry.name.to_string(),
                    active: state.active.clone(),
                    candidate: state.candidate.clone(),
                });
            }
            let around = said.around(self.now(), Actor::operator(by));
            let Some(next) = state.command(command, &around)? else { return Ok(()) };
            if !ready {
                self.arms_ready(&state).await.map_err(|diffs| RolloutError::NotReady { diffs })?;
                ready = true;
            }
            if let Written::Done = self.put(entry, Expect::Tag(tag), next, Some(&state)).await? {
                return Ok(());
            }
        }
        Err(RolloutError::Busy)
    }

    /// The entry of a rollout that the document declares.
    pub(super) fn entry(&self, name: &str) -> Result<std::sync::Arc<Entry>, RolloutError> {
        let entries = self.entries.read();
        let declared = |entry: &&std::sync::Arc<Entry>| entry.lock().declared.is_some();
        if let Some(entry) = entries.get(name).filter(declared) {
            return Ok(entry.clone());
        }
        let known = entries.values().filter(declared).map(|entry| entry.name.to_string()).collect();
        Err(RolloutError::Unknown { name: name.to_owned(), known })
    }
}

fn check(command: &Command, by: &str) -> Result<(), RolloutError> {
    let reason = match command {
        Command::Hold { reason } | Command::Abort { reason } | Command::Rollback { reason } => {
            reason.as_deref()
        }
        _ => None,
    };
    if by.len() > LONGEST || reason.is_some_and(|reason| reason.len() > LONGEST) {
        return Err(RolloutError::Invalid(format!("the name or the reason is longer than {LONGEST} bytes")));
    }
    match command {
        Command::SetWeight { weight } if *weight > 100 => {
            Err(RolloutError::Invalid(format!("the weight {weight} is above 100; it is percent of the keys")))
        }
        _ => Ok(()),
    }
}

impl From<Trouble> for RolloutError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => Self::Store(error),
            Trouble::Full(full) => Self::NoRoom(full.as_str()),
        }
    }
}
