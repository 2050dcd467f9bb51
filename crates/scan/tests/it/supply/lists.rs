//! Lists of dependencies: what is wrong with each, and what is not.

use custos_core::finding::Severity;
use custos_scan::{FileReport, Knowledge, Options, State, scan};

const COMMIT: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";
const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

pub fn look(name: &str, text: &str, knowledge: Option<&Knowledge>) -> FileReport {
    let options = Options {
        knowledge,
        ..Options::default()
    };
    scan(name, &text.as_bytes().to_vec(), &options)
}

pub fn found(report: &FileReport) -> Vec<(&str, Severity)> {
    let findings = report.findings.iter();
    findings
        .map(|one| (one.rule.as_str(), one.severity))
        .collect()
}

fn has(name: &str, text: &str, rule: &str, severity: Severity) {
    let report = look(name, text, None);
    assert!(
        found(&report).contains(&(rule, severity)),
        "{text}: {report:#?}"
    );
}

fn lacks(name: &str, text: &str, rule: &str) {
    let report = look(name, text, None);
    assert!(
        found(&report).iter().all(|one| one.0 != rule),
        "{text}: {report:#?}"
    );
}

/// Valid files of each format, with nothing wrong in them.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let texts: Vec<(&'static str, String)> = vec![
        ("pip requirements", format!("# made by hand\nnumpy==1.26.4 \\\n    --hash=sha256:{HASH}\n")),
        ("Python package metadata", "Metadata-Version: 2.1\nName: x\nVersion: 1\nRequires-Dist: numpy>=1 ; extra == 'a'\n\nText; with signs\n".to_owned()),
        ("installed files of a Python package", "x/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n../../../bin/x,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,9\nx-1.dist-info/RECORD,,\n".to_owned()),
        ("setuptools configuration", "[metadata]\nname = x\n\n[options]\ninstall_requires =\n    numpy>=1\n    requests==2.31.0\n".to_owned()),
        ("Python project", "[project]\nname = \"x\"\ndependencies = [\"numpy>=1\"]\n\n[build-system]\nrequires = [\"setuptools>=61\"]\n".to_owned()),
        ("lock file", format!("version = 1\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"numpy\"\nversion = \"1.26.4\"\nsource = {{ registry = \"https://pypi.org/simple\" }}\nwheels = [{{ url = \"https://files.pythonhosted.org/n.whl\", hash = \"sha256:{HASH}\" }}]\n")),
        ("Pipfile", "[[source]]\nurl = \"https://pypi.org/simple\"\nname = \"pypi\"\n\n[packages]\nnumpy = \"==1.26.4\"\n".to_owned()),
        ("Pipfile.lock", format!("{{\"_meta\": {{\"hash\": {{\"sha256\": \"{HASH}\"}}, \"pipfile-spec\": 6, \"sources\": [{{\"name\": \"pypi\", \"url\": \"https://pypi.org/simple\"}}]}}, \"default\": {{\"numpy\": {{\"version\": \"==1.26.4\", \"hashes\": [\"sha256:{HASH}\"]}}}}, \"develop\": {{}}}}")),
        ("npm lock file", "{\"name\": \"x\", \"lockfileVersion\": 3, \"packages\": {\"\": {\"name\": \"x\"}, \"node_modules/lodash\": {\"version\": \"4.17.21\", \"resolved\": \"https://registry.npmjs.org/lodash/-/lodash-4.17.21.tgz\"}}}".to_owned()),
        ("conda environment", "name: x\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip:\n    - numpy==1.26.4\n".to_owned()),
        ("conda lock file", "version: 1\nmetadata:\n  content_hash:\n    linux-64: 0123\npackage:\n- name: numpy\n  version: 1.26.4\n  manager: conda\n  url: https://conda.anaconda.org/numpy.conda\n".to_owned()),
        ("pnpm lock file", "lockfileVersion: '9.0'\n\npackages:\n\n  lodash@4.17.21:\n    resolution: {integrity: sha512-v2kDEe57}\n".to_owned()),
        ("conda package list", "@EXPLICIT\nhttps://conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-py311_0.conda#0123456789abcdef0123456789abcdef\n".to_owned()),
        ("yarn lock file", "# yarn lockfile v1\n\n\nlodash@^4.0.0:\n  version \"4.17.21\"\n  resolved \"https://registry.yarnpkg.com/lodash/-/lodash-4.17.21.tgz#679591c5\"\n".to_owned()),
        ("go.mod", "module example.org/x\n\ngo 1.22\n\nrequire golang.org/x/text v0.14.0 // indirect\n".to_owned()),
        ("go.sum", "golang.org/x/text v0.14.0 h1:ScX5w1eTa3QqT8oi6+ziP7dTV1S2+ALU0bI+0zXKWiQ=\n".to_owned()),
    ];
    let bytes = |(name, text): (&'static str, String)| (name, text.into_bytes());
    texts.into_iter().map(bytes).collect()
}

#[test]
fn an_ordinary_list_of_each_format_is_clean_and_whole() {
    for (format, bytes) in samples() {
        let report = scan("x", &bytes, &Options::default());
        assert!(
            report.formats.iter().any(|one| one.format == format),
            "{format}: {report:#?}"
        );
        assert_eq!(report.state(Severity::Low), State::Clean, "{report:#?}");
        assert_eq!(report.coverage.unknown, 0, "{format}");
    }
    let package =
        "{\"name\": \"x\", \"version\": \"1.0.0\", \"dependencies\": {\"lodash\": \"^4.0.0\"}}";
    assert_eq!(
        look("package.json", package, None).state(Severity::Low),
        State::Clean
    );
}

#[test]
fn requirement_files_are_told_by_their_lines() {
    let recognised = |name: &str, text: &str| {
        let report = look(name, text, None);
        report
            .formats
            .iter()
            .any(|one| one.format == "pip requirements")
    };
    assert!(recognised("a", "numpy>=1\nrequests\n"));
    assert!(recognised("requirements-dev.txt", "numpy\n"));
    assert!(!recognised("vocab.txt", "numpy\nrequests\nthe\n"));
    assert!(!recognised("a.txt", "Some words, and 1 >= 0.\n"));
}

#[test]
fn what_is_not_held_fast_is_said_once_for_a_list() {
    let text = "numpy\nrequests>=2\nscipy==1.11.4\n";
    let report = look("requirements.txt", text, None);
    assert_eq!(
        found(&report),
        [
            ("supply/any-version", Severity::Low),
            ("supply/unhashed", Severity::Info),
            ("supply/unpinned", Severity::Info),
        ]
    );
}

#[test]
fn places_that_anybody_can_change_are_found() {
    use Severity::{Info, Medium};
    let cases = [
        (
            "--index-url http://pypi.corp/simple\nx>=1\n",
            "supply/insecure-transport",
            Medium,
        ),
        (
            "--trusted-host pypi.corp\nx>=1\n",
            "supply/insecure-transport",
            Medium,
        ),
        (
            "--extra-index-url https://pypi.corp/simple\nx>=1\n",
            "supply/extra-index",
            Medium,
        ),
        (
            "--extra-index-url https://download.pytorch.org/whl/cu118\nx>=1\n",
            "supply/extra-index",
            Info,
        ),
        (
            "-r https://a.org/r.txt\nx>=1\n",
            "supply/remote-list",
            Medium,
        ),
        (
            "x @ https://a.org/x.whl\ny>=1\n",
            "supply/direct-reference",
            Medium,
        ),
        (
            "x @ git+https://a.org/x@main\ny>=1\n",
            "supply/direct-reference",
            Medium,
        ),
        (
            "git+git://a.org/x.git#egg=x\ny>=1\n",
            "supply/insecure-transport",
            Medium,
        ),
    ];
    for (text, rule, severity) in cases {
        has("requirements.txt", text, rule, severity);
    }
    let fast = format!(
        "x @ https://a.org/x.whl#sha256={HASH}\ny @ git+https://a.org/y@{COMMIT}\n--index-url https://pypi.corp/simple\n"
    );
    lacks("requirements.txt", &fast, "supply/direct-reference");
    lacks("requirements.txt", &fast, "supply/insecure-transport");
    has(
        "package.json",
        "{\"dependencies\": {\"x\": \"github:a/b\"}}",
        "supply/direct-reference",
        Medium,
    );
}

#[test]
fn commands_in_requirements_are_found_in_whatever_file_they_are() {
    use Severity::High;
    for line in [
        "numpy; touch /tmp/x",
        "numpy==$(id)",
        "`id`",
        "numpy && id",
        "x | sh",
    ] {
        has(
            "requirements.txt",
            &format!("scipy>=1\n{line}\n"),
            "supply/shell-in-requirement",
            High,
        );
        let metadata = format!("Metadata-Version: 2.1\nName: x\nRequires-Dist: {line}\n");
        has("METADATA", &metadata, "supply/shell-in-requirement", High);
    }
    // mlflow/mlflow#19583
    let env =
        "python: 3.10\nbuild_dependencies:\n- pip==23\ndependencies:\n- 'numpy; touch /tmp/x'\n";
    has("python_env.yaml", env, "supply/shell-in-requirement", High);
    let benign = "numpy>=1 ; python_version < '3.8' and (os_name == 'nt' or extra == 'x')\n";
    lacks("requirements.txt", benign, "supply/shell-in-requirement");
    let env = "python: 3.10\nbuild_dependencies:\n- pip==23\ndependencies:\n- 'numpy; os_name == \"nt\"'\n";
    lacks("python_env.yaml", env, "supply/shell-in-requirement");
}

#[test]
fn names_that_are_easily_mistaken_are_found_in_every_list() {
    use Severity::{High, Medium};
    has(
        "requirements.txt",
        "reqeusts==1\n",
        "supply/lookalike-name",
        Medium,
    );
    has(
        "requirements.txt",
        "num\u{440}y==1\n",
        "supply/lookalike-name",
        High,
    );
    has(
        "requirements.txt",
        "w\u{f8}rd==1\n",
        "supply/foreign-letters",
        Medium,
    );
    let lock = "{\"lockfileVersion\": 1, \"dependencies\": {\"a\": {\"version\": \"1.0.0\", \"dependencies\": {\"lodahs\": {\"version\": \"1.0.0\"}}}}}";
    has("x", lock, "supply/lookalike-name", Medium);
    let project = "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.9'\ntorhc = '*'\ntensorfow = '*'\n";
    has("x", project, "supply/lookalike-name", Medium);
    for (_, bytes) in samples() {
        lacks(
            "x",
            &String::from_utf8(bytes).unwrap(),
            "supply/lookalike-name",
        );
    }
}

#[test]
fn internal_names_never_come_from_a_public_index() {
    let mut knowledge = Knowledge::default();
    knowledge.internal_names.insert("Acme_Core".to_owned());
    let severity = |name: &str, text: &str| {
        let report = look(name, text, Some(&knowledge));
        let all = found(&report);
        let found = all
            .iter()
            .find(|one| one.0 == "supply/dependency-confusion");
        found.map(|one| one.1)
    };
    let requirements = |text: &str| severity("requirements.txt", text);
    assert_eq!(requirements("acme-core==1\n"), Some(Severity::High));
    assert_eq!(
        requirements("--extra-index-url https://pypi.acme/s\nacme.core==1\n"),
        Some(Severity::High)
    );
    assert_eq!(
        requirements("-i https://pypi.org/simple\nacme-core\n"),
        Some(Severity::High)
    );
    assert_eq!(requirements("-i https://pypi.acme/s\nacme-core==1\n"), None);
    assert_eq!(requirements("--no-index\nacme-core==1\n"), None);
    assert_eq!(requirements("acme-cor==1\n"), None);
    assert_eq!(
        requirements(&format!("acme-core @ git+https://g.acme/c@{COMMIT}\n")),
        None
    );
    let metadata = "Metadata-Version: 2.1\nName: x\nRequires-Dist: acme-core\n";
    assert_eq!(severity("METADATA", metadata), Some(Severity::Medium));
    let lock = |registry: &str| {
        format!(
            "version = 1\n[[package]]\nname = \"acme-core\"\nversion = \"1\"\nsource = {{ registry = \"{registry}\" }}\n"
        )
    };
    assert_eq!(
        severity("uv.lock", &lock("https://pypi.org/simple")),
        Some(Severity::High)
    );
    assert_eq!(severity("uv.lock", &lock("https://pypi.acme/s")), None);
}

#[test]
fn installed_files_outside_of_their_place_are_found() {
    let line = |path: &str| {
        format!("x/a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n{path},,\n")
    };
    for path in ["/etc/cron.d/x", "../../../../../etc/x", "../../../home/x"] {
        has(
            "RECORD",
            &line(path),
            "supply/record-path",
            Severity::Medium,
        );
    }
    lacks("RECORD", &line("../../../bin/x"), "supply/record-path");
}

#[test]
fn what_looks_like_a_list_and_is_none_is_never_clean() {
    let broken = [
        ("uv.lock", "version = 1\n[[package]]\nname = \n"),
        ("x", "{\"lockfileVersion\": 3, \"packages\": [}"),
        ("requirements.txt", "numpy==1\nthis is no requirement\n"),
        ("x", "Metadata-Version: 2.1\nRequires-Dist: a b c\n"),
    ];
    for (name, text) in broken {
        let report = look(name, text, None);
        assert_eq!(report.state(Severity::High), State::Incomplete, "{text}");
    }
}

#[test]
fn commands_that_install_are_lists_too() {
    let rules = |line: &str| {
        let found = custos_scan::fuzz::command(line);
        let rules: Vec<String> = found.into_iter().map(|one| one.rule).collect();
        rules
    };
    let line = "!pip install -q reqeusts==1 --extra-index-url http://pypi.corp/simple";
    for rule in [
        "supply/lookalike-name",
        "supply/extra-index",
        "supply/insecure-transport",
    ] {
        assert!(rules(line).contains(&rule.to_owned()), "{:?}", rules(line));
    }
    assert_eq!(
        rules("!pip install git+https://a.org/x"),
        ["supply/direct-reference"]
    );
    assert_eq!(rules("%pip install numpy"), ["supply/any-version"]);
    assert!(rules("print('pip install reqeusts')").is_empty());
    assert!(rules("!apt-get install reqeusts").is_empty());
}

#[test]
fn a_text_that_quotes_a_project_is_none() {
    let project = "[project]\nname = \"x\"\ndependencies = [\"numpy>=1\"]\n";
    let is_project = |text: &str| {
        let formats = look("x", text, None).formats;
        formats.iter().any(|one| one.format == "Python project")
    };
    for before in [
        "",
        "# made by hand\n\n",
        "name = \"x\"\n",
        "\"a b\".c = 1\n",
        "[build-system]\n",
    ] {
        assert!(is_project(&format!("{before}{project}")), "{before}");
    }
    for before in [
        "How to name it:\n\n",
        "def f(x):\n",
        "<pre>\n",
        "x: 1 = 2\n",
        "- a\n",
    ] {
        assert!(!is_project(&format!("{before}{project}")), "{before}");
    }
}
