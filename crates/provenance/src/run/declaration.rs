//! Whether a step's declaration is sound, and where its parts lie.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{Declared, Step};

/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// Where the parts of a step lie, absolute and with links resolved.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub directory: PathBuf,
    pub inputs: Vec<PathBuf>,
    pub products: Vec<PathBuf>,
    pub scratch: Vec<PathBuf>,
}

impl Places {
    /// Everything that was declared.
    pub fn all(&self) -> Vec<PathBuf> {
        [&self.inputs, &self.products, &self.scratch]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

/// What is wrong with a declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationFault {
    /// The working directory is not a folder that can be read.
    #[error("the working directory {} cannot be used: {kind}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// What the system says.
        kind: std::io::ErrorKind,
    },
    /// Two inputs or two products have one name.
    #[error("the name `{name}` is declared twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A name is empty, too long, or has characters that a layout could not refer to.
    #[error(
        "`{name}` is not a name: at most 128 letters, digits and `.`, `_`, `-`, \
         beginning with a letter or digit"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A step without a product proves nothing about anything.
    #[error("a step needs at least one product")]
    NoProduct,
    /// Two parts of the declaration lie in each other, so that one would change the other.
    #[error("{} and {} lie in each other", first.display(), second.display())]
    Overlap {
        /// One path.
        first: PathBuf,
        /// The other, a product or scratch.
        second: PathBuf,
    },
    /// A path leads through something that is not there, and then back with `..`.
    #[error("{} cannot be resolved", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// Checks a declaration. What is left out of everything that is hashed, such as the home of
/// Custos, may lie in an input although it is written to.
pub(super) fn check(step: &Step, left_out: &[PathBuf]) -> Result<Places, DeclarationFault> {
    check_name(&step.name)?;
    check_names(&step.inputs)?;
    check_names(&step.products)?;
    if step.products.is_empty() {
        return Err(DeclarationFault::NoProduct);
    }
    let directory = step
        .directory
        .canonicalize()
        .map_err(|error| DeclarationFault::Directory {
            path: step.directory.clone(),
            kind: error.kind(),
        })?;
    let of = |declared: &[Declared]| -> Result<Vec<PathBuf>, DeclarationFault> {
        declared
            .iter()
            .map(|declared| resolve(&directory, &declared.path))
            .collect()
    };
    let places = Places {
        inputs: of(&step.inputs)?,
        products: of(&step.products)?,
        scratch: step
            .scratch
            .iter()
            .map(|path| resolve(&directory, path))
            .collect::<Result<_, _>>()?,
        directory,
    };
    let left_out: Vec<PathBuf> = left_out
        .iter()
        .filter_map(|path| resolve(&places.directory, path).ok())
        .collect();
    check_overlap(&places, &left_out)?;
    Ok(places)
}

fn check_names(declared: &[Declared]) -> Result<(), DeclarationFault> {
    let mut seen = BTreeSet::new();
    for Declared { name, .. } in declared {
        check_name(name)?;
        if !seen.insert(name) {
            return Err(DeclarationFault::DuplicateName { name: name.clone() });
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), DeclarationFault> {
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if starts_well && plain && name.len() <= MAX_NAME {
        Ok(())
    } else {
        Err(DeclarationFault::Name {
            name: name.to_owned(),
        })
    }
}

// Inputs may lie in each other (a folder and one file of it); whatever is written to may not lie
// in, or around, anything else.
fn check_overlap(places: &Places, left_out: &[PathBuf]) -> Result<(), DeclarationFault> {
    let written: Vec<&PathBuf> = places.products.iter().chain(&places.scratch).collect();
    for (index, second) in written.iter().enumerate() {
        let others = written.iter().take(index).copied();
        let unseen = index >= places.products.len() && left_out.contains(second);
        let inputs = places
            .inputs
            .iter()
            .filter(|input| !(unseen && second.starts_with(input) && *input != *second));
        for first in inputs.chain(others) {
            if first.starts_with(second) || second.starts_with(first) {
                return Err(DeclarationFault::Overlap {
                    first: first.clone(),
                    second: (*second).clone(),
                });
            }
        }
    }
    Ok(())
}

// A path that may not be there yet: the longest part that is there is resolved by the system, so
// that no link hides an overlap.
fn resolve(directory: &Path, path: &Path) -> Result<PathBuf, DeclarationFault> {
    let fault = || DeclarationFault::Path {
        path: path.to_owned(),
    };
    let joined = directory.join(path);
    if let Ok(resolved) = joined.canonicalize() {
        return Ok(resolved);
    }
    let mut missing = Vec::new();
    let mut there = joined.as_path();
    loop {
        match there.components().next_back() {
            Some(Component::Normal(name)) => missing.push(name),
            Some(Component::CurDir) => {}
            _ => return Err(fault()),
        }
        there = there.parent().ok_or_else(fault)?;
        if let Ok(mut resolved) = there.canonicalize() {
            resolved.extend(missing.iter().rev());
            return Ok(resolved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(folder: &Path) -> Step {
        let mut step = Step::new("train", folder, vec!["true".into()]);
        step.products.push(Declared::new("model", "out/model"));
        step
    }

    #[test]
    fn names_are_such_that_a_layout_can_refer_to_them() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "a/b", "a b", "-x", ".", "ä", &"x".repeat(129)] {
            let mut step = step(folder.path());
            step.name = bad.to_owned();
            assert_eq!(
                check(&step, &[]).unwrap_err(),
                DeclarationFault::Name { name: bad.into() }
            );
        }
        let mut twice = step(folder.path());
        twice.products.push(Declared::new("model", "b"));
        assert_eq!(
            check(&twice, &[]).unwrap_err(),
            DeclarationFault::DuplicateName {
                name: "model".into()
            }
        );
        let mut none = step(folder.path());
        none.products.clear();
        assert_eq!(check(&none, &[]).unwrap_err(), DeclarationFault::NoProduct);
    }

    #[test]
    fn nothing_written_lies_in_anything_else_even_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::os::unix::fs::symlink("data", folder.path().join("link")).unwrap();
        for (input, product) in [
            ("data", "data/out"),
            ("data", "link/out"),
            ("data", "data"),
            ("data", "."),
        ] {
            let mut step = step(folder.path());
            step.inputs.push(Declared::new("data", input));
            step.products.push(Declared::new("out", product));
            let fault = check(&step, &[]).unwrap_err();
            assert!(
                matches!(fault, DeclarationFault::Overlap { .. }),
                "{product}: {fault}"
            );
        }
        let mut step = step(folder.path());
        step.inputs.push(Declared::new("data", "data"));
        step.inputs.push(Declared::new("again", "data/x"));
        step.scratch.push("tmp".into());
        let places = check(&step, &[]).unwrap();
        assert_eq!(places.products, [places.directory.join("out/model")]);
        step.scratch.push("out".into());
        assert!(matches!(
            check(&step, &[]),
            Err(DeclarationFault::Overlap { .. })
        ));
    }

    #[test]
    fn the_home_may_lie_in_an_input_that_is_hashed_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        std::fs::create_dir_all(project.join(".custos")).unwrap();
        let mut step = Step::new("train", &project, vec!["true".into()]);
        step.inputs.push(Declared::new("project", "."));
        step.products.push(Declared::new("model", "../model"));
        step.scratch.push(project.join(".custos"));
        assert!(matches!(
            check(&step, &[]),
            Err(DeclarationFault::Overlap { .. })
        ));
        let home = [project.join(".custos")];
        check(&step, &home).unwrap();
        // Neither a product in an input nor the home itself as an input.
        step.products.push(Declared::new("more", "more"));
        assert!(matches!(
            check(&step, &home),
            Err(DeclarationFault::Overlap { .. })
        ));
        step.products.pop();
        step.inputs.push(Declared::new("keys", ".custos/keys"));
        assert!(matches!(
            check(&step, &home),
            Err(DeclarationFault::Overlap { .. })
        ));
    }

    #[test]
    fn a_path_back_through_nothing_is_not_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let mut back = step(folder.path());
        back.products.push(Declared::new("x", "absent/../../etc"));
        assert!(matches!(
            check(&back, &[]),
            Err(DeclarationFault::Path { .. })
        ));
        let gone = step(&folder.path().join("gone"));
        assert!(matches!(
            check(&gone, &[]),
            Err(DeclarationFault::Directory { .. })
        ));
    }
}
