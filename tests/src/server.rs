//! How does a test hold the bus in its own hands, to stop it and start it again?

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use megabrain_node::connection::{Connection, Role};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// A nats-server with the repository's `nats.conf`, at a port that stays the same.
pub struct Server {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    connection: Connection,
    process: Option<Child>,
}

impl Server {
    /// One that is not started yet.
    pub async fn new() -> Self {
        let program = crate::artefact("nats-server").await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        Self {
            program,
            folder: TempDir::new().expect("a folder"),
            port,
            connection: Connection::with_new_passwords(format!("nats://127.0.0.1:{port}")),
            process: None,
        }
    }

    /// Starts it and waits until it listens.
    pub async fn start(&mut self) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats.conf");
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(config)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string()])
            .arg("-sd")
            .arg(self.folder.path())
            .arg("-l")
            .arg(self.folder.path().join("nats.log"))
            .envs(self.passwords())
            .stdin(Stdio::null())
            .spawn()
            .expect("nats-server");
        self.process = Some(process);
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            assert!(Instant::now() < end, "nats-server does not listen on port {}", self.port);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it in good order and waits for its end.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        crate::signal(process.id(), Signal::TERM);
        process.wait().expect("wait");
    }

    /// Address and passwords.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The variables by which a node finds it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = self.passwords();
        variables.push(("NATS_URL", self.connection.url.clone()));
        variables
    }

    fn passwords(&self) -> Vec<(&'static str, String)> {
        let of = |role: &Role| (role.password_variable(), self.connection.passwords[role].clone());
        Role::ALL.iter().map(of).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
