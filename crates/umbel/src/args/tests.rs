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
