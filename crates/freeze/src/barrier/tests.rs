//! The barrier under `shuttle`, which runs its threads in thousands of orders.

use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{Barrier, Lock, Shard, Switch, Ticket};

const WRITERS: usize = 3;
const WRITES: usize = 2;

struct Flag(AtomicBool);

impl Switch for Flag {
    type View = bool;

    fn read<R>(&self, look: impl FnOnce(&bool) -> R) -> R {
        look(&self.0.load(Ordering::SeqCst))
    }
}

struct Exclusive<T>(Mutex<T>);

impl<T> Lock<T> for Exclusive<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

type Tested = Barrier<Flag, Exclusive<Shard<(), ()>>>;

impl Tested {
    /// The mistake that the barrier exists to avoid: first the look, then the count.
    fn enter_with_a_gap(&self, home: usize) -> Result<Ticket, ()> {
        self.switch.read(|&frozen| if frozen { Err(()) } else { Ok(()) })?;
        let shard = home % self.shards.len();
        Ok(Ticket { shard, slot: self.shards[shard].with(|list| list.inside.insert(())) })
    }
}

/// Writers come and go while a freezer turns the switch and waits for the drain. From the
/// moment it calls the barrier drained, no write may run and none may start.
fn race(enter: fn(&Tested, usize) -> Result<Ticket, ()>) {
    let barrier: Arc<Tested> = Arc::new(Barrier::new(Flag(AtomicBool::new(false)), 2));
    let running = Arc::new(AtomicUsize::new(0));
    let drained = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|home| {
            let (barrier, running, drained) = (barrier.clone(), running.clone(), drained.clone());
            thread::spawn(move || {
                for _ in 0..WRITES {
                    let Ok(ticket) = enter(&barrier, home) else { continue };
                    running.fetch_add(1, Ordering::SeqCst);
                    assert!(!drained.load(Ordering::SeqCst), "a write started after the drain");
                    running.fetch_sub(1, Ordering::SeqCst);
                    barrier.leave(&ticket, |(), ()| {});
                }
            })
        })
        .collect();
    barrier.switch().0.store(true, Ordering::SeqCst);
    loop {
        let mut inside = 0;
        barrier.survey(|shard| inside += shard.inside.len());
        if inside == 0 {
            break;
        }
        thread::yield_now();
    }
    drained.store(true, Ordering::SeqCst);
    assert_eq!(running.load(Ordering::SeqCst), 0, "a write runs after the drain");
    for writer in writers {
        writer.join().unwrap();
    }
}

fn the_barrier() {
    race(|barrier, home| barrier.enter(home, |&frozen| if frozen { Err(()) } else { Ok(()) }));
}

#[test]
fn after_the_drain_no_write_runs_and_none_starts() {
    shuttle::check_random(the_barrier, 3000);
    shuttle::check_pct(the_barrier, 3000, 3);
}

#[test]
fn the_same_race_is_found_when_the_look_comes_before_the_count() {
    let found = std::panic::catch_unwind(|| shuttle::check_random(|| race(Tested::enter_with_a_gap), 3000));
    assert!(found.is_err(), "the test above would not notice the gap it is there to exclude");
}
