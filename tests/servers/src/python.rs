//! Programs from `PyPI`, each in a virtual environment of its own in the cache.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, packages::cache};

/// Packages of fixed versions in a virtual environment.
#[derive(Clone, Copy, Debug)]
pub struct PythonPackages {
    /// The name of its folder in the cache; another set of packages takes another name.
    pub name: &'static str,
    /// What `pip install` is given: `package==version`.
    pub packages: &'static [&'static str],
}

/// Written last, so that a folder without it is one that was never finished.
const WHOLE: &str = "whole";

impl PythonPackages {
    /// The program of this name, installed where it is not there yet. One process installs at a
    /// time; the others wait for it. Blocks.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let program = self.folder()?.join("bin").join(name);
        if program.exists() {
            Ok(program)
        } else {
            Err(format!("{} is not among what {:?} install", program.display(), self.packages).into())
        }
    }

    /// The file of this name beside the code of the package `module`. Blocks.
    pub fn file(&self, module: &str, name: &str) -> Result<PathBuf> {
        let python = self.program("python")?;
        let find = "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).origin)";
        let said = run(Command::new(python).args(["-c", find, module]), "find a package")?;
        let beside = Path::new(said.trim()).parent().map(|folder| folder.join(name));
        match beside {
            Some(file) if file.exists() => Ok(file),
            _ => Err(format!("{name} is not beside {module} in what {:?} install", self.packages).into()),
        }
    }

    fn folder(&self) -> Result<PathBuf> {
        let cache = cache()?;
        fs::create_dir_all(&cache).map_err(|error| format!("make the cache {}: {error}", cache.display()))?;
        let lock = File::create(cache.join("lock-python"))?;
        lock.lock()?;
        // An environment knows its own path: it is made where it stays.
        let folder = cache.join(format!("python-{}", self.name));
        if !folder.join(WHOLE).exists() {
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            self.install(&folder)?;
            fs::write(folder.join(WHOLE), self.packages.join("\n"))?;
        }
        Ok(folder)
    }

    fn install(&self, folder: &Path) -> Result<()> {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder), "make a virtual environment")?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(self.packages);
        run(&mut pip, "install from PyPI").map(drop)
    }
}

/// What a command printed; where it fails, what it was to do and what it said.
fn run(command: &mut Command, what: &str) -> Result<String> {
    let ran = command.output().map_err(|error| format!("{what}: {command:?}: {error}"))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Err(format!("{what}: {command:?}: {}: {}", ran.status, said.trim()).into())
}
