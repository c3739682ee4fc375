use super::*;
use crate::golden;

/// The help of a command and of those below it.
fn helps(command: &mut clap::Command, name: &str, text: &mut String) {
    let own = command.clone().bin_name(name).term_width(100).render_long_help();
    text.push_str(&format!("$ {name} --help\n{own}\n"));
    let below: Vec<clap::Command> =
        command.get_subcommands().filter(|below| !below.is_hide_set()).cloned().collect();
    for mut below in below {
        let name = format!("{name} {}", below.get_name());
        helps(&mut below, &name, text);
    }
}

#[test]
fn the_help_of_every_command_is_the_one_that_is_kept() {
    let mut text = String::new();
    let mut command = super::command();
    // Builds what is global into the commands below.
    command.build();
    helps(&mut command, "umbel", &mut text);
    golden::check("help.txt", &text);
}

#[test]
fn the_commands_are_well_formed() {
    command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    for command in command().get_subcommands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains(&format!("umbel {}", command.get_name())), "{}", command.get_name());
    }
}

#[test]
fn every_command_is_in_a_group() {
    let command = command();
    let mut verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    verbs.sort_unstable();
    grouped.sort_unstable();
    assert_eq!(grouped, verbs);
}

#[test]
fn the_first_help_fits_a_screen() {
    let help = command().term_width(100).render_help().to_string();
    assert!(help.lines().count() <= 50, "{} lines", help.lines().count());
}

/// What stands between backticks and begins with `umbel`, each command of it.
fn told(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.flat_map(|quoted| quoted.split("&&").map(str::trim)).filter(|told| told.starts_with("umbel "))
}

/// Why it cannot be typed, if it cannot.
fn cannot_be_typed(told: &str) -> Option<String> {
    let mut command = command();
    command.build();
    for word in told.split_whitespace().skip(1) {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or(flag);
            if !command.get_arguments().any(|argument| argument.get_long() == Some(flag)) {
                return Some(format!("there is no --{flag}"));
            }
        } else if command.has_subcommands() {
            match command.find_subcommand(word).cloned() {
                Some(below) => command = below,
                // Whoever writes VERB or an ellipsis leaves it open.
                None if !word.starts_with(|c: char| c.is_ascii_lowercase()) => return None,
                None => return Some(format!("there is no `{word}`")),
            }
        }
    }
    None
}

#[test]
fn the_commands_that_help_names_can_be_typed() {
    let codes = umbel_core::code::all().map(umbel_core::Code::entry);
    for entry in codes {
        for told in told(entry.help).chain(told(entry.why)) {
            assert_eq!(cannot_be_typed(told), None, "UM{:04}: `{told}`", entry.number);
        }
    }
    assert_eq!(cannot_be_typed("umbel par insert FILE"), Some("there is no `insert`".into()));
    assert_eq!(cannot_be_typed("umbel up --nothing"), Some("there is no --nothing".into()));
    assert_eq!(cannot_be_typed("umbel link put SOURCE TARGET CONTRACT"), None);
}
