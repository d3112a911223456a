//! Looks at every gateway and into Redis, all the time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use sluicegate_tests::{
    Raw,
    fleet::{Berth, Fleet},
    rollouts::{Stand, ask_on},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::NAME;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(10);

/// What a gateway has shown.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) seat: usize,
    pub(crate) life: usize,
    /// Before it was asked.
    pub(crate) asked: Instant,
    /// After it had answered.
    pub(crate) told: Instant,
    /// Without all that was shown: there are many.
    pub(crate) stand: Stand,
    /// It shows an abort that holds there and is not in the record yet.
    pub(crate) is_ahead: bool,
}

/// What was in Redis.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The record; none where there is none.
    pub(crate) state: Option<Value>,
}

impl Kept {
    pub(crate) fn place(&self) -> Option<(u64, u64)> {
        let state = self.state.as_ref()?;
        Some((state["epoch"].as_u64()?, state["version"].as_u64()?))
    }
}

#[derive(Default)]
struct Shared {
    enough: AtomicBool,
    looks: Mutex<Vec<Look>>,
    /// The last of each gateway, whole, and when it was asked for.
    latest: Mutex<BTreeMap<usize, (Instant, Stand)>>,
    kept: Mutex<Vec<Kept>>,
}

/// Somebody who looks.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Watch {
    /// Looks at each gateway of the fleet, and at the Redis on this port.
    pub(crate) fn start(fleet: &Arc<Fleet>, redis: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for seat in 0..fleet.len() {
            tasks.spawn(gateway(shared.clone(), fleet.clone(), seat));
        }
        tasks.spawn(store(shared.clone(), redis));
        Self { shared, tasks }
    }

    /// What was in Redis so far, look by look.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.shared.kept.lock().unwrap().clone()
    }

    /// The place that is in Redis, read from now on.
    pub(crate) async fn kept_now(&self) -> (u64, u64) {
        // The look that is under way may have been begun before.
        let next = self.kept().len() + 1;
        crate::until("Redis is looked into", async || self.kept().len() > next).await;
        self.kept()[next].place().expect("a record")
    }

    /// What a gateway shows, asked from now on.
    pub(crate) async fn now(&self, seat: usize) -> Stand {
        let now = Instant::now();
        let mut found = None;
        crate::until("a gateway is looked at", async || {
            let latest = self.shared.latest.lock().unwrap();
            found = latest.get(&seat).filter(|(asked, _)| *asked > now).map(|(_, stand)| stand.clone());
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Waits until each of these gateways shows this place or a later one; says how long that
    /// took since `since`, by gateway.
    pub(crate) async fn all_at(&self, seats: &[usize], place: (u64, u64), since: Instant) -> Vec<Duration> {
        let mut first = Vec::new();
        crate::until("every gateway follows", async || {
            let looks = self.shared.looks.lock().unwrap();
            let seen = |seat: &usize| {
                looks
                    .iter()
                    .find(|look| look.seat == *seat && look.told > since && look.stand.place() >= place)
            };
            first = seats.iter().filter_map(seen).map(|look| look.told - since).collect();
            first.len() == seats.len()
        })
        .await;
        first
    }

    /// Ends it and gives all that was seen.
    pub(crate) async fn stop(mut self) -> (Vec<Look>, Vec<Kept>) {
        self.shared.enough.store(true, Ordering::SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.expect("who looks does not panic");
        }
        let looks = std::mem::take(&mut *self.shared.looks.lock().unwrap());
        (looks, std::mem::take(&mut *self.shared.kept.lock().unwrap()))
    }
}

async fn gateway(shared: Arc<Shared>, fleet: Arc<Fleet>, seat: usize) {
    let mut line: Option<(Berth, Raw)> = None;
    while !shared.enough.load(Ordering::SeqCst) {
        let berth = fleet.berth(seat).await;
        let mut raw = match line.take() {
            Some((known, raw)) if known == berth => raw,
            _ => {
                let Ok(raw) = Raw::try_connect(berth.admin).await else {
                    sleep(EVERY).await;
                    continue;
                };
                raw
            }
        };
        let asked = Instant::now();
        if let Some(answer) = ask_on(&mut raw, &format!("GET /rollouts/{NAME}"), "", "").await {
            let told = Instant::now();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let whole = Stand::of(answer.json());
            let is_ahead = whole.troubles().iter().any(|trouble| trouble.contains("not been told yet"));
            let stand = Stand { shown: Value::Null, ..whole.clone() };
            shared.latest.lock().unwrap().insert(seat, (asked, whole));
            shared.looks.lock().unwrap().push(Look { seat, life: berth.life, asked, told, stand, is_ahead });
            line = Some((berth, raw));
        }
        sleep(EVERY).await;
    }
}

async fn store(shared: Arc<Shared>, port: u16) {
    let mut line = None;
    while !shared.enough.load(Ordering::SeqCst) {
        if line.is_none() {
            line = TcpStream::connect(("127.0.0.1", port)).await.ok();
        }
        let Some(mut stream) = line.take() else {
            sleep(EVERY).await;
            continue;
        };
        if let Some(state) = record(&mut stream).await {
            shared.kept.lock().unwrap().push(Kept { state });
            line = Some(stream);
        }
        sleep(EVERY).await;
    }
}

/// The record of the rollout, found among the gateways' own by what is in it. The first word of
/// their keys tells the hash that they are in.
async fn record(stream: &mut TcpStream) -> Option<Option<Value>> {
    const SCRIPT: &str = "for _, raw in ipairs(redis.call('HVALS', 'sluicegate:default:r:736')) do \
         local value = select(5, cmsgpack.unpack(raw)) \
         if value:find('\"secret\":', 1, true) then return value end end return ''";
    let request = format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{SCRIPT}\r\n$1\r\n0\r\n", SCRIPT.len());
    let answer = timeout(Duration::from_secs(5), async {
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        loop {
            let head = answer.windows(2).position(|two| two == b"\r\n");
            if let Some(end) = head {
                let head = String::from_utf8_lossy(&answer[..end]).into_owned();
                // An error while it loads what it has kept.
                let length: usize = head.strip_prefix('$')?.parse().ok()?;
                if answer.len() >= end + 2 + length + 2 {
                    return Some(answer[end + 2..end + 2 + length].to_vec());
                }
            }
            if stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
    });
    let value = answer.await.ok()??;
    if value.is_empty() {
        return Some(None);
    }
    Some(Some(serde_json::from_slice(&value).expect("the record is JSON")))
}
