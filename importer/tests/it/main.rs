//! Models from real places on loopback: moto, others' emulator of Google's store, Azurite, MLflow, and a registry of images.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use importer::{ImportError, Importer, Limits, Sources};
use planner::finding::Disposition;
use planner::names::Digest;
use serde_json::Value;
use tempfile::TempDir;
use web::Settings;

/// Not empty where this test must run: a machine without the stores is a failure then.
const REQUIRED: &str = "REQUIRE_STORES";
/// A Python that has moto, gcp-storage-emulator, azure-storage-blob and mlflow; Azurite's program; and Debian's docker-registry.
const PROGRAMS: [&str; 3] = ["AURORA_STORES_PYTHON", "AURORA_AZURITE", "AURORA_DOCKER_REGISTRY"];

const MODEL: &[u8] = b"a model";

/// The stores; they end with this.
struct Stores(Child);

impl Drop for Stores {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

/// Returns the programs that `.ci/run` installs.
fn programs() -> Option<[PathBuf; 3]> {
    let named = PROGRAMS.map(|variable| std::env::var_os(variable).map(PathBuf::from));
    if let [Some(python), Some(azurite), Some(registry)] = named {
        return Some([python, azurite, registry]);
    }
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
    let variables = PROGRAMS.join(", ");
    assert!(!is_required, "{variables} name no places: .ci/run does");
    let line = format!("skipped: places of models; {variables} name none: .ci/run installs them\n");
    // Past the test harness, which would keep it to itself.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error is open");
    None
}

async fn fetched(folder: &Path, address: &str, file: &str, model: &[u8]) -> Result<Vec<u8>, ImportError> {
    let credential = folder.join("credential");
    fs::write(&credential, file).expect("a file");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let prefix = address.rsplit_once("/wine/").expect("a wine's").0;
    let source = format!("{prefix}/wine={}", credential.display());
    let source = source.parse().expect("a source");
    let importer = Importer::new(Sources::new(vec![source]), Settings::default(), Limits::default())?;
    importer
        .fetch(&address.parse().expect("an address"), None, &Digest::of(model))
        .await
}

#[tokio::test]
async fn a_model_comes_from_a_store_to_whoever_may_read_it() {
    let Some([python, azurite, registry]) = programs() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("m.onnx");
    fs::write(&model, MODEL).unwrap();
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores.py"))
        .args([&model, &azurite, &registry])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut stores = Stores(command.spawn().unwrap());
    let told = BufReader::new(stores.0.stdout.take().unwrap()).lines();
    let told = told.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    // The last says that all have started.
    let told: Vec<Value> = told.take_while(|store| store != &serde_json::json!({})).collect();
    assert_eq!(told.len(), 5, "{told:?}");
    for store in told {
        let word = |name: &str| store[name].as_str();
        let (address, file) = (word("address").unwrap(), word("file").unwrap());
        let fetch = |address, file, model| fetched(folder.path(), address, file, model);
        assert_eq!(fetch(address, file, MODEL).await.unwrap(), MODEL, "{address}");
        let other = fetch(address, file, b"other").await.unwrap_err();
        // A registry keeps by digest, and has no other.
        let is_kept = word("kind") == Some("oci") && matches!(other, ImportError::Missing { .. });
        assert!(is_kept || other.disposition() == Disposition::Invalid, "{other}");
        let missing = fetch(word("missing").unwrap(), file, MODEL).await.unwrap_err();
        assert!(matches!(missing, ImportError::Missing { .. }), "{missing}");
        if let Some(wrong) = word("wrong") {
            let denied = fetch(address, wrong, MODEL).await.unwrap_err();
            assert!(matches!(denied, ImportError::Denied { .. }), "{denied}");
            assert!(!format!("{denied} {denied:?}").contains("s3cret"), "{denied:?}");
        }
    }
}
