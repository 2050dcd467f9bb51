//! How bad a call is: by what is called, with what, and whether importing is enough to run it.

use custos_core::finding::{Confidence, Severity};

use crate::rules::{self, Rule};
use crate::text::code::Value;
use crate::text::shortened;

use super::places::{self, runs_file};
use super::sinks::Kind;
use super::values::{Signs, Val};

/// What was seen, and how bad it is where it stands.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) rule: &'static Rule,
    /// If importing the program runs it.
    pub(super) on_import: Option<Severity>,
    /// If only a caller does.
    pub(super) in_function: Option<Severity>,
    /// If what is hidden is not in this program, and comes from whoever calls the function.
    pub(super) given: bool,
    pub(super) confidence: Confidence,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn new(
        rule: &'static Rule,
        on_import: Severity,
        in_function: Severity,
        message: String,
    ) -> Self {
        Self {
            rule,
            on_import: Some(on_import),
            in_function: Some(in_function),
            given: false,
            confidence: Confidence::High,
            message,
        }
    }

    pub(super) fn likely(mut self) -> Self {
        self.confidence = Confidence::Medium;
        self
    }
}

/// A call whose callee is listed.
pub(super) struct Called<'a> {
    pub(super) path: &'a str,
    pub(super) kind: Kind,
    /// The name of what is called was hidden.
    pub(super) signs: Signs,
    pub(super) arguments: &'a [Val],
    /// The program builds or documents a package, and is not part of one.
    pub(super) builds: bool,
    /// Named arguments, by their names.
    pub(super) named: &'a [(&'a str, Val)],
}

/// Returns what there is to say about a call.
pub(super) fn call(called: &Called<'_>) -> Option<Verdict> {
    let hidden = called
        .signs
        .any(Signs::COMPUTED.and(Signs::DECODED).and(Signs::FETCHED));
    let verdict = match called.kind {
        Kind::RunsText => runs_text(called),
        // What opens a page is a command only where it says where the page goes.
        Kind::RunsCommand
            if called.path == "webbrowser.get" && !command_of(called).contains("%s") =>
        {
            None
        }
        Kind::RunsCommand => Some(runs_command(called)),
        Kind::Speaks => speaks(called),
        Kind::RunsFile => runs_file(called),
        Kind::Sends => sends(called),
        Kind::Unpickles => unpickles(called),
        Kind::LoadsNative => Some(loads_native(called)),
        Kind::Removes => removes(called),
        Kind::TakesOver => Some(Verdict::new(
            &rules::text::PYTHON_COMMAND,
            Severity::Medium,
            Severity::Low,
            format!(
                "`{}` puts one open file in the place of another, as remote shells do",
                called.path
            ),
        )),
        Kind::Decodes | Kind::Fetches | Kind::TellsSecrets => None,
    };
    if !hidden
        || matches!(
            called.kind,
            Kind::Decodes | Kind::Fetches | Kind::TellsSecrets
        )
    {
        return verdict;
    }
    let message = format!(
        "`{}` is called by a name that is put together of pieces",
        called.path
    );
    let dangerous = matches!(called.kind, Kind::RunsText | Kind::RunsCommand);
    let least = if dangerous {
        Severity::High
    } else {
        Severity::Medium
    };
    let hidden = Verdict::new(
        &rules::text::PYTHON_HIDDEN,
        Severity::High.max(least),
        least,
        message,
    );
    match verdict {
        Some(verdict)
            if verdict.on_import >= Some(Severity::High) && verdict.in_function >= Some(least) =>
        {
            Some(verdict)
        }
        _ => Some(hidden),
    }
}

fn all_signs(called: &Called<'_>) -> Signs {
    let named = called.named.iter().map(|(_, value)| value);
    let all = called.arguments.iter().chain(named);
    all.fold(Signs::default(), |all, one| all.and(one.signs))
}

fn runs_text(called: &Called<'_>) -> Option<Verdict> {
    let rule = &rules::text::PYTHON_EXEC;
    let signs = called
        .arguments
        .first()
        .map(|first| first.signs)
        .unwrap_or_default();
    let known = called
        .arguments
        .first()
        .is_some_and(|first| first.value.is_known());
    let path = called.path;
    if signs.any(Signs::FETCHED) {
        let message = format!("`{path}` runs what was fetched from another machine");
        return Some(Verdict::new(
            rule,
            Severity::Critical,
            Severity::High,
            message,
        ));
    }
    if signs.any(Signs::DECODED) {
        let message = format!("`{path}` runs text that is decoded first");
        let verdict = Verdict::new(rule, Severity::Critical, Severity::High, message);
        return Some(Verdict {
            given: signs.any(Signs::GIVEN) && !known,
            ..verdict
        });
    }
    if signs.any(Signs::OUTSIDE) {
        let message = format!("`{path}` runs a file that lies where everybody writes");
        return Some(Verdict::new(
            rule,
            Severity::High,
            Severity::Medium,
            message,
        ));
    }
    if signs.any(Signs::COMPUTED) && known {
        let message = format!("`{path}` runs text that is put together of pieces");
        return Some(Verdict::new(rule, Severity::High, Severity::Medium, message).likely());
    }
    // A function is made of code, or measured: nothing is hidden by that.
    if path.starts_with("types.") || path.starts_with("timeit.") {
        return None;
    }
    let message = format!("`{path}` runs text as a program");
    let on_import = if known {
        Severity::Low
    } else {
        Severity::Medium
    };
    Some(Verdict::new(rule, on_import, Severity::Low, message))
}

fn runs_command(called: &Called<'_>) -> Verdict {
    let rule = &rules::text::PYTHON_COMMAND;
    let command = command_of(called);
    let signs = all_signs(called);
    let path = called.path;
    let shown = shortened(&command);
    if signs.any(Signs::FETCHED.and(Signs::DECODED)) {
        let message = format!("`{path}` runs a command that is decoded or fetched first");
        return Verdict::new(rule, Severity::Critical, Severity::High, message);
    }
    if let Some(alarm) = alarm(&command) {
        let message = format!("`{path}` runs the command `{shown}`");
        let (on_import, in_function) = match alarm {
            Alarm::Attack => (Severity::Critical, Severity::High),
            Alarm::Strange => (Severity::High, Severity::Medium),
        };
        return Verdict::new(rule, on_import, in_function, message);
    }
    let program = command.split_whitespace().next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    if is_usual(program) || command.starts_with("cat /proc/") {
        let message = format!("`{path}` runs `{shown}`");
        return Verdict::new(rule, Severity::Low, Severity::Info, message).likely();
    }
    // What a build runs of its own source.
    if called.builds
        && (std::path::Path::new(program)
            .extension()
            .is_some_and(|end| end == "sh")
            || matches!(program, "python" | "python3" | "npm" | "yarn"))
    {
        let message = format!("`{path}` runs `{shown}`");
        return Verdict::new(rule, Severity::Medium, Severity::Info, message).likely();
    }
    let known = !command.is_empty();
    let shell = matches!(
        path,
        "os.system" | "os.popen" | "posix.system" | "nt.system"
    );
    let message = if known {
        format!("`{path}` runs the command `{shown}`")
    } else {
        format!("`{path}` runs a command")
    };
    let on_import = if known || shell {
        Severity::High
    } else {
        Severity::Medium
    };
    let verdict = Verdict::new(rule, on_import, Severity::Low, message);
    if known { verdict } else { verdict.likely() }
}

// What is run, as one text.
fn command_of(called: &Called<'_>) -> String {
    let first = called.arguments.first().or_else(|| {
        let args = called
            .named
            .iter()
            .find(|(name, _)| matches!(*name, "args" | "cmd" | "command"));
        args.map(|(_, value)| value)
    });
    first.map(|first| words(&first.value)).unwrap_or_default()
}

fn speaks(called: &Called<'_>) -> Option<Verdict> {
    let path = called.path;
    if all_signs(called).any(Signs::SECRET) && !path.ends_with("Request") {
        let message =
            format!("`{path}` sends what is in the environment of the user to another machine");
        return Some(
            Verdict::new(
                &rules::text::PYTHON_NETWORK,
                Severity::High,
                Severity::Medium,
                message,
            )
            .likely(),
        );
    }
    if let Some(verdict) = places::key_sent(called) {
        return Some(verdict);
    }
    // What only prepares a request says nothing yet.
    if path.ends_with("Request") || path.starts_with("socket.get") {
        return None;
    }
    let target = called
        .arguments
        .iter()
        .find_map(|argument| match &argument.value {
            Value::Text(text) => Some(shortened(text)),
            Value::List(items) => items.first().and_then(Value::text).map(shortened),
            _ => None,
        });
    let with = target.map_or(String::new(), |target| format!(": `{target}`"));
    let message = format!("`{path}` speaks to another machine{with}");
    Some(Verdict::new(
        &rules::text::PYTHON_NETWORK,
        Severity::Medium,
        Severity::Info,
        message,
    ))
}

fn sends(called: &Called<'_>) -> Option<Verdict> {
    let secret = all_signs(called).any(Signs::SECRET.and(Signs::KEY));
    secret.then(|| {
        let message = format!(
            "`{}` sends what is in the environment of the user to another machine",
            called.path
        );
        let rule = &rules::text::PYTHON_NETWORK;
        Verdict::new(rule, Severity::High, Severity::Medium, message).likely()
    })
}

fn unpickles(called: &Called<'_>) -> Option<Verdict> {
    let rule = &rules::text::PYTHON_UNPICKLE;
    let path = called.path;
    if !asks_for_objects(called) {
        return None;
    }
    let safe = called.named.iter().any(|(name, value)| {
        *name == "weights_only" && value.path.as_deref() == Some("builtins.True")
    });
    if safe {
        return None;
    }
    let first = called.arguments.first();
    let signs = first.map(|first| first.signs).unwrap_or_default();
    let literal = first.is_some_and(|first| matches!(first.value, Value::Bytes(_)));
    // Bytes that are known are looked at by themselves, and say more than that they are loaded.
    if literal && !path.starts_with("marshal.") {
        let message = format!("`{path}` loads objects out of bytes that the program holds");
        return Some(Verdict::new(rule, Severity::Low, Severity::Info, message));
    }
    if signs.any(Signs::FETCHED.and(Signs::DECODED)) || literal {
        let message =
            format!("`{path}` loads objects out of bytes that the program holds or fetches");
        return Some(Verdict::new(
            rule,
            Severity::High,
            Severity::Medium,
            message,
        ));
    }
    let trusts = called.named.iter().any(|(name, value)| {
        *name == "weights_only" && value.path.as_deref() == Some("builtins.False")
    });
    if trusts {
        let message = format!("`{path}` is told to load more than weights, which can run code");
        return Some(Verdict::new(rule, Severity::Medium, Severity::Low, message));
    }
    let message = format!("`{path}` loads objects that can run code");
    Some(Verdict::new(
        rule,
        Severity::Medium,
        Severity::Info,
        message,
    ))
}

// Readers that load objects only when they are told to.
fn asks_for_objects(called: &Called<'_>) -> bool {
    let named = |name: &str| called.named.iter().find(|(one, _)| *one == name);
    match called.path {
        "numpy.load" => {
            let allowed = named("allow_pickle").map(|(_, value)| value);
            let allowed = allowed.or(called.arguments.get(2));
            allowed.is_some_and(|value| value.path.as_deref() == Some("builtins.True"))
        }
        "yaml.load" | "yaml.load_all" => {
            let loader = named("Loader").map(|(_, value)| value);
            let loader = loader.or(called.arguments.get(1));
            let loader = loader.and_then(|loader| loader.path.as_deref());
            let loader = loader.and_then(|path| path.rsplit('.').next());
            matches!(
                loader,
                Some("Loader" | "CLoader" | "UnsafeLoader" | "CUnsafeLoader")
            )
        }
        _ => true,
    }
}

fn loads_native(called: &Called<'_>) -> Verdict {
    let rule = &rules::text::PYTHON_NATIVE;
    let name = called
        .arguments
        .first()
        .map(|first| words(&first.value))
        .unwrap_or_default();
    let outside = ["/tmp/", "/dev/shm/", "/var/tmp/", "http"]
        .iter()
        .any(|start| name.starts_with(start));
    let path = called.path;
    if outside {
        let message = format!("`{path}` loads the library `{}`", shortened(&name));
        return Verdict::new(rule, Severity::High, Severity::Medium, message);
    }
    let message = format!("`{path}` loads a library of machine code");
    Verdict::new(rule, Severity::Low, Severity::Info, message)
}

fn removes(called: &Called<'_>) -> Option<Verdict> {
    let name = called
        .arguments
        .first()
        .map(|first| words(&first.value))
        .unwrap_or_default();
    let wide = matches!(
        name.trim_end_matches(['/', '*']),
        "" | "~" | "/home" | "/etc" | "/usr" | "/root" | "C:\\" | "."
    );
    if name.is_empty() || !wide {
        return None;
    }
    let message = format!("`{}` removes `{}`", called.path, shortened(&name));
    Some(Verdict::new(
        &rules::text::PYTHON_COMMAND,
        Severity::Critical,
        Severity::High,
        message,
    ))
}

enum Alarm {
    // Nothing else looks like that.
    Attack,
    // Seldom in a program, and never without need.
    Strange,
}

fn alarm(command: &str) -> Option<Alarm> {
    const ATTACKS: [&str; 12] = [
        "/dev/tcp/",
        "/dev/udp/",
        "nc -e",
        "ncat -e",
        "netcat -e",
        "base64 -d",
        "base64 --decode",
        "mkfifo ",
        "bash -i",
        "-enc ",
        "-EncodedCommand",
        "| sudo bash",
    ];
    const STRANGE: [&str; 10] = [
        "curl ",
        "wget ",
        "chmod +x",
        "chmod 777",
        "rm -rf",
        "powershell",
        "nohup ",
        "/etc/passwd",
        "crontab",
        ".ssh/",
    ];
    let piped = ["sh", "bash", "python", "python3", "zsh", "perl"]
        .iter()
        .any(|shell| {
            command.contains(&format!("| {shell}")) || command.contains(&format!("|{shell}"))
        });
    let fetches = command.contains("curl") || command.contains("wget") || command.contains("http");
    if ATTACKS.iter().any(|attack| command.contains(attack)) || piped && fetches {
        return Some(Alarm::Attack);
    }
    (STRANGE.iter().any(|word| command.contains(word)) || piped).then_some(Alarm::Strange)
}

// What programs ask about the machine they are on, and how they are built.
fn is_usual(program: &str) -> bool {
    const USUAL: &str = "git hg svn nvcc nvidia-smi rocm-smi amd-smi rocminfo hipcc hipconfig uname which \
        where whereis gcc g++ clang clang++ cc c++ ld ldd ldconfig cl cmake make ninja ar \
        nm objdump patchelf otool install_name_tool lipo xcrun xcode-select sw_vers sysctl \
        lscpu lspci dpkg rpm brew conda pkg-config meson cargo rustc go gfortran java \
        javac mpicc mpirun mpiexec clear \
        cls color tput stty locale hostname llvm-config cython swig protoc pandoc ffmpeg \
        ffprobe dot sphinx-build xcodebuild free df ps lsb_release fc-list fc-match kpsewhich \
        tex latex luatex lualatex pdflatex xelatex gs inkscape system_profiler";
    let program = program.trim_end_matches(".exe");
    USUAL.split(' ').any(|usual| usual == program)
}

/// Returns the words of a command, however it is given.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::List(items) => {
            let words: Vec<&str> = items
                .iter()
                .map(|item| item.text().unwrap_or("?"))
                .collect();
            words.join(" ").trim_matches(['?', ' ']).to_owned()
        }
        _ => String::new(),
    }
}
