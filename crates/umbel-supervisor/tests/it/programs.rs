//! The programs of these tests: this very binary, started again as a host, as its guardian, or as a service.
//! None of them is a test of its own; started without its argument each returns at once.

use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_core::Problem;
use umbel_supervisor::process::{CgroupLimits, Cgroups, Home, Policy, Service, Spec};
use umbel_supervisor::{ChildSpec, Env, Strategy, Supervisor, SupervisorSpec, guardian};

const SERVICE: &str = "UMBEL_TEST_SERVICE";
/// The variable that marks whatever belongs to a host of a test.
pub(crate) const MARK: &str = "UMBEL_CENSUS";

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// This binary, running one of its programs.
pub(crate) fn program(name: &str) -> Spec {
    Spec::new(own()).args([&format!("programs::{name}"), "--exact", "--nocapture"])
}

/// What a host of a test is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) tag: String,
    pub(crate) folder: PathBuf,
    pub(crate) cgroups: bool,
    pub(crate) adopt_grace_ms: u64,
    pub(crate) services: Vec<(String, Kind)>,
}

/// How a service of a test misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Ignores every signal that can be ignored.
    Stubborn,
    /// Forks twice, into a session of its own, and holds the pipes open.
    Daemon,
    /// The same, without the environment that it was started with.
    Stranger,
    /// Forks without end; against a small limit of pids.
    Bomb,
    /// Leaves children behind and ends.
    Gone,
    /// Mounts something over its run folder, if it may.
    Mount,
    /// Walks out of its cgroups, if it may, into other ones; then the same as a stranger.
    Escapist,
    /// Holds a port.
    Port(u16),
    /// Answers on a unix socket with its pid, prints without end, and outlives its host.
    Echo,
}

impl Kind {
    pub(crate) fn service(self, name: &str, tag: &str, folder: &Path) -> Service {
        // The number of seconds marks what has lost its environment.
        let sleep = format!("sleep 98765.{}", digits(tag));
        let sh = |script: String| Spec::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin");
        let spec = match self {
            Kind::Stubborn => sh(format!("trap '' TERM INT HUP USR1 USR2 PIPE; while :; do {sleep}; done")),
            Kind::Daemon => {
                sh(format!("(setsid sh -c \"trap '' TERM; (setsid {sleep} &); {sleep}\" &); exec {sleep}"))
            }
            Kind::Stranger => sh(format!("(env -i setsid sh -c '(setsid {sleep} &)' &); exec {sleep}")),
            Kind::Escapist => sh(format!(
                "for door in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do echo $$ > $door; done; \
                 (env -i setsid sh -c '(setsid {sleep} &)' &); exec {sleep}"
            )),
            Kind::Mount => {
                let run = folder.join("run").join(name);
                let mount = format!("mount -t tmpfs none {0} && : > {0}/inside", run.display());
                sh(format!("{mount}; (setsid {sleep} &); exec {sleep}"))
            }
            Kind::Bomb => program("service").env(SERVICE, format!("bomb {sleep}")),
            Kind::Gone => sh(format!("(setsid {sleep} &); {sleep} & exit 0")),
            Kind::Port(port) => program("service").env(SERVICE, format!("port {port}")),
            Kind::Echo => {
                let socket = folder.join("run").join(name).join("sock");
                program("service").env(SERVICE, format!("echo {}", socket.display()))
            }
        };
        let policy = if self == Kind::Echo { Policy::Adopt } else { Policy::End };
        let limits =
            CgroupLimits { pids: Some(if self == Kind::Bomb { 24 } else { 64 }), ..CgroupLimits::default() };
        let spec = spec.env(MARK, tag).grace(Duration::from_millis(100));
        Service::new(name, spec).policy(policy).limits(limits)
    }
}

/// The digits of a tag, so that a number can carry it.
pub(crate) fn digits(tag: &str) -> String {
    tag.chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn guardian() {
    if let Some(argument) = std::env::args().next_back().filter(|argument| argument.starts_with('{')) {
        let _ = guardian::main(&argument);
        std::process::exit(0);
    }
}

#[test]
fn service() {
    let Ok(told) = std::env::var(SERVICE) else { return };
    match told.split_once(' ').unwrap() {
        ("port", port) => {
            let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
            println!("listening");
            listener.incoming().for_each(drop);
        }
        ("echo", socket) => {
            let listener = UnixListener::bind(socket).unwrap();
            // More than a pipe holds every few milliseconds: it would wait if nobody read, and would not answer.
            listener.set_nonblocking(true).unwrap();
            let line = "x".repeat(100);
            loop {
                for _ in 0..20 {
                    println!("{line}");
                }
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = writeln!(stream, "{}", std::process::id());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        ("bomb", sleep) => loop {
            // As soon as one place is free, it is taken.
            let mut words = sleep.split(' ');
            #[expect(clippy::disallowed_methods, reason = "this is what is to be contained")]
            let mut command = std::process::Command::new(format!("/bin/{}", words.next().unwrap()));
            if command.args(words).spawn().is_err() {
                std::thread::yield_now();
            }
        },
        other => panic!("{other:?}"),
    }
}

/// Asks an echo service for its pid.
pub(crate) fn ask(socket: &Path) -> std::io::Result<u32> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.trim().parse().map_err(std::io::Error::other)
}

#[tokio::test]
async fn host() {
    let Ok(told) = std::env::var("UMBEL_TEST_HOST") else { return };
    let host: Host = serde_json::from_str(&told).unwrap();
    let cgroups = if host.cgroups { Cgroups::detect() } else { Cgroups::none() };
    let home = Home::open(&host.folder, &host.tag, cgroups).unwrap();
    let guardian = Spec { program: "/proc/self/exe".into(), ..program("guardian") };
    let grace = Duration::from_millis(host.adopt_grace_ms);
    let guardian = guardian::child_spec(&home, guardian.program, guardian.args, grace);
    let mut spec = SupervisorSpec::new(Strategy::OneForOne).child(guardian);
    for (name, kind) in host.services {
        let service = kind.service(&name, &host.tag, &host.folder);
        spec = spec.child(driven(name, home.clone(), service));
    }
    println!("\nopen");
    let tree = Supervisor::start("host", spec, Env::system());
    let mut known = Vec::new();
    tree.wait_for(|tree| {
        for child in tree.children.iter().filter(|child| child.detail.is_some()) {
            if !known.contains(&child.id) {
                println!("\nstarted {} {}", child.id, child.detail.as_deref().unwrap_or_default());
                known.push(child.id.clone());
            }
        }
        false
    })
    .await
    .unwrap();
}

/// A child that drives its process itself, as a host does.
fn driven(name: String, home: Home, service: Service) -> ChildSpec {
    ChildSpec::task(name, move |cx| {
        let (home, service) = (home.clone(), service.clone());
        async move {
            let running = home.start(&service).await.map_err(|error| Problem::from(&error))?;
            cx.detail.set(format!("pid {}", running.pid()));
            cx.ready.notify();
            tokio::select! {
                _ = running.exited() => {}
                () = cx.stop.requested() => {}
            }
            // What has ended stays as it is, with the children that it left: the host is to be killed now.
            cx.stop.requested().await;
            running.stop(service.spec.grace).await.map(|_| ()).map_err(|error| Problem::from(&error))
        }
    })
}
