use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use custos_core::oms::PathFault;
use rustix::fs::{Mode, OFlags};

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    folder
}

fn paths(list: &FileList) -> Vec<&str> {
    list.files().iter().map(File::path).collect()
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the options are made for the call"
)]
fn scan_with(folder: &tempfile::TempDir, options: Options) -> Result<FileList, TreeError> {
    scan(folder.path(), &options)
}

fn default_paths(folder: &tempfile::TempDir) -> Vec<String> {
    let list = scan_with(folder, Options::default()).unwrap();
    paths(&list).into_iter().map(str::to_owned).collect()
}

#[test]
fn code_point_order_and_odd_names() {
    let names = [
        "sub/x",
        "sub-x",
        "a:0:1",
        "a b",
        "é",
        "Z",
        "new\nline",
        "-n",
        "a\\b",
        "..x",
        "...",
    ];
    let folder = folder(&names);
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(default_paths(&folder), expected);
    let list = scan_with(&folder, Options::default()).unwrap();
    assert_eq!(
        list.bytes(),
        names.iter().map(|name| name.len() as u64).sum::<u64>()
    );
    assert!(!list.is_single());
}

#[test]
fn a_folder_of_many_files_is_shared_among_threads() {
    let folder = folder(&[]);
    for index in 0..5000 {
        fs::write(folder.path().join(format!("{index:04}")), "").unwrap();
    }
    for threads in [1, 2, 7] {
        let options = Options {
            threads: NonZeroUsize::new(threads),
            ..Options::default()
        };
        let list = scan_with(&folder, options).unwrap();
        assert_eq!(list.files().len(), 5000);
        assert!(list.files().is_sorted_by(|a, b| a.path() < b.path()));
    }
    let options = Options {
        max_files: 4999,
        ..Options::default()
    };
    assert_eq!(
        scan_with(&folder, options).unwrap_err(),
        TreeError::TooManyFiles { limit: 4999 }
    );
}

#[test]
fn left_out_at_the_top_level_only() {
    let folder = folder(&[
        ".git/config",
        ".gitignore",
        ".gitattributes",
        ".github/w.yml",
        ".gitmodules",
        ".custos/keys/k",
        "model.sig",
        "sub/.git/config",
        "sub/model.sig",
        "w.bin",
    ]);
    assert_eq!(
        default_paths(&folder),
        [".gitmodules", "sub/.git/config", "sub/model.sig", "w.bin"]
    );
    let options = Options {
        exclusions: Exclusions::none(),
        ..Options::default()
    };
    assert_eq!(scan_with(&folder, options).unwrap().files().len(), 10);
}

#[test]
fn what_the_caller_leaves_out_may_be_named_from_anywhere() {
    let folder = folder(&["w.bin", "out/my.sig", "home/.custos/x"]);
    let outside = tempfile::tempdir().unwrap();
    symlink(folder.path(), outside.path().join("link")).unwrap();
    let options = Options::default()
        .leaving_out(outside.path().join("link/out/my.sig"))
        .leaving_out(folder.path().join("home"))
        .leaving_out(folder.path().join("not-written-yet.sig"))
        .leaving_out(outside.path().join("elsewhere"))
        .leaving_out("/");
    let list = scan_with(&folder, options).unwrap();
    assert_eq!(paths(&list), ["w.bin"]);
    let recorded: Vec<_> = list
        .exclusions()
        .iter()
        .filter(|e| !e.starts_with('.'))
        .collect();
    assert_eq!(
        recorded,
        ["home", "model.sig", "not-written-yet.sig", "out/my.sig"]
    );
}

#[test]
fn links_are_rejected_unless_asked_for() {
    let folder = folder(&["a", "d/b"]);
    symlink("a", folder.path().join("link")).unwrap();
    let error = scan_with(&folder, Options::default()).unwrap_err();
    assert_eq!(
        error,
        TreeError::Link {
            path: "link".into()
        }
    );
    fs::remove_file(folder.path().join("link")).unwrap();
    symlink("../d", folder.path().join("d/folder")).unwrap();
    let error = scan_with(&folder, Options::default()).unwrap_err();
    assert_eq!(
        error,
        TreeError::Link {
            path: "d/folder".into()
        }
    );
}

#[test]
fn a_link_that_is_left_out_is_no_error() {
    let folder = folder(&["a"]);
    symlink("/etc", folder.path().join(".git")).unwrap();
    assert_eq!(default_paths(&folder), ["a"]);
}

fn follow() -> Options {
    Options::default().with_links(Links::Follow)
}

#[test]
fn followed_links_count_under_their_own_name() {
    let folder = folder(&["a", "d/b"]);
    symlink("d", folder.path().join("e")).unwrap();
    symlink("../a", folder.path().join("d/to-a")).unwrap();
    symlink("d/to-a", folder.path().join("chain")).unwrap();
    // Absolute, and yet inside.
    symlink(folder.path().join("a"), folder.path().join("absolute")).unwrap();
    let list = scan_with(&folder, follow()).unwrap();
    assert_eq!(
        paths(&list),
        ["a", "absolute", "chain", "d/b", "d/to-a", "e/b", "e/to-a"]
    );
    let inode = |name: &str| {
        list.files()
            .iter()
            .find(|file| file.path() == name)
            .unwrap()
            .stamp()
            .inode
    };
    assert_eq!(inode("a"), inode("e/to-a"));
    assert_eq!(inode("a"), inode("absolute"));
    for file in list.files() {
        assert_eq!(list.open(file).unwrap().stamp().unwrap(), *file.stamp());
    }
}

#[test]
fn a_link_out_of_the_tree_is_an_error_or_a_warning() {
    let outside = folder(&["secret", "d/x"]);
    let outside_path = outside.path().canonicalize().unwrap();
    let inside = folder(&["a"]);
    symlink(outside_path.join("secret"), inside.path().join("link")).unwrap();
    assert_eq!(
        scan_with(&inside, follow()).unwrap_err(),
        TreeError::LinkOutside {
            path: "link".into(),
            target: outside_path.join("secret")
        }
    );
    symlink(&outside_path, inside.path().join("folder")).unwrap();
    let options = Options::default().with_links(Links::FollowOutside);
    let list = scan_with(&inside, options).unwrap();
    assert_eq!(paths(&list), ["a", "folder/d/x", "folder/secret", "link"]);
    assert_eq!(list.outside(), ["folder", "link"]);
    for file in list.files() {
        assert_eq!(list.open(file).unwrap().stamp().unwrap(), *file.stamp());
    }
}

#[test]
fn circles_and_dangling_links_are_found() {
    let folder = folder(&["d/e/a"]);
    symlink("..", folder.path().join("d/e/up")).unwrap();
    let error = scan_with(&folder, follow()).unwrap_err();
    assert_eq!(
        error,
        TreeError::LinkCycle {
            path: "d/e/up".into()
        }
    );
    fs::remove_file(folder.path().join("d/e/up")).unwrap();
    symlink("self", folder.path().join("self")).unwrap();
    let error = scan_with(&folder, follow()).unwrap_err();
    assert_eq!(
        error,
        TreeError::LinkCycle {
            path: "self".into()
        }
    );
    fs::remove_file(folder.path().join("self")).unwrap();
    symlink("nothing", folder.path().join("dangling")).unwrap();
    let error = scan_with(&folder, follow()).unwrap_err();
    assert_eq!(
        error,
        TreeError::LinkDangling {
            path: "dangling".into()
        }
    );
}

#[test]
fn links_that_multiply_meet_a_limit() {
    let folder = folder(&[]);
    let mut inner = folder.path().to_owned();
    for depth in 0..40 {
        let next = folder.path().join(format!("d{depth}"));
        fs::create_dir(&next).unwrap();
        symlink(&next, inner.join("a")).unwrap();
        symlink(&next, inner.join("b")).unwrap();
        inner = next;
    }
    let options = Options {
        max_files: 1000,
        ..follow()
    };
    assert_eq!(
        scan_with(&folder, options).unwrap_err(),
        TreeError::TooManyFolders { limit: 1000 }
    );
}

#[test]
fn names_that_no_manifest_holds() {
    let folder = folder(&["a"]);
    fs::write(
        folder.path().join(std::ffi::OsStr::from_bytes(b"b\xff")),
        "",
    )
    .unwrap();
    let error = scan_with(&folder, Options::default()).unwrap_err();
    assert_eq!(
        error,
        TreeError::Name {
            path: "b\u{fffd}".into(),
            fault: NameFault::NotUtf8
        }
    );
}

#[test]
fn sockets_and_pipes_are_no_artifacts() {
    let folder = folder(&["a"]);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let error = scan_with(&folder, Options::default()).unwrap_err();
    assert_eq!(
        error,
        TreeError::Special {
            path: "socket".into()
        }
    );
    let root = scan(&folder.path().join("socket"), &Options::default()).unwrap_err();
    assert!(matches!(root, TreeError::Special { .. }), "{root:?}");
}

#[test]
fn the_smallest_path_is_the_error() {
    let folder = folder(&["z/a"]);
    for name in ["z/link", "b", "c"] {
        symlink("x", folder.path().join(name)).unwrap();
    }
    for _ in 0..20 {
        let error = scan_with(&folder, Options::default()).unwrap_err();
        assert_eq!(error, TreeError::Link { path: "b".into() });
    }
}

#[test]
fn depth_and_length_have_limits() {
    let folder = folder(&["a/b/c/d"]);
    let options = |max_depth| Options {
        max_depth,
        ..Options::default()
    };
    assert_eq!(scan_with(&folder, options(3)).unwrap().files().len(), 1);
    assert_eq!(
        scan_with(&folder, options(2)).unwrap_err(),
        TreeError::TooDeep {
            path: "a/b/c".into(),
            limit: 2
        }
    );
    // 17 names of 250 bytes: each is fine, the path is longer than any path may be.
    let long = "n".repeat(250);
    let mut at = rustix::fs::open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
    for _ in 0..17 {
        rustix::fs::mkdirat(&at, &long, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &long, OFlags::RDONLY, Mode::empty()).unwrap();
    }
    let error = scan_with(&folder, Options::default()).unwrap_err();
    let TreeError::Name {
        fault: NameFault::Path(fault),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        fault,
        PathFault::TooLong {
            found: 17 * 251 - 1
        }
    );
}

#[test]
fn the_root_itself() {
    let folder = folder(&["a", "d/b"]);
    let missing = folder.path().join("missing");
    let error = scan(&missing, &Options::default()).unwrap_err();
    assert_eq!(
        error,
        TreeError::NotFound {
            path: missing.display().to_string()
        }
    );
    // A link that the caller names is followed, for a folder and for a file.
    symlink(folder.path().join("d"), folder.path().join("to-d")).unwrap();
    let list = scan(&folder.path().join("to-d"), &Options::default()).unwrap();
    assert_eq!(paths(&list), ["b"]);
    let list = scan(&folder.path().join("a"), &Options::default()).unwrap();
    assert!(list.is_single());
    assert_eq!(paths(&list), ["a"]);
    // An empty folder is a list without files; that it is no model is for the manifest to say.
    fs::create_dir(folder.path().join("empty")).unwrap();
    let list = scan(&folder.path().join("empty"), &Options::default()).unwrap();
    assert!(list.files().is_empty());
}

#[test]
fn no_permission_is_an_error_of_its_own() {
    assert_eq!(
        TreeError::from_errno("a", Errno::ACCESS),
        TreeError::PermissionDenied { path: "a".into() }
    );
    let folder = folder(&["a", "d/b"]);
    let locked = folder.path().join("d");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = scan_with(&folder, Options::default());
    // Root may read everything; anybody else may not.
    match fs::read_dir(&locked) {
        Ok(_) => assert_eq!(outcome.unwrap().files().len(), 2),
        Err(_) => {
            assert_eq!(
                outcome.unwrap_err(),
                TreeError::PermissionDenied { path: "d".into() }
            );
        }
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn nothing_is_opened_through_a_link_with_or_without_openat2() {
    let folder = folder(&["d/a"]);
    let outside = self::folder(&["a"]);
    symlink(outside.path(), folder.path().join("link")).unwrap();
    symlink("d/a", folder.path().join("file")).unwrap();
    let root = Root::at(folder.path()).unwrap();
    for steps in [false, true] {
        let open = |path: &str| {
            if steps {
                root.beneath_by_steps(path, OFlags::RDONLY | OFlags::NOFOLLOW)
            } else {
                root.open(path).map(|opened| opened.fd)
            }
        };
        assert!(open("d/a").is_ok());
        assert_eq!(open("d/b").unwrap_err(), Errno::NOENT);
        assert!(matches!(
            open("link/a").unwrap_err(),
            Errno::LOOP | Errno::NOTDIR
        ));
        assert_eq!(open("file").unwrap_err(), Errno::LOOP);
    }
    assert!(root.open("../x").is_err());
}
