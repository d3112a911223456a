//! CPU time of a process by its threads, to the nanosecond.
//!
//! `/proc/PID/stat` counts in ticks of ten milliseconds, which is coarse beside what a copy of a
//! request costs; the scheduler's own count, `/proc/PID/task/TID/schedstat`, is not. It is user
//! and system time together.

use std::{collections::BTreeMap, fs, time::Duration};

use crate::Failure;

/// What each thread of a process has used since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads(BTreeMap<u32, Used>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Used {
    name: String,
    time: Duration,
}

impl Threads {
    /// Those that the process has now.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell.
    pub fn of(process: u32) -> Result<Self, Failure> {
        let tasks = format!("/proc/{process}/task");
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(&tasks)? {
            let task = task?.path();
            let id = task.file_name().and_then(|name| name.to_str()?.parse().ok());
            let name = fs::read_to_string(task.join("comm"));
            let told = fs::read_to_string(task.join("schedstat"));
            // One that ends while it is looked at is one that has ended.
            if let (Some(id), Ok(name), Ok(told)) = (id, name, told)
                && let Some(time) = run_time(&told)
            {
                threads.insert(id, Used { name: name.trim_end().to_owned(), time });
            }
        }
        if threads.is_empty() {
            return Err(format!("{tasks} holds no `schedstat` that tells CPU time").into());
        }
        Ok(Self(threads))
    }

    /// What those whose names `are` wanted have used since `before`. The end of a thread that is
    /// no longer there is left out.
    #[must_use]
    pub fn since(&self, before: &Self, are: impl Fn(&str) -> bool) -> Duration {
        let wanted = self.0.iter().filter(|(_, used)| are(&used.name));
        wanted
            .map(|(id, used)| {
                let began = before.0.get(id).filter(|it| it.name == used.name);
                used.time.saturating_sub(began.map_or(Duration::ZERO, |it| it.time))
            })
            .sum()
    }
}

/// The first number is the time on a processor, in nanoseconds.
fn run_time(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedstat.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(of: &[(u32, &str, u64)]) -> Threads {
        let used = |(id, name, nanos): &(u32, &str, u64)| {
            (*id, Used { name: (*name).to_owned(), time: Duration::from_nanos(*nanos) })
        };
        Threads(of.iter().map(used).collect())
    }

    #[test]
    fn time_is_counted_from_then_on_and_by_name() {
        let before = threads(&[(1, "worker", 100), (2, "side", 50), (3, "gone", 5)]);
        let after = threads(&[(1, "worker", 130), (2, "side", 70), (4, "new", 7)]);
        assert_eq!(after.since(&before, |_| true), Duration::from_nanos(57));
        assert_eq!(after.since(&before, |name| name == "side"), Duration::from_nanos(20));
    }

    #[test]
    fn a_thread_that_worked_has_used_time() {
        let own = std::process::id();
        let before = Threads::of(own).unwrap();
        let begun = std::time::Instant::now();
        while Threads::of(own).unwrap().since(&before, |_| true) < Duration::from_millis(1) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no time is told");
        }
        assert_eq!(run_time("12 3 4\n"), Some(Duration::from_nanos(12)));
        assert_eq!(run_time(""), None);
    }
}
