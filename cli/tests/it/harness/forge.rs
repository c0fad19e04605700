//! A forge on loopback: one repository behind a real SSH server and a real HTTPS server, which can be made to fail.
//!
//! Nothing here needs root: each server runs as whoever runs the tests, in a temporary folder, with keys and an authority
//! of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use git2::Oid;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::{Repository, eventually, root, run, skipped, text};

/// Not empty where these tests must run: a machine without the servers is a failure then.
const REQUIRED: &str = "REQUIRE_GIT_SERVERS";
/// The programs of the servers, and Debian's packages that they come from.
const PROGRAMS: [(&str, &str); 6] = [
    ("git", "git"),
    ("/usr/sbin/sshd", "openssh-server"),
    ("ssh-agent", "openssh-client"),
    ("/usr/sbin/nginx", "nginx"),
    ("/usr/sbin/fcgiwrap", "fcgiwrap"),
    ("/usr/sbin/squid", "squid"),
];

/// What answers a request for Git: Git itself, unless a file says what is to go wrong.
const GIT: &str = "#!/bin/sh
[ -e ../stall ] && exec sleep 600
if [ -e ../cut ] && [ \"$REQUEST_METHOD\" = POST ]; then git http-backend | head -c 900; exit; fi
exec git http-backend
";

/// A certificate's first and last year.
pub(crate) type Years = (i32, i32);
/// Valid for longer than this program lives.
pub(crate) const VALID: Years = (2020, 2099);

/// A repository behind servers.
pub(crate) struct Forge {
    pub(crate) repository: Repository,
    folder: TempDir,
    proxy: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    pub(crate) https: u16,
    pub(crate) ssh: u16,
    servers: BTreeMap<&'static str, Server>,
}

/// A process that goes with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Forge {
    /// Starts the servers; nothing, and a line that says why, where the machine lacks one.
    pub(crate) fn start() -> Option<Self> {
        let is_there = |program: &str| {
            let found = Command::new("sh")
                .args(["-c", "command -v \"$0\"", program])
                .output();
            found.is_ok_and(|found| found.status.success())
        };
        if let Some((program, package)) = PROGRAMS.into_iter().find(|(program, _)| !is_there(program)) {
            let is_required = std::env::var_os(REQUIRED).is_some_and(|value| !value.is_empty());
            assert!(!is_required, "there is no {program}: install {package}");
            skipped(&format!(
                "a test against a real Git server; it needs {program}, by the package {package}"
            ));
            return None;
        }
        let repository = Repository::empty();
        for file in ["environment.yaml", "iris.yaml"] {
            let manifest = fs::read(root().join("environments/dev").join(file)).expect("a manifest");
            repository.write(&format!("environments/dev/{file}"), manifest);
        }
        repository.commit("declare iris");
        let folder = TempDir::new().expect("a temporary folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than what it signs, which would seem to be signed by itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let mut forge = Self {
            repository,
            authority: CertifiedIssuer::self_signed(params, key).expect("an authority"),
            folder,
            proxy: TempDir::new().expect("a temporary folder"),
            https: free_port(),
            ssh: free_port(),
            servers: BTreeMap::new(),
        };
        forge.write("ca.pem", &forge.authority.pem());
        forge.users(&[("x-access-token", "t0ken")]);
        forge.credentials(&format!(
            "https://x-access-token:t0ken@127.0.0.1:{}\n",
            forge.https
        ));
        forge.certify(VALID);
        forge.start_git();
        forge.start_nginx();
        forge.make_key("host");
        forge.make_key("user");
        forge.make_key("stranger");
        forge.start_sshd();
        forge.know("host");
        Some(forge)
    }

    /// Returns a file of the forge, or of whoever asks it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes such a file, which is nobody else's to read.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let (file, aside) = (self.file(name), self.file(&format!("{name}.aside")));
        fs::write(&aside, content).expect("a file");
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).expect("a mode");
        fs::rename(aside, file).expect("a file in its place");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("the file is there");
    }

    /// Returns the address behind HTTPS. `place`: `git`, or one that goes wrong.
    pub(crate) fn https_address(&self, place: &str) -> String {
        format!("https://127.0.0.1:{}/{place}/.git", self.https)
    }

    /// Returns the address behind SSH.
    pub(crate) fn ssh_address(&self) -> String {
        let user = text(&run(Command::new("id").arg("-un")));
        format!(
            "ssh://{}@127.0.0.1:{}{}/.git",
            user.trim_end(),
            self.ssh,
            self.repository.path().display()
        )
    }

    /// Says who may read over HTTPS.
    pub(crate) fn users(&self, users: &[(&str, &str)]) {
        let mut lines = String::new();
        for (user, password) in users {
            writeln!(lines, "{user}:{{PLAIN}}{password}").expect("text");
        }
        self.write("users", &lines);
    }

    pub(crate) fn credentials(&self, lines: &str) {
        self.write("credentials", lines);
    }

    /// Gives the HTTPS server a certificate, valid in these years.
    pub(crate) fn certify(&self, (from, until): Years) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        self.write("cert.pem", &certificate.pem());
        self.write("key.pem", &key.serialize_pem());
    }

    /// Lets the HTTPS server have another certificate.
    pub(crate) fn restart_https(&mut self) {
        self.start_nginx();
    }

    /// Stops all servers.
    pub(crate) fn stop(&mut self) {
        self.servers.clear();
    }

    /// Starts them again.
    pub(crate) fn start_again(&mut self) {
        self.start_git();
        self.start_nginx();
        self.start_sshd();
    }

    /// Makes the known hosts name a key for the SSH server.
    pub(crate) fn know(&self, key: &str) {
        let public = fs::read_to_string(self.file(&format!("{key}.pub"))).expect("a public key");
        self.write("known_hosts", &format!("[127.0.0.1]:{} {public}", self.ssh));
    }

    /// Lets one key log in over SSH.
    pub(crate) fn authorize(&self, key: &str) {
        fs::copy(self.file(&format!("{key}.pub")), self.file("authorized")).expect("a public key");
    }

    /// Starts an agent that holds a key; returns where it listens.
    pub(crate) fn agent(&mut self, key: &str) -> PathBuf {
        let socket = self.file("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket);
        self.serve("agent", &mut command);
        eventually("the agent listens", || socket.exists().then_some(()));
        let added = run(Command::new("ssh-add")
            .arg(self.file(key))
            .env("SSH_AUTH_SOCK", &socket));
        assert!(added.status.success(), "{}", text(&added));
        socket
    }

    /// Starts a proxy that lets one user through; returns its port.
    pub(crate) fn proxy(&mut self, user: &str, password: &str) -> u16 {
        let port = free_port();
        let folder = self.proxy.path();
        // As root it becomes somebody else, who may look in here.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("a mode");
        let path = folder.display();
        let helper = format!(
            "#!/bin/sh\nwhile read -r who; do [ \"$who\" = '{user} {password}' ] && echo OK || echo ERR; done\n"
        );
        let config = format!(
            "http_port 127.0.0.1:{port}\npid_filename none\naccess_log stdio:{path}/access.log\n\
             cache_log {path}/squid.log\ncache deny all\ncoredump_dir {path}\npinger_enable off\nnetdb_filename none\n\
             visible_hostname proxy.example\nshutdown_lifetime 0 seconds\n\
             auth_param basic program /bin/sh {path}/helper\nauth_param basic children 1 startup=1\n\
             auth_param basic credentialsttl 1 seconds\nacl known proxy_auth REQUIRED\n\
             http_access allow known\nhttp_access deny all\n"
        );
        fs::write(folder.join("helper"), helper).expect("a helper");
        fs::write(folder.join("config"), config).expect("a configuration");
        let mut command = Command::new("/usr/sbin/squid");
        command.arg("-N").arg("-f").arg(folder.join("config"));
        self.serve("proxy", &mut command);
        listens(port);
        port
    }

    /// Returns what the proxy was asked for.
    pub(crate) fn proxied(&self) -> String {
        fs::read_to_string(self.proxy.path().join("access.log")).unwrap_or_default()
    }

    /// Returns the flags that reach the repository over HTTPS.
    pub(crate) fn https_flags(&self) -> Vec<String> {
        self.flags(&[("--git-credentials-file", "credentials"), ("--ca-file", "ca.pem")])
    }

    /// Returns the flags that reach the repository over SSH with a key.
    pub(crate) fn ssh_flags(&self, key: &str) -> Vec<String> {
        self.flags(&[("--git-credentials-file", key), ("--known-hosts", "known_hosts")])
    }

    pub(crate) fn flags(&self, files: &[(&str, &str)]) -> Vec<String> {
        let named = files
            .iter()
            .flat_map(|(flag, name)| [(*flag).to_owned(), self.file(name).display().to_string()]);
        named
            .chain(["--fetch-interval", "1"].map(str::to_owned))
            .collect()
    }

    /// Returns how often the HTTPS server was asked for something.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.file("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(what)).count()
    }

    /// Commits something that changes no model.
    pub(crate) fn commit(&self, note: &str) -> Oid {
        let file = "environments/dev/environment.yaml";
        let text = self.repository.read(file);
        self.repository.write(file, format!("{text}\n# {note}\n"));
        self.repository.commit(note)
    }

    fn serve(&mut self, name: &'static str, command: &mut Command) {
        // Whoever has its place gives it up first.
        drop(self.servers.remove(name));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        self.servers.insert(name, Server(child));
    }

    fn start_git(&mut self) {
        fs::create_dir_all(self.file("run")).expect("a folder");
        let script = self.file("run/git.sh");
        fs::write(&script, GIT).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("a mode");
        let socket = self.file("fcgi");
        drop(fs::remove_file(&socket));
        let mut command = Command::new("/usr/sbin/fcgiwrap");
        command
            .args(["-c", "4", "-s"])
            .arg(format!("unix:{}", socket.display()));
        self.serve("git", &mut command);
        eventually("fcgiwrap listens", || socket.exists().then_some(()));
    }

    fn start_nginx(&mut self) {
        let folder = self.folder.path().display().to_string();
        let repository = self.repository.path().display();
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temporary, "  {kind}_temp_path {folder}/tmp-{kind};").expect("text");
        }
        let git = format!(
            "fastcgi_pass unix:{folder}/fcgi; fastcgi_param SCRIPT_FILENAME {folder}/run/git.sh; \
             fastcgi_param GIT_PROJECT_ROOT {repository}; fastcgi_param GIT_HTTP_EXPORT_ALL 1; \
             fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string; \
             fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; \
             fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; \
             fastcgi_param HTTP_GIT_PROTOCOL $http_git_protocol; fastcgi_param REMOTE_USER $remote_user; \
             fastcgi_param REMOTE_ADDR 127.0.0.1;"
        );
        let locked = format!("auth_basic forge; auth_basic_user_file {folder}/users;");
        let https = self.https;
        self.write(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n\
                 events {{}}\nhttp {{\n{temporary}  log_format line '$request_method $request_uri $status $remote_user';\n  \
                 access_log {folder}/access.log line;\n  client_max_body_size 0;\n  server {{\n    \
                 listen 127.0.0.1:{https} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;\n    \
                 location ~ ^/git(?<rest>/.*)$ {{ {locked} {git} fastcgi_param PATH_INFO $rest; }}\n    \
                 location ~ ^/open(?<rest>/.*)$ {{ {git} fastcgi_param PATH_INFO $rest; }}\n    \
                 location ~ ^/renamed(?<rest>/.*)$ {{ return 301 https://127.0.0.1:{https}/git$rest$is_args$args; }}\n    \
                 location ~ ^/elsewhere(?<rest>/.*)$ {{ return 302 https://localhost:{https}/git$rest$is_args$args; }}\n    \
                 location /page/ {{ default_type text/html; return 200 '<html>Log in</html>'; }}\n    \
                 location /busy/ {{ return 503; }}\n  }}\n}}\n"
            ),
        );
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .arg("-p")
            .arg(self.folder.path())
            .arg("-c")
            .arg(self.file("nginx.conf"));
        command.arg("-e").arg(self.file("error.log"));
        self.serve("nginx", &mut command);
        listens(self.https);
    }

    fn make_key(&self, name: &str) {
        let made = run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.file(name)));
        assert!(made.status.success(), "{}", text(&made));
    }

    fn start_sshd(&mut self) {
        // As root it wants the folder that its package makes at the start of a machine.
        drop(fs::create_dir_all("/run/sshd"));
        if !self.file("authorized").exists() {
            self.authorize("user");
        }
        self.write(
            "sshd.conf",
            &format!(
                "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
                 PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n{}",
                self.ssh,
                self.file("host").display(),
                self.file("authorized").display(),
                if has_penalties() { "PerSourcePenalties no\n" } else { "" },
            ),
        );
        let mut command = Command::new("/usr/sbin/sshd");
        command
            .arg("-D")
            .arg("-f")
            .arg(self.file("sshd.conf"))
            .arg("-E")
            .arg(self.file("sshd.log"));
        self.serve("sshd", &mut command);
        listens(self.ssh);
    }
}

/// Whether this sshd (9.8 and newer) makes those wait who failed to log in.
fn has_penalties() -> bool {
    let probed =
        run(Command::new("/usr/sbin/sshd").args(["-t", "-o", "PerSourcePenalties=no", "-f", "/dev/null"]));
    !text(&probed).contains("PerSourcePenalties")
}

pub(crate) fn free_port() -> u16 {
    testkit::free_port().expect("a port")
}

fn listens(port: u16) {
    eventually(&format!("port {port} is served"), || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
}

/// Returns how `up` is started on an address.
pub(crate) fn up_at(address: &str, data_dir: &Path, flags: &[String]) -> Command {
    let mut command = super::up_command(Path::new(address), data_dir);
    command.args(super::FREE_PORTS).args(flags);
    // An agent of whoever runs the tests is not asked.
    command.env_remove("SSH_AUTH_SOCK");
    command
}
