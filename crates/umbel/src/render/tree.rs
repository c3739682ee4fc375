//! The supervision tree, with branches.

use super::{Style, Tone, tone_of};
use crate::text::{duration, neutral};
use std::time::Duration;
use umbel_api::document::{TreeList, TreeNode};

/// The trees of all hosts.
pub(crate) fn render(trees: &TreeList, style: Style) -> String {
    let mut text = String::new();
    for tree in &trees.items {
        text.push_str(&line(&tree.root, style));
        below(&tree.root, "", style, &mut text);
    }
    text
}

fn below(node: &TreeNode, indent: &str, style: Style, text: &mut String) {
    for (index, child) in node.children.iter().enumerate() {
        let is_last = index + 1 == node.children.len();
        let (branch, further) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text.push_str(&style.paint(Tone::Faint, &format!("{indent}{branch}")));
        text.push_str(&line(child, style));
        below(child, &format!("{indent}{further}"), style, text);
    }
}

fn line(node: &TreeNode, style: Style) -> String {
    let mut text =
        format!("{}  {}", neutral(&node.id), style.paint(tone_of(&node.state), &neutral(&node.state)));
    if let Some(ms) = node.retry_in_ms {
        text.push_str(&format!(", next try in {}", duration(Duration::from_millis(ms))));
    }
    match node.restarts {
        0 => {}
        1 => text.push_str("  1 restart"),
        n => text.push_str(&format!("  {n} restarts")),
    }
    if !matches!(node.kind.as_str(), "task" | "supervisor") {
        text.push_str(&style.paint(Tone::Faint, &format!("  {}", neutral(&node.kind))));
    }
    if let Some(detail) = node.detail.as_ref().filter(|detail| !detail.is_empty()) {
        text.push_str(&style.paint(Tone::Faint, &format!("  {}", neutral(detail))));
    }
    if let Some(exit) =
        node.last_exit.as_ref().filter(|_| !matches!(node.state.as_str(), "running" | "completed"))
    {
        text.push_str(&style.paint(Tone::Bad, &format!("  {}", neutral(&exit.to_string()))));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_tree_has_branches() {
        golden::check("tree.txt", &render(&golden::input("tree.json"), Style::PLAIN));
    }
}
