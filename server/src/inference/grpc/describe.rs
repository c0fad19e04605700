//! What the listener says of itself and of its models.

use hyper::StatusCode;
use hyper::header::HeaderMap;
use registry::metadata::Tensor;

use super::Answering;
use super::health::HealthCheckRequest;
use super::health::health_check_response::ServingStatus;
use super::messages::health::HealthCheckResponse;
use super::oip::model_metadata_response::TensorMetadata;
use super::oip::repository_index_response::ModelIndex;
use super::oip::{
    DataType, InferStatistics, ModelConfig, ModelConfigRequest, ModelConfigResponse, ModelInput,
    ModelMetadataRequest, ModelMetadataResponse, ModelOutput, ModelReadyRequest, ModelReadyResponse,
    ModelStatistics, ModelStatisticsRequest, ModelStatisticsResponse, ModelTensorReshape,
    RepositoryIndexResponse, ServerLiveResponse, ServerMetadataResponse, ServerReadyResponse,
    StatisticDuration,
};
use crate::http::reply::Failure;
use crate::inference::describe::{PLATFORM, describing, index_of};
use crate::inference::prepare::choice;
use crate::metrics::Ended;
use crate::runtime::{Choice, Loaded, Model, Runtime};

/// What is there beyond the protocol, by the names that its clients know: nothing else.
const EXTENSIONS: [&str; 1] = ["model_configuration"];
/// The service that predictions are asked of, by which its health may be asked.
const SERVICE: &str = "inference.GRPCInferenceService";

pub(super) fn live() -> ServerLiveResponse {
    ServerLiveResponse { live: true }
}

pub(super) fn ready(answering: &impl Answering) -> ServerReadyResponse {
    ServerReadyResponse {
        ready: answering.ready(),
    }
}

pub(super) fn server() -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: "aurora".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    }
}

/// Answers a probe: for the whole listener, or for one model by its name.
pub(super) fn health(
    answering: &impl Answering,
    asked: &HealthCheckRequest,
) -> Result<HealthCheckResponse, Failure> {
    let serves = match &asked.service[..] {
        "" | SERVICE => answering.ready(),
        model => answering.model_ready(model, &Choice::default())?,
    };
    let status = if serves {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    Ok(HealthCheckResponse {
        status: status.into(),
    })
}

/// Returns what was asked for where it is not left out: of the protocol, an empty text is.
pub(crate) fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A model or a version that nobody knows is not ready: so do other servers, whose clients ask before they know.
pub(super) fn model_ready(
    answering: &impl Answering,
    asked: &ModelReadyRequest,
    headers: &HeaderMap,
) -> Result<ModelReadyResponse, Failure> {
    let choice = choice(given(&asked.version), headers)?;
    let ready = match answering.model_ready(&asked.name, &choice) {
        Ok(ready) => ready,
        Err(failure) if failure.status == StatusCode::NOT_FOUND => false,
        Err(failure) => return Err(failure),
    };
    Ok(ModelReadyResponse { ready })
}

pub(super) fn model(
    model: &Model,
    asked: &ModelMetadataRequest,
    headers: &HeaderMap,
) -> Result<ModelMetadataResponse, Failure> {
    let loaded = describing(model, given(&asked.version), headers)?;
    let signature = loaded.slot.model.signature();
    let tensors = |tensors: &[Tensor]| {
        let tensors = tensors.iter().map(|tensor| TensorMetadata {
            name: tensor.name.clone(),
            datatype: tensor.datatype.clone(),
            shape: tensor.shape.clone(),
        });
        tensors.collect()
    };
    let snapshot = model.snapshot();
    let versions = snapshot.loaded().map(|loaded| loaded.version_text.clone());
    Ok(ModelMetadataResponse {
        name: model.name.to_string(),
        versions: versions.collect(),
        platform: PLATFORM.to_owned(),
        inputs: tensors(&signature.inputs),
        outputs: tensors(&signature.outputs),
    })
}

pub(super) fn configuration(
    model: &Model,
    asked: &ModelConfigRequest,
    headers: &HeaderMap,
    rows_max: usize,
) -> Result<ModelConfigResponse, Failure> {
    let loaded = describing(model, given(&asked.version), headers)?;
    let signature = loaded.slot.model.signature();
    let inputs = signature.inputs.iter().map(|tensor| {
        let (dims, reshape) = of_row(tensor);
        ModelInput {
            name: tensor.name.clone(),
            data_type: data_type(tensor).into(),
            dims,
            reshape,
        }
    });
    let outputs = signature.outputs.iter().map(|tensor| {
        let (dims, reshape) = of_row(tensor);
        ModelOutput {
            name: tensor.name.clone(),
            data_type: data_type(tensor).into(),
            dims,
            reshape,
        }
    });
    let config = ModelConfig {
        name: model.name.to_string(),
        platform: PLATFORM.to_owned(),
        max_batch_size: i32::try_from(rows_max).unwrap_or(i32::MAX),
        input: inputs.collect(),
        output: outputs.collect(),
    };
    Ok(ModelConfigResponse { config: Some(config) })
}

fn data_type(tensor: &Tensor) -> DataType {
    let name = match &tensor.datatype[..] {
        "BYTES" => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    };
    DataType::from_str_name(&name).unwrap_or(DataType::TypeInvalid)
}

/// Returns the lengths of one row, the first of a shape being that of the batch; one value a row has no length of its own.
fn of_row(tensor: &Tensor) -> (Vec<i64>, Option<ModelTensorReshape>) {
    match tensor.shape.get(1..) {
        None | Some([]) => (vec![1], Some(ModelTensorReshape { shape: Vec::new() })),
        Some(of_row) => (of_row.to_vec(), None),
    }
}

/// Returns what was counted of a model, or of one version of it.
pub(super) fn statistics(
    model: &Model,
    asked: &ModelStatisticsRequest,
    headers: &HeaderMap,
) -> Result<ModelStatisticsResponse, Failure> {
    let snapshot = model.snapshot();
    let choice = choice(given(&asked.version), headers)?;
    let model_stats = if choice.is_split() {
        snapshot.loaded().map(|loaded| of_version(loaded)).collect()
    } else {
        vec![of_version(&**snapshot.explicit(&choice)?)]
    };
    Ok(ModelStatisticsResponse { model_stats })
}

pub(super) fn all_statistics(runtime: &Runtime) -> ModelStatisticsResponse {
    let models = runtime.models();
    let snapshots: Vec<_> = models.iter().map(|(_, model)| model.snapshot()).collect();
    let loaded = snapshots.iter().flat_map(|snapshot| snapshot.loaded());
    ModelStatisticsResponse {
        model_stats: loaded.map(|loaded| of_version(loaded)).collect(),
    }
}

fn of_version(loaded: &Loaded) -> ModelStatistics {
    let (ok, failed) = loaded.meters.ended_by_success();
    let duration = |ended: Ended| StatisticDuration {
        count: ended.count,
        ns: ended.nanoseconds,
    };
    ModelStatistics {
        name: loaded.slot.labels.model.to_string(),
        version: loaded.version_text.clone(),
        execution_count: ok.count,
        inference_stats: Some(InferStatistics {
            success: Some(duration(ok)),
            fail: Some(duration(failed)),
        }),
    }
}

pub(super) fn index(runtime: &Runtime, only_ready: bool) -> RepositoryIndexResponse {
    let models = index_of(runtime, |entries| {
        let entries = entries
            .iter()
            .filter(|entry| !only_ready || entry.state == "READY");
        let entries = entries.map(|entry| ModelIndex {
            name: entry.name.to_owned(),
            version: entry.version.clone().unwrap_or_default(),
            state: entry.state.to_owned(),
            reason: entry.reason.to_owned(),
        });
        entries.collect()
    });
    RepositoryIndexResponse { models }
}
