//! The demo is the main job: it has to end well, and each attack has to be stopped for its reason.

use crate::sandbox::Sandbox;

#[test]
fn the_demo_gates_a_model_and_stops_four_attacks() {
    let sandbox = Sandbox::new();
    let said = sandbox.json(&["demo", "--dir", "demo"]).ok();
    let json = said.json();
    assert_eq!(json["gate"]["verdict"], "allow", "{}", json["gate"]);
    let attacks = json["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 4);
    for attack in attacks {
        assert_eq!(attack["stopped"], true, "{attack}");
        assert_eq!(attack["exit"], 1, "{attack}");
    }
    assert_eq!(json["steps"].as_array().unwrap().len(), 6);
    // What it leaves behind can be looked at with the commands that it names.
    let project = sandbox.path("demo/project");
    for args in [
        &["verify", "package", "--key", "release"][..],
        &["trace", "raw", "--down"],
        &["log", "fsck"],
        &["policy", "test", "policy"],
    ] {
        let mut command = sandbox.command(args);
        command.current_dir(&project).env_remove("CUSTOS_HOME");
        crate::sandbox::finish(command).ok();
    }
    // It wrote nothing into the home of whoever ran it.
    assert_eq!(std::fs::read_dir(sandbox.path("home")).unwrap().count(), 0);
    sandbox.run(&["demo", "--dir", "demo"]).failed(2, "E0008");
}
