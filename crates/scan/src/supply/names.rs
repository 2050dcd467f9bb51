//! Names that are mistaken for others.
//!
//! A name that is itself among the most used ones is never held for a copy. The lists are data
//! (`data/supply`), the most used name first; only the first of them are worth an imitation.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::dependency::Ecosystem;

/// The lists.
pub(crate) const DATA: [&str; 2] = [
    include_str!("../../data/supply/pypi.txt"),
    include_str!("../../data/supply/npm.txt"),
];

/// How a name resembles another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// Letters of other scripts, or letters that look the same.
    Glyphs,
    /// The same letters, separated otherwise.
    Separators,
    /// One letter more, less or else, or two in another order.
    Letter,
    /// A word more, which says nothing: `python-`, `-official`.
    Word,
}

/// A used name that another one resembles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alike {
    pub(super) name: &'static str,
    pub(super) how: Likeness,
}

/// Returns the used name that this one is mistaken for, if it is none of them itself.
pub(super) fn alike(ecosystem: Ecosystem, name: &str) -> Option<Alike> {
    let list: &List = match ecosystem {
        Ecosystem::PyPi => &PYPI,
        Ecosystem::Npm => &NPM,
        _ => return None,
    };
    let name = ecosystem.normal(name);
    if list.known.contains(name.as_str()) || name.starts_with('@') {
        return None;
    }
    let found = |name, how| Some(Alike { name, how });
    let folded = fold(&name);
    if folded != name
        && let Some(meant) = list.known.get(folded.as_str())
    {
        return found(*meant, Likeness::Glyphs);
    }
    if let Some(meant) = list.bare.get(&bare(&name)) {
        return found(*meant, Likeness::Separators);
    }
    if let Some(meant) = list.one_apart(&name) {
        return found(meant, Likeness::Letter);
    }
    let stem = without_words(&name)?;
    let meant = list
        .order
        .iter()
        .take(IMITATED)
        .find(|meant| **meant == stem);
    meant.and_then(|meant| found(meant, Likeness::Word))
}

// Words that are put around a name to make another one that seems to be of the same makers.
fn without_words(name: &str) -> Option<&str> {
    const BEFORE: [&str; 5] = ["python-", "python3-", "py-", "official-", "real-"];
    const AFTER: [&str; 8] = [
        "-python",
        "-python3",
        "-py3",
        "-official",
        "-latest",
        "-update",
        "-fixed",
        "-pypi",
    ];
    let before = BEFORE.iter().find_map(|word| name.strip_prefix(word));
    before.or_else(|| AFTER.iter().find_map(|word| name.strip_suffix(word)))
}

/// How many of the most used names are worth an imitation, and how long a name has to be for a
/// likeness to be none by chance.
const IMITATED: usize = 1_000;
const SHORTEST: usize = 6;

static PYPI: LazyLock<List> = LazyLock::new(|| List::read(DATA[0]));
static NPM: LazyLock<List> = LazyLock::new(|| List::read(DATA[1]));

struct List {
    order: Vec<&'static str>,
    known: HashSet<&'static str>,
    // What is worth an imitation: without separators, and by length with the place in the list.
    bare: HashMap<String, &'static str>,
    lengths: HashMap<usize, Vec<(usize, &'static str)>>,
}

impl List {
    fn read(text: &'static str) -> Self {
        let names = text.lines().filter(|line| !line.starts_with('#'));
        let order: Vec<_> = names.collect();
        let (mut bares, mut lengths) = (HashMap::new(), HashMap::<usize, Vec<_>>::new());
        let worth = order.iter().copied().enumerate().take(IMITATED);
        for (place, name) in worth.filter(|(_, name)| name.len() >= SHORTEST) {
            bares.entry(bare(name)).or_insert(name);
            lengths.entry(name.len()).or_default().push((place, name));
        }
        Self {
            known: order.iter().copied().collect(),
            bare: bares,
            lengths,
            order,
        }
    }

    // The most used of those that are one letter away.
    fn one_apart(&self, name: &str) -> Option<&'static str> {
        let lengths = name.len().saturating_sub(1)..=name.len().saturating_add(1);
        let near = lengths.filter_map(|length| {
            self.lengths
                .get(&length)?
                .iter()
                .find(|(_, meant)| one_apart(name.as_bytes(), meant.as_bytes()))
        });
        near.min().map(|(_, meant)| *meant)
    }
}

fn bare(name: &str) -> String {
    name.replace(['-', '_', '.'], "")
}

// Letters that look like Latin ones, and pairs that look like one letter.
fn fold(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        'а' | 'ɑ' | 'α' | 'á' | 'à' | 'ä' => 'a',
        'Ь' | 'ь' => 'b',
        'с' | 'ϲ' | 'ç' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'é' | 'è' => 'e',
        'ɡ' => 'g',
        'һ' => 'h',
        'і' | 'ı' | 'í' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' | '1' => 'l',
        'м' => 'm',
        'п' | 'ո' => 'n',
        'о' | 'ο' | 'օ' | 'ö' | 'ó' | '0' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' | 'ü' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'ᴢ' => 'z',
        other => other,
    });
    letters
        .collect::<String>()
        .replace("rn", "m")
        .replace("vv", "w")
}

// Damerau-Levenshtein distance of exactly one: without what is the same at both ends, at most one
// letter on each side, or two that changed places.
fn one_apart(a: &[u8], b: &[u8]) -> bool {
    if a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (a.get(front..), b.get(front..));
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    let back = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (
        a.len().checked_sub(back).and_then(|end| a.get(..end)),
        b.len().checked_sub(back).and_then(|end| b.get(..end)),
    );
    match (a.unwrap_or_default(), b.unwrap_or_default()) {
        ([_], [_] | []) | ([], [_]) => true,
        ([one, two], [other, another]) => one == another && two == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pypi(name: &str) -> Option<(&'static str, Likeness)> {
        alike(Ecosystem::PyPi, name).map(|alike| (alike.name, alike.how))
    }

    #[test]
    fn imitations_are_told_from_their_models() {
        assert_eq!(pypi("reqeusts"), Some(("requests", Likeness::Letter)));
        assert_eq!(pypi("requestss"), Some(("requests", Likeness::Letter)));
        assert_eq!(
            pypi("scikitlearn"),
            Some(("scikit-learn", Likeness::Separators))
        );
        assert_eq!(pypi("num\u{440}y"), Some(("numpy", Likeness::Glyphs)));
        assert_eq!(pypi("b0to3"), Some(("boto3", Likeness::Glyphs)));
        assert_eq!(
            pypi("requests-official"),
            Some(("requests", Likeness::Word))
        );
        assert_eq!(pypi("an-unlike-name"), None);
        assert_eq!(
            alike(Ecosystem::Npm, "lodahs").map(|one| one.name),
            Some("lodash")
        );
        assert_eq!(alike(Ecosystem::Npm, "@acme/lodahs"), None);
        assert_eq!(alike(Ecosystem::Crates, "serdee"), None);
    }

    #[test]
    fn no_used_name_is_an_imitation() {
        for (ecosystem, list) in [(Ecosystem::PyPi, &PYPI), (Ecosystem::Npm, &NPM)] {
            assert!(list.order.len() >= 2_000);
            for name in &list.order {
                assert_eq!(alike(ecosystem, name), None, "{name}");
                assert_eq!(ecosystem.normal(name), *name);
            }
        }
    }
}
