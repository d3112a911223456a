//! What the switches do to a request before and after it is worked on.
//!
//! The order is fixed: delay, hang, break off before, fail. A fault never comes between an
//! effect and its record; `after` and `midway` are carried out where the answer leaves.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{
    chance::Chance,
    problem::Problem,
    switches::{Reset, Scope, Settings, Switches},
};

/// What a request does to the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// What befell a request in place of its work.
#[derive(Debug)]
pub(crate) enum Fault {
    Break,
    Fail(StatusCode),
}

/// The mark on a response that must not leave: the connection is broken off instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakOff;

/// A response that breaks the connection off.
pub(crate) fn break_off() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(BreakOff);
    response
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Break => break_off(),
            Self::Fail(status) => {
                Problem::new(status, "switched_to_fail", "fail_rate made this request fail before its effect")
                    .into_response()
            }
        }
    }
}

/// Lets a request wait and fail as the switches say. What comes back is when its connection
/// is still to be broken off.
pub(crate) async fn pass(switches: &Switches, chance: &Chance, kind: Kind) -> Result<Reset, Fault> {
    let befallen = |settings: &Settings| match settings.scope {
        Scope::All => true,
        Scope::Reads => kind == Kind::Read,
        Scope::Writes => kind == Kind::Write,
    };
    let settings = switches.get();
    if !befallen(&settings) {
        return Ok(Reset::Off);
    }
    let wait = settings.delay_ms + chance.up_to(settings.jitter_ms);
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    switches.until(|settings| !settings.hang || !befallen(settings)).await;
    let settings = switches.get();
    if !befallen(&settings) {
        return Ok(Reset::Off);
    }
    let reset = if settings.reset != Reset::Off && chance.falls(settings.reset_rate) {
        settings.reset
    } else {
        Reset::Off
    };
    if reset == Reset::Before {
        return Err(Fault::Break);
    }
    if chance.falls(settings.fail_rate) {
        let status = StatusCode::from_u16(settings.fail_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Err(Fault::Fail(status));
    }
    Ok(reset)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Fault, Kind, pass};
    use crate::{
        chance::Chance,
        switches::{Reset, Scope, Settings, Switches},
    };

    fn switches(change: impl FnOnce(&mut Settings)) -> Switches {
        let mut settings = Settings::default();
        change(&mut settings);
        Switches::new(settings).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn delay_and_jitter_are_waited_for() {
        let switches = switches(|s| {
            s.delay_ms = 100;
            s.jitter_ms = 50;
        });
        let chance = Chance::seeded(1);
        let mut seen = Vec::new();
        for _ in 0..20 {
            let start = Instant::now();
            pass(&switches, &chance, Kind::Read).await.unwrap();
            seen.push(start.elapsed());
        }
        assert!(seen.iter().all(|t| (100..=152).contains(&t.as_millis())), "{seen:?}");
        assert!(seen.iter().any(|t| *t != seen[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_goes_on_when_hang_is_turned_off() {
        let switches = switches(|s| s.hang = true);
        let chance = Chance::seeded(1);
        let mut held = std::pin::pin!(pass(&switches, &chance, Kind::Write));
        assert!(tokio::time::timeout(Duration::from_secs(3600), held.as_mut()).await.is_err());
        switches.update(|s| s.hang = false).unwrap();
        assert_eq!(held.await.unwrap(), Reset::Off);
    }

    #[tokio::test]
    async fn scope_spares_the_others() {
        let chance = Chance::seeded(1);
        let failing = |scope| {
            switches(|s| {
                s.fail_rate = 1.0;
                s.fail_status = 502;
                s.scope = scope;
            })
        };
        for (scope, read, write) in
            [(Scope::All, true, true), (Scope::Reads, true, false), (Scope::Writes, false, true)]
        {
            let switches = failing(scope);
            for (kind, fails) in [(Kind::Read, read), (Kind::Write, write)] {
                let passed = pass(&switches, &chance, kind).await;
                assert_eq!(matches!(passed, Err(Fault::Fail(s)) if s == 502), fails, "{scope:?} {kind:?}");
            }
        }
    }
}
