//! Making connections, looking after them, and making them again: for ever.
//!
//! One task per store. While there is a connection it says every third of a lease that this
//! gateway is there, and checks the server every [`CHECKED_EVERY`]; an operation that fails
//! wakes it at once. When the connection is lost it makes another, at once and then after
//! pauses that grow to [`LONGEST_PAUSE`], and never stops trying.
//!
//! A server that has been connected is put to use only after it was checked, after this
//! gateway has said that it is there, and after it has made known again what it holds.

use std::{sync::Arc, time::Duration};

use ::redis::{ScriptInvocation, Value, aio::MultiplexedConnection};
use futures_util::{TryStreamExt, stream::FuturesUnordered};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    checks::{self, Findings, MEMORY_FULL, OnDisk},
    disk::{PATIENCE, Rounds},
    error::words,
    kept::{restore, restore_entry},
    link::{Core, Disk, Link},
    scripts::SCRIPTS,
    wire::{Answer, millis},
};
use crate::{StoreError, engine::Health};

/// The form of the data that this version writes.
const FORM: &str = "1";

/// How often a server is checked that gives no reason to.
const CHECKED_EVERY: Duration = Duration::from_secs(30);

/// The pauses between attempts to connect grow from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the server is asked, each time, to take away some of what has expired.
const SWEEPS: usize = 20;

/// Calls under way at once while things are made known again.
const AT_ONCE: usize = 64;

/// Runs until the store is dropped; `tried` hears of the first attempt to connect.
pub(super) async fn run(core: Arc<Core>, mut dropped: oneshot::Receiver<()>, tried: oneshot::Sender<()>) {
    let mut tried = Some(tried);
    let mut pause = FIRST_PAUSE;
    let mut known_run = None;
    loop {
        let connected = tokio::select! {
            connected = connect(&core, &mut known_run) => connected,
            _ = &mut dropped => break,
        };
        match connected {
            Ok(link) => {
                pause = FIRST_PAUSE;
                tried.take().map(|tried| tried.send(()));
                tokio::select! {
                    why = look_after(&core, &link) => core.lose(&why),
                    _ = &mut dropped => break,
                }
            }
            Err(why) => core.say(Health::Down(why.to_string())),
        }
        tried.take().map(|tried| tried.send(()));
        tokio::select! {
            () = sleep(pause) => {}
            _ = &mut dropped => break,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    leave(&core).await;
}

/// A connection that has been found good and is in use from here on.
async fn connect(core: &Arc<Core>, known_run: &mut Option<String>) -> Result<Arc<Link>, StoreError> {
    let connection = core.open(core.options.response_timeout).await?;
    let found = check(core, &mut connection.clone()).await?;
    let disk = match &found.on_disk {
        OnDisk::Acknowledged => Disk::Acknowledged,
        OnDisk::No(_) => Disk::Unknown,
        OnDisk::OnDemand => {
            let patience = Duration::from_millis(PATIENCE) + core.options.response_timeout;
            Disk::Ask(Rounds::new(core.open(patience).await?, format!("{}sync", core.prefix)))
        }
    };
    let link = Arc::new(Link { run: found.run.clone(), connection, disk });
    let started_anew = known_run.as_ref().is_some_and(|known| *known != found.run);
    greet(core, &link, known_run.is_some()).await?;
    make_known(core, &link, started_anew).await?;
    core.call_on(&link, SCRIPTS.arrive.key(&*core.prefix).arg(&core.member)).await?;
    *known_run = Some(found.run.clone());
    *core.link.write() = Some(Arc::clone(&link));
    tell(core, found);
    Ok(link)
}

/// Returns why the connection is given up, once it is.
async fn look_after(core: &Core, link: &Arc<Link>) -> StoreError {
    let every = core.lease() / 3;
    let mut checked = Instant::now();
    loop {
        let poked = tokio::select! {
            () = core.poke.notified() => true,
            () = sleep(every) => false,
        };
        if let Err(why) = greet(core, link, true).await {
            return why;
        }
        // A server that refused a write is looked at even if it takes one now.
        if !poked && checked.elapsed() < CHECKED_EVERY {
            continue;
        }
        checked = Instant::now();
        match check(core, &mut link.connection.clone()).await {
            Ok(found) if found.run != link.run => return core.error("another server has taken its place"),
            Ok(found) if fits(&link.disk, &found.on_disk) => tell(core, found),
            Ok(_) => return core.error("its settings have changed"),
            Err(why) => return why,
        }
        // One look answers all that poked while it went on.
        sleep(FIRST_PAUSE).await;
    }
}

async fn check(core: &Core, connection: &mut MultiplexedConnection) -> Result<Findings, StoreError> {
    match checks::look(connection, core.options.durability).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(refusal)) => Err(core.error(format!("it {refusal}"))),
        Err(error) => Err(core.error(words(&error))),
    }
}

const fn fits(disk: &Disk, on_disk: &OnDisk) -> bool {
    matches!(
        (disk, on_disk),
        (Disk::Acknowledged, OnDisk::Acknowledged)
            | (Disk::Ask(_), OnDisk::OnDemand)
            | (Disk::Unknown, OnDisk::No(_))
    )
}

fn tell(core: &Core, mut found: Findings) {
    // The write that was refused may be all that did not fit: INFO does not show it.
    let lately = core.full.lock().is_some_and(|when| when.elapsed() < CHECKED_EVERY);
    if lately && !found.lines.iter().any(|line| line == MEMORY_FULL) {
        found.lines.push(MEMORY_FULL.into());
    }
    *core.on_disk.write() = found.on_disk;
    core.say(if found.lines.is_empty() {
        Health::Up
    } else {
        Health::Degraded(
            found.lines.into_iter().map(|line| format!("Redis at {}: {line}", core.address)).collect(),
        )
    });
}

/// Says that this gateway is there.
async fn greet(core: &Core, link: &Arc<Link>, before: bool) -> Result<(), StoreError> {
    let mut call = SCRIPTS.hello.key(&*core.prefix);
    call.arg(FORM).arg(&link.run).arg(&core.member).arg(u8::from(before)).arg(millis(core.lease()));
    let mut answer = Answer::of(core.call_on(link, &call).await?)?;
    match &*answer.text()? {
        "form" => Err(core.error(format!(
            "what is kept under `{}` has form {} and this version reads {FORM}; \
             run the version that wrote it, or give another `group`",
            core.prefix,
            answer.text()?
        ))),
        _ => sweep(core, link).await,
    }
}

/// Takes away what has expired, or a good part of it.
async fn sweep(core: &Core, link: &Arc<Link>) -> Result<(), StoreError> {
    for _ in 0..SWEEPS {
        let swept = core.call_on(link, SCRIPTS.sweep.key(&*core.prefix).arg(FORM)).await?;
        if swept == Value::Int(0) {
            break;
        }
    }
    Ok(())
}

/// Makes known again what this gateway holds; to a server that has started since, also what it
/// has written lately, which that server may have lost.
async fn make_known(core: &Core, link: &Arc<Link>, started_anew: bool) -> Result<(), StoreError> {
    let (prefix, lease) = (&*core.prefix, core.lease());
    let records = core.records.lock().all(!started_anew);
    let entries = core.entries.lock().all(!started_anew);
    let records = records.iter().map(|(key, kept)| restore(prefix, *key, kept, lease, started_anew));
    let entries = entries.iter().map(|(id, kept)| restore_entry(prefix, *id, kept, lease, started_anew));
    let calls: Vec<ScriptInvocation<'static>> = records.chain(entries).collect();
    let mut under_way = FuturesUnordered::new();
    for call in calls {
        if under_way.len() == AT_ONCE {
            under_way.try_next().await?;
        }
        under_way.push(async move { core.call_on(link, &call).await });
    }
    while under_way.try_next().await?.is_some() {}
    Ok(())
}

/// Says that this gateway goes, so that nobody waits for it.
async fn leave(core: &Arc<Core>) {
    if let Ok(link) = core.link() {
        // It may be gone already; then the others wait for one lease.
        let _ = core.call_on(&link, SCRIPTS.leave.key(&*core.prefix).arg(&core.member)).await;
    }
}
