//! Gateways that are killed while clients use them: here clients find them, wherever they listen
//! just now.

use std::{net::SocketAddr, sync::Mutex};

use crate::{audit::When, gateway::Gateway};
use tokio::{
    sync::{MappedMutexGuard, MutexGuard, watch},
    task::spawn_blocking,
};

/// A gateway that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Berth {
    /// Which of the fleet.
    pub seat: usize,
    /// How often it has been killed.
    pub life: usize,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its admin port is.
    pub admin: SocketAddr,
}

/// A gateway's death.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// Which of the fleet.
    pub seat: usize,
    /// The life that it ended.
    pub life: usize,
    /// Before the signal was sent.
    pub began: When,
    /// After the process was gone.
    pub gone: When,
}

struct Seat {
    /// None while it is being killed and started.
    gateway: tokio::sync::Mutex<Option<Gateway>>,
    /// None while it is down.
    berth: watch::Sender<Option<Berth>>,
}

/// Gateways, each in a folder of its own.
pub struct Fleet {
    seats: Vec<Seat>,
    kills: Mutex<Vec<Kill>>,
}

impl Fleet {
    /// Starts one for each document.
    pub async fn start(documents: impl IntoIterator<Item = String>) -> Self {
        let mut seats = Vec::new();
        for (seat, document) in documents.into_iter().enumerate() {
            let gateway = spawn_blocking(move || Gateway::start(&document)).await.unwrap();
            let (address, admin) = (gateway.address(), gateway.admin_address());
            let berth = Berth { seat, life: 0, address, admin };
            seats.push(Seat {
                gateway: tokio::sync::Mutex::new(Some(gateway)),
                berth: watch::Sender::new(Some(berth)),
            });
        }
        Self { seats, kills: Mutex::default() }
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Where this gateway is, once it is up.
    pub async fn berth(&self, seat: usize) -> Berth {
        let mut berth = self.seats[seat].berth.subscribe();
        let up = berth.wait_for(Option::is_some).await.expect("the fleet is there");
        up.expect("what was waited for")
    }

    /// Kills a gateway without warning and starts it again.
    pub async fn kill(&self, seat: usize) {
        let mut held = self.seats[seat].gateway.lock().await;
        self.end(seat, &mut held).await;
        self.begin(seat, &mut held).await;
    }

    /// Kills a gateway without warning and leaves it so.
    pub async fn down(&self, seat: usize) {
        self.end(seat, &mut *self.seats[seat].gateway.lock().await).await;
    }

    /// Starts a gateway again that is down.
    pub async fn up(&self, seat: usize) {
        self.begin(seat, &mut *self.seats[seat].gateway.lock().await).await;
    }

    async fn end(&self, seat: usize, held: &mut Option<Gateway>) {
        let life = self.lives(seat);
        let mut gateway = held.take().expect("it runs");
        let began = When::now();
        let (gateway, gone) = spawn_blocking(move || {
            gateway.kill();
            (gateway, When::now())
        })
        .await
        .unwrap();
        self.seats[seat].berth.send_replace(None);
        self.kills.lock().unwrap().push(Kill { seat, life, began, gone });
        *held = Some(gateway);
    }

    async fn begin(&self, seat: usize, held: &mut Option<Gateway>) {
        let life = self.lives(seat);
        let gateway = held.take().expect("it did run");
        let gateway = spawn_blocking(move || gateway.kill_and_restart()).await.unwrap();
        let (address, admin) = (gateway.address(), gateway.admin_address());
        self.seats[seat].berth.send_replace(Some(Berth { seat, life, address, admin }));
        *held = Some(gateway);
    }

    /// How many lives of a gateway are over.
    fn lives(&self, seat: usize) -> usize {
        self.kills.lock().unwrap().iter().filter(|kill| kill.seat == seat).count()
    }

    /// The gateway itself, to be asked by its admin port.
    pub async fn gateway(&self, seat: usize) -> MappedMutexGuard<'_, Gateway> {
        MutexGuard::map(self.seats[seat].gateway.lock().await, |held| held.as_mut().expect("it runs"))
    }

    /// Who was killed, and when.
    pub fn kills(&self) -> Vec<Kill> {
        self.kills.lock().unwrap().clone()
    }
}
