//! The gateway as a process of its own.
//!
//! It is started on a configuration in a folder of its own, killed when the test drops it,
//! and its log is shown when the test fails.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::LIMIT;

/// The binary that Cargo built beside the tests from the product's own `main`.
pub fn binary() -> PathBuf {
    let mut path = env::current_exe().expect("a test knows where it is");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("gateway_under_test")
}

/// A folder for a configuration and the files it names.
pub struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Folder {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The configuration's path.
    pub fn config(&self) -> PathBuf {
        self.path().join("gateway.yaml")
    }

    /// Writes a file in place.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Replaces a file as editors and deployment tools do: a new one, renamed over it.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write(&format!(".{name}.new"), content);
        fs::rename(self.path().join(format!(".{name}.new")), self.path().join(name)).unwrap();
    }

    /// Starts a gateway in this folder; panics where it does not come up.
    pub fn start(self, yaml: &str) -> Gateway {
        self.write("gateway.yaml", yaml);
        Gateway::spawn(self, yaml)
    }

    /// Starts a gateway on the configuration that stands in this folder.
    pub fn start_as_is(self) -> Gateway {
        let yaml = fs::read_to_string(self.config()).unwrap();
        Gateway::spawn(self, &yaml)
    }

    /// Runs a gateway that is expected to give up, and says how it did.
    pub fn refused(&self, yaml: &str) -> Output {
        self.write("gateway.yaml", yaml);
        self.refused_file(&self.config())
    }

    /// As [`Folder::refused`], with whatever stands at `config`.
    pub fn refused_file(&self, config: &Path) -> Output {
        run(Command::new(binary()).arg("serve").arg("--config").arg(config).current_dir("/"))
    }
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code, -1 where a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs a command to its end, or kills it and panics at the limit.
pub fn run(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the command can be started");
    let stdout = gather(child.stdout.take().unwrap());
    let stderr = gather(child.stderr.take().unwrap());
    let Some(status) = wait(&mut child, LIMIT * 3) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{command:?} did not end: {} {}", stdout.join().unwrap(), stderr.join().unwrap());
    };
    Output {
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// What a gateway has said so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn follow(&self, pipe: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                log.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    log: Log,
    folder: Option<Folder>,
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts one in a new folder; panics where it does not come up.
    pub fn start(yaml: &str) -> Self {
        Folder::default().start(yaml)
    }

    fn spawn(folder: Folder, yaml: &str) -> Self {
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(folder.config()).current_dir("/");
        let admins = yaml.lines().filter(|line| line.starts_with("admin:")).count();
        let listeners = yaml.matches("address:").count() - admins;
        Self::launch(&mut command, folder, listeners, admins)
    }

    /// Starts one by a command of the test's own, and waits for so many listeners.
    pub fn launch(command: &mut Command, folder: Folder, listeners: usize, admins: usize) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Log::default();
        log.follow(child.stdout.take().unwrap());
        log.follow(child.stderr.take().unwrap());
        let mut gateway = Self { child, log, folder: Some(folder), listeners: Vec::new(), admin: None };
        let end = Instant::now() + LIMIT;
        while gateway.listening().len() < listeners || gateway.admin_listening().len() < admins {
            if let Ok(Some(status)) = gateway.child.try_wait() {
                panic!("the gateway ended with {status}");
            }
            assert!(Instant::now() < end, "the gateway did not come up");
            thread::sleep(Duration::from_millis(2));
        }
        gateway.listeners = gateway.listening();
        gateway.admin = gateway.admin_listening().first().copied();
        gateway
    }

    /// Every address that it ever said it listens on, but the admin's.
    pub fn listening(&self) -> Vec<SocketAddr> {
        let lines = self.log.lines();
        lines.iter().filter(|line| !line.contains("admin listening on ")).filter_map(|l| address(l)).collect()
    }

    fn admin_listening(&self) -> Vec<SocketAddr> {
        let lines = self.log.lines();
        lines.iter().filter(|line| line.contains("admin listening on ")).filter_map(|l| address(l)).collect()
    }

    /// The address of its first listener.
    pub fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// The addresses of the listeners it came up with, in the order it said so.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The address of its admin port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.expect("the configuration has an admin port")
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Folder {
        self.folder.as_ref().expect("a gateway has a folder while it runs")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard output and error.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for its end and returns the exit code, -1 where a signal ended it.
    pub fn exit_code(&mut self) -> i32 {
        let status = wait(&mut self.child, LIMIT).expect("the gateway ends in time");
        status.code().unwrap_or(-1)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it without warning and returns once it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it without warning and starts it again in the same folder with the same files.
    #[must_use]
    pub fn kill_and_restart(mut self) -> Self {
        self.kill();
        let folder = self.folder.take().unwrap();
        let yaml = fs::read_to_string(folder.config()).unwrap();
        Self::spawn(folder, &yaml)
    }

    /// The most memory it ever had resident, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a VmHWM line");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Runs the command line against its admin port.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).env("SLUICEGATE_ADMIN", format!("http://{}", self.admin_address()));
        spawn_blocking(move || run(&mut command)).await.unwrap()
    }
}

/// The address after `listening on` in a line of the log.
fn address(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("listening on ")?.1;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = self.log.lines();
            let mut shown = String::new();
            for line in &lines[lines.len().saturating_sub(60)..] {
                let _ = writeln!(shown, "  {line}");
            }
            eprintln!("the gateway's log:\n{shown}");
        }
    }
}
