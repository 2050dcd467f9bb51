//! Requests that no client makes.

use super::*;

#[test]
fn only_names_of_tiles_reach_the_disk() {
    let world = World::new();
    world.add(Some(TOKEN), b"first");
    for path in [
        "/tile/../wal/0",
        "/tile/0/../../lock",
        "/tile/%2e%2e/lock",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/00/000.p/1",
        "/tile/0/0.p/1",
        "/tile/64/000",
        "/tile/0/000.p/1/",
        "/tile//0/000.p/1",
        "/tile/0/000%00",
        "/tile/0/999",
        "/lock",
        "/wal",
        "/api/v2/api/v2/tile/0/000.p/1",
    ] {
        let answer = world.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["code"], 5);
        // A tile that is not there yet will be.
        assert!(answer.head.contains("cache-control: no-store"));
    }
}

const ENTRIES: &str = "/tile/entries/000.p/250";

// A log whose entries, 16 MB of them, are more than the buffers of a connection hold.
fn with_large_entries(change: impl FnOnce(&mut Config)) -> World {
    World::with(|config| {
        let leaves: Vec<Vec<u8>> = (0..250).map(|byte| vec![byte; 65_000]).collect();
        let (log, _) = config.log.as_ref().unwrap();
        log.append(&leaves).unwrap();
        change(config);
    })
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let world = with_large_entries(|config| {
        config.tuning.connections = 1;
        config.tuning.write_time = Duration::from_millis(100);
    });
    let mut greedy = world.connect();
    greedy
        .write_all(&request("GET", ENTRIES, &[], b""))
        .unwrap();
    // Waits for the only place, which the first client never gives back by itself.
    let mut next = world.connect();
    next.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    next.write_all(&request("GET", "/healthz", &[], b""))
        .unwrap();
    assert_eq!(Answer::read(&mut next).status, 200);
    drop(greedy);
}

#[test]
fn entries_that_nobody_takes_do_not_fill_the_memory() {
    let world = with_large_entries(|config| {
        config.tuning.entry_bytes = 1;
        config.tuning.request_time = Duration::from_millis(500);
    });
    let until = |status: u16| {
        let answers = (0..200).map(|_| world.get(ENTRIES).status);
        assert!(answers.into_iter().any(|answer| answer == status));
    };
    until(200);
    let mut greedy = world.connect();
    greedy
        .write_all(&request("GET", ENTRIES, &[], b""))
        .unwrap();
    until(504);
    // Small answers are given all the same.
    assert_eq!(world.get("/checkpoint").status, 200);
    assert_eq!(world.get("/tile/0/000.p/250").status, 200);
    drop(greedy);
    until(200);
}

/// An issuer that answers nothing until it is let go, and then that it cannot.
struct Slow {
    asked: std::sync::mpsc::SyncSender<()>,
    go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Fetch for Slow {
    fn get(&self, _: &str, _: usize) -> Result<Fetched, FetchError> {
        let _ = self.asked.try_send(());
        let _ = self.go.lock().unwrap().recv();
        Err(FetchError::new("10.1.2.3 says: internal"))
    }
}

#[test]
fn who_waits_for_a_slow_issuer_keeps_nobody_else_waiting() {
    use std::sync::mpsc;
    let (asked, is_asked) = mpsc::sync_channel(1);
    let (go, waiting) = mpsc::channel();
    let go_on = std::sync::Mutex::new(waiting);
    let slow = "https://slow.example";
    let world = World::with(|config| {
        config.fetch = Arc::new(Slow { asked, go: go_on });
        config.issuers.push(Issuer::new(slow, email()));
    });
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let mut body = world.certificate_request(&pair, b"");
    let mut claims = claims();
    claims["iss"] = json!(slow);
    body["credentials"]["oidcIdentityToken"] = json!(world.issuer.token(&claims));
    let body = body.to_string();
    let headers = [("content-type", "application/json")];
    let whole = request("POST", "/api/v2/signingCert", &headers, body.as_bytes());
    // More than there are threads for what blocks.
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = world.connect();
            stream.write_all(&whole).unwrap();
            stream
        })
        .collect();
    is_asked.recv().unwrap();
    assert_eq!(world.get("/checkpoint").status, 200);
    assert_eq!(world.certificate(&pair).status, 200);
    drop(go);
    for mut client in clients {
        let answer = Answer::read(&mut client);
        assert_eq!(answer.status, 503);
        // Where the issuer is, and what it said, is not for everybody.
        assert!(!answer.text().contains("10.1.2.3"), "{}", answer.text());
    }
}

#[test]
fn hostile_requests_are_refused_on_every_route() {
    let world = World::new();
    let json = "application/json";
    let query_type = "application/timestamp-query";
    for (path, content_type, limit) in [
        ("/api/v2/signingCert", json, 64 * 1024),
        ("/api/v2/log/entries", json, 128 * 1024),
        ("/api/v1/timestamp", query_type, 4_096),
    ] {
        let post = |body: &[u8]| world.post(path, content_type, body).status;
        for body in [
            &b""[..],
            b"x",
            b"{",
            b"null",
            b"{\"a\":1,\"a\":2}",
            &[0xff; 64],
        ] {
            assert_eq!(post(body), 400, "{path} {body:?}");
        }
        let nested = [b"[".repeat(4_000), b"]".repeat(90)].concat();
        assert_eq!(post(&nested), 400, "{path}");
        assert_eq!(post(&vec![b' '; limit + 1]), 413, "{path}");
        assert_eq!(world.post(path, "text/plain", b"{}").status, 415, "{path}");
        assert_eq!(
            world.send(&request("POST", path, &[], b"{}")).status,
            415,
            "{path}"
        );
        assert_eq!(world.get(path).status, 405, "{path}");
        // A length that is not said before is found out.
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n\
             connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let chunk = format!("{:x}\r\n", limit + 1);
        let body = vec![b' '; limit + 1];
        let whole = [head.as_bytes(), chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        assert_eq!(world.send(&whole).status, 413, "{path}");
    }
    for path in ["/", "/nothing", "/api/v2", "/api/v2/log/entries/"] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
}

#[test]
fn what_is_not_http_is_refused() {
    let world = World::new();
    // Two lengths, two tokens, a huge header, a thousand headers, no HTTP at all.
    let two = format!("Bearer {TOKEN}\r\nauthorization: Bearer {TOKEN}");
    let headers = [("authorization", two.as_str())];
    assert_eq!(
        world
            .send(&request("GET", "/metrics", &headers, b""))
            .status,
        401
    );
    let huge = "a".repeat(300 * 1024);
    let headers = [("x", huge.as_str())];
    assert_eq!(
        world
            .send(&request("GET", "/healthz", &headers, b""))
            .status,
        431
    );
    let many = vec![("x", "y"); 1_000];
    assert_eq!(
        world.send(&request("GET", "/healthz", &many, b"")).status,
        431
    );
    assert_eq!(
        world
            .send(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n")
            .status,
        400
    );
    let smuggled =
        b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    assert_eq!(world.send(smuggled).status, 400);
    assert_eq!(world.get("/healthz").json()["status"], "ok");
}
