//! Which lattice a platform is on: its own, or one that other hosts share over NATS.

use crate::text::bad_argument;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use umbel_core::Problem;
use umbel_core::code::lattice as code;
use umbel_lattice::NatsSpec;
use umbel_lattice::nats::{Auth, Tls};
use zeroize::Zeroizing;

/// The variable with the address of the server, which may have a password in it.
pub(crate) const NATS: &str = "UMBEL_NATS";
/// The variable with the address of the hub, which may have one too.
pub(crate) const LEAF: &str = "UMBEL_LEAF";

/// Where nats-server listens unless said.
const PORT_DEFAULT: u16 = 4222;

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Lattice")]
pub(crate) struct Args {
    /// Share the lattice of this NATS server: nats://HOST[:PORT], several joined by commas
    #[arg(long, value_name = "URL", env = NATS, hide_env_values = true, conflicts_with_all = ["with_nats", "leaf"])]
    nats: Option<String>,
    /// Start a nats-server for the lattice as well, which others can join; it ends with the platform
    #[arg(long)]
    with_nats: bool,
    /// Start a nats-server that is a leaf node of this hub, and share the hub's lattice
    #[arg(long, value_name = "URL", env = LEAF, hide_env_values = true, conflicts_with = "with_nats")]
    leaf: Option<String>,
    /// The port of the nats-server that is started, on the loopback address; 0 is any free one [default: 4222]
    #[arg(long, value_name = "PORT")]
    nats_port: Option<u16>,
    /// Where the nats-server that is started listens for others: for hosts that join, instead of the loopback address
    #[arg(long, value_name = "IP:PORT", requires = "with_nats", conflicts_with = "nats_port")]
    nats_listen: Option<SocketAddr>,
    /// Where the nats-server that is started takes leaf nodes
    #[arg(long, value_name = "IP:PORT", requires = "with_nats")]
    nats_leaves: Option<SocketAddr>,
    /// The program that is started; otherwise `nats-server` of the PATH
    #[arg(long, value_name = "FILE", env = "UMBEL_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    /// Credentials for NATS: a `.creds` file with JWT and seed
    #[arg(long, value_name = "FILE", env = "UMBEL_NATS_CREDS", conflicts_with = "nats_nkey")]
    nats_creds: Option<PathBuf>,
    /// Credentials for NATS: a file with the seed of an nkey, `SU…`
    #[arg(long, value_name = "FILE", env = "UMBEL_NATS_NKEY")]
    nats_nkey: Option<PathBuf>,
    /// Authorities to trust when NATS is spoken over TLS, beside the machine's
    #[arg(long, value_name = "FILE", env = "UMBEL_NATS_CA")]
    nats_ca: Option<PathBuf>,
    /// Our certificate for NATS over TLS, if the server asks for one
    #[arg(long, value_name = "FILE", requires = "nats_key")]
    nats_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "nats_cert")]
    nats_key: Option<PathBuf>,
    /// The JetStream domain that keeps the lattice's state
    #[arg(long, value_name = "NAME", env = "UMBEL_JS_DOMAIN")]
    js_domain: Option<String>,
    /// Decide nothing here: applications are managed by another host of the lattice, or by wadm
    #[arg(long)]
    no_manager: bool,
}

impl Args {
    /// The same, on the lattice of that server.
    pub(crate) fn sharing(self, address: String) -> Args {
        Args { nats: Some(address), ..self }
    }
}

/// Which lattice, and who decides on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct On {
    /// What carries it.
    pub(crate) carrier: Carrier,
    /// Whether this host may manage applications.
    pub(crate) manages: bool,
}

impl Default for On {
    fn default() -> On {
        On { carrier: Carrier::Own, manages: true }
    }
}

/// What carries a lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// This process alone.
    Own,
    /// A NATS server that runs already.
    Nats(Box<Reach>),
    /// A NATS server that this platform starts.
    Started(Box<Start>),
}

/// How a server is reached. The address may have credentials in it; so it is never among arguments.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    address: String,
    login: Login,
    creds: Option<PathBuf>,
    nkey: Option<PathBuf>,
    tls: Tls,
    js_domain: Option<String>,
}

/// Credentials that are not in a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Login {
    /// None, or those of the address.
    #[default]
    None,
    /// The seed of a user's nkey.
    Nkey(Zeroizing<String>),
    /// A user's JWT and its seed.
    Jwt { jwt: String, seed: Zeroizing<String> },
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("js_domain", &self.js_domain).finish_non_exhaustive()
    }
}

/// The server that is started. The address of the hub may have credentials in it; so it is never among arguments.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The program, if one is named.
    pub(crate) program: Option<PathBuf>,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where leaf nodes may come from.
    pub(crate) leaves: Option<SocketAddr>,
    /// The hub that it is a leaf node of.
    pub(crate) hub: Option<String>,
    /// The domain of the state.
    pub(crate) js_domain: Option<String>,
}

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl On {
    /// Whether others can be on the lattice too.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.carrier, Carrier::Own)
    }

    pub(crate) fn new(args: &Args) -> Result<On, Problem> {
        let carrier = if let Some(address) = &args.nats {
            let tls = Tls {
                ca_file: args.nats_ca.clone(),
                certificate: args.nats_cert.clone().zip(args.nats_key.clone()),
                ..Tls::default()
            };
            let reach = Reach {
                creds: args.nats_creds.clone(),
                nkey: args.nats_nkey.clone(),
                tls,
                js_domain: args.js_domain.clone(),
                ..Reach::new(address.clone())
            };
            // What is wrong is told before anything is started.
            reach.spec()?;
            Carrier::Nats(Box::new(reach))
        } else if args.with_nats || args.leaf.is_some() {
            let port = args.nats_port.unwrap_or(PORT_DEFAULT);
            let listen = args.nats_listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            Carrier::Started(Box::new(Start {
                program: args.nats_server.clone(),
                listen: if listen.port() == 0 { free(listen)? } else { listen },
                leaves: args.nats_leaves,
                hub: args.leaf.clone(),
                js_domain: args.js_domain.clone(),
            }))
        } else {
            Carrier::Own
        };
        Ok(On { carrier, manages: !args.no_manager })
    }

    /// The arguments that say the same, without what is secret.
    pub(crate) fn arguments(&self, arguments: &mut Vec<OsString>) {
        let mut add = |name: &str, value: OsString| arguments.extend([OsString::from(name), value]);
        match &self.carrier {
            Carrier::Own => {}
            Carrier::Nats(reach) => {
                let paths = [
                    ("--nats-creds", &reach.creds),
                    ("--nats-nkey", &reach.nkey),
                    ("--nats-ca", &reach.tls.ca_file),
                ];
                for (name, path) in paths {
                    if let Some(path) = path {
                        add(name, path.into());
                    }
                }
                if let Some((certificate, key)) = &reach.tls.certificate {
                    add("--nats-cert", certificate.into());
                    add("--nats-key", key.into());
                }
                if let Some(domain) = &reach.js_domain {
                    add("--js-domain", domain.into());
                }
            }
            Carrier::Started(start) => {
                if let Some(program) = &start.program {
                    add("--nats-server", program.into());
                }
                if let Some(domain) = &start.js_domain {
                    add("--js-domain", domain.into());
                }
                match &start.hub {
                    Some(_) => add("--nats-port", start.listen.port().to_string().into()),
                    None => add("--nats-listen", start.listen.to_string().into()),
                }
                if let Some(leaves) = start.leaves {
                    add("--nats-leaves", leaves.to_string().into());
                }
                if start.hub.is_none() {
                    arguments.push("--with-nats".into());
                }
            }
        }
        if !self.manages {
            arguments.push("--no-manager".into());
        }
    }

    /// The variables that say the rest. One without a value is taken away: this process may have it, and it was not meant.
    pub(crate) fn variables(&self) -> [(&'static str, Option<&str>); 2] {
        let (nats, hub) = match &self.carrier {
            Carrier::Own => (None, None),
            Carrier::Nats(reach) => (Some(&*reach.address), None),
            Carrier::Started(start) => (None, start.hub.as_deref()),
        };
        [(NATS, nats), (LEAF, hub)]
    }
}

impl Reach {
    /// The server at that address.
    pub(crate) fn new(address: String) -> Reach {
        let (creds, nkey, js_domain) = (None, None, None);
        Reach { address, login: Login::None, creds, nkey, tls: Tls::default(), js_domain }
    }

    /// With these credentials.
    pub(crate) fn login(self, login: Login) -> Reach {
        Reach { login, ..self }
    }

    /// With those of the file.
    pub(crate) fn creds(self, creds: Option<PathBuf>) -> Reach {
        Reach { creds, ..self }
    }

    /// Over TLS: whether it must be, whether it comes first, and the authorities to trust.
    pub(crate) fn tls(self, required: bool, first: bool, ca_file: Option<PathBuf>) -> Reach {
        Reach { tls: Tls { required, first, ca_file, ..self.tls }, ..self }
    }

    /// With the state in this domain.
    pub(crate) fn js_domain(self, js_domain: Option<String>) -> Reach {
        Reach { js_domain, ..self }
    }

    /// The server, and as whom.
    pub(crate) fn spec(&self) -> Result<NatsSpec, Problem> {
        let mut spec = NatsSpec::parse(&self.address).map_err(|error| Problem::from(&error))?;
        spec.tls = self.tls.clone();
        spec.js_domain.clone_from(&self.js_domain);
        match &self.login {
            Login::None => {}
            Login::Nkey(seed) => spec.auth = Auth::Nkey(seed.clone()),
            Login::Jwt { jwt, seed } => {
                spec.auth = Auth::Jwt { jwt: jwt.clone(), seed: seed.clone() };
            }
        }
        if let Some(path) = &self.creds {
            spec.auth = Auth::Creds(path.clone());
        }
        if let Some(path) = &self.nkey {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("the seed cannot be read from `{}`", path.display());
                Problem::new(code::NATS_SPEC, message).with_cause(error.to_string())
            })?;
            spec.auth = Auth::Nkey(text.trim().to_string().into());
        }
        spec.check().map_err(|error| Problem::from(&error))?;
        Ok(spec)
    }
}

/// An address with a port that nobody has at this moment.
fn free(listen: SocketAddr) -> Result<SocketAddr, Problem> {
    let bound = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
    bound.map_err(|error| bad_argument(format!("{listen} cannot be listened on: {error}")))
}

#[cfg(test)]
mod tests;
