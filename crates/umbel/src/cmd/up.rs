//! `umbel up`: the platform, in the foreground or in the background.

pub(crate) mod lattice;

pub(crate) mod registries;
pub(crate) mod wasmcloud;

use self::registries::Registries;
use crate::background::{self, Found};
use crate::context::Context;
use crate::daemon;
use crate::fail::Failure;
use crate::render::Style;
use crate::text::{bad_argument, parse_duration, parse_size};
use lattice::On;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use umbel_api::document::Document;
use umbel_api::folder::{Running, StateFolder};
use umbel_core::Problem;
use umbel_core::code::call;
use umbel_core::id::LatticeName;
use umbel_host::wasmcloud::Wasmcloud;
use umbel_runtime::config::CompileLimits;
use umbel_supervisor::process::Policy;

/// Between two heartbeats of a host unless said.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long provider processes go on without a platform unless said.
const ADOPT_GRACE: Duration = Duration::from_secs(30);

/// Slots of the instance pool unless said.
const INSTANCES_DEFAULT: u32 = 2_000;

/// Where applications answer unless said.
pub(crate) const HTTP_PORT_DEFAULT: u16 = 8000;
/// So many ports after one that is taken are tried for one that is not.
const NEXT_PORTS: u16 = 100;

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  umbel up --detach                 start in the background; `umbel down` stops it
  umbel up                          stay in the foreground; Ctrl-C stops it
  umbel up --http-port 9000         answer for applications on another port
  umbel up --with-nats              start a nats-server too, so that others can join
  umbel up --nats nats://hub:4222   share the lattice of a NATS server")]
pub(crate) struct Args {
    /// Run in the background, and return when the platform is ready
    #[arg(short, long)]
    detach: bool,
    /// The port on which applications answer; 0 is any free one [default: 8000]
    #[arg(long, value_name = "PORT", env = "UMBEL_HTTP_PORT", hide_env_values = true)]
    http_port: Option<u16>,
    /// The address on which applications answer
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    http_address: IpAddr,
    /// The loopback port of the API, guarded by the token in the state folder; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    api_port: u16,
    /// Serve the API on its unix socket only
    #[arg(long, conflicts_with = "api_port")]
    no_api_port: bool,
    /// Component instances that may run at the same moment, of all applications together
    #[arg(long, value_name = "N", default_value_t = INSTANCES_DEFAULT)]
    instances: u32,
    /// Memory that compiling one component may use
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_size)]
    compile_memory: u64,
    /// Time, and CPU time, that compiling one component may take
    #[arg(long, value_name = "DURATION", default_value = "180s", value_parser = parse_duration)]
    compile_time: Duration,
    /// What becomes of provider processes when the platform is killed: they end too, or go on and the next platform takes them over
    #[arg(long, value_name = "POLICY", default_value = "end", value_parser = ["end", "adopt"])]
    processes: String,
    /// How long they go on without a platform before they end, with `--processes adopt`
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    adopt_grace: Duration,
    /// How long to wait until it is ready
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Lead a session of its own, for a platform in the background
    #[arg(long, hide = true)]
    session: bool,
    /// The name of the lattice
    #[arg(long, value_name = "NAME", default_value = "default", help_heading = "Lattice")]
    lattice: String,
    #[command(flatten)]
    on: lattice::Args,
    /// A name for the host, for people [default: that of the machine where others share the lattice]
    #[arg(long, value_name = "NAME", help_heading = "Lattice")]
    name: Option<String>,
    /// A label of the host, for placement; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", help_heading = "Lattice")]
    labels: Vec<String>,
    // Last: what they bring has a heading, which would be that of all that comes after them.
    #[command(flatten)]
    registries: registries::Args,
    #[command(flatten)]
    wasmcloud: wasmcloud::Args,
}

impl Args {
    /// The same, on the lattice of that server.
    pub(crate) fn sharing(self, address: String) -> Args {
        Args { on: self.on.sharing(address), ..self }
    }
}

/// What the platform is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Up {
    /// Where applications answer.
    pub(crate) http: SocketAddr,
    /// Where the API listens, besides its socket.
    pub(crate) api: Option<SocketAddr>,
    /// The lattice.
    pub(crate) lattice: LatticeName,
    /// What carries it, and who decides on it.
    pub(crate) on: On,
    /// The host's name.
    pub(crate) name: Option<String>,
    /// The host's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Slots of the instance pool.
    pub(crate) instances: u32,
    /// Limits of a compile process.
    pub(crate) compile: CompileLimits,
    /// What becomes of provider processes when it is killed.
    pub(crate) processes: Policy,
    /// How long they go on without it.
    pub(crate) adopt_grace: Duration,
    /// Between two heartbeats of the host.
    pub(crate) heartbeat: Duration,
    /// How registries are asked.
    pub(crate) registries: Registries,
    /// In what the host resembles one of wasmCloud 1.x.
    pub(crate) wasmcloud: Wasmcloud,
}

impl Up {
    /// The default platform with another port for applications.
    pub(crate) fn with_http_port(port: u16) -> Result<Up, Problem> {
        Ok(Up {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            api: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            lattice: LatticeName::new("default").map_err(|error| Problem::from(&error))?,
            on: On::default(),
            name: None,
            labels: BTreeMap::new(),
            instances: INSTANCES_DEFAULT,
            compile: CompileLimits::default(),
            processes: Policy::End,
            adopt_grace: ADOPT_GRACE,
            heartbeat: HEARTBEAT,
            registries: Registries::default(),
            wasmcloud: Wasmcloud::default(),
        })
    }

    fn new(args: &Args) -> Result<Up, Problem> {
        let mut labels = BTreeMap::new();
        for label in &args.labels {
            let Some((key, value)) = label.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(bad_argument(format!("`{}` is not a label: KEY=VALUE", label.escape_debug())));
            };
            labels.insert(key.to_string(), value.to_string());
        }
        let on = On::new(&args.on)?;
        Ok(Up {
            http: SocketAddr::new(args.http_address, args.http_port.unwrap_or(HTTP_PORT_DEFAULT)),
            api: (!args.no_api_port).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, args.api_port))),
            lattice: LatticeName::new(&args.lattice).map_err(|error| Problem::from(&error))?,
            wasmcloud: args.wasmcloud.settings(on.is_shared()),
            on,
            name: args.name.clone(),
            labels,
            instances: args.instances,
            compile: CompileLimits {
                memory_bytes: args.compile_memory,
                cpu: args.compile_time,
                wall: args.compile_time,
                ..CompileLimits::default()
            },
            processes: if args.processes == "adopt" { Policy::Adopt } else { Policy::End },
            adopt_grace: args.adopt_grace,
            heartbeat: HEARTBEAT,
            registries: Registries::new(&args.registries)?,
        })
    }

    /// The arguments that start this platform in a session of its own. It tells failures as JSON, which its starter reads.
    pub(crate) fn arguments(&self, folder: &StateFolder) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["up", "--session", "--output", "json", "--state"].map(OsString::from).into();
        arguments.push(folder.root().into());
        let mut add =
            |name: &str, value: String| arguments.extend([OsString::from(name), OsString::from(value)]);
        add("--http-address", self.http.ip().to_string());
        add("--http-port", self.http.port().to_string());
        if let Some(api) = self.api {
            add("--api-port", api.port().to_string());
        }
        add("--lattice", self.lattice.to_string());
        add("--instances", self.instances.to_string());
        add("--compile-memory", self.compile.memory_bytes.to_string());
        add("--compile-time", format!("{}ms", self.compile.wall.as_millis()));
        let policy = if self.processes == Policy::Adopt { "adopt" } else { "end" };
        add("--processes", policy.into());
        add("--adopt-grace", format!("{}ms", self.adopt_grace.as_millis()));
        if let Some(name) = &self.name {
            add("--name", name.clone());
        }
        for (key, value) in &self.labels {
            add("--label", format!("{key}={value}"));
        }
        arguments.extend(self.registries.arguments());
        arguments.extend(wasmcloud::arguments(&self.wasmcloud));
        if self.api.is_none() {
            arguments.push("--no-api-port".into());
        }
        self.on.arguments(&mut arguments);
        arguments
    }
}

/// A platform that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// Whether it ran before this command.
    pub(crate) was_running: bool,
    /// Its state folder.
    pub(crate) state: String,
    #[serde(flatten)]
    pub(crate) running: Running,
}

impl Document for Platform {
    const TYPE: &'static str = "platform/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let up = Up::new(&args)?;
    if args.detach {
        return detach(context, &up, &args).await;
    }
    if args.session {
        // Fails only for a process that leads a group already, which is as far from its starter's terminal.
        let _ = rustix::process::setsid();
    }
    start_log(args.session);
    if !args.session {
        context
            .progress
            .note(&format!("the platform runs in {}; Ctrl-C stops it", context.folder.root().display()));
    }
    let http = up.http;
    let ran = daemon::run(&context.folder, up).await;
    Ok(ran.map_err(|problem| {
        with_free_port(problem, http, |port| context.command(&format!("up --http-port {port}")))
    })?)
}

/// A port that another program has is told with one that is free.
pub(crate) fn with_free_port(
    problem: Problem,
    http: SocketAddr,
    command: impl FnOnce(u16) -> String,
) -> Problem {
    if problem.code != call::HTTP_PORT_IN_USE {
        return problem;
    }
    let is_free = |port: &u16| TcpListener::bind((http.ip(), *port)).is_ok();
    // When none of the next ones is, the system finds one.
    let free = (1..=NEXT_PORTS).filter_map(|step| http.port().checked_add(step)).find(is_free).unwrap_or(0);
    let who = format!("`ss -ltnp 'sport = :{}'` shows who has the port", http.port());
    problem.with_help(format!("`{}` takes one that is free\n{who}", command(free)))
}

/// A word about a port that was asked for when the platform ran already, on another one.
pub(crate) fn note_other_port(context: &Context, found: &Found, wanted: Option<u16>) {
    let port_of = |url: &String| url.trim_end_matches('/').rsplit(':').next()?.parse::<u16>().ok();
    let has = found.running.http_url.as_ref().and_then(port_of);
    if let (true, Some(wanted @ 1..), Some(has)) = (found.was_running, wanted, has)
        && wanted != has
    {
        let commands =
            [context.command("down"), context.command(&format!("up --detach --http-port {wanted}"))];
        let note = format!(
            "note: the platform runs already and answers on port {has}, not {wanted}; `{}` changes that",
            commands.join(" && ")
        );
        context.progress.note(&note);
    }
}

async fn detach(context: &Context, up: &Up, args: &Args) -> Result<(), Failure> {
    let starting = background::ensure(context, up, args.timeout);
    let started = context.progress.spin("starting the platform", starting).await;
    let command = |port| context.command(&format!("up --detach --http-port {port}"));
    let found =
        started.map_err(|failure| failure.map(|problem| with_free_port(problem, up.http, command)))?;
    note_other_port(context, &found, args.http_port);
    let platform = Platform {
        was_running: found.was_running,
        state: context.folder.root().display().to_string(),
        running: found.running,
    };
    context.show(
        &platform,
        |platform, style| describe(context, platform, style),
        |platform| vec![platform.state.clone()],
    )
}

fn describe(context: &Context, platform: &Platform, _: Style) -> String {
    let running = &platform.running;
    let verb = if platform.was_running { "was running already" } else { "runs" };
    let mut text = format!("The platform {verb}: pid {}, state in {}\n", running.pid, platform.state);
    if let Some(url) = &running.http_url {
        text.push_str(&format!("  applications  {url}\n"));
    }
    if let Some(url) = &running.api_url {
        text.push_str(&format!("  API           {url}\n"));
    }
    text.push_str(&format!("  log           {}\n", context.folder.log_file().display()));
    text.push_str(&format!("  stop          {}\n", context.command("down")));
    text
}

/// The platform's own log goes to stderr, which in the background is its log file.
pub(crate) fn start_log(is_file: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("UMBEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!is_file && Style::of_stderr().colour)
        // On a full disk a line is lost. Telling of it on stderr as well would end the thread that logs.
        .log_internal_errors(false)
        .finish();
    // Fails only when there is a log already, and this is the one place that starts one.
    drop(tracing::subscriber::set_global_default(subscriber));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::golden;
    use clap::Parser;

    #[test]
    fn a_platform_that_runs_says_where() {
        let context = golden::context();
        golden::check("up.txt", &describe(&context, &golden::input("up.json"), Style::PLAIN));
    }

    #[test]
    fn a_port_in_use_is_told_with_one_that_is_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap();
        let help = |code| {
            let problem = Problem::new(code, "it is taken").with_help("as it was");
            with_free_port(problem, taken, |port| {
                assert_ne!(port, taken.port());
                assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "{port}");
                format!("umbel up --http-port {port}")
            })
            .help
        };
        assert!(help(call::HTTP_PORT_IN_USE).starts_with("`umbel up --http-port "));
        assert_eq!(help(call::HTTP_LISTEN_FAILED), "as it was");
    }

    #[test]
    fn a_background_platform_is_told_everything() {
        let typed = "umbel up --http-port 0 --http-address ::1 --lattice edge --label zone=a --label rack=4 \
                     --processes adopt --adopt-grace 5s --insecure-registry localhost:5000 --registry-ca /ca.pem \
                     --registry-credentials /keys.json --config-service";
        for api in ["--api-port=4000", "--no-api-port"] {
            let cli = Cli::try_parse_from(typed.split(' ').chain([api])).unwrap();
            let Command::Up(args) = cli.command else { panic!("not `up`") };
            let up = Up::new(&args).unwrap();
            let arguments = up.arguments(&StateFolder::new("/state"));
            let cli = Cli::try_parse_from(std::iter::once("umbel".into()).chain(arguments)).unwrap();
            assert_eq!(cli.global.state.as_deref(), Some("/state".as_ref()));
            let Command::Up(args) = cli.command else { panic!("not `up`") };
            assert!(args.session);
            assert_eq!(Up::new(&args).unwrap(), up);
        }
    }
}
