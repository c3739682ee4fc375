//! Which subscriptions a subject reaches: a tree of words, shared and never changed once it is published.

use std::collections::HashMap;
use std::sync::Arc;

/// Subscriptions by their patterns. A clone shares everything; a change copies the path that it changes.
#[derive(Debug)]
pub(crate) struct Router<T> {
    root: Arc<Node<T>>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    words: HashMap<Arc<str>, Arc<Node<T>>>,
    /// Behind `*`.
    any: Option<Arc<Node<T>>>,
    /// What ends with `>` here.
    rest: Vec<Arc<T>>,
    /// What ends here.
    here: Vec<Arc<T>>,
}

// Not derived: what is subscribed is shared, not cloned.
impl<T> Clone for Router<T> {
    fn clone(&self) -> Router<T> {
        Router { root: self.root.clone(), len: self.len }
    }
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Node<T> {
        Node {
            words: self.words.clone(),
            any: self.any.clone(),
            rest: self.rest.clone(),
            here: self.here.clone(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { words: HashMap::new(), any: None, rest: Vec::new(), here: Vec::new() }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Router<T> {
        Router { root: Arc::default(), len: 0 }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.any.is_none() && self.rest.is_empty() && self.here.is_empty()
    }
}

impl<T> Router<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds one under a checked pattern.
    pub(crate) fn insert(&mut self, pattern: &str, item: Arc<T>) {
        let mut node = Arc::make_mut(&mut self.root);
        for word in pattern.split('.') {
            match word {
                ">" => {
                    node.rest.push(item);
                    self.len += 1;
                    return;
                }
                "*" => node = Arc::make_mut(node.any.get_or_insert_default()),
                word => node = Arc::make_mut(node.words.entry(word.into()).or_default()),
            }
        }
        node.here.push(item);
        self.len += 1;
    }

    /// Takes one away, and the empty branches that it leaves.
    pub(crate) fn remove(&mut self, pattern: &str, item: &Arc<T>) {
        let words: Vec<&str> = pattern.split('.').collect();
        if remove(Arc::make_mut(&mut self.root), &words, item) {
            self.len -= 1;
        }
    }

    /// Calls `found` for each one whose pattern matches the subject.
    pub(crate) fn each(&self, subject: &str, mut found: impl FnMut(&Arc<T>)) {
        each(&self.root, Some(subject), &mut found);
    }

    /// Calls `found` for all.
    pub(crate) fn all(&self, found: &mut impl FnMut(&Arc<T>)) {
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            node.here.iter().chain(&node.rest).for_each(&mut *found);
            nodes.extend(node.words.values().chain(&node.any));
        }
    }
}

fn remove<T>(node: &mut Node<T>, words: &[&str], item: &Arc<T>) -> bool {
    let take = |list: &mut Vec<Arc<T>>| {
        let place = list.iter().position(|other| Arc::ptr_eq(other, item));
        place.map(|place| list.remove(place)).is_some()
    };
    match words {
        [] => take(&mut node.here),
        [">"] => take(&mut node.rest),
        ["*", rest @ ..] => {
            let Some(child) = &mut node.any else { return false };
            let child = Arc::make_mut(child);
            let removed = remove(child, rest, item);
            if child.is_empty() {
                node.any = None;
            }
            removed
        }
        [word, rest @ ..] => {
            let Some(child) = node.words.get_mut(*word) else { return false };
            let child = Arc::make_mut(child);
            let removed = remove(child, rest, item);
            if child.is_empty() {
                node.words.remove(*word);
            }
            removed
        }
    }
}

/// As deep as the subject has words, which its length bounds.
fn each<T>(node: &Node<T>, subject: Option<&str>, found: &mut impl FnMut(&Arc<T>)) {
    let Some(subject) = subject else {
        node.here.iter().for_each(found);
        return;
    };
    node.rest.iter().for_each(&mut *found);
    let (word, rest) = match subject.split_once('.') {
        Some((word, rest)) => (word, Some(rest)),
        None => (subject, None),
    };
    if let Some(child) = node.words.get(word) {
        each(child, rest, found);
    }
    if let Some(child) = &node.any {
        each(child, rest, found);
    }
}

#[cfg(test)]
mod tests;
