//! Servers for tests, on the loopback interface, one thread a connection.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use custos_net::Url;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// An answer with a body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

pub struct Server {
    port: u16,
    calls: Arc<AtomicUsize>,
}

impl Server {
    /// Answers each request with `reply`; a connection carries one request.
    pub fn start<F>(reply: F) -> Self
    where
        F: Fn(&Seen, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    {
        Self::listen(move |stream, calls| serve(stream, &reply, calls))
    }

    pub fn start_tls<F>(config: Arc<ServerConfig>, reply: F) -> Self
    where
        F: Fn(&Seen, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    {
        Self::listen(move |stream, calls| {
            let connection =
                ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            serve(&mut stream, &reply, calls)?;
            stream.conn.send_close_notify();
            stream.flush()
        })
    }

    /// A proxy that connects everybody to one port.
    pub fn start_proxy(port: u16) -> Self {
        Self::listen(move |mut stream, _| {
            let head = read_head(&mut BufReader::new(stream.try_clone()?))?;
            assert!(head.starts_with("CONNECT service.example:443"), "{head}");
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
            let server = TcpStream::connect(("127.0.0.1", port))?;
            let (mut from, mut to) = (stream.try_clone()?, server.try_clone()?);
            std::thread::spawn(move || io::copy(&mut from, &mut to));
            io::copy(&mut &server, &mut stream)?;
            Ok(())
        })
    }

    fn listen<F>(handle: F) -> Self
    where
        F: Fn(TcpStream, &AtomicUsize) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let handle = Arc::new(handle);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handle, calls) = (Arc::clone(&handle), Arc::clone(&counted));
                // A client that hangs up is what half of the tests are about.
                std::thread::spawn(move || drop(handle(stream, &calls)));
            }
        });
        Self { port, calls }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> Url {
        format!("http://127.0.0.1:{}/", self.port).parse().unwrap()
    }

    /// Requests that came in whole.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A port that nobody listens on: it was free a moment ago.
pub fn url_of_closed() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/").parse().unwrap()
}

fn read_head(input: &mut impl io::BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn serve<S, F>(mut stream: S, reply: &F, calls: &AtomicUsize) -> io::Result<()>
where
    S: Read + Write,
    F: Fn(&Seen, &mut dyn Write) -> io::Result<()>,
{
    let mut input = BufReader::new(&mut stream);
    let head = read_head(&mut input)?;
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    calls.fetch_add(1, Ordering::SeqCst);
    reply(&Seen { head, body }, &mut stream)?;
    stream.flush()
}

/// A certificate authority of a test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for one name and its key, both in PEM.
    pub fn leaf(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    /// A server for one name, which asks clients for a certificate of `clients`.
    pub fn server_config(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (chain, key) = self.leaf(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}
