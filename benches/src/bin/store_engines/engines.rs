//! The two engines, each set up as small as a sidecar needs it, behind one trait.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{Durability, ReadableDatabase, TableDefinition};
use sluicegate_benches::Failure;

/// Records by their keys, and the seconds when they expire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Map {
    Records,
    Expiry,
}

/// A write of `value`, or a removal.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) map: Map,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// An engine under test.
pub(crate) trait Engine: Sized {
    /// Opens or makes a store in this folder.
    fn open(folder: &Path) -> Result<Self, Failure>;

    /// Makes all writes together; with `sync` they are on disk when it returns.
    fn round(&mut self, writes: Vec<Write>, sync: bool) -> Result<(), Failure>;

    /// The record of this key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// The keys of the expiry map from `begin` to before `end`, `limit` at most.
    fn due(&self, begin: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Failure>;
}

/// `fjall`: a log-structured tree behind a journal.
pub(crate) struct Fjall {
    database: Database,
    records: Keyspace,
    expiry: Keyspace,
}

impl Fjall {
    fn map(&self, map: Map) -> &Keyspace {
        match map {
            Map::Records => &self.records,
            Map::Expiry => &self.expiry,
        }
    }
}

impl Engine for Fjall {
    fn open(folder: &Path) -> Result<Self, Failure> {
        let database = Database::builder(folder)
            .cache_size(4 << 20)
            .worker_threads(2)
            .max_cached_files(Some(64))
            .max_journaling_size(64 << 20)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(4 << 20);
        let (records, expiry) =
            (database.keyspace("records", options)?, database.keyspace("expiry", options)?);
        Ok(Self { database, records, expiry })
    }

    fn round(&mut self, writes: Vec<Write>, sync: bool) -> Result<(), Failure> {
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for Write { map, key, value } in writes {
            match value {
                Some(value) => batch.insert(self.map(map), key, value),
                None => batch.remove(self.map(map), key),
            }
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.records.get(key)?.map(|value| value.to_vec()))
    }

    fn due(&self, begin: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        self.expiry.range(begin..end).take(limit).map(|item| Ok(item.key()?.to_vec())).collect()
    }
}

/// `redb`: a copy-on-write B-tree in one file.
pub(crate) struct Redb(redb::Database);

const fn table(map: Map) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    match map {
        Map::Records => TableDefinition::new("records"),
        Map::Expiry => TableDefinition::new("expiry"),
    }
}

impl Engine for Redb {
    fn open(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let database = redb::Database::builder().set_cache_size(8 << 20).create(folder.join("store.redb"))?;
        let mut engine = Self(database);
        // Makes the tables.
        engine.round(Vec::new(), true)?;
        Ok(engine)
    }

    fn round(&mut self, writes: Vec<Write>, sync: bool) -> Result<(), Failure> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(if sync { Durability::Immediate } else { Durability::None })?;
        {
            let mut records = transaction.open_table(table(Map::Records))?;
            let mut expiry = transaction.open_table(table(Map::Expiry))?;
            for Write { map, key, value } in &writes {
                let into = match map {
                    Map::Records => &mut records,
                    Map::Expiry => &mut expiry,
                };
                match value {
                    Some(value) => drop(into.insert(key.as_slice(), value.as_slice())?),
                    None => drop(into.remove(key.as_slice())?),
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let records = self.0.begin_read()?.open_table(table(Map::Records))?;
        Ok(records.get(key)?.map(|value| value.value().to_vec()))
    }

    fn due(&self, begin: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let expiry = self.0.begin_read()?.open_table(table(Map::Expiry))?;
        expiry.range(begin..end)?.take(limit).map(|item| Ok(item?.0.value().to_vec())).collect()
    }
}
