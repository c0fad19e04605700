//! One control plane for all tests of a binary: started by the first that asks, ended with the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::assets::Assets;
use crate::audit::{self, Call};
use crate::certificates::Certificates;
use crate::port::{free_port, is_free};
use crate::supervisor::Supervisor;

/// How long a control plane may take to answer: it takes some seconds on a quiet machine.
const START_SECONDS_MAX: u64 = 180;
/// How often a start is tried: a port that was free can be another's when a program binds it.
const STARTS_MAX: u32 = 3;
/// Names a folder in which the audit logs of all control planes stay.
const AUDIT_FOLDER: &str = "TESTKIT_AUDIT_FOLDER";
/// How much of a log an error tells, in lines.
const LOG_LINES_MAX: usize = 20;

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// A control plane that answers.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    /// The port that the API server listens at.
    api_server: u16,
    audit_log: PathBuf,
    assets: Assets,
    supervisor: Supervisor,
}

/// A control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// Its folder or a process cannot be made.
    #[error("cannot prepare a control plane")]
    Prepare(#[from] io::Error),
    /// Its keys cannot be made.
    #[error("cannot make the control plane's certificates")]
    Certificates(#[from] rcgen::Error),
    /// Its kubeconfig cannot be read.
    #[error("cannot read the control plane's kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is no client, or no answer.
    #[error("cannot ask the API server")]
    Ask(#[source] Box<kube::Error>),
    /// A CustomResourceDefinition is refused, or not served.
    #[error("the API server does not serve a kind: {0}")]
    Definition(String),
    /// What a component may do is refused, or does not count.
    #[error("the API server does not go by what is shipped of rights: {0}")]
    Rights(String),
    /// One of its programs ended.
    #[error("{program} ended; the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which.
        program: &'static str,
        /// What it wrote; kept.
        log: PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// It does not answer in time.
    #[error("no answer within {START_SECONDS_MAX} s; logs are in {}", folder.display())]
    Silent {
        /// Where its logs are kept.
        folder: PathBuf,
    },
}

impl From<kube::Error> for ControlPlaneError {
    fn from(error: kube::Error) -> Self {
        Self::Ask(Box::new(error))
    }
}

impl ControlPlane {
    /// Returns the control plane of this process, which is started if it is not there.
    pub async fn shared(assets: &Assets) -> Result<Arc<Self>, ControlPlaneError> {
        static SHARED: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
        let start = async || Ok(Arc::new(Self::start(assets).await?));
        SHARED.get_or_try_init(start).await.cloned()
    }

    /// Starts a control plane of its own, for a test that stops parts of it; it ends when it is dropped.
    pub async fn start(assets: &Assets) -> Result<Self, ControlPlaneError> {
        let mut starts = 1;
        loop {
            let control_plane = Self::prepare(assets)?;
            match control_plane.wait_until_ready().await {
                Ok(()) => return Ok(control_plane),
                Err(ControlPlaneError::Ended { .. }) if starts < STARTS_MAX => starts += 1,
                Err(error) => {
                    control_plane.supervisor.keep()?;
                    return Err(error);
                }
            }
        }
    }

    /// Returns a client that may do everything, of this test's runtime.
    pub async fn client(&self) -> Result<Client, ControlPlaneError> {
        client(self.config().await?)
    }

    /// Returns what a client that may do everything is made of.
    pub async fn config(&self) -> Result<Config, ControlPlaneError> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig())?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// Returns what a client is made of that is nobody, unless a request says who it is.
    pub async fn config_of_nobody(&self) -> Result<Config, ControlPlaneError> {
        let mut config = self.config().await?;
        config.auth_info = AuthInfo::default();
        Ok(config)
    }

    /// Returns what the API server was asked so far, by whom, but for what its own parts and the controllers ask. A call is
    /// noted when it is answered, or just after.
    pub fn calls(&self) -> io::Result<Vec<Call>> {
        Ok(audit::calls(&fs::read_to_string(&self.audit_log)?))
    }

    /// Returns the path of a kubeconfig that may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Returns the path of the certificate that the API server's is signed with.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.crt")
    }

    /// Returns the path of `kubectl`.
    pub fn kubectl(&self) -> PathBuf {
        self.assets.program("kubectl")
    }

    /// Keeps the folder with the logs of all programs, and returns it.
    pub fn keep_logs(&self) -> io::Result<&Path> {
        self.supervisor.keep()?;
        Ok(&self.folder)
    }

    /// Sends one of the programs a signal, e.g. etcd a `STOP` and a `CONT`.
    pub fn signal(&self, program: &str, signal: Signal) -> io::Result<()> {
        let pid = self.pid(program).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends the API server at once and starts it again; returns when it answers.
    pub async fn restart_api_server(&self) -> Result<(), ControlPlaneError> {
        let pid = self
            .pid(API_SERVER)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        kill_process(pid, Signal::KILL).map_err(io::Error::from)?;
        // A process whose first thread is gone may have others yet, which hold its port.
        while is_alive(pid) || !is_free(self.api_server) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fs::remove_file(self.folder.join(format!("{API_SERVER}.pid")))?;
        self.restart(API_SERVER)?;
        self.wait_until_ready().await
    }

    /// Stops etcd until what is returned is dropped: no write is done, and no read that wants the newest.
    pub fn pause_etcd(&self) -> io::Result<PausedEtcd<'_>> {
        self.signal(ETCD, Signal::STOP)?;
        Ok(PausedEtcd(self))
    }

    /// Starts a program again that was ended.
    pub fn restart(&self, program: &str) -> io::Result<()> {
        self.supervisor.run(program)
    }

    fn pid(&self, program: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.folder.join(format!("{program}.pid"))).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Writes all files and starts all programs; the API server waits for etcd, the controllers for the API server.
    fn prepare(assets: &Assets) -> Result<Self, ControlPlaneError> {
        let folder = tempfile::Builder::new()
            .prefix("aurora-testkit-")
            .tempdir()?
            .keep();
        let [etcd, peer, api_server] = [free_port()?, free_port()?, free_port()?];
        write_files(&folder, &Certificates::make()?, api_server)?;
        let audit_log = audit_log(&folder)?;
        for (program, arguments) in [
            (ETCD, etcd_arguments(etcd, peer)),
            (API_SERVER, api_server_arguments(etcd, api_server, &audit_log)),
            (CONTROLLER_MANAGER, controller_manager_arguments()),
        ] {
            let path = assets.program(program);
            // What they leave is collected a fourth as often: they do not live long.
            let command = format!("GOGC=400 exec '{}' {}\n", path.display(), arguments.join(" "));
            fs::write(folder.join(format!("{program}.sh")), command)?;
        }
        let supervisor = Supervisor::start(&folder)?;
        for program in [ETCD, API_SERVER, CONTROLLER_MANAGER] {
            supervisor.run(program)?;
        }
        Ok(Self {
            folder,
            api_server,
            audit_log,
            assets: assets.clone(),
            supervisor,
        })
    }

    /// Waits until the API server is ready and a controller has made what Pods need.
    async fn wait_until_ready(&self) -> Result<(), ControlPlaneError> {
        let client = self.client().await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        let started = Instant::now();
        while !matches!(accounts.get_opt("default").await, Ok(Some(_))) {
            self.check_alive()?;
            if started.elapsed() > Duration::from_secs(START_SECONDS_MAX) {
                return Err(ControlPlaneError::Silent {
                    folder: self.folder.clone(),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn check_alive(&self) -> Result<(), ControlPlaneError> {
        for program in [ETCD, API_SERVER] {
            let Some(pid) = self.pid(program) else { continue };
            if !is_alive(pid) {
                let log = self.folder.join(format!("{program}.log"));
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n");
                return Err(ControlPlaneError::Ended { program, log, tail });
            }
        }
        // It gives up where the API server is not there yet, and is started again.
        match self.pid(CONTROLLER_MANAGER) {
            Some(pid) if !is_alive(pid) => Ok(self.restart(CONTROLLER_MANAGER)?),
            _ => Ok(()),
        }
    }
}

/// An etcd that is stopped.
#[derive(Debug)]
pub struct PausedEtcd<'a>(&'a ControlPlane);

impl Drop for PausedEtcd<'_> {
    fn drop(&mut self) {
        // One that is not there any more says so by not answering.
        self.0.signal(ETCD, Signal::CONT).unwrap_or_default();
    }
}

/// Returns the path of a control plane's audit log: in its folder, or in the one that is named.
fn audit_log(folder: &Path) -> io::Result<PathBuf> {
    let Some(named) = std::env::var_os(AUDIT_FOLDER).filter(|named| !named.is_empty()) else {
        return Ok(folder.join("audit.log"));
    };
    fs::create_dir_all(&named)?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".log");
    fs::canonicalize(named).map(|named| named.join(name))
}

/// Returns a client of this test's runtime.
pub(crate) fn client(config: Config) -> Result<Client, ControlPlaneError> {
    Ok(Client::try_from(config)?)
}

/// Says whether a process runs: one that ended stays a zombie until its supervisor looks at it.
fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

fn write_files(folder: &Path, certificates: &Certificates, port: u16) -> io::Result<()> {
    let Certificates {
        authority,
        server,
        admin,
        token_key,
        token_public_key,
    } = certificates;
    for (name, text) in [
        ("authority.crt", authority),
        ("server.crt", &server.certificate),
        ("server.key", &server.key),
        ("admin.crt", &admin.certificate),
        ("admin.key", &admin.key),
        ("tokens.key", token_key),
        ("tokens.pub", token_public_key),
        ("audit-policy.json", &audit::POLICY.to_owned()),
    ] {
        fs::write(folder.join(name), text)?;
    }
    let path = |name: &str| folder.join(name);
    let cluster = json!({ "server": format!("https://127.0.0.1:{port}"), "certificate-authority": path("authority.crt") });
    let user = json!({ "client-certificate": path("admin.crt"), "client-key": path("admin.key") });
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "testkit", "cluster": cluster }],
        "users": [{ "name": "admin", "user": user }],
        "contexts": [{ "name": "testkit", "context": { "cluster": "testkit", "user": "admin" } }],
        "current-context": "testkit",
    });
    fs::write(path("kubeconfig"), kubeconfig.to_string())
}

fn etcd_arguments(port: u16, peer: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    vec![
        "--data-dir=etcd.data".to_owned(),
        // What it holds is worth nothing after the run.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

fn api_server_arguments(etcd: u16, port: u16, audit_log: &Path) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        format!("'--audit-log-path={}'", audit_log.display()),
    ];
    arguments.extend(
        [
            "--bind-address=127.0.0.1",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--client-ca-file=authority.crt",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=tokens.pub",
            "--service-account-signing-key-file=tokens.key",
            "--authorization-mode=RBAC",
            // A Service takes one; Pods have 10.1.0.0 and above.
            "--service-cluster-ip-range=10.0.0.0/16",
            "--endpoint-reconciler-type=none",
            "--audit-policy-file=audit-policy.json",
            // In megabytes; beyond, what was noted first would lie elsewhere.
            "--audit-log-maxsize=10000",
        ]
        .map(str::to_owned),
    );
    arguments
}

fn controller_manager_arguments() -> Vec<String> {
    [
        "--kubeconfig=kubeconfig",
        // Nobody asks it anything: it listens nowhere.
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--service-account-private-key-file=tokens.key",
        "--root-ca-file=authority.crt",
        // A node is gone when a test says so, and not when its process is stopped for a while.
        "--node-monitor-grace-period=1h",
        // At the usual 20 requests a second its own accounts alone take 5 s.
        "--kube-api-qps=300",
        "--kube-api-burst=600",
    ]
    .map(str::to_owned)
    .into()
}
