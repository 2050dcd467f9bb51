//! Policy files as bytes with a name; who reads them from disk is a shell.

/// One file of a policy folder: Rego, or a `data.json`.
///
/// ```
/// use custos_policy::PolicyFile;
/// assert!(PolicyFile::new("team/gate_test.rego", "").is_test());
/// assert_eq!(PolicyFile::new("team/data.json", "{}").data_prefix().unwrap(), ["team"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyFile {
    /// Path relative to the policy folder, with `/` between its parts.
    pub path: String,
    /// What stands in the file.
    pub bytes: Vec<u8>,
    /// Which Rego it is written in; `None` finds out.
    pub syntax: Option<Syntax>,
}

impl PolicyFile {
    /// Returns a file whose syntax is to be found out.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            bytes: bytes.into(),
            syntax: None,
        }
    }

    /// Returns the same file, to be read in one syntax only.
    #[must_use]
    pub fn with_syntax(self, syntax: Syntax) -> Self {
        Self {
            syntax: Some(syntax),
            ..self
        }
    }

    /// Returns true for a file of tests: `*_test.rego`.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("_test.rego")
    }

    /// Returns where a data document hangs in `data`: the folders it lies in. `None` if the file
    /// is not named `data.json`.
    pub fn data_prefix(&self) -> Option<Vec<&str>> {
        let mut parts: Vec<&str> = self
            .path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.pop() == Some("data.json") {
            Some(parts)
        } else {
            None
        }
    }

    #[allow(
        clippy::case_sensitive_file_extension_comparisons,
        reason = "what is read must not depend on the file system"
    )]
    pub(crate) fn is_rego(&self) -> bool {
        self.path.ends_with(".rego")
    }
}

/// Which version of the Rego language a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a third version would change every match here"
)]
pub enum Syntax {
    /// Rego as of OPA before 1.0: `deny[msg] { ... }`.
    V0,
    /// Rego as of OPA 1.0: `deny contains msg if { ... }`.
    V1,
}

impl Syntax {
    /// Returns the order in which to try: what the file or its writer says, else v1, then v0.
    pub(crate) fn candidates(explicit: Option<Self>, text: &str) -> &'static [Self] {
        match explicit {
            Some(Self::V0) => &[Self::V0],
            Some(Self::V1) => &[Self::V1],
            None if is_v1_only(text) => &[Self::V1],
            None => &[Self::V1, Self::V0],
        }
    }
}

// A file that imports `rego.v1`, or uses the word `if`, which v0 only has where
// `future.keywords` is imported. Reading such a file as v0 would not help its writer.
fn is_v1_only(text: &str) -> bool {
    let mut uses_if = false;
    for line in text.lines() {
        let line = code_of(line);
        let mut words = line.split_whitespace();
        if words.next() == Some("import") {
            match words.next() {
                Some("rego.v1") => return true,
                Some(name) if name.starts_with("future.keywords") => return false,
                _ => {}
            }
        }
        uses_if |= line.split_whitespace().any(|word| word == "if");
    }
    uses_if
}

// The line without comment and texts, as well as that can be told without parsing.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '#') => break,
            (None, '"' | '`') => quote = Some(c),
            (None, _) => code.push(c),
            (Some('"'), '\\') => {
                chars.next();
            }
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_import_settles_the_syntax() {
        assert_eq!(
            Syntax::candidates(None, "package a\n  import  rego.v1 # yes\n"),
            [Syntax::V1]
        );
        assert_eq!(
            Syntax::candidates(None, "# import\npackage a"),
            [Syntax::V1, Syntax::V0]
        );
        let v1 = "package a\nr if { true }";
        assert_eq!(Syntax::candidates(None, v1), [Syntax::V1]);
        let v0 = "package a\nr { x == \"no if here\" } # if";
        assert_eq!(Syntax::candidates(None, v0), [Syntax::V1, Syntax::V0]);
        let future = "package a\nimport future.keywords.if\nr if { true }";
        assert_eq!(Syntax::candidates(None, future), [Syntax::V1, Syntax::V0]);
        assert_eq!(
            Syntax::candidates(Some(Syntax::V0), "import rego.v1"),
            [Syntax::V0]
        );
    }

    #[test]
    fn data_hangs_where_its_folder_says() {
        assert_eq!(PolicyFile::new("data.json", "").data_prefix(), Some(vec![]));
        assert_eq!(
            PolicyFile::new("./a/b/data.json", "").data_prefix(),
            Some(vec!["a", "b"])
        );
        assert_eq!(PolicyFile::new("a/mydata.json", "").data_prefix(), None);
    }
}
