//! Where files lie.

use super::{Environment, Problems, regular_file};
use std::path::{Path, PathBuf};

/// The folders this user and machine have for configuration, data and caches.
#[derive(Clone, Debug)]
pub struct Paths {
    pub home: Option<PathBuf>,
    /// Configuration files of the machine and of the user, the weakest first. They need not exist.
    pub own_files: Vec<PathBuf>,
    /// The one in the working folder, which may have come with a clone.
    pub folder_file: PathBuf,
    /// `None` without a home: then the data folder has to be named.
    pub data: Option<PathBuf>,
    pub cache: Option<PathBuf>,
    /// Where Ollama was told to keep its models, when it was told.
    pub ollama_store: Option<PathBuf>,
}

const FILE: &str = "devmesh.toml";

impl Paths {
    pub fn of(environment: &Environment) -> Self {
        let home = environment.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        // A relative path here is to be ignored, says the base directory specification.
        let xdg = |name: &str, below_home: &str| {
            let named = environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
            named.or_else(|| home.as_ref().map(|home| home.join(below_home)))
        };
        let mut own_files = vec![PathBuf::from("/etc/devmesh").join(FILE)];
        own_files.extend(xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("devmesh").join(FILE)));
        Self {
            own_files,
            folder_file: PathBuf::from(".").join(FILE),
            data: xdg("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("devmesh")),
            cache: xdg("XDG_CACHE_HOME", ".cache").map(|folder| folder.join("devmesh")),
            ollama_store: environment.get("OLLAMA_MODELS").map(PathBuf::from),
            home: home.clone(),
        }
    }

    /// Every file that is read, the weakest first.
    pub fn config_files(&self) -> impl Iterator<Item = &Path> {
        self.own_files.iter().map(PathBuf::as_path).chain([self.folder_file.as_path()])
    }

    /// Where a user writes what shall hold everywhere.
    pub fn users_file(&self) -> &Path {
        self.own_files.last().map_or(Path::new("/etc/devmesh/devmesh.toml"), PathBuf::as_path)
    }
}

/// Longest secret, in bytes. Whoever names the wrong file should hear of it, not wait for it.
const LONGEST_SECRET: u64 = 16 * 1024;

/// A secret from a file, without the line end that editors add.
pub fn readable_secret(place: &str, path: &Path, problems: &mut Problems) -> Option<String> {
    let shown = path.display();
    match regular_file::read(path, LONGEST_SECRET) {
        Err(error) => {
            problems.add(place, format!("cannot read the secret from `{shown}`: {error}"));
            None
        }
        Ok((text, _)) if text.trim().is_empty() => {
            problems.add(place, format!("`{shown}` holds no secret: it should be one line"));
            None
        }
        Ok((text, _)) => Some(text.trim().to_owned()),
    }
}
