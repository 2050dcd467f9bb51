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
