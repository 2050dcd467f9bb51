//! Which rule uses which: finds recursion, and whether a rule ever looks at the input.

use std::collections::{BTreeMap, BTreeSet};

use super::Path;

/// The rules and what they use.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: BTreeMap<Path, Node>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    uses: BTreeSet<Path>,
    input: bool,
}

impl Graph {
    pub(crate) fn node(&mut self, path: &Path) {
        self.nodes.entry(path.clone()).or_default();
    }

    pub(crate) fn uses(&mut self, from: &Path, to: Path) {
        self.nodes.entry(from.clone()).or_default().uses.insert(to);
    }

    pub(crate) fn uses_input(&mut self, from: &Path) {
        self.nodes.entry(from.clone()).or_default().input = true;
    }

    /// Returns true if a rule at or below `path`, or one that it uses, looks at the input.
    pub(crate) fn reaches_input(&self, path: &Path) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = self.targets(path);
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            let Some(node) = self.nodes.get(next) else {
                continue;
            };
            if node.input {
                return true;
            }
            for used in &node.uses {
                open.extend(self.targets(used));
            }
        }
        false
    }

    /// Returns the circles, each found once.
    pub(crate) fn circles(&self) -> Vec<Vec<Path>> {
        let mut search = Search {
            graph: self,
            done: BTreeSet::new(),
            trail: Vec::new(),
            found: Vec::new(),
        };
        for path in self.nodes.keys() {
            search.visit(path);
        }
        search.found
    }

    /// Returns the rules that a reference to `path` may evaluate: the one it leads into, and all
    /// below it, as when a whole package is named.
    fn targets(&self, path: &Path) -> Vec<&Path> {
        let above = (1..path.len())
            .filter_map(|length| self.nodes.get_key_value(path.get(..length)?))
            .map(|(path, _)| path);
        let below = self
            .nodes
            .range(path.clone()..)
            .map(|(path, _)| path)
            .take_while(|p| p.starts_with(path));
        above.chain(below).collect()
    }
}

struct Search<'a> {
    graph: &'a Graph,
    done: BTreeSet<&'a Path>,
    trail: Vec<&'a Path>,
    found: Vec<Vec<Path>>,
}

impl<'a> Search<'a> {
    // Recurses at most as deep as there are rules, which is limited.
    fn visit(&mut self, path: &'a Path) {
        if let Some(start) = self.trail.iter().position(|seen| *seen == path) {
            let circle = self
                .trail
                .iter()
                .skip(start)
                .map(|path| (*path).clone())
                .collect();
            self.found.push(circle);
            return;
        }
        if !self.done.insert(path) {
            return;
        }
        let Some(node) = self.graph.nodes.get(path) else {
            return;
        };
        self.trail.push(path);
        for used in &node.uses {
            for target in self.graph.targets(used) {
                self.visit(target);
            }
        }
        self.trail.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn circles_and_whole_packages() {
        let mut graph = Graph::default();
        graph.uses(&path("data.a.f"), path("data.a.g"));
        graph.uses(&path("data.a.g"), path("data.b"));
        graph.node(&path("data.b.h"));
        assert!(graph.circles().is_empty());
        graph.uses(&path("data.b.h"), path("data.a.f"));
        assert_eq!(
            graph.circles(),
            [[path("data.a.f"), path("data.a.g"), path("data.b.h")]]
        );
    }

    #[test]
    fn siblings_under_one_name_do_not_recurse() {
        let mut graph = Graph::default();
        graph.uses(&path("data.a.p.x"), path("data.a.p.y"));
        graph.node(&path("data.a.p.y"));
        assert!(graph.circles().is_empty());
        graph.uses_input(&path("data.a.p.y"));
        assert!(graph.reaches_input(&path("data.a.p.x")));
        assert!(!graph.reaches_input(&path("data.a.q")));
    }
}
