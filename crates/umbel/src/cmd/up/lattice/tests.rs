use super::*;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn read(typed: &str) -> Result<On, Problem> {
    let cli = Cli::try_parse_from(std::iter::once("up").chain(typed.split_whitespace())).unwrap();
    On::new(&cli.args)
}

#[test]
fn what_was_asked_for_is_told_to_a_platform_in_the_background() {
    for typed in [
        "",
        "--no-manager",
        "--with-nats --nats-port 4333",
        "--with-nats --nats-listen 0.0.0.0:4222 --nats-leaves 0.0.0.0:7422 --js-domain hub --nats-server /opt/nats",
    ] {
        let on = read(typed).unwrap();
        let mut arguments = Vec::new();
        on.arguments(&mut arguments);
        let words: Vec<String> = arguments.iter().map(|word| word.to_str().unwrap().to_string()).collect();
        assert_eq!(read(&words.join(" ")).unwrap(), on, "{typed}");
        assert!(on.variables().iter().all(|(_, value)| value.is_none()));
    }
}

#[test]
fn an_address_is_told_by_a_variable_alone() {
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed");
    std::fs::write(&seed, format!("SU{}\n", "A".repeat(56))).unwrap();
    let on = read(&format!("--nats nats://me:secret@h.example --nats-nkey {} --js-domain d", seed.display()));
    let on = on.unwrap();
    let mut arguments = Vec::new();
    on.arguments(&mut arguments);
    let words = arguments.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    assert!(!words.contains("secret") && words.contains("--nats-nkey") && words.contains("--js-domain d"));
    assert_eq!(on.variables(), [(NATS, Some("nats://me:secret@h.example")), (LEAF, None)]);
    assert!(!format!("{on:?}").contains("secret"), "{on:?}");
}

#[test]
fn the_address_of_a_hub_is_told_by_a_variable_alone() {
    let hub = "nats://me:secret@hub.example:7422";
    let on = read(&format!("--leaf {hub} --nats-port 4333 --js-domain hub")).unwrap();
    let mut arguments = Vec::new();
    on.arguments(&mut arguments);
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
    assert_eq!(words, ["--js-domain", "hub", "--nats-port", "4333"]);
    assert_eq!(on.variables(), [(NATS, None), (LEAF, Some(hub))]);
    let told = read(&format!("--leaf {hub} {}", words.join(" "))).unwrap();
    assert_eq!(told, on, "with the variable it is the same");
    assert!(!format!("{on:?}").contains("secret"), "{on:?}");
}

#[test]
fn what_cannot_be_is_told_before_anything_starts() {
    for typed in [
        "--nats http://h.example",
        "--nats nats://",
        "--nats nats://h --nats-creds /nowhere/user.creds",
        "--nats nats://h --nats-nkey /nowhere/seed",
        "--nats nats://h --js-domain a.b",
        "--nats nats://h --nats-ca /nowhere/ca.pem",
    ] {
        assert_eq!(read(typed).unwrap_err().code, code::NATS_SPEC, "{typed}");
    }
}

#[test]
fn any_free_port_is_one_port() {
    let Carrier::Started(start) = read("--with-nats --nats-port 0").unwrap().carrier else { panic!() };
    assert_ne!(start.listen.port(), 0);
}
