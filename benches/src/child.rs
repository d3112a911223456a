//! Processes that are measured from outside.
//!
//! Each proxy and the upstream is a process of its own, so that its CPU time and its memory
//! are its own. A child says `listening on ADDRESS` on standard output once it does; it is
//! killed by its handle when dropped.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{Failure, threads::Threads};

/// How long a child may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
const SAYS: &str = "listening on ";

/// A running process that listens.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From just before it was started until it said that it listens.
    pub started_in: Duration,
}

impl Child {
    /// Starts `command` and waits until it listens.
    ///
    /// # Errors
    ///
    /// It cannot be started, ends before it listens, or does not listen in time.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let begun = Instant::now();
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let nowhere = SocketAddr::from(([0; 4], 0));
        // Made before anything can fail, so that it is killed whatever does.
        let mut child = Self { process, address: nowhere, started_in: Duration::ZERO };
        let output = child.process.stdout.take().ok_or("the child has no standard output")?;
        let (told, heard) = mpsc::channel();
        // Reads to the end, so that a child never waits for room in its pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix(SAYS).and_then(|it| it.parse().ok()) {
                    // After the first one nobody listens any more.
                    let _ = told.send((address, Instant::now()));
                }
            }
        });
        let (address, at) = heard
            .recv_timeout(START_LIMIT)
            .map_err(|_| format!("{command:?} did not say `{SAYS}ADDRESS` within {START_LIMIT:?}"))?;
        (child.address, child.started_in) = (address, at.duration_since(begun));
        Ok(child)
    }

    /// One that does not say where it listens, but is known to do so at `address`.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not accept in time.
    pub fn start_at(command: &mut Command, address: SocketAddr) -> Result<Self, Failure> {
        let begun = Instant::now();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut child = Self { process, address, started_in: Duration::ZERO };
        while begun.elapsed() < START_LIMIT {
            if std::net::TcpStream::connect(address).is_ok() {
                child.started_in = begun.elapsed();
                return Ok(child);
            }
            if let Some(status) = child.process.try_wait()? {
                return Err(format!("{command:?} ended with {status}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{command:?} does not accept at {address}").into())
    }

    /// User and system time it has used so far, all threads together.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| format!("/proc/PID/stat holds no times: {stat}"))?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// The same to the nanosecond, by its threads.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell.
    pub fn threads(&self) -> Result<Threads, Failure> {
        Threads::of(self.process.id())
    }

    /// Its resident memory in KiB.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell.
    pub fn resident_kib(&self) -> Result<u64, Failure> {
        self.memory_kib("VmRSS")
    }

    /// The most memory that has ever been resident, in KiB.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell.
    pub fn peak_kib(&self) -> Result<u64, Failure> {
        self.memory_kib("VmHWM")
    }

    fn memory_kib(&self, name: &str) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok());
        kib.ok_or_else(|| io::Error::other(format!("/proc/PID/status holds no {name}")).into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Either it is killed here, or it has ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// `utime` and `stime`, fields 14 and 15. The name, field 2, may itself hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut after_name = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system) = (after_name.next()?.parse::<u64>().ok()?, after_name.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Child, cpu_ticks};

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 70 7 11 12";
        assert_eq!(cpu_ticks(stat), Some(77));
        assert_eq!(cpu_ticks("12 (a) S 1"), None);
    }

    #[test]
    fn a_child_that_ends_without_listening_is_an_error() {
        let error = Child::start(&mut Command::new("true")).unwrap_err();
        assert!(error.to_string().contains("listening on"), "{error}");
    }

    #[test]
    fn a_child_says_where_it_listens() {
        let mut command = Command::new("sh");
        let child =
            Child::start(command.args(["-c", "echo admin; echo listening on 127.0.0.1:9; exec sleep 60"]))
                .unwrap();
        assert_eq!(child.address.port(), 9);
        assert!(child.cpu().is_ok() && child.resident_kib().unwrap() > 0);
        assert!(child.peak_kib().unwrap() >= child.resident_kib().unwrap() && child.threads().is_ok());
    }
}
