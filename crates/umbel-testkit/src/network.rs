//! A network between hosts and a server whose packets are lost when it is told so.
//!
//! The server runs in a network namespace of its own, and has an address there for each host. So the rules of its firewall are about one
//! host's connection and one direction of it, and hosts run where tests do: whatever comes over the loopback does not notice.
//!
//! ```text
//!  host 0 ── 198.18.N.10 ─┐
//!  host 1 ── 198.18.N.11 ─┼─ veth ── namespace: nats-server, rules of `nft`
//!  host 2 ── 198.18.N.12 ─┘
//! ```
//!
//! It takes root, `ip` (iproute2) and `nft` (nftables). Rules lose packets by random numbers of the firewall; the kernel's `netem` is not needed,
//! which many kernels of virtual machines lack.

use std::fmt::Write as _;
use std::io::{Error, Result, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the server listens, at each of its addresses. The namespace is its own, so nobody else is there.
const PORT: u16 = 4222;
/// The last number of the first host's address.
const FIRST: u8 = 10;
/// How many networks of a range are tried before it is given up.
const ATTEMPTS_MAX: u32 = 20;

/// What happens to the packets between one host and the server, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of those from the host, so many are lost.
    pub up: u8,
    /// Of those from the server.
    pub down: u8,
}

impl Loss {
    /// Nothing goes through.
    pub const ALL: Loss = Loss { up: 100, down: 100 };
    /// The server hears nothing.
    pub const UP: Loss = Loss { up: 100, down: 0 };
    /// The host hears nothing.
    pub const DOWN: Loss = Loss { up: 0, down: 100 };
}

/// A namespace, the way into it, and the rules there. It ends with the value.
#[derive(Debug)]
pub struct Network {
    namespace: String,
    /// The end of the wire that is outside of it.
    outer: String,
    subnet: u8,
    losses: Vec<Loss>,
}

impl Network {
    /// A network for so many hosts. `Err` says what this machine lacks.
    ///
    /// # Errors
    /// It takes root, `ip` and `nft`, and a kernel with namespaces, `veth` and `nf_tables`.
    pub fn new(hosts: u8) -> Result<Network> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let mut last = Error::other("no network was tried");
        for _ in 0..ATTEMPTS_MAX {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // Several test programs run at once, each with several tests.
            let subnet = u8::try_from((pid.wrapping_mul(31).wrapping_add(number)) % 256).unwrap_or_default();
            let namespace = format!("umbel-{pid}-{number}");
            // Names of interfaces have at most 15 characters.
            let outer = format!("um{}-{}", pid % 1_000_000, number % 10_000);
            let losses = vec![Loss::default(); usize::from(hosts)];
            run("ip", &["netns", "add", &namespace])?;
            let network = Network { namespace, outer, subnet, losses };
            match network.wire().and_then(|()| network.apply()) {
                Ok(()) => return Ok(network),
                // Another may have the same addresses.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where a host reaches the server: `nats://198.18.N.M:4222`.
    pub fn url(&self, host: usize) -> String {
        format!("nats://{}", self.address_of(host))
    }

    /// Changes what is lost between one host and the server.
    pub fn lose(&mut self, host: usize, loss: Loss) -> Result<()> {
        self.losses[host] = loss;
        self.apply()
    }

    /// Nothing is lost any more.
    pub fn heal(&mut self) -> Result<()> {
        self.losses.fill(Loss::default());
        self.apply()
    }

    /// Where the test reaches the server, which loses nothing.
    pub(crate) fn server(&self) -> SocketAddr {
        (Ipv4Addr::new(198, 18, self.subnet, 2), PORT).into()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn address_of(&self, host: usize) -> SocketAddr {
        let last = FIRST + u8::try_from(host).expect("the number of hosts is one byte");
        (Ipv4Addr::new(198, 18, self.subnet, last), PORT).into()
    }

    /// Lays the wire into the namespace.
    fn wire(&self) -> Result<()> {
        let (namespace, subnet) = (self.namespace.as_str(), self.subnet);
        let outer = self.outer.as_str();
        run("ip", &["link", "add", outer, "type", "veth", "peer", "name", "inner", "netns", namespace])?;
        run("ip", &["link", "set", outer, "up"])?;
        run("ip", &["addr", "add", &format!("198.18.{subnet}.1/24"), "dev", outer])?;
        // The kernel takes the same network twice, and then finds only one of them.
        let routes = output("ip", &["-4", "route", "show", &format!("198.18.{subnet}.0/24")])?;
        if routes.lines().count() != 1 {
            return Err(Error::other(format!("198.18.{subnet}.0/24 is taken: {routes}")));
        }
        let within = |words: &[&str]| run("ip", &[&["-n", namespace], words].concat());
        within(&["link", "set", "lo", "up"])?;
        within(&["link", "set", "inner", "up"])?;
        let hosts = (0..self.losses.len()).map(|host| self.address_of(host));
        for address in hosts.chain([self.server()]) {
            within(&["addr", "add", &format!("{}/24", address.ip()), "dev", "inner"])?;
        }
        Ok(())
    }

    /// Replaces all rules at once.
    fn apply(&self) -> Result<()> {
        let mut rules = String::from("table ip umbel\ndelete table ip umbel\ntable ip umbel {\n");
        for (chain, hook, field) in [("up", "input", "daddr"), ("down", "output", "saddr")] {
            let _ = writeln!(rules, "chain {chain} {{\ntype filter hook {hook} priority 0;");
            for (host, loss) in self.losses.iter().enumerate() {
                let percent = if hook == "input" { loss.up } else { loss.down };
                let address = self.address_of(host).ip();
                let _ = match percent {
                    0 => Ok(()),
                    100.. => writeln!(rules, "ip {field} {address} drop"),
                    _ => writeln!(rules, "ip {field} {address} numgen random mod 100 < {percent} drop"),
                };
            }
            rules.push_str("}\n");
        }
        rules.push_str("}\n");
        let mut nft = command("ip", &["netns", "exec", &self.namespace, "nft", "-f", "-"]);
        let mut child = nft.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        // Dropped at the end of the line, which is the end of the file.
        child.stdin.take().map(|mut stdin| stdin.write_all(rules.as_bytes())).transpose()?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::other(format!("nft: {}", String::from_utf8_lossy(&output.stderr))))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // There may be no wire yet, and the namespace goes when nothing runs there any more.
        let _ = run("ip", &["link", "del", &self.outer]);
        let _ = run("ip", &["netns", "del", &self.namespace]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test runs the machine's tools without a supervisor")]
fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    output(program, arguments).map(drop)
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program, arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}

#[cfg(test)]
mod tests;
