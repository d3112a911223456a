//! Debian packages, unpacked into a folder and run from there.
//!
//! `apt-get` is given lists, archives and a source of its own, so that it leaves the system's
//! alone and works without root. A package comes with its libraries, the C library included,
//! and its programs are started through that library's own loader: they run on any Linux.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// The release the packages are from.
const RELEASE: &str = "trixie";

/// Where they are fetched from.
const MIRROR: &str = "http://deb.debian.org/debian";

/// What signs that release.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A program and the packages that it needs.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The name of its folder in the cache.
    pub name: &'static str,
    /// The program, below the folder.
    pub program: &'static str,
    /// Everything that is unpacked: nothing is resolved.
    pub debs: &'static [&'static str],
}

/// The cache folder: `SLUICEGATE_TEST_CACHE`, by default `~/.cache/sluicegate-tests`.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("SLUICEGATE_TEST_CACHE") {
        return Ok(folder.into());
    }
    let home = env::var_os("HOME").ok_or("set SLUICEGATE_TEST_CACHE: there is no HOME to cache in")?;
    Ok(Path::new(&home).join(".cache/sluicegate-tests"))
}

impl Package {
    /// The command that runs its program, installed where it is not there yet. Blocks.
    pub fn command(&self) -> Result<Command> {
        let root = self.install()?;
        let libraries = find(&root.join("usr/lib"), |name| name.ends_with("-linux-gnu"))?;
        let loader = find(&libraries, |name| name.starts_with("ld-linux"))?;
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(libraries).arg(root.join(self.program));
        Ok(command)
    }

    /// Its folder. One process installs at a time; the others wait for it.
    fn install(&self) -> Result<PathBuf> {
        let cache = cache()?;
        fs::create_dir_all(&cache).map_err(|error| format!("make the cache {}: {error}", cache.display()))?;
        let lock = File::create(cache.join("lock"))?;
        lock.lock()?;
        let root = cache.join(format!("{RELEASE}-{}", self.name));
        if !root.exists() {
            let fresh = tempfile::tempdir_in(&cache)?;
            self.fetch(fresh.path())?;
            fs::rename(fresh.path().join("root"), &root)?;
        }
        Ok(root)
    }

    fn fetch(&self, folder: &Path) -> Result<()> {
        if !Path::new(KEYRING).exists() {
            return Err(format!("{KEYRING} is missing: install debian-archive-keyring").into());
        }
        for below in ["lists/partial", "cache/archives/partial", "debs", "root"] {
            fs::create_dir_all(folder.join(below))?;
        }
        let source = folder.join("debian.sources");
        let lines = [
            "Types: deb".to_owned(),
            format!("URIs: {MIRROR}"),
            format!("Suites: {RELEASE}"),
            "Components: main".to_owned(),
            format!("Signed-By: {KEYRING}"),
        ];
        fs::write(&source, lines.join("\n") + "\n")?;
        let apt = || {
            let mut apt = Command::new("apt-get");
            apt.current_dir(folder.join("debs"))
                .args(["-q", "-o", "APT::Sandbox::User="])
                .arg("-o")
                .arg(format!("Dir::State::Lists={}", folder.join("lists").display()))
                .arg("-o")
                .arg(format!("Dir::Cache={}", folder.join("cache").display()))
                .arg("-o")
                .arg(format!("Dir::Etc::SourceList={}", source.display()))
                .args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
            apt
        };
        run(apt().arg("update"))?;
        run(apt().arg("download").args(self.debs.iter().map(|deb| format!("{deb}/{RELEASE}"))))?;
        for deb in fs::read_dir(folder.join("debs"))? {
            run(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(folder.join("root")))?;
        }
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn find(folder: &Path, named: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).map_err(|error| format!("read {}: {error}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&named) {
            return Ok(entry.path());
        }
    }
    Err(format!(
        "{} lacks what a package should have put there; remove it to fetch it again",
        folder.display()
    )
    .into())
}
