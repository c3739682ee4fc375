//! `umbel par`: provider archives, as wasmCloud 1.x has them. Nothing here needs a platform.

use crate::context::Context;
use crate::fail::Failure;
use crate::render::Style;
use crate::render::table::{Cell, cell, number, render as table};
use crate::text;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use umbel_api::document::Document;
use umbel_artifact::par::{self, Archive, Compression, Limits, ParError, Signing, Target};
use umbel_core::claims::Provider;
use umbel_core::code::api;
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_core::{Clock, Coded, Problem, SystemClock};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An archive holds the executables of one provider, each for an operating system and processor, and perhaps claims: who
vouches for them. It runs with `image: ./NAME.par.gz` in a manifest, or by `umbel provider swap OLD ./NAME.par.gz`. Nothing here needs
a platform that runs.

Examples:
  umbel par create kv.par.gz --binary target/release/kv
  umbel par create kv.par.gz --binary x86_64-linux=kv-x86 --binary aarch64-linux=kv-arm
  umbel par sign kv.par.gz --account account.nk --provider kv.nk --name Keys --vendor Acme
  umbel par inspect kv.par.gz"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an archive of executables
    Create(Create),
    /// Show what is in an archive, and who vouches for it
    Inspect {
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Sign an archive, in place of whoever signed it before; the file is changed
    Sign(Sign),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A target is a processor and a system: x86_64-linux, aarch64-linux, aarch64-macos. For Linux, an executable is looked at: it must be
an ELF file for that processor, or a script that begins with `#!`. Of other systems it is taken as it is.

Examples:
  umbel par create kv.par.gz --binary target/release/kv
  umbel par create kv.par.gz --binary x86_64-linux=kv-x86 --binary aarch64-linux=kv-arm"
)]
struct Create {
    /// The archive to make, or to make anew; compressed if its name ends in .gz
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An executable: for this machine, or for the target before `=`; once for each target
    #[arg(long = "binary", value_name = "[TARGET=]PATH", required = true)]
    binaries: Vec<String>,
    /// The provider's WIT, as a component without code (`wasm-tools component wit --wasm`): its contracts are compared with those of importers
    #[arg(long, value_name = "PATH")]
    world: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is not said keeps its value of the signature before. Key files hold one seed each and are readable by their owner alone; keep the
account's: whoever has it can sign as you.

Examples:
  umbel par sign kv.par.gz --account account.nk --provider kv.nk --name Keys --vendor Acme
  umbel par sign kv.par.gz --account account.nk --provider kv.nk --version 1.2.0 --days 365"
)]
struct Sign {
    /// The archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file with the seed of the account that vouches (SA…); made if it is not there
    #[arg(long, value_name = "PATH")]
    account: PathBuf,
    /// A file with the seed of the provider (SV…); made if it is not there
    #[arg(long, value_name = "PATH")]
    provider: PathBuf,
    /// The provider's name, for people
    #[arg(long)]
    name: Option<String>,
    /// Who makes it
    #[arg(long)]
    vendor: Option<String>,
    /// A number that grows with each release
    #[arg(long)]
    revision: Option<i32>,
    /// The version, for people
    #[arg(long)]
    version: Option<String>,
    /// For how many days the claims are good; for ever when left out
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
}

/// What is in an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    /// The file.
    file: String,
    /// The executables.
    executables: Vec<Packed>,
    /// Whether the provider's WIT is in it.
    has_world: bool,
    /// Who vouches for it, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<Claims>,
    /// Files that nobody needs.
    others: Vec<String>,
}

impl Document for Contents {
    const TYPE: &'static str = "par/v1";
}

/// An executable.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    target: String,
    size: u64,
    digest: String,
}

/// What is claimed.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The provider's key.
    subject: String,
    /// The key that vouches.
    issuer: String,
    name: Option<String>,
    vendor: String,
    revision: Option<i32>,
    version: Option<String>,
    /// Unix seconds.
    expires: Option<u64>,
}

pub(crate) fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let contents = match args.verb {
        Verb::Create(create) => make(context, create)?,
        Verb::Sign(sign) => vouch(sign)?,
        Verb::Inspect { file } => look(&file)?,
    };
    show(context, &contents)
}

fn show(context: &Context, contents: &Contents) -> Result<(), Failure> {
    context.show(contents, render, |contents| {
        contents.executables.iter().map(|packed| packed.target.clone()).collect()
    })
}

/// Whether the file is an archive, by its first bytes.
pub(crate) fn is_archive(file: &Path) -> bool {
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let head = || -> std::io::Result<Vec<u8>> {
        let mut head = Vec::new();
        File::open(file)?.take(par::HEAD_BYTES).read_to_end(&mut head)?;
        Ok(head)
    };
    is_file && head().is_ok_and(|head| par::is_archive(&head))
}

/// Shows what is in an archive.
pub(crate) fn inspect(context: &Context, file: &Path) -> Result<(), Failure> {
    show(context, &look(file)?)
}

fn look(file: &Path) -> Result<Contents, Problem> {
    let in_file = |error: ParError| par::of_file(&error, file);
    let info = par::inspect_file(file, &Limits::default()).map_err(in_file)?;
    info.check_hashes().map_err(|error| in_file(error.into()))?;
    let claims = match &info.claims {
        Some(token) => {
            token.check_time(SystemClock.unix_time()).map_err(|error| in_file(error.into()))?;
            let claims = token.claims();
            Some(Claims {
                subject: claims.subject.to_string(),
                issuer: claims.issuer.to_string(),
                name: claims.wascap.name.clone(),
                vendor: claims.wascap.vendor.clone(),
                revision: claims.wascap.rev,
                version: claims.wascap.ver.clone(),
                expires: claims.expires,
            })
        }
        None => None,
    };
    let packed = info.targets.iter().map(|(target, packed)| Packed {
        target: target.to_string(),
        size: packed.size,
        digest: packed.digest.to_string(),
    });
    Ok(Contents {
        file: file.display().to_string(),
        executables: packed.collect(),
        has_world: info.world.is_some(),
        claims,
        others: info.others,
    })
}

fn make(context: &Context, create: Create) -> Result<Contents, Problem> {
    let mut archive = Archive::new();
    let mut targets = Vec::new();
    for binary in &create.binaries {
        let (target, path) = match binary.split_once('=') {
            Some((target, path)) => (Target::new(target).map_err(coded)?, path),
            None => (Target::of_this_machine(), binary.as_str()),
        };
        if targets.contains(&target) {
            let message = format!("two executables are given for `{target}`");
            return Err(
                text::bad_argument(message).with_help("give one `--binary TARGET=PATH` for each target")
            );
        }
        targets.push(target.clone());
        let bytes = read(Path::new(path))?;
        let kind = par::look(&target, &bytes).map_err(|error| par::of_file(&error, Path::new(path)))?;
        if kind == par::Kind::NotLookedInto {
            context
                .progress
                .note(&format!("{path} is not looked into: what {target} starts is not known here"));
        }
        archive.insert(target, bytes);
    }
    if let Some(world) = &create.world {
        archive.set_world(read(world)?);
    }
    write(&archive, &create.file)
}

fn vouch(sign: Sign) -> Result<Contents, Problem> {
    let file = File::open(&sign.file).map_err(|error| unreadable(&sign.file, &error))?;
    let mut archive =
        Archive::read(file, &Limits::default()).map_err(|error| par::of_file(&error, &sign.file))?;
    let account = key(&sign.account, KeyKind::Account)?;
    let provider = key(&sign.provider, KeyKind::Provider)?;
    // What was claimed before and is not said anew stays.
    let before = archive.claims().map(|token| token.claims().wascap.clone()).unwrap_or_default();
    let unix_time = SystemClock.unix_time();
    let signing = Signing {
        provider: Provider {
            name: sign.name.or(before.name.clone()),
            vendor: sign.vendor.unwrap_or_else(|| before.vendor.clone()),
            rev: sign.revision.or(before.rev),
            ver: sign.version.or(before.ver.clone()),
            ..before
        },
        subject: provider.public_key().clone(),
        expires: sign.days.map(|days| unix_time.as_secs() + u64::from(days) * 86_400),
        unix_time,
    };
    archive.sign(signing, &account).map_err(coded)?;
    write(&archive, &sign.file)
}

/// Reads the key of a file, or makes both.
fn key(path: &Path, kind: KeyKind) -> Result<KeyPair, Problem> {
    match std::fs::read_to_string(path) {
        Ok(seed) => {
            let in_file = |error| {
                let problem = coded(error);
                Problem { message: format!("`{}`: {}", path.display(), problem.message), ..problem }
            };
            let key = KeyPair::from_seed(seed.trim()).map_err(in_file)?;
            key.require(kind).map_err(in_file)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate(kind);
            use std::os::unix::fs::OpenOptionsExt;
            let mut options = std::fs::OpenOptions::new();
            let made = options.write(true).create_new(true).mode(0o600).open(path);
            made.and_then(|mut file| writeln!(file, "{}", key.seed().expose()))
                .map_err(|error| unreadable(path, &error))?;
            Ok(key)
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Writes it whole, if it can be used then, or leaves what is there.
fn write(archive: &Archive, path: &Path) -> Result<Contents, Problem> {
    let compression =
        if path.extension().is_some_and(|end| end == "gz") { Compression::Gzip } else { Compression::None };
    let mut bytes = Vec::new();
    archive.write(&mut bytes, compression).map_err(coded)?;
    let mut partial = path.as_os_str().to_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let unusable = |error: std::io::Error| unreadable(path, &error);
    let written = std::fs::write(&partial, bytes).map_err(unusable).and_then(|()| {
        let contents = look(&partial).map_err(|problem| named(problem, &partial, path))?;
        std::fs::rename(&partial, path).map_err(unusable)?;
        Ok(Contents { file: path.display().to_string(), ..contents })
    });
    written.inspect_err(|_| {
        // What is left of it helps nobody.
        let _ = std::fs::remove_file(&partial);
    })
}

/// The problem with the name that was typed in place of the one that it was written under.
fn named(mut problem: Problem, partial: &Path, path: &Path) -> Problem {
    let (partial, path) = (partial.display().to_string(), path.display().to_string());
    problem.message = problem.message.replace(&partial, &path);
    problem.help = problem.help.replace(&partial, &path);
    problem
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(api::FILE_UNREADABLE, format!("`{}` cannot be used", path.display()))
        .with_cause(error.to_string())
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error)
}

fn render(contents: &Contents, style: Style) -> String {
    let row = |packed: &Packed| -> Vec<Cell> {
        vec![cell(&packed.target), number(text::bytes(packed.size)), cell(&packed.digest)]
    };
    let rows: Vec<Vec<Cell>> = contents.executables.iter().map(row).collect();
    let mut text = table(&["TARGET", "SIZE", "DIGEST"], &rows, style);
    match &contents.claims {
        None => text.push_str("\nNobody vouches for it: it is not signed.\n"),
        Some(claims) => {
            let named = claims.name.as_deref().unwrap_or("a provider without a name");
            let version = claims.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
            let vendor = match claims.vendor.as_str() {
                "" => String::new(),
                vendor => format!(" by {vendor}"),
            };
            let named = text::neutral(&format!("{named}{version}{vendor}"));
            text.push_str(&format!(
                "\n{named}\n  provider {}\n  signed by {}\n",
                claims.subject, claims.issuer
            ));
        }
    }
    text
}
