//! Where a trainer finds things that runs on the machine of whoever starts it.

use std::path::PathBuf;

use planner::names::Digest;
use reconciler::runs::Places;
use registry::{DatasetRoots, Store};

/// The store and the folders of this process: a child sees what it sees.
pub(super) struct OnMachine<'a> {
    pub(super) store: &'a Store,
    pub(super) roots: &'a DatasetRoots,
}

impl Places for OnMachine<'_> {
    fn registry(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    fn staged(&self, sha256: &Digest) -> PathBuf {
        self.store.dataset_path(sha256)
    }

    fn outside(&self, path: &str) -> Option<PathBuf> {
        self.roots.locate(path)
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.roots.folders()
    }

    fn advice(&self) -> &'static str {
        "start aurora with --dataset-root and the folder that holds it"
    }
}
