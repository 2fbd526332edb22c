//! TLS to PostgreSQL: verified over TCP, off only where the URL says so.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sicantik_notifyd::db::{ConnectError, Endpoint};
use sicantik_notifyd::testkit::postgres::Cluster;

use crate::harness::{command, output};

/// A CA and what it signed.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key of a server with these names.
    fn server(&self, names: &[&str], expired: bool) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        (cert.pem(), key.serialize_pem())
    }
}

struct Server {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Server {
    /// One that speaks TLS; none where the server was built without, which is said.
    async fn speaking(certificate: (String, String)) -> Option<Self> {
        if Cluster::has_tls().await.expect("a server") {
            return Some(Self::with(Some(certificate)).await);
        }
        println!("this PostgreSQL was built without TLS (ssl_library is empty): TLS was not tried");
        None
    }

    async fn with(certificate: Option<(String, String)>) -> Self {
        let builder = match certificate {
            None => Cluster::builder(),
            Some((cert, key)) => Cluster::builder()
                .setting("ssl", "on")
                .file("server.crt", cert)
                .file("server.key", key),
        };
        Self {
            cluster: builder.start().await.expect("a server"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn ca_file(&self, authority: &Authority) -> PathBuf {
        let path = self.folder.path().join("ca.pem");
        std::fs::write(&path, &authority.pem).expect("a file");
        path
    }

    fn url(&self, host: &str, rest: &str) -> String {
        format!(
            "postgres://postgres@{host}:{}/postgres{rest}",
            self.cluster.port()
        )
    }
}

/// Whether the connection is encrypted, as the server sees it.
async fn encrypted(endpoint: &Endpoint) -> bool {
    let client = endpoint.connect().await.expect("connects");
    client
        .query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[])
        .await
        .expect("answers")
        .get(0)
}

async fn refusal(endpoint: &Endpoint) -> String {
    match endpoint.connect().await {
        Ok(_) => panic!("it must not connect"),
        Err(error @ ConnectError::Server(_)) => error.to_string(),
        Err(other) => panic!("another error: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_ca_and_name_connect_and_nothing_else_does() {
    let (ours, other) = (Authority::new(), Authority::new());
    let Some(server) = Server::speaking(ours.server(&["localhost", "127.0.0.1"], false)).await else {
        return;
    };
    let ca = server.ca_file(&ours);

    // Each way to name the CA, each mode; TLS is the default over TCP.
    for rest in [
        "",
        "?sslmode=require",
        "?sslmode=verify-ca",
        "?sslmode=verify-full",
    ] {
        let endpoint = Endpoint::parse(&server.url("localhost", rest), Some(&ca)).expect("parses");
        assert!(encrypted(&endpoint).await, "{rest}");
    }
    let rest = format!("?sslrootcert={}", ca.display());
    let endpoint = Endpoint::parse(&server.url("127.0.0.1", &rest), None).expect("parses");
    assert!(encrypted(&endpoint).await, "sslrootcert");
    let client = endpoint.pool(1).expect("a pool").get().await.expect("pooled");
    client.batch_execute("select 1").await.expect("works");

    // An unknown CA.
    let strange = server.folder.path().join("other.pem");
    std::fs::write(&strange, &other.pem).expect("a file");
    let endpoint = Endpoint::parse(&server.url("localhost", ""), Some(&strange)).expect("parses");
    let error = refusal(&endpoint).await;
    assert!(
        error.contains("database.ca_file") && error.contains("sslrootcert"),
        "{error}"
    );
    // The system's CAs do not know it either.
    let endpoint = Endpoint::parse(&server.url("localhost", ""), None).expect("parses");
    assert!(refusal(&endpoint).await.contains("database.ca_file"));

    // Off where the URL says so.
    let endpoint = Endpoint::parse(&server.url("localhost", "?sslmode=disable"), None).expect("parses");
    assert!(!encrypted(&endpoint).await);
    // A unix socket needs none.
    let endpoint = Endpoint::parse(&server.cluster.url("postgres"), None).expect("parses");
    assert!(!encrypted(&endpoint).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_refused_in_every_mode() {
    let ours = Authority::new();
    let Some(server) = Server::speaking(ours.server(&["db.office.example"], false)).await else {
        return;
    };
    let ca = server.ca_file(&ours);
    for rest in ["", "?sslmode=require", "?sslmode=verify-ca"] {
        let endpoint = Endpoint::parse(&server.url("localhost", rest), Some(&ca)).expect("parses");
        let error = refusal(&endpoint).await;
        assert!(
            error.contains("connect by a name that the server's certificate holds"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() {
    let ours = Authority::new();
    let Some(server) = Server::speaking(ours.server(&["localhost"], true)).await else {
        return;
    };
    let endpoint =
        Endpoint::parse(&server.url("localhost", ""), Some(&server.ca_file(&ours))).expect("parses");
    let error = refusal(&endpoint).await;
    assert!(error.contains("renew the server's certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_over_tcp_only_where_the_url_says_so_and_on_a_socket() {
    let server = Server::with(None).await;
    let endpoint = Endpoint::parse(&server.url("localhost", "?sslmode=disable"), None).expect("parses");
    assert!(!encrypted(&endpoint).await);
    let endpoint = Endpoint::parse(&server.cluster.url("postgres"), None).expect("parses");
    assert!(!encrypted(&endpoint).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_and_the_daemon_says_so_at_once() {
    let server = Server::with(None).await;
    let endpoint = Endpoint::parse(&server.url("localhost", ""), None).expect("parses");
    let error = refusal(&endpoint).await;
    assert!(
        error.contains("ssl = on") && error.contains("sslmode=disable"),
        "{error}"
    );

    // Waiting would not help: the daemon ends, and systemd shows why.
    let mut run = command(&["run", "--database-url", &server.url("localhost", "")]);
    run.env("SICANTIK_NOTIFYD_STATE_DIR", server.folder.path().join("state"));
    let (code, text) = output(run).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("sslmode=disable"), "{text}");
}

#[test]
fn a_ca_file_that_holds_no_certificate_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "").expect("a file");
    for path in [file, folder.path().join("absent.pem")] {
        let error = Endpoint::parse("host=h user=u", Some(&path))
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains(path.to_str().expect("a name")) && error.contains("database.ca_file"),
            "{error}"
        );
    }
}
