//! Operating system, kernel, container and accelerator driver.

use custos_core::digest::Algorithm;
use custos_core::predicate::step::Role;
use custos_core::statement::ResourceDescriptor;

use super::{claimed, observed, unknown};
use crate::measure::Machine;

/// Longest text that is taken over from a file.
const MAX_TEXT: usize = 200;

/// Returns what the step ran on, one material for each of the four roles, known or not.
pub fn platform(machine: &Machine) -> Vec<ResourceDescriptor> {
    vec![
        os(machine),
        kernel(machine),
        container(machine),
        accelerator(machine),
    ]
}

// os-release(5).
fn os(machine: &Machine) -> ResourceDescriptor {
    let text = machine
        .text("/etc/os-release")
        .or_else(|| machine.text("/usr/lib/os-release"));
    let Some(text) = text else {
        return unknown(Role::Os, "os", "there is no os-release file");
    };
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|value| short(value.trim().trim_matches(['"', '\''])));
    let mut material = observed(Role::Os, name.unwrap_or_else(|| "os".to_owned()));
    material
        .digest
        .insert(&Algorithm::Sha256.digest(text.as_bytes()));
    material
}

fn kernel(machine: &Machine) -> ResourceDescriptor {
    let file = |name: &str| {
        machine
            .text(&format!("/proc/sys/kernel/{name}"))
            .map(|text| short(text.trim()))
    };
    match (file("ostype"), file("osrelease")) {
        (Some(kind), Some(release)) => {
            let material = observed(Role::Kernel, format!("{kind} {release}"));
            match file("version") {
                Some(version) => material.with_annotation("version", version),
                None => material,
            }
        }
        _ => unknown(Role::Kernel, "kernel", "/proc does not tell it"),
    }
}

// From inside a container nothing proves the image: all of these files can be written there.
fn container(machine: &Machine) -> ResourceDescriptor {
    if let Some(text) = machine.text("/run/.containerenv") {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|value| short(value.trim_matches('"')))
                .filter(|value| !value.is_empty())
        };
        let image = field("image").unwrap_or_else(|| "container".to_owned());
        let mut material = claimed(Role::Container, image, "/run/.containerenv");
        if let Some(id) = field("imageid").filter(|id| is_sha256(id)) {
            material.digest.insert_raw("sha256", id);
        }
        return material;
    }
    let groups = machine.text("/proc/self/cgroup").unwrap_or_default();
    let id = groups
        .split(['/', '-', ':', '.', '\n'])
        .find(|part| is_sha256(part))
        .map(ToOwned::to_owned);
    if let Some(id) = id {
        return claimed(Role::Container, "container", "/proc/self/cgroup")
            .with_annotation("containerId", id);
    }
    if machine.path("/.dockerenv").exists() {
        return claimed(Role::Container, "container", "/.dockerenv");
    }
    unknown(
        Role::Container,
        "container",
        "no sign of a container was seen",
    )
}

fn accelerator(machine: &Machine) -> ResourceDescriptor {
    for (name, path) in [
        ("nvidia", "/proc/driver/nvidia/version"),
        ("nvidia", "/sys/module/nvidia/version"),
        ("amdgpu", "/sys/module/amdgpu/version"),
        ("habanalabs", "/sys/module/habanalabs/version"),
    ] {
        let Some(text) = machine.text(path) else {
            continue;
        };
        let first = text.lines().next().unwrap_or_default();
        let mut material =
            observed(Role::Accelerator, name).with_annotation("version", short(first.trim()));
        material
            .digest
            .insert(&Algorithm::Sha256.digest(text.as_bytes()));
        return material;
    }
    unknown(
        Role::Accelerator,
        "accelerator",
        "no accelerator driver was seen",
    )
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use custos_core::predicate::step::Status;

    fn platform_of(files: &[(&str, &str)]) -> Vec<ResourceDescriptor> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        platform(&Machine::below(folder.path()))
    }

    #[test]
    fn an_empty_machine_is_unknown_in_every_role() {
        let materials = platform_of(&[]);
        let roles: Vec<Role> = materials.iter().filter_map(Role::of).collect();
        assert_eq!(
            roles,
            [Role::Os, Role::Kernel, Role::Container, Role::Accelerator]
        );
        assert!(
            materials
                .iter()
                .all(|m| Status::of(m) == Some(Status::Unknown))
        );
    }

    #[test]
    fn reads_what_the_files_say_and_marks_claims() {
        let id = "ab".repeat(32);
        let materials = platform_of(&[
            (
                "etc/os-release",
                "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n",
            ),
            ("proc/sys/kernel/ostype", "Linux\n"),
            ("proc/sys/kernel/osrelease", "6.18.0\n"),
            ("proc/sys/kernel/version", "#1 SMP\n"),
            (
                "run/.containerenv",
                &format!("engine=\"podman\"\nimage=\"reg/train:1\"\nimageid=\"{id}\"\n"),
            ),
            (
                "proc/driver/nvidia/version",
                "NVRM version: 580.1\nGCC version\n",
            ),
        ]);
        let names: Vec<_> = materials.iter().filter_map(|m| m.name.as_deref()).collect();
        assert_eq!(
            names,
            [
                "Debian GNU/Linux 13",
                "Linux 6.18.0",
                "reg/train:1",
                "nvidia"
            ]
        );
        assert_eq!(Status::of(&materials[2]), Some(Status::Claimed));
        assert_eq!(materials[2].digest.get_raw("sha256"), Some(id.as_str()));
        assert_eq!(materials[3].annotations["version"], "NVRM version: 580.1");
    }

    #[test]
    fn a_control_group_names_the_container() {
        let id = "0f".repeat(32);
        let group = format!("0::/system.slice/docker-{id}.scope\n");
        let materials = platform_of(&[("proc/self/cgroup", &group)]);
        assert_eq!(materials[2].annotations["containerId"], id.as_str());
        assert_eq!(Status::of(&materials[2]), Some(Status::Claimed));
        let materials = platform_of(&[("proc/self/cgroup", "0::/\n"), (".dockerenv", "")]);
        assert_eq!(Status::of(&materials[2]), Some(Status::Claimed));
    }
}
