//! Whose signature a serving Pod demands of what it loads: by a file that others write, before each load.

use serde_json::json;

use super::*;
use crate::harness::{private, root};

/// A control plane that hands out a version, and keys.
struct Signing {
    cluster: Cluster,
    keys: TempDir,
}

impl Signing {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(),
            keys: TempDir::new().unwrap(),
        }
    }

    /// Returns the command of a Pod that is held to what its file says.
    fn serve(&self) -> Command {
        let mut command = self.cluster.serve(&self.cluster.digest, "stable");
        command.arg("--trust-file").arg(self.trust_file());
        command
    }

    fn trust_file(&self) -> PathBuf {
        self.cluster.folder.path().join("trust.json")
    }

    /// Writes the file, as a cluster does: whole.
    fn trust(&self, content: &str) {
        let aside = self.trust_file().with_extension("new");
        fs::write(&aside, content).unwrap();
        fs::rename(aside, self.trust_file()).unwrap();
    }

    fn trust_in(&self, verify: &str, keys: &[&str]) {
        let keys: Vec<String> = keys.iter().map(|key| vector(&format!("{key}.pub"))).collect();
        self.trust(&json!({ "verify": verify, "keys": keys }).to_string());
    }

    fn sign(&self, key: &str) {
        let file = self.keys.path().join(key);
        private(&file, &vector(&format!("{key}.key")));
        let signed = run(aurora()
            .args(["model", "sign", "iris", &self.cluster.version, "--key"])
            .arg(file)
            .arg("--data-dir")
            .arg(self.cluster.ground.data()));
        assert!(signed.status.success(), "{}", text(&signed));
    }

    /// A Pod does not load it, and says so in its last words.
    fn is_refused(&self, told: &str) {
        let output = run(&mut self.serve());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let last_words = fs::read_to_string(self.cluster.last_words()).unwrap();
        assert!(last_words.contains(told), "{last_words}");
    }

    fn is_loaded(&self) {
        let mut pod = Up::watch(self.serve());
        ready(&mut pod);
        assert_eq!(pod.predict("iris", &[], ROW).status, 200);
        assert!(pod.stop().success());
    }

    fn forget(&self) {
        fs::remove_dir_all(self.cluster.cache()).unwrap();
    }
}

fn vector(file: &str) -> String {
    fs::read_to_string(root().join("signing/src/vectors").join(file)).unwrap()
}

#[test]
fn a_pod_loads_what_a_trusted_key_has_signed_and_nothing_else() {
    let signing = Signing::new();
    let control_plane = signing.cluster.control_plane(&[]);
    let version = &signing.cluster.version;
    signing.trust_in("Require", &["p256"]);
    signing.is_refused(&format!(
        "iris {version} is not to be trusted: nobody has signed it"
    ));
    signing.sign("p384");
    signing.is_refused("which is none of those that are trusted");
    signing.sign("p256");
    signing.is_loaded();
    // By what it kept, with nobody to ask; and by another key, which it is given meanwhile.
    assert!(control_plane.stop().success());
    signing.is_loaded();
    signing.trust_in("Require", &["p521"]);
    let mut pod = Up::watch(signing.serve());
    let _control_plane = signing.cluster.control_plane(&[]);
    assert_eq!(get(pod.inference, "/v2/health/ready").status, 503);
    signing.trust_in("Require", &["p521", "p384"]);
    ready(&mut pod);
    assert!(pod.stop().success());
}

#[test]
fn a_pod_does_not_load_what_was_changed_since_it_was_signed() {
    let signing = Signing::new();
    let _control_plane = signing.cluster.control_plane(&[]);
    signing.trust_in("Require", &["p256"]);
    signing.sign("p256");
    signing.is_loaded();
    signing.forget();
    // Its record, with the checksum of it: the artifact is what was pinned, and the signature is not of this.
    let folder = signing
        .cluster
        .ground
        .data()
        .join("registry/aurora/iris/versions");
    let folder = folder.join(&signing.cluster.version);
    let kept = fs::read(folder.join("metadata.json")).unwrap();
    let sums = fs::read(folder.join("checksums")).unwrap();
    let change =
        "sed -i 's/\"framework\": *\"/&x/' metadata.json && sha256sum metadata.json model.onnx > checksums";
    let changed = run(Command::new("sh").args(["-ec", change]).current_dir(&folder));
    assert!(changed.status.success(), "{}", text(&changed));
    signing.is_refused("is not what the key");
    fs::write(folder.join("metadata.json"), kept).unwrap();
    fs::write(folder.join("checksums"), sums).unwrap();
    // One bit of the signature.
    let signatures = signing
        .cluster
        .ground
        .data()
        .join("registry/aurora/iris/signatures");
    let signatures = signatures.join(&signing.cluster.version);
    let signature = fs::read_dir(signatures).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&signature).unwrap();
    let mut other = whole.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    fs::write(&signature, other).unwrap();
    signing.is_refused("nobody who is trusted has signed it");
    fs::write(&signature, whole).unwrap();
    signing.is_loaded();
}

#[test]
fn what_a_pod_is_told_of_signatures_fails_closed_and_a_warning_loads() {
    let signing = Signing::new();
    let _control_plane = signing.cluster.control_plane(&[]);
    // No file, as where nobody's signature was ever needed; then one that warns.
    signing.is_loaded();
    signing.forget();
    signing.trust_in("Warn", &["p256"]);
    signing.is_loaded();
    signing.trust_in("Off", &[]);
    signing.is_loaded();
    for unusable in ["", "{", r#"{"verify":"Perhaps","keys":[]}"#] {
        signing.trust(unusable);
        signing.is_refused("what versions are held to cannot be read");
    }
    fs::remove_file(signing.trust_file()).unwrap();
    fs::create_dir(signing.trust_file()).unwrap();
    signing.is_refused("what versions are held to cannot be read");
}
