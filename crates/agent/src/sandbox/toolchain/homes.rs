//! Whose home folder a path lies in. Beside the programs there lie credentials, of whichever user.

use super::super::platform;
use std::path::{Path, PathBuf};

/// Each folder in one of these is somebody's home.
const PARENTS: &[&str] = &["/home", "/Users", "/export/home"];
const SUPERUSERS: &[&str] = &["/root", "/var/root"];

#[derive(Debug)]
pub(super) struct Homes(Vec<PathBuf>);

impl Homes {
    /// Of everybody in the user database, and `own`: what `HOME` says need not be in there. The file is read as it is,
    /// because this program is linked statically and can ask no name service.
    pub fn find(own: Option<&Path>, users: &str) -> Self {
        let superusers = SUPERUSERS.iter().map(PathBuf::from);
        let listed = users.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
        let homes = superusers.chain(listed).chain(own.map(Path::to_path_buf)).filter(|home| is_private(home));
        let mut homes: Vec<_> = homes.flat_map(|home| [home.canonicalize().ok(), Some(home)]).flatten().collect();
        homes.sort();
        homes.dedup();
        Self(homes)
    }

    /// The home `path` lies in or is.
    pub fn around(&self, path: &Path) -> Option<PathBuf> {
        let known = self.0.iter().filter(|home| path.starts_with(home)).max_by_key(|home| home.as_os_str().len());
        known.cloned().or_else(|| {
            let parent = PARENTS.iter().find(|parent| path.starts_with(parent) && path != Path::new(parent))?;
            path.ancestors().find(|folder| folder.parent() == Some(Path::new(parent))).map(Path::to_path_buf)
        })
    }

    /// Whether showing `path` would show a whole home, or several.
    pub fn lie_in(&self, path: &Path) -> bool {
        let is_parent = PARENTS.iter().any(|parent| Path::new(parent).starts_with(path));
        is_parent
            || self.0.iter().any(|home| home.starts_with(path))
            || self.around(path).is_some_and(|home| home == path)
    }

    /// Homes where programs were installed by name: of the agent's user and whoever is on its `PATH`.
    pub fn of<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
        let mut homes: Vec<_> = paths.filter_map(|path| self.around(path)).collect();
        homes.sort();
        homes.dedup();
        homes
    }
}

/// System users have `/`, `/bin`, `/usr/sbin` and the like for a home, where nothing is anybody's.
fn is_private(home: &Path) -> bool {
    let is_system = |system: &str| home.starts_with(system) || Path::new(system).starts_with(home);
    home.is_absolute()
        && home.parent().is_some()
        && !home.starts_with("/dev")
        && !platform::SYSTEM.iter().any(|system| is_system(system))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_home_and_no_system_folder_is_one() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2::/bin:/x\ngames:x:5:60::/usr/games:/x\nodd\n\
                     nobody:x:9:9::/:/x\nci:x:7:7::/var/lib/ci:/bin/sh\n";
        let homes = Homes::find(Some(Path::new("/data/person")), users);
        let around = |path: &str| homes.around(Path::new(path)).map(|home| home.display().to_string());
        assert_eq!(around("/var/lib/ci/.fly/bin").as_deref(), Some("/var/lib/ci"));
        assert_eq!(around("/home/unlisted/.fly/bin").as_deref(), Some("/home/unlisted"));
        assert_eq!(around("/data/person/bin").as_deref(), Some("/data/person"));
        assert_eq!(around("/root/.cargo/bin").as_deref(), Some("/root"));
        for path in ["/usr/games", "/bin", "/opt/tool/bin", "/home"] {
            assert_eq!(around(path), None, "{path}");
        }
        let lie_in = |path: &str| homes.lie_in(Path::new(path));
        assert!(["/", "/home", "/home/unlisted", "/var", "/var/lib", "/var/lib/ci", "/data"].into_iter().all(lie_in));
        assert!(!["/usr", "/usr/local", "/home/unlisted/bin", "/opt/tool"].into_iter().any(lie_in));
    }
}
