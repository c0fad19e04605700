//! What a model served before: its manifest in older commits, along first parents.

use git2::{Commit, Oid, Tree};
use planner::deployment::{DeclaredDeployment, Pin};

use super::{Editor, EditorError, Found, deployments, folder, git};

/// The most commits that are looked back.
const COMMITS_MAX: usize = 100_000;
/// The most commits that changed the environment whose manifests are read.
const CHANGES_MAX: usize = 10_000;

impl Editor {
    /// Returns the newest pin of stable before a commit that is of another version than a manifest's, and may come back.
    pub(super) fn former(&self, start: Commit<'_>, found: &Found) -> Result<Option<Pin>, EditorError> {
        let folder = folder(&found.environment);
        let mut last = None;
        let mut changes = 0;
        let mut commit = start;
        for _ in 0..COMMITS_MAX {
            let tree = commit.tree().map_err(git("read a commit"))?;
            let now = tree.get_path(folder.as_ref()).map(|entry| entry.id()).ok();
            if now != last {
                last = now;
                changes += 1;
                if let Some(pin) = self.other_pin(&tree, found)? {
                    return Ok(Some(pin));
                }
            }
            // Where the history is cut there is no more.
            match commit.parent(0) {
                Ok(parent) if changes < CHANGES_MAX => commit = parent,
                Ok(_) | Err(_) => break,
            }
        }
        Ok(None)
    }

    fn other_pin(&self, tree: &Tree<'_>, found: &Found) -> Result<Option<Pin>, EditorError> {
        let Some(deployment) = self.declared(tree, found)? else {
            return Ok(None);
        };
        let is_other = deployment.stable.version != found.deployment.stable.version
            && !found.deployment.rejected.contains(&deployment.stable.version);
        Ok(is_other.then_some(deployment.stable))
    }

    /// Returns what a commit declares of a model: mostly in the file that declares it now.
    fn declared(&self, tree: &Tree<'_>, found: &Found) -> Result<Option<DeclaredDeployment>, EditorError> {
        let of_model = |path: &str, blob: Oid| -> Result<_, EditorError> {
            let content = self.content(blob, path)?;
            let mut declared = deployments(path, &content);
            Ok(declared.find(|deployment| deployment.model == found.deployment.model))
        };
        if let Ok(entry) = tree.get_path(found.path.as_ref())
            && let Some(deployment) = of_model(&found.path, entry.id())?
        {
            return Ok(Some(deployment));
        }
        for (path, blob) in self.manifests(tree, &folder(&found.environment))? {
            if let Some(deployment) = of_model(&path, blob)? {
                return Ok(Some(deployment));
            }
        }
        Ok(None)
    }
}
