//! Versions that are signed by keys, by us and by PyPI's `model-signing`, each verified by the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::clients::python;
use crate::harness::{FREE_PORTS, Ground, Up, aurora, eventually, get, private, root, run, text, up_command};

const VERSION: &str = "v20261101-120000";

/// A data directory with a trained model, and keys.
struct Signing {
    ground: Ground,
    keys: TempDir,
}

impl Signing {
    fn new() -> Self {
        let ground = Ground::dev();
        assert!(ground.up().stop().success());
        let keys = TempDir::new().unwrap();
        for name in ["p256", "p384"] {
            let vector = |ending: &str| root().join(format!("signing/src/vectors/{name}.{ending}"));
            private(
                &keys.path().join(format!("{name}.key")),
                &fs::read_to_string(vector("key")).unwrap(),
            );
            fs::copy(vector("pub"), keys.path().join(format!("{name}.pub"))).unwrap();
        }
        Self { ground, keys }
    }

    fn key(&self, file: &str) -> PathBuf {
        self.keys.path().join(file)
    }

    fn sign(&self, reference: &str, key: &str) -> Output {
        let key = self.key(key);
        self.model(&["sign", "iris", reference, "--key", key.to_str().unwrap()])
    }

    fn verify(&self, keys: &str) -> Output {
        let keys = self.key(keys);
        self.model(&["verify", "iris", VERSION, "--keys", keys.to_str().unwrap()])
    }

    fn model(&self, arguments: &[&str]) -> Output {
        run(aurora()
            .arg("model")
            .args(arguments)
            .arg("--data-dir")
            .arg(self.ground.data()))
    }

    fn of_model(&self, path: &str) -> PathBuf {
        self.ground.data().join("registry/aurora/iris").join(path)
    }

    /// Returns the only signature of the version.
    fn signature(&self) -> PathBuf {
        let folder = self.of_model(&format!("signatures/{VERSION}"));
        let mut files = fs::read_dir(folder).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

fn check(output: &Output, code: i32, says: &str) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_version_is_signed_beside_its_folder_and_verified_by_whom_it_is() {
    let signing = Signing::new();
    let folder = signing.of_model(&format!("versions/{VERSION}"));
    let modified = fs::metadata(&folder).unwrap().modified().unwrap();
    check(&signing.verify("p256.pub"), 1, "nobody has signed it");
    check(
        &signing.sign(VERSION, "p256.key"),
        0,
        "iris v20261101-120000 is signed by the key",
    );
    check(&signing.verify("p256.pub"), 0, ", signed by the key");
    check(
        &signing.verify("p384.pub"),
        1,
        "which is none of those that are trusted",
    );
    let both = [signing.key("p384.pub"), signing.key("p256.pub")].map(|key| fs::read_to_string(key).unwrap());
    fs::write(signing.key("both.pub"), both.concat()).unwrap();
    check(&signing.verify("both.pub"), 0, ", signed by the key");
    assert_eq!(fs::metadata(&folder).unwrap().modified().unwrap(), modified);
    let shown = signing.model(&["show", "iris", "--output=json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let name = signing.signature();
    assert_eq!(
        shown["signatures"],
        serde_json::json!([name.file_stem().unwrap().to_str().unwrap()])
    );
}

#[test]
fn what_cannot_be_signed_or_verified_is_told() {
    let signing = Signing::new();
    check(
        &signing.sign("stable", "p256.key"),
        2,
        "stable may be another version by the time it is signed",
    );
    check(&signing.sign(VERSION, "gone.key"), 2, "gone.key cannot be read");
    check(&signing.sign(VERSION, "p256.pub"), 2, "p256.pub");
    private(&signing.key("none.key"), "no key\n");
    check(
        &signing.sign(VERSION, "none.key"),
        2,
        "it is no private key in PEM",
    );
    fs::write(signing.key("none.pub"), "no key\n").unwrap();
    check(&signing.verify("none.pub"), 2, "it holds 0 keys");
    check(&signing.verify("gone.pub"), 2, "gone.pub are not usable");
}

const ENVIRONMENT: &str = "environments/dev/environment.yaml";
const WINE: &str = "environments/dev/wine-quality.yaml";

/// An environment that demands signed versions: what serves unsigned is told, nothing unsigned is raised, and what is signed is.
#[test]
fn an_environment_that_demands_signatures_raises_and_loads_nothing_else() {
    let signing = Signing::new();
    let repository = &signing.ground.repository;
    let status = |wanted: &str| {
        eventually(wanted, || {
            let output = run(aurora()
                .args(["status", "wine-quality", "--data-dir"])
                .arg(signing.ground.data()));
            text(&output).contains(wanted).then(|| text(&output))
        })
    };
    let sign = |version: &str| {
        let key = signing.key("p256.key");
        let signed = signing.model(&["sign", "wine-quality", version, "--key", key.to_str().unwrap()]);
        check(&signed, 0, "is signed by the key");
    };
    let mut up = signing.ground.up();
    let keys = fs::read_to_string(signing.key("p256.pub")).unwrap();
    repository.write("environments/dev/signers.pub", keys);
    repository.edit(
        ENVIRONMENT,
        "target: Standalone",
        "models: { verify: Require, keys: signers.pub }\n  target: Standalone",
    );
    // What serves serves on, and is told.
    let said = status("VersionUnsigned");
    assert!(said.contains("nobody has signed it"), "{said}");
    assert!(said.contains("aurora model sign"), "{said}");
    sign(VERSION);
    // A raise of what nobody signed does not come.
    repository.edit(WINE, "weight: 10", "weight: 40");
    let said = status("VersionUntrusted");
    assert!(
        said.contains("v20261120-093000 is not to be trusted: nobody has signed it"),
        "{said}"
    );
    assert!(said.contains("10%"), "{said}");
    sign("v20261120-093000");
    // What is declared, 40 %, is shown all the time; what serves only now.
    let serves = |text: &str| {
        let weight = text.lines().find(|line| line.starts_with("weight "));
        weight.is_some_and(|line| line.ends_with(" 40%") && line.matches("40%").count() == 2)
    };
    let said = eventually("the signed canary takes its share", || {
        Some(status("weight ")).filter(|said| serves(said))
    });
    assert!(!said.contains("VersionUntrusted"), "{said}");
    // Whoever changes a version with its checksums is found out before it is loaded.
    assert!(up.stop().success());
    let folder = signing
        .ground
        .data()
        .join("registry/aurora/wine-quality/versions/v20261120-093000");
    let changed =
        "sed -i 's/\"framework\": *\"/&x/' metadata.json && sha256sum metadata.json model.onnx > checksums";
    let changed = run(Command::new("sh").args(["-ec", changed]).current_dir(&folder));
    assert!(changed.status.success(), "{}", text(&changed));
    up = signing.ground.up();
    let said = status("LoadFailed");
    assert!(said.contains("is not what the key"), "{said}");
    let ready = |version: &str| {
        let path = format!("/v2/models/wine-quality/versions/{version}/ready");
        get(up.inference, &path).status == 200
    };
    assert!(ready(VERSION) && !ready("v20261120-093000"));
    assert!(up.stop().success());
}

/// What a run here publishes is signed at its end by the key that the process was given.
#[test]
fn what_runs_publish_is_signed_where_there_is_a_key() {
    let ground = Ground::dev();
    let keys = TempDir::new().unwrap();
    let vector = |file: &str| fs::read_to_string(root().join("signing/src/vectors").join(file)).unwrap();
    let key = keys.path().join("signing.key");
    private(&key, &vector("p521.key"));
    let signers = vector("p521.pub");
    ground.repository.write("environments/dev/signers.pub", &signers);
    ground.repository.edit(
        ENVIRONMENT,
        "target: Standalone",
        "models: { verify: Require, keys: signers.pub }\n  target: Standalone",
    );
    let mut command = up_command(ground.repository.path(), &ground.data());
    command.args(FREE_PORTS).arg("--signing-key").arg(&key);
    let up = Up::watch(command);
    let ready = |version: &str| {
        let path = format!("/v2/models/wine-quality/versions/{version}/ready");
        eventually("what is signed is loaded", || {
            (get(up.inference, &path).status == 200).then_some(())
        });
    };
    ready(VERSION);
    ready("v20261120-093000");
    let public = keys.path().join("signers.pub");
    fs::write(&public, signers).unwrap();
    let verified = run(aurora()
        .args(["model", "verify", "--keys"])
        .arg(&public)
        .arg("--data-dir")
        .arg(ground.data()));
    check(&verified, 0, ", signed by the key");
    assert!(up.stop().success());
}

fn model_signing(python: &Path, act: &str, arguments: &[(&str, &Path)], folder: &Path) -> Output {
    let mut command = Command::new(python);
    command.args(["-m", "model_signing", act, "key"]);
    for (flag, path) in arguments {
        command.arg(flag).arg(path);
    }
    run(command.arg(folder))
}

#[test]
fn pypis_model_signing_verifies_ours_and_we_verify_its() {
    let Some(python) = python() else {
        return;
    };
    let signing = Signing::new();
    let folder = signing.of_model(&format!("versions/{VERSION}"));
    check(&signing.sign(VERSION, "p256.key"), 0, "is signed by the key");
    let (signature, key) = (signing.signature(), signing.key("p256.pub"));
    let verify = || {
        let arguments: [(&str, &Path); 2] = [("--signature", &signature), ("--public_key", &key)];
        model_signing(&python, "verify", &arguments, &folder)
    };
    check(&verify(), 0, "succeeded");
    // Signed by it, and put where ours would be.
    let private = signing.key("p384.key");
    let theirs = signature.with_file_name("theirs.json");
    let arguments: [(&str, &Path); 2] = [("--signature", &theirs), ("--private_key", &private)];
    check(
        &model_signing(&python, "sign", &arguments, &folder),
        0,
        "succeeded",
    );
    check(&signing.verify("p384.pub"), 0, ", signed by the key");
    // Both notice a bit.
    let artifact = folder.join("model.onnx");
    let mut bytes = fs::read(&artifact).unwrap();
    bytes[100] ^= 1;
    fs::write(&artifact, bytes).unwrap();
    check(&signing.verify("p384.pub"), 1, "damaged");
    assert!(!verify().status.success());
}
