//! Where the programs of a control plane are: in a folder that somebody names, in `PATH`, or in the cache that
//! `cargo xtask kubernetes-assets` fills.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The variable that names their folder, as controller-runtime's envtest has it.
pub const FOLDER_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// What a control plane needs, and `kubectl`.
pub const PROGRAMS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

/// The Go modules that pin the versions.
const KUBERNETES_MODULE: &str = include_str!("../../xtask/kubernetes/kubernetes/go.mod");
const ETCD_MODULE: &str = include_str!("../../xtask/kubernetes/etcd/go.mod");

/// A folder that holds all of [`PROGRAMS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets {
    folder: PathBuf,
}

/// The programs are nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no folder holds {}: neither {FOLDER_VARIABLE}, nor one of PATH, nor {}; `cargo xtask kubernetes-assets` builds them with Go",
    PROGRAMS.join(", "),
    cache.display()
)]
pub struct Missing {
    cache: PathBuf,
}

impl Assets {
    /// Returns the programs of [`FOLDER_VARIABLE`], else of `PATH`, else of the cache.
    pub fn find() -> Result<Self, Missing> {
        let cache = cache_folder();
        Self::given()
            .or_else(|| Self::of(&cache))
            .ok_or(Missing { cache })
    }

    /// Returns the programs that were there without us: of [`FOLDER_VARIABLE`], else of `PATH`.
    pub fn given() -> Option<Self> {
        let named = env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        named
            .into_iter()
            .chain(env::split_paths(&path))
            .find_map(|folder| Self::of(&folder))
    }

    /// Returns the programs of a folder, if it holds them all.
    pub fn of(folder: &Path) -> Option<Self> {
        let holds = |name: &&str| access(folder.join(name), Access::EXEC_OK).is_ok();
        PROGRAMS.iter().all(holds).then(|| Self {
            folder: folder.to_owned(),
        })
    }

    /// Returns their folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of one of [`PROGRAMS`].
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Returns the folder of the programs that were built here, by their versions; it need not exist.
pub fn cache_folder() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.filter(|folder| folder.is_absolute()).unwrap_or_else(|| {
        let home = env::var_os("HOME").map_or_else(env::temp_dir, PathBuf::from);
        home.join(".cache")
    });
    let name = format!("{}-etcd-{}", kubernetes_version(), etcd_version());
    cache.join("aurora/kubernetes").join(name)
}

/// Returns the version of Kubernetes that is pinned, e.g. `v1.36.3`.
pub fn kubernetes_version() -> &'static str {
    required_version(KUBERNETES_MODULE, "k8s.io/kubernetes")
}

/// Returns the version of etcd that is pinned, e.g. `v3.6.5`.
pub fn etcd_version() -> &'static str {
    required_version(ETCD_MODULE, "go.etcd.io/etcd/server/v3")
}

/// Returns the version that a `go.mod` requires of a module.
fn required_version(go_mod: &'static str, module: &str) -> &'static str {
    go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split(' ').next())
        .expect("invariant: the committed go.mod requires what it is for")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn versions_are_those_of_the_modules() {
        for version in [kubernetes_version(), etcd_version()] {
            let numbers: Vec<&str> = version.strip_prefix('v').unwrap().split('.').collect();
            assert_eq!(numbers.len(), 3, "{version}");
            assert!(
                numbers.iter().all(|number| number.parse::<u32>().is_ok()),
                "{version}"
            );
        }
        let cache = cache_folder();
        assert!(
            cache.to_string_lossy().contains(kubernetes_version()),
            "{}",
            cache.display()
        );
    }

    #[test]
    fn folder_counts_once_it_holds_all_programs_and_they_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Assets::of(folder.path()), None);
        for name in PROGRAMS {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(Assets::of(folder.path()), None, "none can be run");
        for name in PROGRAMS {
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let assets = Assets::of(folder.path()).unwrap();
        assert_eq!(assets.program("etcd"), folder.path().join("etcd"));
        fs::remove_file(folder.path().join("kubectl")).unwrap();
        assert_eq!(Assets::of(folder.path()), None);
    }
}
