//! What is looked at in a cluster: whether its API server answers, knows the kinds and grants the rights, and who runs there.

use kubernetes::cluster::{LookError, Namespace, Part as Installed};
use tokio::runtime::Builder;

use super::{Check, Part};
use crate::commands::status::place::life;
use crate::failure::{Context as _, Failure};

/// How many missing rights are named.
const NAMED_MAX: usize = 10;

/// Looks at a namespace; fails where nothing says how a cluster is reached.
pub(super) fn look(namespace: &str, part: Part, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(Namespace::find(namespace)).hint(|| {
        "in a Pod it takes the ServiceAccount's token, elsewhere KUBECONFIG names the cluster".to_owned()
    })?;
    let kinds = runtime.block_on(found.unknown_kinds());
    let is_reached = !matches!(kinds, Err(LookError::Unavailable { .. }));
    checks.push(match kinds {
        Ok(unknown) if unknown.is_empty() => Check::ok("crds", "the API server knows the three kinds"),
        Ok(unknown) => Check::fail(
            "crds",
            format!("the API server does not know {}", unknown.join(", ")),
            "aurora crds | kubectl apply --server-side -f -",
        ),
        Err(error) => Check::failed("crds", &Failure::from(error)),
    });
    if !is_reached {
        return Ok(());
    }
    let installed = match part {
        Part::Reconciler => Installed::Reconciler,
        Part::Operator => Installed::Operator,
        Part::ControlPlane => Installed::ControlPlane,
    };
    checks.push(match runtime.block_on(found.lacking(installed)) {
        Ok(lacking) if lacking.is_empty() => Check::ok("rights", "the account has all that its part needs"),
        Ok(lacking) => {
            let named: Vec<_> = lacking.iter().take(NAMED_MAX).map(String::as_str).collect();
            let more = match lacking.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!("the account may not {}{more}", named.join(", "));
            Check::fail(
                "rights",
                message,
                "bind the Role of deploy/base to it, or name another --part",
            )
        }
        Err(error) => Check::failed("rights", &Failure::from(error)),
    });
    checks.push(match runtime.block_on(found.look()) {
        Ok(look) => {
            let life = life(look.objects.renewed, look.is_led);
            let environments = usize::from(look.objects.view.environment.is_some());
            if life.is_running() && environments > 0 {
                Check::ok("reconciler", life.to_string())
            } else {
                let message = format!("{life}; the namespace has {environments} MLEnvironment");
                Check::warn(
                    "reconciler",
                    message,
                    "see that Deployment aurora-reconciler runs: deploy/base",
                )
            }
        }
        Err(error) => Check::warn(
            "reconciler",
            Failure::from(error).message(),
            "it takes the rights to read the kinds and Leases",
        ),
    });
    Ok(())
}
