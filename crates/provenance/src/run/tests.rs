//! The runner over real commands in temporary folders.

use std::os::unix::fs::{PermissionsExt, symlink};

use custos_core::clock::FixedClock;
use custos_core::digest::Algorithm;
use custos_core::predicate::provenance::Provenance;
use custos_core::predicate::resource_usage::{Confidence, ResourceUsage};
use custos_core::predicate::step::{Isolation, Role, StepView};
use custos_core::predicate::{self};

use super::*;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

struct Place {
    folder: tempfile::TempDir,
    clock: FixedClock,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: FixedClock::new(NOW),
        };
        place.write("data/a.csv", "1,2\n");
        place.write("data/b.csv", "3,4\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    // A step that reads `data` and makes `model`.
    fn step(&self, script: &str) -> Step {
        let command = ["sh", "-c", script].map(OsString::from).to_vec();
        let mut step = Step::new("train", self.folder.path(), command);
        step.environment = Environment::empty().with("PATH", PATH);
        step.output = Output::Null;
        step.inputs.push(Declared::new("data", "data"));
        step.products.push(Declared::new("model", "model"));
        step
    }

    fn runner(&self) -> Runner<'_> {
        Runner {
            hashing: HashOptions::default(),
            progress: &(),
            clock: &self.clock,
            machine: Machine::default(),
            version: "0.1.0",
        }
    }

    fn run_step(&self, step: Step) -> Result<StepOutcome, RunError> {
        self.runner()
            .prepare(step)?
            .execute(&Interrupt::new())?
            .finish()
    }

    fn run(&self, script: &str) -> Result<StepOutcome, RunError> {
        self.run_step(self.step(script))
    }
}

fn view(outcome: &StepOutcome) -> StepView {
    let [provenance, usage] = outcome.statements().unwrap();
    let usage: ResourceUsage = predicate::read(&usage).unwrap();
    let provenance: Provenance = predicate::read(&provenance).unwrap();
    assert_eq!(
        (&provenance, &usage),
        (&outcome.provenance, &outcome.resource_usage)
    );
    StepView::of(&provenance).unwrap()
}

#[test]
fn a_step_tells_what_went_in_what_came_out_and_what_it_used() {
    let place = Place::new();
    let outcome = place.run("cat data/*.csv > model").unwrap();
    let view = view(&outcome);
    assert_eq!(view.external.step, "train");
    assert_eq!(
        view.external.command,
        ["sh", "-c", "cat data/*.csv > model"]
    );
    assert_eq!(view.internal.isolation, Isolation::None);
    assert_eq!(
        view.internal.environment,
        ["PATH", "PYTHONDONTWRITEBYTECODE", "STEP_OF_CUSTOS"]
    );
    assert_eq!(view.internal.notes, []);
    assert_eq!(outcome.subjects.len(), 1);
    assert!(
        outcome.subjects[0]
            .digest
            .contains(&Algorithm::Sha256.digest(b"1,2\n3,4\n"))
    );
    assert!(view.inputs[0].digest.get_raw("dirHash").is_some());
    let roles: Vec<Role> = view.others.iter().filter_map(Role::of).collect();
    for role in [
        Role::Program,
        Role::Packages,
        Role::Source,
        Role::Os,
        Role::Kernel,
        Role::Container,
        Role::Accelerator,
    ] {
        assert_eq!(
            roles.iter().filter(|found| **found == role).count(),
            1,
            "{role:?}"
        );
    }
    let metadata = outcome.provenance.run_details.metadata.as_ref().unwrap();
    assert_eq!(metadata.started_on, Some(NOW));
    assert!(metadata.finished_on > metadata.started_on);
    assert_eq!(
        metadata.invocation_id.as_ref(),
        Some(&outcome.resource_usage.invocation_id)
    );

    let usage = &outcome.resource_usage;
    assert_eq!(usage.wall_micros.confidence, Confidence::Measured);
    assert!(usage.wall_micros.value.unwrap() > 0);
    assert_eq!(usage.cpu_user_micros.confidence, Confidence::Measured);
    assert_eq!(usage.cost.confidence, Confidence::Unknown);
}

#[test]
fn cpu_memory_and_storage_are_those_of_the_command_and_its_children() {
    let place = Place::new();
    // 640 MiB in one argument-free child, and some work: well above what the process of all these
    // tests ever holds, below whose own peak a child's cannot be told.
    let mut step = place.step(
        "head -c 671088640 /dev/zero | tail -c 671088640 > /dev/null; \
         head -c 1048576 /dev/zero > model; sync model; \
         i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
    );
    step.price_per_hour = Some("3.6 EUR".parse().unwrap());
    let outcome = place.run_step(step).unwrap();
    let usage = &outcome.resource_usage;
    assert_eq!(usage.peak_memory_bytes.confidence, Confidence::Measured);
    assert!(usage.peak_memory_bytes.value.unwrap() > 640 << 20);
    assert!(usage.cpu_user_micros.value.unwrap() + usage.cpu_system_micros.value.unwrap() > 1000);
    assert_eq!(usage.written_bytes.confidence, Confidence::Measured);
    // 3.6 an hour is a thousandth a second: a millionth for each millisecond.
    let wall = usage.wall_micros.value.unwrap();
    let cost = usage.cost.value.unwrap();
    assert_eq!(cost.units(), i128::from(wall) * 1_000_000_000);
    assert_eq!(usage.cost.confidence, Confidence::Estimated);
}

#[test]
fn the_same_run_has_the_same_id_and_another_has_another() {
    let ids: Vec<String> = ["echo 1 > model", "echo 2 > model"]
        .map(|script| {
            Place::new()
                .run(script)
                .unwrap()
                .resource_usage
                .invocation_id
        })
        .to_vec();
    assert!(ids[0].starts_with("urn:custos:run:"));
    assert_eq!(ids[0].len(), "urn:custos:run:".len() + 64);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_failed_command_has_no_outcome() {
    let place = Place::new();
    assert!(matches!(
        place.run("echo half > model; exit 7"),
        Err(RunError::CommandFailed {
            code: Some(7),
            signal: None
        })
    ));
    assert!(matches!(
        place.run("kill -SEGV $$"),
        Err(RunError::CommandFailed {
            code: None,
            signal: Some(11)
        })
    ));
}

#[test]
fn a_command_that_is_not_there_is_found_before_anything_runs() {
    let place = Place::new();
    let mut step = place.step("");
    step.command = vec!["no-such-program".into()];
    assert!(matches!(
        place.run_step(step),
        Err(RunError::Material(MaterialError::ProgramNotFound { .. }))
    ));
    // Executable by its mode, but nothing that the system can start.
    place.write("broken", "\u{1}\u{2}\n");
    std::fs::set_permissions(place.path("broken"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut step = place.step("");
    step.command = vec!["./broken".into()];
    assert!(matches!(place.run_step(step), Err(RunError::NotStarted(_))));
}

#[test]
fn an_input_that_changes_is_named_with_its_file() {
    for (script, files) in [
        ("echo > model; echo x >> data/b.csv", vec!["b.csv"]),
        (
            "echo > model; rm data/a.csv; echo > data/c.csv",
            vec!["a.csv", "c.csv"],
        ),
        (
            "echo > model; mv data/a.csv data/z.csv",
            vec!["a.csv", "z.csv"],
        ),
    ] {
        match Place::new().run(script) {
            Err(RunError::InputChanged {
                name, files: found, ..
            }) => {
                assert_eq!(
                    (name.as_str(), found),
                    ("data", files.into_iter().map(String::from).collect()),
                    "{script}"
                );
            }
            other => panic!("{script}: {other:?}"),
        }
    }
    let error = Place::new()
        .run("echo > model; echo x >> data/b.csv")
        .unwrap_err();
    assert!(
        error.to_string().ends_with("changed during the run: b.csv"),
        "{error}"
    );
}

#[test]
fn an_input_that_vanishes_or_was_never_there_is_missing() {
    let place = Place::new();
    assert!(matches!(
        place.run("echo > model; rm -r data"),
        Err(RunError::InputMissing { name, .. }) if name == "data"
    ));
    let place = Place::new();
    let mut step = place.step("echo > model");
    step.inputs.push(Declared::new("more", "absent"));
    assert!(matches!(
        place.run_step(step),
        Err(RunError::InputMissing { name, .. }) if name == "more"
    ));
    assert!(!place.path("model").exists(), "nothing ran");
}

#[test]
fn an_input_touched_but_equal_is_the_same_input() {
    Place::new()
        .run("cp data/a.csv tmp; cat tmp > data/a.csv; mv tmp model")
        .unwrap();
}

#[test]
fn a_product_that_is_missing_or_leads_elsewhere_is_an_error() {
    assert!(matches!(
        Place::new().run("true"),
        Err(RunError::ProductMissing { name, .. }) if name == "model"
    ));
    assert!(matches!(
        Place::new().run("ln -s data/a.csv model"),
        Err(RunError::ProductOutside { name, target }) if name == "model" && target.ends_with("a.csv")
    ));
    assert!(matches!(
        Place::new().run("mkfifo model"),
        Err(RunError::ProductUnreadable { name, .. }) if name == "model"
    ));
}

#[test]
fn files_that_nobody_declared_are_named() {
    let place = Place::new();
    place.write("lib/code.py", "x = 1\n");
    match place.run("echo > model; echo > stray; echo y > lib/code.py") {
        Err(RunError::UndeclaredWrites { paths, total }) => {
            let root = place.folder.path().canonicalize().unwrap();
            assert_eq!(paths, [root.join("lib/code.py"), root.join("stray")]);
            assert_eq!(total, 2);
        }
        other => panic!("{other:?}"),
    }
    let place = Place::new();
    let mut step = place.step("mkdir tmp; echo > tmp/log; echo > model");
    step.scratch.push("tmp".into());
    let outcome = place.run_step(step).unwrap();
    assert_eq!(view(&outcome).external.scratch, ["tmp"]);
}

#[test]
fn a_product_that_was_there_and_did_not_change_is_told() {
    let place = Place::new();
    place.write("model", "old");
    let outcome = place.run("true").unwrap();
    assert_eq!(
        view(&outcome).internal.notes,
        [Note::ProductUnchanged {
            name: "model".into()
        }]
    );
    let outcome = place.run("echo new > model").unwrap();
    assert_eq!(view(&outcome).internal.notes, []);
}

#[test]
fn a_product_may_be_a_folder() {
    let place = Place::new();
    let outcome = place
        .run("mkdir -p model/sub; echo 1 > model/sub/w; echo 2 > model/c")
        .unwrap();
    assert!(outcome.subjects[0].digest.get_raw("dirHash").is_some());
}

#[test]
fn a_gate_sees_the_inputs_before_anything_runs() {
    let place = Place::new();
    let runner = place.runner();
    let prepared = runner.prepare(place.step("echo > model")).unwrap();
    assert_eq!(prepared.inputs()[0].name, "data");
    assert!(!prepared.inputs()[0].artifact.digest.is_empty());
    assert!(!prepared.materials().is_empty());
    drop(prepared);
    assert!(!place.path("model").exists());
}

#[test]
fn no_secret_and_no_open_file_reaches_the_command() {
    let place = Place::new();
    let key = std::fs::File::open("/etc/passwd").unwrap();
    let caller = [
        ("PATH", PATH),
        ("COSIGN_PASSWORD", "hunter2"),
        ("CUSTOS_KEY", "hunter2"),
    ];
    let caller = caller.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut step = place.step("env > model; readlink /proc/self/fd/* >> model || true");
    step.environment = Environment::from_caller(caller, &Keep::All);
    let outcome = place.run_step(step).unwrap();
    drop(key);
    let seen = std::fs::read_to_string(place.path("model")).unwrap();
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(seen.contains("/dev/null"), "open files are listed: {seen}");
    assert!(!seen.contains("/etc/passwd"), "{seen}");
    let [provenance, _] = outcome.statements().unwrap();
    assert!(!provenance.predicate_json().contains("hunter2"));
    assert!(
        !provenance.predicate_json().contains(PATH),
        "values are not recorded"
    );
}

#[test]
fn standard_input_is_empty() {
    let place = Place::new();
    place.run("cat > model").unwrap();
    assert_eq!(std::fs::read(place.path("model")).unwrap(), b"");
}

#[test]
fn an_interrupt_stops_the_whole_group_and_leaves_no_outcome() {
    let place = Place::new();
    let interrupt = Interrupt::new();
    let runner = place.runner();
    let prepared = runner
        .prepare(place.step("sleep 1000 & echo $! > model; wait"))
        .unwrap();
    let model = place.path("model");
    let stop = interrupt.clone();
    let watcher = std::thread::spawn(move || {
        while std::fs::read_to_string(&model)
            .unwrap_or_default()
            .is_empty()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.raise(2);
    });
    let result = prepared.execute(&interrupt);
    watcher.join().unwrap();
    assert!(matches!(
        result.err(),
        Some(RunError::Interrupted { signal: 2 })
    ));
    let child = std::fs::read_to_string(place.path("model")).unwrap();
    assert!(!alive(child.trim()), "{child}");
}

#[test]
fn a_command_that_takes_too_long_is_ended_even_if_it_does_not_listen() {
    let place = Place::new();
    let mut step = place.step("sleep 1000");
    step.time_limit = Some(Duration::from_millis(50));
    assert!(matches!(
        place.run_step(step),
        Err(RunError::TimedOut { .. })
    ));
}

#[test]
fn a_command_that_shares_the_caller_s_input_is_ended_as_well() {
    let place = Place::new();
    let mut step = place.step("exec sleep 1000");
    step.stdin = Stdin::Inherited;
    step.time_limit = Some(Duration::from_millis(50));
    assert!(matches!(
        place.run_step(step),
        Err(RunError::TimedOut { .. })
    ));
    let mut step = place.step("echo > model");
    step.stdin = Stdin::Inherited;
    place.run_step(step).unwrap();
}

#[test]
fn signals_make_the_request() {
    let interrupt = Interrupt::on_signals().unwrap();
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
    let place = Place::new();
    let runner = place.runner();
    let result = runner
        .prepare(place.step("sleep 1000"))
        .unwrap()
        .execute(&interrupt);
    assert!(matches!(
        result.err(),
        Some(RunError::Interrupted { signal: 1 })
    ));
}

#[test]
fn processes_left_running_are_ended_and_told() {
    let place = Place::new();
    let outcome = place.run("sleep 1000 & echo $! > model").unwrap();
    assert_eq!(view(&outcome).internal.notes, [Note::ProcessesEnded]);
    assert!(!alive(
        std::fs::read_to_string(place.path("model")).unwrap().trim()
    ));
}

#[test]
fn processes_that_leave_the_group_are_ended_as_well() {
    let place = Place::new();
    // A daemon: a session of its own, adopted by init, writing to the product for ever.
    let daemon = "setsid sh -c 'echo $$ > model; while :; do echo late >> model; sleep 0.01; done' \
                  </dev/null >/dev/null 2>&1 & \
                  while ! test -s model; do sleep 0.01; done";
    for shares_input in [false, true] {
        let mut step = place.step(daemon);
        if shares_input {
            step.stdin = Stdin::Inherited;
        }
        let outcome = place.run_step(step).unwrap();
        assert_eq!(view(&outcome).internal.notes[..], [Note::ProcessesEnded]);
        let product = std::fs::read(place.path("model")).unwrap();
        assert!(
            outcome.subjects[0]
                .digest
                .contains(&Algorithm::Sha256.digest(&product)),
            "the product is still what was recorded"
        );
        let pid = String::from_utf8_lossy(&product).into_owned();
        assert!(!alive(pid.lines().next().unwrap()));
        std::fs::remove_file(place.path("model")).unwrap();
    }
}

#[test]
fn a_request_that_comes_while_products_are_digested_counts() {
    // Raised by the hashing itself, so that it comes in the middle of it.
    struct Raise(Interrupt, std::sync::atomic::AtomicBool);
    impl Progress for Raise {
        fn advances(&self, bytes: u64, _: u64) {
            if bytes > 0 && self.1.load(std::sync::atomic::Ordering::SeqCst) {
                self.0.raise(15);
            }
        }
    }
    let place = Place::new();
    let raise = Raise(Interrupt::new(), false.into());
    let runner = Runner {
        progress: &raise,
        ..place.runner()
    };
    let prepared = runner.prepare(place.step("echo 1 > model")).unwrap();
    let executed = prepared.execute(&raise.0).unwrap();
    raise.1.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        executed.finish(),
        Err(RunError::Interrupted { signal: 15 })
    ));
}

#[test]
fn what_changes_after_it_was_digested_and_before_the_command_starts_shows() {
    let place = Place::new();
    place.write("train.sh", "echo > model\n");
    let mut step = place.step("");
    step.command = ["sh", "train.sh"].map(OsString::from).to_vec();
    let runner = place.runner();
    let prepared = runner.prepare(step).unwrap();
    place.write("train.sh", "echo evil > model\n");
    let executed = prepared.execute(&Interrupt::new()).unwrap();
    assert!(matches!(
        executed.finish(),
        Err(RunError::UndeclaredWrites { paths, .. }) if paths[0].ends_with("train.sh")
    ));
}

#[test]
fn an_error_names_the_first_files_and_counts_the_rest() {
    let place = Place::new();
    for number in 0..25 {
        place.write(&format!("data/{number:02}"), "1");
    }
    let error = place.run("echo > model; rm data/[0-9]*").unwrap_err();
    assert!(matches!(
        &error,
        RunError::InputChanged { files, total: 25, .. } if files.len() == 20
    ));
    assert!(error.to_string().ends_with("18, 19, and 5 more"), "{error}");
}

#[test]
fn git_state_and_lock_files_are_recorded() {
    let place = Place::new();
    place.write("uv.lock", "version = 1\n");
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(place.folder.path())
            .status()
            .unwrap();
        assert!(status.success());
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&[
        "-c",
        "commit.gpgsign=false",
        "commit",
        "--quiet",
        "-m",
        "first",
    ]);
    let outcome = place.run("cp uv.lock model").unwrap();
    let view = view(&outcome);
    let of = |role: Role| {
        view.others
            .iter()
            .find(|m| Role::of(m) == Some(role))
            .unwrap()
    };
    assert_eq!(of(Role::LockFile).name.as_deref(), Some("uv.lock"));
    assert_eq!(
        of(Role::Source).digest.get_raw("gitCommit").unwrap().len(),
        40
    );
    assert_eq!(of(Role::Source).annotations["dirty"], "no");
}

#[test]
fn a_link_that_is_declared_as_input_stands_for_what_it_leads_to() {
    let place = Place::new();
    symlink("data/a.csv", place.path("latest")).unwrap();
    let mut step = place.step("cat latest > model");
    step.inputs = vec![Declared::new("latest", "latest")];
    let outcome = place.run_step(step).unwrap();
    let input = &view(&outcome).inputs[0];
    assert!(input.digest.contains(&Algorithm::Sha256.digest(b"1,2\n")));
}

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.trim_start().to_owned());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

#[test]
fn what_steps_beside_it_declared_is_noted_and_nothing_else_excused() {
    let run = |script: &str| {
        let place = Place::new();
        let folder = place.folder.path().canonicalize().unwrap();
        let others = || vec![folder.join("other")];
        let runner = place.runner();
        let executed = runner
            .prepare(place.step(script))?
            .execute(&Interrupt::new())?;
        executed.beside(&others).finish()
    };
    let outcome = run("echo > model; mkdir other; echo > other/a; echo > other/b").unwrap();
    assert_eq!(
        view(&outcome).internal.notes,
        [Note::OthersWrote { files: 2 }]
    );
    assert_eq!(view(&run("echo > model").unwrap()).internal.notes, []);
    match run("echo > model; echo > other; echo > others") {
        Err(RunError::UndeclaredWrites { paths, total: 1 }) => {
            assert!(paths[0].ends_with("others"), "{paths:?}");
        }
        found => panic!("{found:?}"),
    }
}
