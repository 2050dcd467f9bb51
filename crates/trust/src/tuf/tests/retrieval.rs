//! Servers that answer with too much, too slowly, or not.

use super::*;

#[test]
fn attack_endless_data_ends_at_the_limit() {
    let world = World::new();
    let endless = |name: &str| {
        let mut mirror = world.mirror();
        let name = if name == "targets" {
            mirror.target("revocations.json")
        } else {
            name.to_owned()
        };
        mirror.files.insert(name, vec![b' '; 6_000_000]);
        let error = world.update(&mirror, NOW).unwrap_err();
        assert!(matches!(error, TufError::TooLarge { .. }), "{error}");
        let asked = mirror.asked.into_inner();
        // What was signed about a length is the limit, and never more than the fixed one.
        asked.last().unwrap().1
    };
    assert_eq!(endless("2.root.json"), MAX_ROOT);
    assert_eq!(endless("timestamp.json"), MAX_TIMESTAMP);
    let length = |name: &str| u64::try_from(world.mirror().files[name].len()).unwrap();
    assert_eq!(endless("1.snapshot.json"), length("1.snapshot.json"));
    assert_eq!(endless("1.targets.json"), length("1.targets.json"));
    assert_eq!(endless("targets"), 3);
    assert_eq!(world.delivered(), None);
}

#[test]
fn attack_slow_retrieval_ends_in_time() {
    use std::io::{Read as _, Write as _};
    // A server that sends a byte now and then, for ever.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: custos_net::Url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
        }
    });
    let short = std::time::Duration::from_millis(300);
    let settings = custos_net::Settings::new(custos_net::Guard::private().naming(&url));
    let source = HttpSource::with_settings(&url, settings.with_times(short, short)).unwrap();
    let world = World::new();
    let error = world.update(&source, NOW).unwrap_err();
    assert!(matches!(error, TufError::Source(_)), "{error}");
    assert!(error.is_undecided());
    // Whatever a caller asks for, there is an end.
    let hour = std::time::Duration::from_hours(1);
    let settings = custos_net::Settings::new(custos_net::Guard::private().naming(&url));
    assert!(source::MAX_TIME < hour);
    assert!(HttpSource::with_settings(&url, settings.with_times(short, hour)).is_ok());
}

#[test]
fn attack_malicious_mirror_leaves_everything_as_it_was() {
    let world = World::new();
    world.update(&world.mirror(), NOW).unwrap();
    let before = world.store().load().unwrap();
    for name in [
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
        "targets",
    ] {
        world.deliver(&format!("not {name}"), NOW);
        let mut mirror = world.mirror();
        let gone = match name {
            "targets" => {
                let loaded = world.repository();
                let latest = std::fs::read_dir(loaded.dir().join("targets"))
                    .unwrap()
                    .count();
                assert!(latest > 1);
                mirror.files.retain(|path, _| !path.starts_with("targets/"));
                continue;
            }
            "timestamp.json" => "timestamp.json".to_owned(),
            // The newest of its kind.
            other => {
                let end = other.trim_start_matches("2.");
                let newest = mirror.files.keys().filter(|name| name.ends_with(end));
                let number = |name: &String| name.split('.').next().unwrap().parse::<u64>().ok();
                newest.max_by_key(|name| number(name)).unwrap().clone()
            }
        };
        mirror.files.remove(&gone);
        let error = world.update(&mirror, NOW).unwrap_err();
        assert_eq!(error, TufError::NotThere { path: gone });
        assert!(error.is_undecided());
        assert_eq!(world.delivered().unwrap(), "one");
    }
    assert_eq!(before.unwrap().root().head.version, 1);
    let mut mirror = world.mirror();
    mirror.broken = Some(SourceError::new("mirror", "connection refused"));
    assert!(world.update(&mirror, NOW).unwrap_err().is_undecided());
    // Another mirror, and all is well.
    world.update(&world.mirror(), NOW).unwrap();
    assert_ne!(world.delivered().unwrap(), "one");
}
