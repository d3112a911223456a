//! A child process that dies with the value that stands for it.

use std::process::{Child, Command, Stdio};

use crate::Result;

/// A running child.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it, without input; its output goes to `log`.
    pub fn spawn(command: &mut Command, log: std::fs::File) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn().map_err(|error| format!("{command:?}: {error}"))?))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(&mut self) {
        // Either fails only where the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
