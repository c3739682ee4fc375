//! What the global arguments and the environment mean.

use crate::args::{Global, Output};
use crate::fail::Failure;
use crate::progress::Progress;
use crate::render::{Style, yaml};
use crate::text;
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use umbel_api::client::Client;
use umbel_api::document::Document;
use umbel_api::folder::StateFolder;
use umbel_core::Problem;
use umbel_core::code::api;

/// The program's name.
const PROGRAM: &str = "umbel";

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) folder: StateFolder,
    pub(crate) output: Output,
    pub(crate) style: Style,
    pub(crate) progress: Progress,
    /// Set when the state folder is not the default one: commands that we print must name it.
    state_argument: Option<PathBuf>,
    /// What a shell of this user calls the program by.
    program: String,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Result<Context, Failure> {
        let default =
            default_state_folder(std::env::var_os("XDG_STATE_HOME").map(PathBuf::from), std::env::home_dir());
        let root = match (&global.state, &default) {
            (Some(given), _) => absolute(given)?,
            (None, Some(default)) => default.clone(),
            (None, None) => {
                return Err(Problem::new(api::STATE_FOLDER, "this user has no home folder")
                    .with_help("name a state folder with `--state DIR` or UMBEL_STATE")
                    .into());
            }
        };
        let from_environment =
            std::env::var_os("UMBEL_STATE").is_some_and(|dir| Some(dir.into()) == global.state);
        let is_default = from_environment || default.as_ref() == Some(&root);
        Ok(Context {
            folder: StateFolder::new(&root),
            output: global.output,
            style: Style::of_stdout(),
            progress: Progress::new(global.quiet),
            state_argument: (!is_default).then_some(root),
            program: called_by(std::env::current_exe().ok(), std::env::var_os("PATH")),
        })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(state: PathBuf) -> Context {
        Context {
            folder: StateFolder::new(&state),
            output: Output::Table,
            style: Style::PLAIN,
            progress: Progress::new(true),
            state_argument: Some(state),
            program: PROGRAM.into(),
        }
    }

    /// A client of the platform of the state folder.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::unix(&self.folder)?)
    }

    /// A command line for a reader who has the program: `umbel down`, with the state folder where it is needed.
    pub(crate) fn command(&self, words: &str) -> String {
        self.command_of(PROGRAM, words)
    }

    /// The same for a first reader, who may not have the program on the PATH yet: it works as it is printed.
    pub(crate) fn first_command(&self, words: &str) -> String {
        self.command_of(&self.program, words)
    }

    fn command_of(&self, program: &str, words: &str) -> String {
        match &self.state_argument {
            Some(state) => {
                format!("{program} {words} --state {}", text::shell_word(&state.display().to_string()))
            }
            None => format!("{program} {words}"),
        }
    }

    /// A result in the form that was asked for: `table` for people, `names` for scripts.
    pub(crate) fn form<D: Document>(
        &self,
        document: &D,
        table: impl FnOnce(&D, Style) -> String,
        names: impl FnOnce(&D) -> Vec<String>,
    ) -> String {
        match self.output {
            Output::Table => table(document, self.style),
            Output::Name => names(document).iter().map(|name| format!("{}\n", text::neutral(name))).collect(),
            _ => self.structured(&document.to_json()),
        }
    }

    /// Shows a result in the form that was asked for.
    pub(crate) fn show<D: Document>(
        &self,
        document: &D,
        table: impl FnOnce(&D, Style) -> String,
        names: impl FnOnce(&D) -> Vec<String>,
    ) -> Result<(), Failure> {
        self.print(&self.form(document, table, names))
    }

    /// Shows one entry of a stream, on a line of its own.
    pub(crate) fn show_entry<D: Document>(
        &self,
        entry: &D,
        line: impl FnOnce(&D, Style) -> String,
    ) -> Result<(), Failure> {
        let text = match self.output {
            Output::Table | Output::Name => line(entry, self.style),
            Output::Json | Output::Jsonl => format!("{}\n", text::json_line(&entry.to_json())),
            Output::Yaml => format!("---\n{}", yaml::render(&entry.to_json())),
        };
        self.print(&text)
    }

    fn structured(&self, document: &Value) -> String {
        match self.output {
            Output::Yaml => yaml::render(document),
            Output::Jsonl => json_lines(document),
            _ => format!("{}\n", text::json_pretty(document)),
        }
    }

    /// Writes to stdout, whole.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        Ok(())
    }
}

/// The program's name where the PATH leads from it to this very program, else its path.
fn called_by(program: Option<PathBuf>, path: Option<OsString>) -> String {
    let Some(program) = program.filter(|program| program.is_file()) else { return PROGRAM.into() };
    let folders: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
    let found = folders.iter().map(|folder| folder.join(PROGRAM)).find(|file| file.is_file());
    let real = |file: &Path| file.canonicalize().ok();
    if found.is_some_and(|found| real(&found) == real(&program)) {
        PROGRAM.into()
    } else {
        text::shell_word(&program.display().to_string())
    }
}

/// Every entry of a list as a document of its own; what is not a list is one line.
fn json_lines(document: &Value) -> String {
    let kind = document.get("$type").and_then(Value::as_str).unwrap_or_default();
    match document.get("items").and_then(Value::as_array) {
        Some(items) => {
            let kind = kind.replace(".list/", "/");
            items
                .iter()
                .map(|item| format!("{}\n", text::json_line(&umbel_api::document::typed(&kind, item))))
                .collect()
        }
        None => format!("{}\n", text::json_line(document)),
    }
}

fn default_state_folder(xdg_state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG base directory specification: a relative path in the variable is to be ignored.
    let state_home = xdg_state_home.filter(|path| path.is_absolute());
    let state_home =
        state_home.or_else(|| Some(home.filter(|home| home.is_absolute())?.join(".local/state")))?;
    Some(state_home.join("umbel"))
}

/// The path from the root, without asking the file system about links.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Problem::new(api::FILE_UNREADABLE, format!("`{}` is not a path", path.display()))
            .with_cause(error.to_string())
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_state_folder_follows_xdg() {
        let check = |xdg: Option<&str>, home: Option<&str>, expect: Option<&str>| {
            let found = default_state_folder(xdg.map(PathBuf::from), home.map(PathBuf::from));
            assert_eq!(found, expect.map(PathBuf::from));
        };
        check(Some("/x"), Some("/home/a"), Some("/x/umbel"));
        check(Some("relative"), Some("/home/a"), Some("/home/a/.local/state/umbel"));
        check(None, Some("/home/a"), Some("/home/a/.local/state/umbel"));
        check(None, None, None);
    }

    #[test]
    fn the_program_has_its_path_where_its_name_leads_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["built", "other", "empty", "linked"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        std::fs::write(at("built/umbel"), "").unwrap();
        std::fs::write(at("other/umbel"), "").unwrap();
        std::os::unix::fs::symlink(at("built/umbel"), at("linked/umbel")).unwrap();
        let path = at("built/umbel").display().to_string();
        for (folders, expect) in [
            (&["empty", "built"][..], PROGRAM),
            (&["linked"], PROGRAM),
            (&["other", "built"], &path),
            (&["empty"], &path),
            (&[], &path),
        ] {
            let folders = std::env::join_paths(folders.iter().map(|name| at(name))).unwrap();
            assert_eq!(called_by(Some(at("built/umbel")), Some(folders)), expect);
        }
        assert_eq!(called_by(Some(at("built/umbel")), None), path);
        assert_eq!(called_by(Some(at("built/umbel (deleted)")), None), PROGRAM);
        assert_eq!(called_by(None, None), PROGRAM);
    }

    #[test]
    fn a_list_becomes_a_line_for_each_entry() {
        let list = serde_json::json!({"$type": "link.list/v1", "items": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(
            json_lines(&list),
            "{\"$type\":\"link/v1\",\"name\":\"a\"}\n{\"$type\":\"link/v1\",\"name\":\"b\"}\n"
        );
        let one = serde_json::json!({"$type": "version/v1", "version": "1"});
        assert_eq!(json_lines(&one), "{\"$type\":\"version/v1\",\"version\":\"1\"}\n");
    }
}
