//! Folders as they are found: links, pipes, loops, names that are no text.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::source::read_all;

fn paths(tree: &Tree) -> Vec<&str> {
    tree.items().iter().map(|item| item.path.as_str()).collect()
}

#[test]
fn files_come_in_order_and_links_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("m/sub/deep")).unwrap();
    std::fs::create_dir_all(at("m/.git")).unwrap();
    std::fs::create_dir_all(at("m/blobs")).unwrap();
    for name in [
        "m/b",
        "m/a.txt",
        "m/sub/deep/c",
        "m/.git/config",
        "secret",
        "m/blobs/0af3",
    ] {
        std::fs::write(at(name), name).unwrap();
    }
    symlink("../../secret", at("m/sub/out")).unwrap();
    symlink("..", at("m/sub/loop")).unwrap();
    symlink("nowhere", at("m/dangling")).unwrap();
    symlink("blobs/0af3", at("m/model.py")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(at("m/pipe"))
        .status()
        .unwrap();
    assert!(pipe.success());
    let tree = Tree::open(&at("m"), &TreeOptions::default()).unwrap();
    let root = at("m").display().to_string();
    let below: Vec<_> = paths(&tree)
        .into_iter()
        .map(|p| &p[root.len() + 1..])
        .collect();
    assert_eq!(below, ["a.txt", "b", "model.py", "sub/deep/c", "sub/out"]);
    assert_eq!(tree.items()[0].size, 7);
    assert_eq!(
        read_all(tree.open(2).unwrap().as_ref()).unwrap(),
        b"m/blobs/0af3"
    );
    assert!(tree.items()[4].closed.is_some());
    assert!(tree.open(4).is_err());
    let notes: Vec<_> = tree
        .notes()
        .iter()
        .map(|n| &n.path[root.len() + 1..])
        .collect();
    assert_eq!(notes, [".git", "dangling", "pipe", "sub/loop"]);
    let options = TreeOptions {
        exclude: vec!["sub/d*".into(), "*.txt".into()],
        leave_out: vec![at("m/blobs")],
        ..TreeOptions::default()
    };
    let tree = Tree::open(&at("m"), &options).unwrap();
    let below: Vec<_> = paths(&tree)
        .into_iter()
        .map(|p| &p[root.len() + 1..])
        .collect();
    assert_eq!(below, ["b", "sub/out"]);
}

#[test]
fn a_neighbour_is_found_without_following_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("m/sub/data")).unwrap();
    std::fs::write(at("m/sub/model.onnx"), "x").unwrap();
    std::fs::write(at("m/weights"), "12345").unwrap();
    std::fs::write(at("outside"), "o").unwrap();
    symlink("../../outside", at("m/sub/link")).unwrap();
    symlink("data", at("m/sub/folder")).unwrap();
    let tree = Tree::open(&at("m"), &TreeOptions::default()).unwrap();
    let index = tree
        .places
        .iter()
        .position(|p| p == b"sub/model.onnx")
        .unwrap();
    let beside = tree.neighbours(index).unwrap();
    for (name, expected) in [
        ("../weights", Neighbour::File(5)),
        ("./model.onnx", Neighbour::File(1)),
        ("data", Neighbour::Folder),
        ("link", Neighbour::Link),
        ("folder/x", Neighbour::Link),
        ("missing", Neighbour::Missing),
        ("model.onnx/x", Neighbour::Missing),
        ("../../outside", Neighbour::Outside),
        ("/etc/passwd", Neighbour::Outside),
        ("a\0b", Neighbour::Outside),
        ("..", Neighbour::Folder),
    ] {
        assert_eq!(beside.find(name), expected, "{name}");
    }
    let single = Tree::open(&at("m/sub/model.onnx"), &TreeOptions::default()).unwrap();
    assert!(single.is_single());
    let beside = single.neighbours(0).unwrap();
    assert_eq!(beside.find("data"), Neighbour::Folder);
    assert_eq!(beside.find("../weights"), Neighbour::Outside);
}

#[test]
fn names_need_not_be_text_and_pipes_are_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"\xff.pkl");
    std::fs::write(dir.path().join(name), "x").unwrap();
    let tree = Tree::open(dir.path(), &TreeOptions::default()).unwrap();
    assert!(tree.items()[0].path.ends_with("\u{fffd}.pkl"));
    assert_eq!(tree.below(0), None);
    assert_eq!(read_all(tree.open(0).unwrap().as_ref()).unwrap(), b"x");
    let error = Tree::open(Path::new("/dev/null"), &TreeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(Tree::open(&dir.path().join("none"), &TreeOptions::default()).is_err());
}

#[test]
fn steps_follow_no_link_either() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("m/sub")).unwrap();
    std::fs::write(at("m/sub/f"), "x").unwrap();
    symlink("sub", at("m/link")).unwrap();
    let root: OwnedFd = beneath::root(&at("m")).unwrap();
    assert!(beneath::by_steps(&root, b"sub/f", beneath::READ).is_ok());
    assert!(beneath::by_steps(&root, b"link/f", beneath::READ).is_err());
}
