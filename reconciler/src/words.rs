//! Actions and waits in words, one line each: for logs, reports and the command line.

use planner::observed::ObservedAlias;
use planner::plan::{Action, Waiting};

/// Says what an action does.
pub fn action(action: &Action) -> String {
    match action {
        Action::PutEnvironment(environment) => format!("MLEnvironment/{}: apply", environment.name),
        Action::StageDataset { job, path, sha256 } => {
            format!("MLTrainingJob/{job}: stage {path} ({})", sha256.short())
        }
        Action::PutTraining { name, object } => {
            format!("MLTrainingJob/{name}: apply {}", object.revision.short())
        }
        Action::PutDeployment { name, object } => {
            let canary = object.spec.canary.as_ref().map_or(String::new(), |canary| {
                format!(", canary {} at {}", canary.pin.version, canary.weight)
            });
            format!(
                "MLDeployment/{name}: stable {}{canary}",
                object.spec.stable.version
            )
        }
        Action::MoveAlias {
            model,
            track,
            from,
            to,
            revision: _,
        } => match from {
            Some(ObservedAlias::To(from)) => format!("{model}@{track}: {from} -> {}", to.version),
            Some(ObservedAlias::Broken(_)) | None => format!("{model}@{track}: -> {}", to.version),
        },
        Action::RemoveAlias { model, track, .. } => format!("{model}@{track}: remove"),
        Action::RecordAbort { model, version, .. } => format!("{model}: record the abort of {version}"),
        Action::DeleteDeployment { name } => format!("MLDeployment/{name}: remove"),
        Action::DeleteTraining { name } => format!("MLTrainingJob/{name}: remove"),
    }
}

/// Says what is waited for.
pub fn waiting(waiting: &Waiting) -> String {
    match waiting {
        Waiting::ForVersion {
            deployment,
            track,
            version,
            job,
        } => {
            format!("MLDeployment/{deployment}: {track} waits for {version}, which MLTrainingJob/{job} makes")
        }
        Waiting::ForTrack { deployment, track } => {
            format!("MLDeployment/{deployment}: the alias {track} waits until the track serves its pin")
        }
        Waiting::ForModel {
            deployment,
            model,
            holder,
        } => format!("MLDeployment/{deployment}: waits until MLDeployment/{holder} has left model {model}"),
    }
}
