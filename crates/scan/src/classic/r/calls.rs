//! Functions of R, by what they do.

use std::sync::LazyLock;

use serde::Deserialize;

/// The list.
pub(crate) static FILE: &str = include_str!("../../../data/classic/r-calls.toml");

#[derive(Default, Deserialize)]
struct Lists {
    call: Vec<Group>,
    weak: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    does: String,
    names: Vec<String>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| toml::from_str(FILE).unwrap_or_default());

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Danger {
    /// In words.
    pub(super) does: &'static str,
    /// True if it is ordinary in functions.
    pub(super) weak: bool,
}

/// Returns what the function of a name does, if it is on the list.
pub(super) fn danger(name: &str) -> Option<Danger> {
    let of = |groups: &'static [Group], weak| {
        let group = groups
            .iter()
            .find(|group| group.names.iter().any(|one| one == name))?;
        Some(Danger {
            does: &group.does,
            weak,
        })
    };
    of(&LISTS.call, false).or_else(|| of(&LISTS.weak, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read() {
        assert!(!danger("system").unwrap().weak);
        assert!(danger("eval").unwrap().weak);
        assert_eq!(danger("lm"), None);
    }
}
