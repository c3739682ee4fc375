//! What can be seen of a tree: an immutable snapshot, published by `watch`, printed with branches.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use umbel_core::Problem;

/// How a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum State {
    /// Started, or waiting for its turn, and not ready yet.
    Starting,
    /// Ready.
    Running,
    /// It failed and is started again later.
    BackingOff {
        /// How long after the snapshot.
        retry_in_ms: u64,
    },
    /// It failed too often and stays down until somebody restarts it or changes its specification.
    CrashLoop,
    /// Asked to stop.
    Stopping,
    /// Stopped on request.
    Stopped,
    /// Ended with success and not to be restarted.
    Completed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Starting => f.write_str("starting"),
            State::Running => f.write_str("running"),
            State::BackingOff { retry_in_ms } => {
                write!(f, "backing off, next try in {}.{} s", retry_in_ms / 1000, retry_in_ms % 1000 / 100)
            }
            State::CrashLoop => f.write_str("crash loop"),
            State::Stopping => f.write_str("stopping"),
            State::Stopped => f.write_str("stopped"),
            State::Completed => f.write_str("completed"),
        }
    }
}

/// One child and what is under it. `Display` prints it:
///
/// ```text
/// host (supervisor)  running
/// ├─ lattice (task)  running  in-process
/// ├─ components (supervisor)  running
/// │  ├─ hello (component)  running
/// │  └─ orders (component)  crash loop  restarts 5  UM0420: the component trapped
/// └─ control (task)  starting
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The child's id.
    pub id: String,
    /// What it is, for people.
    pub kind: String,
    /// How it is.
    pub state: State,
    /// How often the supervisor has restarted it.
    pub restarts: u32,
    /// Since when it is in this state.
    pub since_unix_ms: u64,
    /// Why it ended last, if that was not a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Problem>,
    /// What the child, or its supervisor, says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What is under it, in start order. Shared, because most of a big tree is the same from one snapshot to the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Arc<Tree>>,
}

impl Tree {
    /// The node at the path of ids below this one; the empty path is this node.
    pub fn find<'a>(&'a self, path: &[&str]) -> Option<&'a Tree> {
        path.iter()
            .try_fold(self, |node, id| node.children.iter().find(|child| child.id == *id).map(Arc::as_ref))
    }

    /// Whether this node and all below it are `running` or `completed`.
    pub fn is_healthy(&self) -> bool {
        matches!(self.state, State::Running | State::Completed)
            && self.children.iter().all(|child| child.is_healthy())
    }

    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})  {}", self.id, self.kind, self.state)?;
        if self.restarts > 0 {
            write!(f, "  restarts {}", self.restarts)?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "  {detail}")?;
        }
        if let (Some(problem), false) =
            (&self.last_exit, matches!(self.state, State::Running | State::Completed))
        {
            write!(f, "  {problem}")?;
        }
        Ok(())
    }

    fn write_below(&self, f: &mut fmt::Formatter<'_>, indent: &mut String) -> fmt::Result {
        for (n, child) in self.children.iter().enumerate() {
            let last = n + 1 == self.children.len();
            write!(f, "\n{indent}{}", if last { "└─ " } else { "├─ " })?;
            child.write_line(f)?;
            let length = indent.len();
            indent.push_str(if last { "   " } else { "│  " });
            child.write_below(f, indent)?;
            indent.truncate(length);
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_line(f)?;
        self.write_below(f, &mut String::new())
    }
}

#[cfg(test)]
mod tests;
