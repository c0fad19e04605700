//! What Triton's clients ask of a model beyond the protocol: its configuration, and what was counted of it.

use hyper::StatusCode;
use registry::metadata::Tensor;
use serde_json::{Value, json};
use warp::reply::Response;

use super::describe::PLATFORM;
use super::evaluate::named;
use crate::http::reply;
use crate::runtime::{Loaded, Runtime, Snapshot};

/// Returns what a load generator reads before it asks: how large a batch may be, and what a row is.
pub(super) fn configuration(loaded: &Loaded, rows_max: usize) -> Response {
    let signature = loaded.slot.model.signature();
    let body = json!({
        "name": loaded.slot.labels.model.as_str(),
        "platform": PLATFORM,
        "max_batch_size": rows_max,
        "input": signature.inputs.iter().map(of_row).collect::<Vec<_>>(),
        "output": signature.outputs.iter().map(of_row).collect::<Vec<_>>(),
    });
    named(reply::json(StatusCode::OK, &body), loaded)
}

/// Describes a tensor of one row: the first length of its shape is that of the batch.
fn of_row(tensor: &Tensor) -> Value {
    let datatype = match tensor.datatype.as_str() {
        "BYTES" => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    };
    match tensor.shape.get(1..) {
        // One value a row has no length of its own.
        None | Some([]) => {
            json!({ "name": tensor.name, "data_type": datatype, "dims": [1], "reshape": { "shape": [] } })
        }
        Some(of_row) => json!({ "name": tensor.name, "data_type": datatype, "dims": of_row }),
    }
}

/// Returns what was counted of the versions of a model that are loaded, or of one of them, since each was loaded first.
pub(super) fn statistics(snapshot: &Snapshot, only: Option<&Loaded>) -> Response {
    told(&match only {
        Some(loaded) => vec![of_version(loaded)],
        None => snapshot.loaded().map(|loaded| of_version(loaded)).collect(),
    })
}

/// Returns what was counted of every version that is loaded.
pub(super) fn all_statistics(runtime: &Runtime) -> Response {
    let models = runtime.models();
    let snapshots: Vec<_> = models.iter().map(|(_, model)| model.snapshot()).collect();
    let loaded = snapshots.iter().flat_map(|snapshot| snapshot.loaded());
    told(&loaded.map(|loaded| of_version(loaded)).collect::<Vec<_>>())
}

fn told(statistics: &[Value]) -> Response {
    reply::json(StatusCode::OK, &json!({ "model_stats": statistics }))
}

fn of_version(loaded: &Loaded) -> Value {
    let (ok, failed) = loaded.meters.ended_by_success();
    json!({
        "name": loaded.slot.labels.model.as_str(),
        "version": loaded.version_text,
        "execution_count": ok.count,
        "inference_stats": {
            "success": { "count": ok.count, "ns": ok.nanoseconds },
            "fail": { "count": failed.count, "ns": failed.nanoseconds },
        },
    })
}
