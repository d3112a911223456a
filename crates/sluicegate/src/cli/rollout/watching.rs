//! `rollout status --watch`: until ctrl-c.
//!
//! On a terminal the screen of `rollout status` is drawn over itself at each change. Elsewhere
//! there is a line for each change that is one of the state and not of the progress; with
//! `--json` a line of JSON for each answer. A gateway that does not answer for a while is waited
//! for: it may be restarting.

use std::{io, thread, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use sluicegate_rollout::{Phase, RolloutStatus, stats::Verdict};

use super::{RolloutStatusArgs, brief, showing::screen};
use crate::cli::{
    Exit, Failure, Streams,
    ask::Asking,
    output::{plain, quoted},
    read,
    watch::{is_away, while_read},
};

/// How long the gateway is asked to wait for a change: less than an answer may take, and not so long
/// that this went on for long where nobody reads any more.
const WAIT: &str = "5s";

/// Between two tries to reach a gateway that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Lines are cut off at the right edge while this is off, so that one takes one line.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

pub(super) fn watch(args: &RolloutStatusArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let asking = Asking::new(&args.ask, &[])?;
    let mut path = "/rollouts".to_owned();
    let mut view = View::default();
    loop {
        while_read()?;
        let mut answer = match asking.send("GET", &path, None, to) {
            Ok(answer) => answer,
            Err(Failure::Client(error)) if view.has_shown && is_away(&error) => {
                view.lost(to)?;
                thread::sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        path = format!("/rollouts?wait={WAIT}&since={}", answer["version"].as_u64().unwrap_or_default());
        let all = answer["rollouts"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let Some(one) = all.iter().find(|one| one["name"] == *args.name) else {
            let known: Vec<_> = all.iter().filter_map(|one| one["name"].as_str()).collect();
            let known = if known.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are: {}", known.join(", "))
            };
            return Err(Failure::Other(format!("there is no rollout `{}`; {known}", quoted(&args.name))));
        };
        if args.ask.json {
            writeln!(to.out, "{one}")?;
            to.out.flush()?;
            view.has_shown = true;
        } else {
            view.show(&read(one.clone())?, to)?;
        }
    }
}

/// What is on the screen.
#[derive(Default)]
struct View {
    has_shown: bool,
    lost: bool,
    /// What the last line was about.
    told: Option<Value>,
    /// How many lines were drawn last.
    drawn: usize,
}

impl View {
    fn show(&mut self, status: &RolloutStatus, to: &mut Streams<'_>) -> io::Result<()> {
        let now = Timestamp::now();
        self.has_shown = true;
        if to.terminal {
            let text = screen(status, now)?;
            if self.drawn > 0 {
                write!(to.out, "\x1b[{}A\r\x1b[J", self.drawn)?;
            }
            write!(to.out, "{WRAP_OFF}{text}{WRAP_ON}")?;
            self.drawn = text.lines().count();
        } else if self.lost || self.told.as_ref() != Some(&gist(status)) {
            let at = now.round(jiff::Unit::Second).unwrap_or(now);
            writeln!(to.out, "{at}  {}", plain(&brief::lines(status, now).join(";")))?;
            self.told = Some(gist(status));
        }
        self.lost = false;
        to.out.flush()
    }

    /// The gateway does not answer: said once.
    fn lost(&mut self, to: &mut Streams<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.lost, true) {
            writeln!(to.err, "sluicegate: the gateway does not answer; trying on")?;
            self.drawn = 0;
        }
        Ok(())
    }
}

/// What makes a new line: everything but the progress of the numbers.
fn gist(status: &RolloutStatus) -> Value {
    let RolloutStatus { epoch, weight, active, killed, open, troubles, objections, progress, last, .. } =
        status;
    let objections: Vec<_> = objections.iter().map(|one| &one.gateway).collect();
    // Before there is anything to tell, and while there are too few samples, is the same; and
    // where no step is taken, a verdict that changes something changes the phase.
    let verdict = progress.as_ref().map(|progress| progress.verdict);
    let verdict = verdict.filter(|verdict| {
        matches!(status.phase, Phase::Running { .. }) && *verdict != Verdict::InsufficientData
    });
    let decision = last.as_ref().map(|last| last.seq);
    serde_json::json!([epoch, decision, weight, active, killed, open, troubles, objections, verdict])
}
