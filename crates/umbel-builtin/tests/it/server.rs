//! Real servers for tests: programs that are on the machine, each in a temporary folder, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use umbel_supervisor::Scope;
use umbel_supervisor::process::{self, Spec};
use umbel_supervisor::stop::Stop;

/// A running server.
pub(super) struct Server {
    spec: Spec,
    stop: Stop,
    task: Scope,
}

impl Server {
    /// Starts it. It may take a moment until it answers.
    pub(super) fn start(spec: Spec) -> Server {
        let mut server = Server { spec, stop: Stop::new(), task: Scope::new("server") };
        server.again();
        server
    }

    /// Starts it again after it was stopped.
    pub(super) fn again(&mut self) {
        let (stop, spec) = (Stop::new(), self.spec.clone());
        self.stop = stop.clone();
        self.task = Scope::new("server");
        self.task.spawn(async move {
            let ended = process::run(&spec, &stop).await;
            if !stop.is_requested() {
                eprintln!("a server has ended by itself: {ended:?}");
            }
        });
    }

    /// Ends it, and waits until it has ended.
    pub(super) async fn end(&mut self) {
        self.stop.request();
        self.task.drain(std::time::Duration::from_secs(20)).await;
    }
}

/// The program, where Debian or `cargo xtask` puts it. A test needs it: where it is missing it fails, with what to do.
pub(super) fn program(name: &str, folders: &[&str], install: &str) -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let folders = folders.iter().map(|folder| folder.replace('~', &home));
    let found = folders.map(|folder| Path::new(&folder).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no `{name}`; install it: {install}"))
}

/// A port of the loopback that was free a moment ago.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
