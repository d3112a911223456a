//! What is asked of a server before it is trusted, at every connection and now and then.
//!
//! A server that cannot serve as a store at all is refused: too old, a cluster, a replica, one
//! that still loads. What merely weakens what the store promises is named, with the setting
//! that mends it.

use std::collections::HashMap;

use ::redis::{RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value};

use super::options::Durability;

/// The least version whose scripts may ask the clock and then write, and whose users have
/// rights of their own.
const LEAST: (u32, u32) = (6, 0);

/// The least version that can be asked to wait for its disk.
const WAITS: (u32, u32) = (7, 2);

/// What is said of a server that refuses writes for want of memory.
pub(super) const MEMORY_FULL: &str =
    "its memory is full, and new keys are refused; raise `maxmemory`, or lower the bounds of the store";

/// How the server lets an acknowledged write reach the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// Before it acknowledges it, or the operator does not mind.
    Acknowledged,
    /// When it is asked to wait for it.
    OnDemand,
    /// Not for certain: why, and what to do.
    No(String),
}

/// What was found.
#[derive(Debug)]
pub(super) struct Findings {
    /// The name of this run of the server: another one after each start.
    pub(super) run: String,
    /// What is not as it should be.
    pub(super) lines: Vec<String>,
    pub(super) on_disk: OnDisk,
}

/// Looks at a server; the error is why it cannot be used at all.
pub(super) async fn look(
    connection: &mut MultiplexedConnection,
    durability: Durability,
) -> RedisResult<Result<Findings, String>> {
    let info = Info::read(&cmd("INFO").query_async::<String>(connection).await?);
    if let Err(refusal) = info.refusal() {
        return Ok(Err(refusal));
    }
    let fsync = setting(connection, "appendfsync").await?;
    let policy = match info.get("maxmemory_policy") {
        "" => setting(connection, "maxmemory-policy").await?,
        policy => Some(policy.to_owned()),
    };
    Ok(Ok(info.findings(fsync.as_deref(), policy.as_deref(), durability)))
}

/// The value of a setting; none where the server does not let it be read.
async fn setting(connection: &mut MultiplexedConnection, name: &str) -> RedisResult<Option<String>> {
    match cmd("CONFIG").arg("GET").arg(name).query_async::<Value>(connection).await {
        Ok(value) => {
            let pair: HashMap<String, String> = from_redis_value(value).unwrap_or_default();
            Ok(pair.into_values().next())
        }
        Err(error) if error.is_io_error() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The answer to `INFO`.
#[derive(Debug)]
struct Info(HashMap<String, String>);

impl Info {
    fn read(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The version of Redis that it is, or is compatible with.
    fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.get("redis_version").split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    }

    fn refusal(&self) -> Result<(), String> {
        let said = self.get("redis_version");
        match self.version() {
            None => {
                return Err("says no version of Redis in INFO; is it Redis or Valkey?".into());
            }
            Some(version) if version < LEAST => {
                return Err(format!(
                    "is Redis {said}, and {}.{} is the least that can be used; upgrade it",
                    LEAST.0, LEAST.1
                ));
            }
            Some(_) => {}
        }
        if self.get("cluster_enabled") == "1" || self.get("redis_mode") == "cluster" {
            return Err("runs in cluster mode, where fences and intents cannot change together; \
                 use a server with `cluster-enabled no`"
                .into());
        }
        if self.get("redis_mode") == "sentinel" {
            return Err("is a Sentinel; connect to the primary that it watches".into());
        }
        if self.get("loading") == "1" {
            return Err("is still loading its data".into());
        }
        if self.get("role") == "slave" {
            let master = (self.get("master_host"), self.get("master_port"));
            return Err(format!(
                "is a replica of {}:{} and cannot be written; connect to the primary, or promote it with `REPLICAOF NO ONE`",
                master.0, master.1
            ));
        }
        Ok(())
    }

    fn findings(&self, fsync: Option<&str>, policy: Option<&str>, durability: Durability) -> Findings {
        let mut lines = Vec::new();
        match policy {
            Some("noeviction") => {}
            Some(policy) => lines.push(format!(
                "its eviction policy is `{policy}`: full memory would throw fences away and let writes run twice; \
                 set `maxmemory-policy noeviction`"
            )),
            None => lines.push(
                "its eviction policy could not be checked (neither INFO nor CONFIG tells); \
                 see that `maxmemory-policy` is `noeviction`"
                    .into(),
            ),
        }
        let on_disk = match durability {
            Durability::AcceptLoss => OnDisk::Acknowledged,
            Durability::OnDisk => self.persistence(fsync, &mut lines),
        };
        if self.memory_is_full() {
            lines.push(MEMORY_FULL.into());
        }
        if self.get("aof_last_write_status") == "err" {
            lines.push("its last write to the append-only file failed; look at its disk and log".into());
        }
        Findings { run: self.get("run_id").to_owned(), lines, on_disk }
    }

    fn memory_is_full(&self) -> bool {
        let number = |name| self.get(name).parse::<u64>().unwrap_or_default();
        let most = number("maxmemory");
        most > 0 && number("used_memory") >= most
    }

    fn persistence(&self, fsync: Option<&str>, lines: &mut Vec<String>) -> OnDisk {
        let waits = self.version().is_some_and(|version| version >= WAITS);
        let weak = match (self.get("aof_enabled"), fsync) {
            ("1", Some("always")) => return OnDisk::Acknowledged,
            ("1", Some("no")) => {
                "it leaves it to the system when its append-only file is written; \
                 set `appendfsync always` or `everysec`"
            }
            ("1", Some(_)) if waits => return OnDisk::OnDemand,
            ("1", Some(_)) => {
                "it writes its append-only file after it has acknowledged, and is older than 7.2, \
                 which can be asked to wait for the disk; set `appendfsync always`, or upgrade it"
            }
            ("1", None) if waits => {
                lines.push(
                    "`appendfsync` could not be checked (CONFIG is not allowed); intents wait for its disk \
                     with WAITAOF, fences may lose what `appendfsync` leaves open"
                        .into(),
                );
                return OnDisk::OnDemand;
            }
            ("1", None) => {
                "`appendfsync` could not be checked (CONFIG is not allowed), and it is older than 7.2, \
                 which can be asked to wait for the disk; upgrade it, or allow CONFIG GET"
            }
            _ => "it keeps no append-only file, so a restart loses fences; set `appendonly yes`",
        };
        lines.push(weak.into());
        OnDisk::No(format!("{weak}, or write `durability: accept_loss`"))
    }
}

#[cfg(test)]
mod tests;
