//! What is said once everything serves: what answers, where, and a request to try.

use planner::names::{Digest, ModelName, Track, Version, Weight};
use registry::{Entry, Reference, Store};
use serde::Serialize;
use serde_json::json;
use server::Runtime;

use crate::commands::model::metric;
use crate::listeners::Bound;
use crate::terminal::{Line, plain_json, table};

/// One track that answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Served {
    model: ModelName,
    track: Track,
    version: Version,
    digest: Digest,
    /// Percent of the model's requests that come here.
    weight: u8,
    metric: String,
    #[serde(skip)]
    example: Option<String>,
}

/// Where a process answers, as URLs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Addresses {
    /// Predictions.
    pub(crate) inference: String,
    /// The control plane.
    pub(crate) control_plane: String,
}

impl Addresses {
    /// Returns the URLs of two bound listeners.
    pub(crate) fn new(inference: &Bound, control_plane: &Bound) -> Self {
        Self {
            inference: inference.url(),
            control_plane: control_plane.url(),
        }
    }
}

/// How many models are shown; all are counted.
pub(crate) const SHOWN_MAX: usize = 20;

/// Returns each track of the first of these models that answers now.
pub(crate) fn served(models: &[ModelName], runtime: &Runtime, store: &Store) -> Vec<Served> {
    let mut served = Vec::new();
    for model in models.iter().take(SHOWN_MAX) {
        let tracks = runtime.tracks(model);
        let canary = tracks.weight.percent();
        for (track, state, weight) in [
            (
                Track::Stable,
                &tracks.track.stable,
                Weight::FULL.percent() - canary,
            ),
            (Track::Canary, &tracks.track.canary, canary),
        ] {
            let Some(pin) = &state.serving else { continue };
            // What a version measured is an ornament here: a registry that cannot be read must not silence the rest.
            let entry = store
                .resolve(model, &Reference::Version(pin.version.clone()))
                .ok();
            served.push(Served {
                model: model.clone(),
                track,
                version: pin.version.clone(),
                digest: pin.digest,
                weight,
                metric: entry
                    .as_ref()
                    .map(|entry| metric(&entry.metadata))
                    .unwrap_or_default(),
                example: entry.as_ref().map(body),
            });
        }
    }
    served.sort_by(|a, b| (&a.model, a.track).cmp(&(&b.model, b.track)));
    served
}

/// Returns the body of a request for the version's example row.
pub(crate) fn body(entry: &Entry) -> String {
    // A column's name may hold anything: what is copied from a terminal is what was shown.
    plain_json(json!({ "rows": [entry.metadata.example.row] }).to_string())
}

/// Returns a command line that asks a model with a canary, else the first one, for a prediction.
pub(crate) fn offer(served: &[Served], addresses: &Addresses) -> Option<String> {
    let asked = served
        .iter()
        .find(|served| served.track == Track::Canary)
        .or(served.first())?;
    // Whichever track answers.
    Some(curl(
        &addresses.inference,
        &asked.model,
        Track::Stable,
        asked.example.as_ref()?,
    ))
}

/// Returns a command line that asks a model for a prediction, of the canary where that is meant.
pub(crate) fn curl(url: &str, model: &ModelName, track: Track, body: &str) -> String {
    let body = body.replace('\'', r"'\''");
    let track = match track {
        Track::Stable => "",
        Track::Canary => " -H 'aurora-track: canary'",
    };
    format!("curl -s {url}/predict/{model} -H 'content-type: application/json'{track} -d '{body}'")
}

/// Renders what serves as a table.
fn rows(served: &[Served]) -> Vec<Line> {
    let mut rows = vec![
        ["model", "track", "version", "digest", "weight", "metric"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for Served {
        model,
        track,
        version,
        digest,
        weight,
        metric,
        example: _,
    } in served
    {
        rows.push(vec![
            model.to_string(),
            track.to_string(),
            version.to_string(),
            digest.short(),
            format!("{weight}%"),
            metric.clone(),
        ]);
    }
    table(&rows)
}

/// Says what serves, where, and what to try.
pub(crate) fn lines(served: &[Served], models: usize, addresses: &Addresses, folder: &str) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    lines.extend(rows(served));
    if models > SHOWN_MAX {
        lines.push(Line::from(format!(
            "and {} more: aurora status",
            models - SHOWN_MAX
        )));
    }
    lines.extend(
        [
            "",
            &format!("inference      {}", addresses.inference),
            &format!("control plane  {}", addresses.control_plane),
            "",
        ]
        .map(Line::from),
    );
    if let Some(curl) = offer(served, addresses) {
        lines.extend(["Try it:", &format!("  {curl}"), ""].map(Line::from));
    }
    lines.push(Line::from(format!(
        "Commit a change below {folder} and watch it arrive; Ctrl-C stops."
    )));
    lines.push(Line::default());
    lines
}
