//! Deciding about an intent, and saying what that did.

use sluicegate_intents::IntentRecord;
use sluicegate_store::EntryState;

use super::HINTS;
use crate::cli::{
    AskArgs, Exit, Failure, Streams, VerdictArgs, ask::Asking, client::segment, output::plain, read,
};

/// What is to be done with an intent.
pub(super) enum Order<'a> {
    Retry,
    Drop,
    Settle(&'a VerdictArgs),
}

pub(super) fn order(
    order: &Order<'_>,
    id: &str,
    ask: &AskArgs,
    to: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    let (verb, body) = match order {
        Order::Retry => ("retry", None),
        Order::Drop => ("drop", None),
        Order::Settle(verdict) => ("settle", Some(verdict.body())),
    };
    let asking = Asking::new(ask, &HINTS)?;
    let path = format!("/intents/{}", segment(id));
    // What an order did depends on where the intent stood.
    let stood = if ask.json { None } else { Some(asking.send("GET", &path, None, to)?) };
    let Some(answer) = asking.print("POST", &format!("{path}/{verb}"), body.as_ref(), to)? else {
        return Ok(Exit::Done);
    };
    let now: IntentRecord = read(answer)?;
    let stood = stood.map(read::<IntentRecord>).transpose()?.map(|stood| stood.state);
    let key = plain(&now.key);
    match (order, stood) {
        (Order::Retry, Some(EntryState::InDoubt)) => writeln!(
            to.out,
            "`{key}` was in doubt and is queued again: it will be sent; if it had been applied, and the upstream \
             ignores keys, it is done twice"
        )?,
        (Order::Retry, _) => writeln!(to.out, "`{key}` is queued again, with all its tries")?,
        (Order::Drop, Some(EntryState::InDoubt)) => writeln!(
            to.out,
            "dropped `{key}`: it will not be sent again; it may have been applied, so its key stays unknown; what was \
             behind it goes on"
        )?,
        (Order::Drop, Some(EntryState::Queued)) => writeln!(
            to.out,
            "dropped `{key}`: it will not be sent, and the key is free: the next request under it will run"
        )?,
        (Order::Drop, _) => {
            writeln!(to.out, "dropped `{key}`: it will not be sent again; its key is as it was")?;
        }
        (Order::Settle(verdict), _) if verdict.applied => writeln!(
            to.out,
            "settled `{key}` as applied: requests under it get {} without a body; what was behind it goes on",
            verdict.status
        )?,
        (Order::Settle(_), _) => writeln!(
            to.out,
            "settled `{key}` as not applied: it is dead, and the key is free: the next request under it will run; \
             what was behind it goes on"
        )?,
    }
    Ok(Exit::Done)
}
