//! Where files lie.

use super::{Environment, Problems};
use std::{fs, io::Read, path::PathBuf};

/// The folders this user and machine have for configuration, data and caches.
#[derive(Clone, Debug)]
pub struct Paths {
    pub home: Option<PathBuf>,
    /// Configuration files, the weakest first. They need not exist.
    pub config_files: Vec<PathBuf>,
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
        let mut config_files = vec![PathBuf::from("/etc/devmesh").join(FILE)];
        config_files.extend(xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("devmesh").join(FILE)));
        config_files.push(PathBuf::from(".").join(FILE));
        Self {
            config_files,
            data: xdg("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("devmesh")),
            cache: xdg("XDG_CACHE_HOME", ".cache").map(|folder| folder.join("devmesh")),
            ollama_store: environment.get("OLLAMA_MODELS").map(PathBuf::from),
            home: home.clone(),
        }
    }
}

/// Longest secret, in bytes. Whoever names the wrong file should hear of it, not wait for it.
const LONGEST_SECRET: u64 = 16 * 1024;

/// A secret from a file, without the line end that editors add.
pub fn readable_secret(place: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text));
    match read {
        Err(error) => {
            problems.add(place, format!("cannot read the secret from `{path}`: {error}"));
            None
        }
        Ok(_) if text.trim().is_empty() || text.len() as u64 == LONGEST_SECRET => {
            problems.add(place, format!("`{path}` holds no secret: it should be one line"));
            None
        }
        Ok(_) => Some(text.trim().to_owned()),
    }
}
