//! A provider process that lies, for tests of hosts: `lie` in its config says how.
//!
//! - `id`: it says hello as somebody else.
//! - `health`: its answers about its health are rubbish.
//! - `calls`: it speaks to another provider as if it were a host.

use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;
use umbel_core::Problem;
use umbel_lattice::message::to_json;
use umbel_lattice::unix::connect;
use umbel_lattice::{Lattice, Message};
use umbel_provider::hostdata::HostData;
use umbel_provider::sdk::spawn_in;
use umbel_provider::wire::{Description, Subjects};
use umbel_supervisor::Scope;

const SOMEBODY: &str = "somebody-else";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Problem> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("a line");
    let data = HostData::read(&line).map_err(|error| Problem::from(&error))?;
    let lie = data.config.get("lie").cloned().unwrap_or_default();
    let tasks = Scope::new("liar");
    let token = data.umbel.clone().unwrap_or_default().token;
    let id = if lie == "id" { SOMEBODY } else { &data.provider_key };
    let lattice = connect(data.socket()?, id, &token, &spawn_in(&tasks)).await?;
    let failed = |error: umbel_lattice::LatticeError| Problem::from(&error);
    if lie == "calls" {
        let other = Subjects::new(lattice.name(), SOMEBODY);
        lattice
            .publish(Message::new(other.link_put(), bytes::Bytes::from_static(b"{}")))
            .await
            .map_err(failed)?;
    }
    let subjects = Subjects::new(lattice.name(), &data.provider_key);
    let mut health = lattice.subscribe(&subjects.health()).await.map_err(failed)?;
    let mut link_put = lattice.subscribe(&subjects.link_put()).await.map_err(failed)?;
    let mut describe = lattice.subscribe(&subjects.describe()).await.map_err(failed)?;
    loop {
        let (request, answer) = tokio::select! {
            Some(request) = health.next() => (request, bytes::Bytes::from_static(b"{\"healthy\": perhaps")),
            Some(request) = link_put.next() => (request, bytes::Bytes::from_static(b"{}")),
            Some(request) = describe.next() => (request, to_json(&Description::default())),
            () = tokio::time::sleep(Duration::from_secs(600)) => return Ok(()),
            else => return Ok(()),
        };
        // The host may not wait for it.
        let _ = lattice.respond(&request, answer).await;
    }
}
