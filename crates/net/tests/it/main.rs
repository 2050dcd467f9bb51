//! The client against small servers on the loopback interface: slow, endless, lying ones.

mod server;

use std::time::Duration;

use custos_net::{
    Class, Client, Guard, Identity, Method, NetError, Proxy, Redirects, Refusal, Request, Roots,
    Secret, Settings, Url, Zone,
};
use server::{Authority, Server, answer};

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Settings that may call `server`, with times short enough for a test that waits for them.
fn settings(server: &Url) -> Settings {
    Settings::new(Guard::public().naming(server))
        .with_roots(Roots::Only(Vec::new()))
        .with_times(Duration::from_secs(5), Duration::from_secs(20))
}

fn client(server: &Url) -> Client {
    Client::new(settings(server)).unwrap()
}

#[test]
fn a_call_and_its_answer() {
    let server = Server::start(|request, out| {
        let seen = format!(
            "{}|{}",
            request.head,
            String::from_utf8_lossy(&request.body)
        );
        out.write_all(answer("200 OK", "X-Kind: echo\r\nX-kind: again\r\n", &seen).as_bytes())
    });
    let base = server.url();
    let request = Request::post(base.with_path("/a?b=c").unwrap(), "text/plain", "body")
        .with_header("x-one", "1")
        .with_bearer(&Secret::new("t0ken"));
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("t0ken") && !shown.contains("b=c"),
        "{shown}"
    );
    let response = client(&base).send(&request).unwrap().success().unwrap();
    let seen = String::from_utf8_lossy(response.body()).to_lowercase();
    for part in [
        "post /a?b=c http/1.1",
        "x-one: 1",
        "authorization: bearer t0ken",
        "content-type: text/plain",
        "content-length: 4",
        "user-agent: custos/",
        "|body",
    ] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
    assert_eq!(response.header("x-kind"), Some("echo"));
    assert_eq!(
        response.headers("X-KIND").collect::<Vec<_>>(),
        ["echo", "again"]
    );
    assert!(!format!("{response:?}").contains("t0ken"));
}

#[test]
fn a_status_is_an_error_only_when_asked() {
    let server = Server::start(|_, out| {
        let head = "Retry-After: 7\r\n";
        out.write_all(answer("429 Too Many", head, "slow\u{1b}[31m down").as_bytes())
    });
    let response = client(&server.url())
        .send(&Request::get(server.url()))
        .unwrap();
    assert_eq!(response.status(), 429);
    let error = response.success().unwrap_err();
    assert_eq!(
        error,
        NetError::Status {
            url: server.url(),
            code: 429,
            body: "slow [31m down".to_owned(),
            retry_after: Some(Duration::from_secs(7)),
        }
    );
    assert_eq!(error.class(), Class::Undecided);
}

#[test]
fn a_server_that_never_answers_is_left() {
    let server = Server::start(|_, out| {
        std::thread::sleep(Duration::from_secs(30));
        out.flush()
    });
    let settings =
        settings(&server.url()).with_times(Duration::from_secs(1), Duration::from_millis(300));
    let error = Client::new(settings)
        .unwrap()
        .send(&Request::get(server.url()))
        .unwrap_err();
    assert!(matches!(error, NetError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Undecided);
}

#[test]
fn a_server_that_drips_its_answer_is_left() {
    let server = Server::start(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
        for _ in 0..1000 {
            out.write_all(b"x")?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let settings =
        settings(&server.url()).with_times(Duration::from_secs(1), Duration::from_millis(400));
    let error = Client::new(settings)
        .unwrap()
        .send(&Request::get(server.url()))
        .unwrap_err();
    assert!(matches!(error, NetError::TimedOut { .. }), "{error:?}");
}

#[test]
fn an_endless_answer_is_cut() {
    let server = Server::start(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            out.write_all(b"400\r\n")?;
            out.write_all(&[b'x'; 0x400])?;
            out.write_all(b"\r\n")?;
        }
    });
    let settings = settings(&server.url()).with_max_answer(100_000);
    let error = Client::new(settings)
        .unwrap()
        .send(&Request::get(server.url()))
        .unwrap_err();
    let limit = NetError::TooLarge {
        url: server.url(),
        limit: 100_000,
    };
    assert_eq!(error, limit);
    assert_eq!(error.class(), Class::Untrusted);
}

#[test]
fn an_answer_of_the_largest_size_is_read_and_one_byte_more_is_not() {
    for (size, fits) in [(1000, true), (1001, false)] {
        for told in [true, false] {
            let server = Server::start(move |_, out| {
                let head = if told {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
                } else {
                    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned()
                };
                out.write_all(head.as_bytes())?;
                out.write_all(&vec![b'x'; size])
            });
            let settings = settings(&server.url()).with_max_answer(1000);
            let result = Client::new(settings)
                .unwrap()
                .send(&Request::get(server.url()));
            match result {
                Ok(answer) => assert!(fits && answer.body().len() == 1000),
                Err(NetError::TooLarge { limit: 1000, .. }) => assert!(!fits),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn head_may_tell_of_a_body_beyond_the_limit() {
    let server = Server::start(|request, out| {
        assert!(request.head.starts_with("HEAD / "));
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n")
    });
    let response = client(&server.url())
        .send(&Request::new(Method::Head, server.url()))
        .unwrap();
    assert_eq!(response.header("content-length"), Some("5000000000"));
    assert!(response.body().is_empty());
}

#[test]
fn a_length_that_lies_is_a_truncated_answer() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
    ] {
        let server = Server::start(move |_, out| {
            out.write_all(head.as_bytes())?;
            out.write_all(b"half")
        });
        let error = client(&server.url())
            .send(&Request::get(server.url()))
            .unwrap_err();
        assert_eq!(error, NetError::Truncated { url: server.url() });
        assert_eq!(error.class(), Class::Undecided);
    }
}

#[test]
fn a_flood_of_headers_is_cut() {
    let many_small = "X-A: b\r\n".repeat(100_000);
    let one_large = format!("X-A: {}\r\n", "b".repeat(300_000));
    for flood in [many_small, one_large] {
        let server =
            Server::start(move |_, out| out.write_all(answer("200 OK", &flood, "").as_bytes()));
        let error = client(&server.url())
            .send(&Request::get(server.url()))
            .unwrap_err();
        assert_eq!(error.class(), Class::Untrusted, "{error:?}");
    }
}

#[test]
fn what_is_not_http_is_said_to_be_none() {
    for text in ["", "SSH-2.0-OpenSSH_9\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        let server = Server::start(move |_, out| out.write_all(text.as_bytes()));
        let error = client(&server.url())
            .send(&Request::get(server.url()))
            .unwrap_err();
        assert!(
            matches!(
                error,
                NetError::Malformed { .. } | NetError::Truncated { .. }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn nobody_listens() {
    let gone = server::url_of_closed();
    let error = client(&gone).send(&Request::get(gone)).unwrap_err();
    assert!(matches!(error, NetError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Undecided);
}

#[test]
fn a_redirect_stays_on_its_server() {
    let server = Server::start(|request, out| {
        let text = match request.path() {
            "/old" => answer("302 Found", "Location: /new\r\n", ""),
            path => answer("200 OK", "", path),
        };
        out.write_all(text.as_bytes())
    });
    let base = server.url();
    let old = base.with_path("/old").unwrap();
    let response = client(&base).send(&Request::get(old.clone())).unwrap();
    assert_eq!(response.body(), b"/new");
    assert_eq!(response.url(), &base.with_path("/new").unwrap());
    let error = client(&base)
        .send(&Request::post(old, "text/plain", ""))
        .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::Redirected {
                why: Refusal::Unsafe,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_redirect_to_another_server_is_not_followed() {
    let other = Server::start(|_, out| out.write_all(answer("200 OK", "", "other").as_bytes()));
    let target = other.url();
    for location in [
        target.as_text(),
        format!("//127.0.0.1:{}/", target.origin().port()),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "ftp://a/".to_owned(),
        String::new(),
    ] {
        let header = format!("Location: {location}\r\n");
        let server = Server::start(move |_, out| {
            out.write_all(answer("307 Elsewhere", &header, "").as_bytes())
        });
        let base = server.url();
        let error = client(&base).send(&Request::get(base.clone())).unwrap_err();
        if location.is_empty() {
            // An empty reference means the same URL: a loop.
            assert!(
                matches!(
                    error,
                    NetError::Redirected {
                        why: Refusal::TooManyRedirects,
                        ..
                    }
                ),
                "{error:?}"
            );
            continue;
        }
        assert_eq!(error.class(), Class::Untrusted);
        assert!(
            matches!(
                error,
                NetError::Redirected {
                    why: Refusal::OtherServer,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(other.calls(), 0);
}

#[test]
fn redirects_to_any_server_leave_secrets_behind_and_obey_the_guard() {
    let other =
        Server::start(|request, out| out.write_all(answer("200 OK", "", &request.head).as_bytes()));
    let target = other.url();
    let header = format!("Location: {}\r\n", target.as_text());
    let server = Server::start(move |request, out| {
        let text = match request.path() {
            "/metadata" => answer(
                "302 Found",
                "Location: http://169.254.169.254/latest\r\n",
                "",
            ),
            _ => answer("302 Found", &header, ""),
        };
        out.write_all(text.as_bytes())
    });
    let base = server.url();
    let settings = Settings::new(Guard::public().naming(&base).naming(&target))
        .with_roots(Roots::Only(Vec::new()))
        .with_redirects(Redirects::AnyServer);
    let client = Client::new(settings).unwrap();
    let request = Request::get(base.clone())
        .with_bearer(&Secret::new("t0ken"))
        .with_header("Authorization", "Basic abc")
        .with_header("accept", "x/y");
    let seen = client.send(&request).unwrap();
    let seen = String::from_utf8_lossy(seen.body()).to_lowercase();
    assert!(seen.contains("accept: x/y"), "{seen}");
    assert!(!seen.contains("authorization"), "{seen}");
    let error = client
        .send(&Request::get(base.with_path("/metadata").unwrap()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::Redirected {
                why: Refusal::PlainHttp,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_loop_of_redirects_ends() {
    let server = Server::start(|_, out| {
        out.write_all(answer("302 Found", "Location: /again\r\n", "").as_bytes())
    });
    let error = client(&server.url())
        .send(&Request::get(server.url()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            NetError::Redirected {
                why: Refusal::TooManyRedirects,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.calls(), 6);
}

#[test]
fn addresses_that_were_not_named_are_not_called() {
    let server = Server::start(|_, out| out.write_all(answer("200 OK", "", "").as_bytes()));
    let port = server.url().origin().port();
    let client =
        Client::new(Settings::new(Guard::public()).with_roots(Roots::Only(Vec::new()))).unwrap();
    for (text, why) in [
        (
            format!("https://127.0.0.1:{port}"),
            Refusal::Zone(Zone::Loopback),
        ),
        (
            format!("https://[::1]:{port}"),
            Refusal::Zone(Zone::Loopback),
        ),
        (
            format!("https://localhost:{port}"),
            Refusal::Zone(Zone::Loopback),
        ),
        // Spellings that only the system's resolver understands.
        (
            format!("https://2130706433:{port}"),
            Refusal::Zone(Zone::Loopback),
        ),
        (
            format!("https://0x7f.1:{port}"),
            Refusal::Zone(Zone::Loopback),
        ),
        (format!("http://127.0.0.1:{port}"), Refusal::PlainHttp),
        (
            "https://169.254.169.254/".to_owned(),
            Refusal::Zone(Zone::Metadata),
        ),
        ("https://10.0.0.1/".to_owned(), Refusal::Zone(Zone::Private)),
    ] {
        let error = client.send(&Request::get(url(&text))).unwrap_err();
        assert_eq!(
            error,
            NetError::Refused {
                url: url(&text),
                why
            }
        );
        assert_eq!(error.class(), Class::NotSent);
    }
    assert_eq!(server.calls(), 0);
}

#[test]
fn tls_with_a_private_authority() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server_config("localhost", None), |_, out| {
        out.write_all(answer("200 OK", "", "secure").as_bytes())
    });
    let base = url(&format!("https://localhost:{}", server.port()));
    let settings = settings(&base).with_roots(Roots::only_pem(authority.pem().as_bytes()).unwrap());
    let response = Client::new(settings)
        .unwrap()
        .send(&Request::get(base))
        .unwrap();
    assert_eq!(response.body(), b"secure");
}

#[test]
fn a_certificate_for_another_name_or_of_another_authority_is_not_believed() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let wrong_name = authority.server_config("elsewhere.example", None);
    let right_name = authority.server_config("localhost", None);
    for (config, roots) in [
        (wrong_name, authority.pem()),
        (right_name.clone(), stranger.pem()),
    ] {
        let server = Server::start_tls(config, |_, out| {
            out.write_all(answer("200 OK", "", "").as_bytes())
        });
        let base = url(&format!("https://localhost:{}", server.port()));
        let settings = settings(&base).with_roots(Roots::only_pem(roots.as_bytes()).unwrap());
        let error = Client::new(settings)
            .unwrap()
            .send(&Request::get(base))
            .unwrap_err();
        assert!(matches!(error, NetError::Tls { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Untrusted);
        assert_eq!(server.calls(), 0);
    }
    // No roots at all: nobody is believed.
    let server = Server::start_tls(right_name, |_, _| Ok(()));
    let base = url(&format!("https://localhost:{}", server.port()));
    let error = client(&base).send(&Request::get(base)).unwrap_err();
    assert!(matches!(error, NetError::Tls { .. }), "{error:?}");
}

#[test]
fn the_client_shows_its_certificate() {
    let authority = Authority::new();
    let server = Server::start_tls(
        authority.server_config("localhost", Some(&authority)),
        |_, out| out.write_all(answer("200 OK", "", "known").as_bytes()),
    );
    let base = url(&format!("https://localhost:{}", server.port()));
    let roots = Roots::only_pem(authority.pem().as_bytes()).unwrap();
    let anonymous = settings(&base).with_roots(roots);
    let error = Client::new(anonymous.clone())
        .unwrap()
        .send(&Request::get(base.clone()))
        .unwrap_err();
    assert!(matches!(error, NetError::Tls { .. }), "{error:?}");
    let (chain, key) = authority.leaf("client");
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    let known = anonymous.with_identity(identity);
    let response = Client::new(known)
        .unwrap()
        .send(&Request::get(base))
        .unwrap();
    assert_eq!(response.body(), b"known");
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_an_error_and_no_panic() {
    let authority = Authority::new();
    let (chain, _) = authority.leaf("client");
    let (_, key) = authority.leaf("client");
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(!format!("{identity:?}").contains("PRIVATE"));
    let settings = Settings::new(Guard::public())
        .with_roots(Roots::Only(Vec::new()))
        .with_identity(identity);
    let error = Client::new(settings).unwrap_err();
    assert!(matches!(error, NetError::Settings { .. }), "{error:?}");
    assert!(Identity::from_pem(chain.as_bytes(), b"no key").is_err());
    assert!(Identity::from_pem(b"", key.as_bytes()).is_err());
    assert!(Roots::only_pem(b"nothing").is_err());
}

#[test]
fn a_proxy_carries_tls_and_does_not_see_inside() {
    let authority = Authority::new();
    let server = Server::start_tls(
        authority.server_config("service.example", None),
        |_, out| out.write_all(answer("200 OK", "", "behind the proxy").as_bytes()),
    );
    let proxy = Server::start_proxy(server.port());
    let settings = Settings::new(Guard::public())
        .with_roots(Roots::only_pem(authority.pem().as_bytes()).unwrap())
        .with_proxy(Some(Proxy::parse(&proxy.url().as_text(), "").unwrap()));
    let client = Client::new(settings).unwrap();
    let response = client
        .send(&Request::get(url("https://service.example/x")))
        .unwrap();
    assert_eq!(response.body(), b"behind the proxy");
    // The guard still sees what can be seen.
    let error = client
        .send(&Request::get(url("https://169.254.169.254/")))
        .unwrap_err();
    assert!(matches!(error, NetError::Refused { .. }), "{error:?}");
    assert!(Proxy::parse("socks5://a:1", "").is_err());
    let secret = Proxy::parse("http://user:pa55@a:1", "").unwrap();
    assert_eq!(format!("{secret:?}"), "Proxy(http://a:1)");
}

#[test]
fn proxies_from_variables() {
    let with = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let var = move |name: &str| {
            let found = pairs.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        Proxy::from_vars(&var).map(|proxy| proxy.map(|proxy| format!("{proxy:?}")))
    };
    assert_eq!(with(&[]), Ok(None));
    assert_eq!(with(&[("HTTPS_PROXY", "")]), Ok(None));
    assert_eq!(
        with(&[("https_proxy", "http://p:3128"), ("ALL_PROXY", "http://q")]),
        Ok(Some("Proxy(http://p:3128)".to_owned()))
    );
    assert!(with(&[("HTTPS_PROXY", "socks5://p")]).is_err());
}

#[test]
fn a_header_that_cannot_be_sent_is_an_error() {
    let server = Server::start(|_, out| out.write_all(answer("200 OK", "", "").as_bytes()));
    let request = Request::new(Method::Get, server.url())
        .with_secret_header("x-token", Secret::new("a\r\nX-Injected: 1"));
    assert_eq!(
        client(&server.url()).send(&request).unwrap_err(),
        NetError::RequestHeader {
            name: "x-token".to_owned()
        }
    );
    assert_eq!(server.calls(), 0);
}
