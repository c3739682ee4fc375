//! `umbel host`: a host as wasmCloud 1.x starts one, configured by its variables and flags (`facts/wasmcloud.md` §3.3).
//!
//! Tools that start a host, as `wash up --host-path umbel` does, give it variables alone: that is this verb, too.

use crate::cmd::up::registries::Registries;
use crate::cmd::up::{self, lattice};
use crate::context::Context;
use crate::daemon;
use crate::fail::Failure;
use crate::text::bad_argument;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_api::folder::StateFolder;
use umbel_core::Problem;
use umbel_core::code::{api, host as code, lattice as lattice_code};
use umbel_core::id::LatticeName;
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_host::wasmcloud::Wasmcloud;

/// Hosts of one lattice that a machine may have without a seed each.
const HOSTS_MAX: usize = 64;
/// What a label's variable begins with.
const LABEL: &str = "WASMCLOUD_LABEL_";

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  umbel host --lattice default --ctl-host 127.0.0.1 --ctl-port 4222
  wash up --host-path $(which umbel)                     wash starts it with variables alone

Variables and flags of wasmCloud that are not listed have no effect.")]
pub(crate) struct Args {
    /// The lattice
    #[arg(short = 'x', long, env = "WASMCLOUD_LATTICE", default_value = "default")]
    lattice: String,
    /// The seed of the host's key, SN…; without one, a key is made and kept
    #[arg(long, env = "WASMCLOUD_HOST_SEED", hide_env_values = true)]
    host_seed: Option<String>,
    /// The NATS server
    #[arg(long, env = "WASMCLOUD_NATS_HOST", default_value = "127.0.0.1")]
    nats_host: String,
    /// Its port
    #[arg(long, env = "WASMCLOUD_NATS_PORT", default_value_t = 4222)]
    nats_port: u16,
    /// The NATS server of control messages, which is also used for calls
    #[arg(long, env = "WASMCLOUD_CTL_HOST")]
    ctl_host: Option<String>,
    /// Its port
    #[arg(long, env = "WASMCLOUD_CTL_PORT")]
    ctl_port: Option<u16>,
    /// A user JWT for it
    #[arg(long, env = "WASMCLOUD_CTL_JWT", hide_env_values = true, requires = "ctl_seed")]
    ctl_jwt: Option<String>,
    /// The seed that goes with the JWT, SU…
    #[arg(long, env = "WASMCLOUD_CTL_SEED", hide_env_values = true)]
    ctl_seed: Option<String>,
    /// A file with both
    #[arg(long, env = "WASMCLOUD_CTL_CREDSFILE")]
    ctl_credsfile: Option<PathBuf>,
    /// Whether it must be spoken to over TLS
    #[arg(long, env = "WASMCLOUD_CTL_TLS")]
    ctl_tls: bool,
    /// Authorities to trust for that
    #[arg(long, env = "WASMCLOUD_CTL_TLS_CA_FILE")]
    ctl_tls_ca_file: Option<PathBuf>,
    /// Whether TLS begins before the server has said anything
    #[arg(long, env = "WASMCLOUD_CTL_TLS_FIRST")]
    ctl_tls_first: bool,
    /// The JetStream domain that keeps the lattice's state
    #[arg(long, env = "WASMCLOUD_JS_DOMAIN")]
    js_domain: Option<String>,
    /// A label, KEY=VALUE; may be given several times [env: WASMCLOUD_LABEL_KEY=VALUE]
    #[arg(long = "label")]
    labels: Vec<String>,
    /// Registries that are asked over plain HTTP; who one is there say OCI_REGISTRY, OCI_REGISTRY_USER and OCI_REGISTRY_PASSWORD
    #[arg(long, env = "WASMCLOUD_OCI_ALLOWED_INSECURE", value_delimiter = ',')]
    allowed_insecure: Vec<String>,
    /// Authorities that registries are trusted by; may be given several times
    #[arg(long, env = "WASMCLOUD_TLS_CA_PATH", value_delimiter = ',')]
    tls_ca_path: Vec<PathBuf>,
    /// Whether the lattice is asked for credentials of registries
    #[arg(long, env = "WASMCLOUD_CONFIG_SERVICE", value_parser = clap::builder::FalseyValueParser::new())]
    config_service_enabled: bool,
    /// Seconds between heartbeats
    #[arg(long, env = "WASMCLOUD_HEARTBEAT_INTERVAL_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    heartbeat_interval_seconds: u64,
    /// Whether components and providers may be files of this machine
    #[arg(long, env = "WASMCLOUD_ALLOW_FILE_LOAD", value_parser = clap::builder::FalseyValueParser::new())]
    allow_file_load: bool,
    /// Milliseconds that a call to another host or a provider process may take, unless the caller says so itself
    #[arg(long, env = "WASMCLOUD_RPC_TIMEOUT_MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    rpc_timeout_ms: u64,
    /// Milliseconds that a call of a component may take, unless its limits say so
    #[arg(long, env = "WASMCLOUD_MAX_EXECUTION_TIME_MS", default_value_t = 600_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    max_execution_time_ms: u64,
    /// Whether well-known providers (http-server, blobstore-fs and others) are pulled and run as they are, with no builtin in their place
    #[arg(long, env = "UMBEL_NO_STAND_INS", value_parser = clap::builder::FalseyValueParser::new())]
    no_stand_ins: bool,
    /// The port of the shared HTTP listener; links with an address of their own listen there. 0 is any free one
    #[arg(long, env = "UMBEL_HTTP_PORT", default_value_t = 0)]
    http_port: u16,
}

/// Whether this process was started as tools of wasmCloud start a host: with variables, and nothing typed.
pub(crate) fn is_meant() -> bool {
    std::env::args_os().len() <= 1
        && ["WASMCLOUD_CTL_HOST", "WASMCLOUD_RPC_HOST", "WASMCLOUD_LATTICE"]
            .iter()
            .any(|name| std::env::var_os(name).is_some())
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    up::start_log(true);
    let up = up(&args)?;
    let hosts = context.folder.root().join("hosts");
    if let Some(seed) = &args.host_seed {
        let folder = with_seed(&hosts, seed)?;
        return Ok(daemon::run(&folder, up).await?);
    }
    for number in 0..HOSTS_MAX {
        let folder = StateFolder::new(hosts.join(format!("{}-{number}", up.lattice)));
        match daemon::run(&folder, up.clone()).await {
            // Another host of this machine has it.
            Err(problem) if [code::STATE_LOCKED, lattice_code::STATE_LOCKED].contains(&problem.code) => {}
            ended => return Ok(ended?),
        }
    }
    let message = format!("{HOSTS_MAX} hosts of the lattice `{}` run on this machine", up.lattice);
    Err(Problem::new(api::START_FAILED, message)
        .with_help("give each a seed of its own: `--host-seed SN…`")
        .into())
}

/// The folder of the host with that key; the key is kept there.
fn with_seed(hosts: &Path, seed: &str) -> Result<StateFolder, Problem> {
    let wrong = |why: String| bad_argument(format!("the host seed cannot be used: {why}"));
    let key = KeyPair::from_seed(seed).map_err(|error| wrong(error.to_string()))?;
    let key = key.require(KeyKind::Host).map_err(|error| wrong(error.to_string()))?;
    // Sockets lie in it, whose paths must be short.
    let name: String = key.public_key().as_str().chars().take(16).collect();
    let folder = StateFolder::new(hosts.join(name));
    folder.prepare()?;
    let path = folder.root().join("host.nk");
    let written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    written.and_then(|mut file| std::io::Write::write_all(&mut file, seed.trim().as_bytes())).map_err(
        |error| {
            let message = format!("`{}` cannot be written", path.display());
            Problem::new(api::STATE_FOLDER, message).with_cause(error.to_string())
        },
    )?;
    Ok(folder)
}

fn up(args: &Args) -> Result<up::Up, Problem> {
    let host = args.ctl_host.as_ref().unwrap_or(&args.nats_host);
    let port = args.ctl_port.unwrap_or(args.nats_port);
    let scheme = if args.ctl_tls { "tls" } else { "nats" };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
    let auth = match (&args.ctl_jwt, &args.ctl_seed) {
        (Some(jwt), Some(seed)) => lattice::Login::Jwt { jwt: jwt.clone(), seed: seed.clone().into() },
        (None, Some(seed)) => lattice::Login::Nkey(seed.clone().into()),
        _ => lattice::Login::None,
    };
    let reach = lattice::Reach::new(format!("{scheme}://{host}:{port}"))
        .login(auth)
        .creds(args.ctl_credsfile.clone())
        .tls(args.ctl_tls, args.ctl_tls_first, args.ctl_tls_ca_file.clone())
        .js_domain(args.js_domain.clone());
    reach.spec()?;
    let mut up = up::Up::with_http_port(args.http_port)?;
    up.http = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.http_port);
    up.api = None;
    up.lattice = LatticeName::new(&args.lattice).map_err(|error| Problem::from(&error))?;
    up.labels = labels(&args.labels, std::env::vars())?;
    up.heartbeat = Duration::from_secs(args.heartbeat_interval_seconds);
    up.registries =
        Registries::given(&args.allowed_insecure, &args.tls_ca_path, None, args.config_service_enabled)?;
    up.wasmcloud = Wasmcloud {
        stand_ins: !args.no_stand_ins,
        file_load: args.allow_file_load,
        rpc_timeout: Some(Duration::from_millis(args.rpc_timeout_ms)),
        execution_max: Some(Duration::from_millis(args.max_execution_time_ms)),
    };
    // Whoever starts hosts of wasmCloud manages applications with wadm.
    up.on = lattice::On { carrier: lattice::Carrier::Nats(Box::new(reach)), manages: false };
    Ok(up)
}

/// Labels of flags, and those of variables, which they replace.
fn labels(
    flags: &[String],
    variables: impl Iterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, Problem> {
    let named = |(name, value): (String, String)| Some((name.strip_prefix(LABEL)?.to_string(), value));
    let mut labels: BTreeMap<String, String> = variables.filter_map(named).collect();
    for flag in flags {
        match flag.split_once('=') {
            Some((key, value)) if !key.is_empty() => labels.insert(key.to_string(), value.to_string()),
            _ => return Err(bad_argument(format!("`{}` is not a label: KEY=VALUE", flag.escape_debug()))),
        };
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn read(typed: &str) -> Result<up::Up, Problem> {
        let cli = Cli::try_parse_from(std::iter::once("host").chain(typed.split_whitespace())).unwrap();
        up(&cli.args)
    }

    #[test]
    fn flags_of_wasmcloud_mean_what_they_mean_there() {
        let up = read(
            "-x edge --ctl-host hub.example --ctl-port 4333 --label zone=a --heartbeat-interval-seconds 5",
        );
        let up = up.unwrap();
        assert_eq!((up.lattice.as_str(), up.labels["zone"].as_str()), ("edge", "a"));
        assert_eq!(up.heartbeat, Duration::from_secs(5));
        assert!(!up.on.manages && up.api.is_none());
        assert_eq!(up.on.variables()[0].1, Some("nats://hub.example:4333"));
        let plain = Wasmcloud {
            stand_ins: true,
            file_load: false,
            rpc_timeout: Some(Duration::from_secs(2)),
            execution_max: Some(Duration::from_secs(600)),
        };
        assert_eq!(up.wasmcloud, plain, "the defaults are those of wasmCloud");
        let told = read("--allow-file-load --rpc-timeout-ms 500 --max-execution-time-ms 3000 --no-stand-ins");
        let told = told.unwrap().wasmcloud;
        assert!(told.file_load && !told.stand_ins);
        assert_eq!(
            (told.rpc_timeout, told.execution_max),
            (Some(Duration::from_millis(500)), Some(Duration::from_secs(3)))
        );
        let tls = read("--nats-host ::1 --ctl-tls").unwrap();
        assert_eq!(tls.on.variables()[0].1, Some("tls://[::1]:4222"));
    }

    #[test]
    fn what_is_wrong_is_told_at_once() {
        for typed in ["--ctl-seed SUNOTONE", "--ctl-credsfile /nowhere", "--js-domain a.b"] {
            assert_eq!(read(typed).unwrap_err().code, lattice_code::NATS_SPEC, "{typed}");
        }
        assert!(read("--label zone").is_err());
        let folder = tempfile::tempdir().unwrap();
        let problem = with_seed(folder.path(), "SUAFFN").unwrap_err();
        assert!(problem.message.contains("seed") && !problem.message.contains("SUAFFN"), "{problem}");
    }

    #[test]
    fn a_seed_is_kept_as_the_key_of_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(KeyKind::Host);
        let seed = key.seed().expose().to_string();
        let first = with_seed(folder.path(), &seed).unwrap();
        assert_eq!(std::fs::read_to_string(first.root().join("host.nk")).unwrap(), seed);
        assert_eq!(with_seed(folder.path(), &seed).unwrap().root(), first.root());
    }

    #[test]
    fn labels_of_flags_go_before_those_of_variables() {
        let variables = [("WASMCLOUD_LABEL_zone", "a"), ("WASMCLOUD_LABEL_rack", "1"), ("PATH", "/")];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        let labels = labels(&["zone=b".into()], variables.into_iter()).unwrap();
        assert_eq!(labels, [("rack", "1"), ("zone", "b")].map(|(k, v)| (k.into(), v.into())).into());
    }
}
