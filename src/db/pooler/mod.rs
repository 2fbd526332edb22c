//! Connections through a pooler in transaction mode (pgbouncer). Promises: nothing of a connection rests on the server session
//! behind it: no name of a prepared statement, no setting. TLS and the choice of the server are those of every other connection.

mod unnamed;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::Connect;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use unnamed::Unnamed;

/// Pgbouncer's own port is 6432, and stands in the URL; this is the driver's for a URL without one.
const PORT: u16 = 5432;
/// What asks a server for TLS, as the protocol has it: length, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

/// Makes connections through a pooler.
#[derive(Clone, Debug)]
pub(super) struct ThroughPooler {
    /// One configuration a server, in the order of the URL.
    servers: Vec<Config>,
    tls: Arc<ClientConfig>,
    /// What each transaction begins with.
    pinned: String,
    timeout: Duration,
}

impl ThroughPooler {
    /// `settings` hold in each transaction; outside of one the role's own do. The servers' options must be empty: a pooler refuses them.
    pub(super) fn new(
        servers: Vec<Config>,
        tls: Arc<ClientConfig>,
        settings: &[(&str, &str)],
        timeout: Duration,
    ) -> Self {
        let pinned: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("set local {name} = {value}"))
            .collect();
        Self {
            servers,
            tls,
            pinned: pinned.join("; "),
            timeout,
        }
    }

    /// The first server that accepts writes.
    pub(super) async fn client(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let mut last = None;
        for server in &self.servers {
            let one = Box::pin(self.of_server(server));
            match tokio::time::timeout(self.timeout, one).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(failed(server, io::ErrorKind::TimedOut.into()).await),
            }
        }
        match last {
            Some(error) => Err(error),
            None => Err(failed(&Config::new(), io::Error::other("the database URL names no host")).await),
        }
    }

    async fn of_server(&self, server: &Config) -> Result<(Client, JoinHandle<()>), Error> {
        let stream = match dial(server, &self.tls).await {
            Ok(stream) => stream,
            Err(error) => return Err(failed(server, error).await),
        };
        // TLS is spoken already.
        let mut plain = server.clone();
        plain.ssl_mode(SslMode::Disable);
        let (client, connection) = plain
            .connect_raw(Unnamed::new(stream, &self.pinned), NoTls)
            .await?;
        let task = tokio::spawn(async move {
            // The client's next call reports what went wrong here.
            let _ = connection.await;
        });
        let answer = client.simple_query("SHOW transaction_read_only").await?;
        let standby = answer
            .iter()
            .any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("on")));
        if standby {
            let refused = io::Error::new(io::ErrorKind::PermissionDenied, "database does not allow writes");
            return Err(failed(server, refused).await);
        }
        Ok((client, task))
    }
}

impl Connect for ThroughPooler {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(self.client())
    }
}

/// The driver's error for this one, as it makes it itself: where it hands on what the stream says.
async fn failed(server: &Config, error: io::Error) -> Error {
    let mut config = server.clone();
    config.user("nobody").ssl_mode(SslMode::Disable);
    match config.connect_raw(Broken(Some(error)), NoTls).await {
        Err(error) => error,
        // A stream that only fails gives no connection.
        Ok(_) => Error::__private_api_timeout(),
    }
}

/// A stream that fails with this error.
struct Broken(Option<io::Error>);

impl Broken {
    fn fail<T>(&mut self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(self
            .0
            .take()
            .unwrap_or_else(|| io::ErrorKind::NotConnected.into())))
    }
}

impl AsyncRead for Broken {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Broken {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What the driver's own sockets are, for us.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

async fn dial(server: &Config, tls: &Arc<ClientConfig>) -> io::Result<Box<dyn Stream>> {
    let port = server.get_ports().first().copied().unwrap_or(PORT);
    let host = server.get_hosts().first();
    let host = host.ok_or_else(|| io::Error::other("the database URL names no host"))?;
    let name = match host {
        Host::Unix(folder) => {
            let place = folder.join(format!(".s.PGSQL.{port}"));
            return Ok(Box::new(UnixStream::connect(place).await?));
        }
        Host::Tcp(name) => name,
    };
    let mut tcp = match server.get_hostaddrs().first() {
        Some(address) => TcpStream::connect((*address, port)).await?,
        None => TcpStream::connect((name.as_str(), port)).await?,
    };
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(&tcp);
    let alive = TcpKeepalive::new().with_time(server.get_keepalives_idle());
    let alive = server
        .get_keepalives_interval()
        .into_iter()
        .fold(alive, TcpKeepalive::with_interval);
    let alive = server
        .get_keepalives_retries()
        .into_iter()
        .fold(alive, TcpKeepalive::with_retries);
    socket.set_tcp_keepalive(&alive)?;
    socket.set_tcp_user_timeout(server.get_tcp_user_timeout().copied())?;
    if server.get_ssl_mode() == SslMode::Disable {
        return Ok(Box::new(tcp));
    }
    tcp.write_all(&SSL_REQUEST).await?;
    if tcp.read_u8().await? != b'S' {
        return Err(io::Error::other(
            "the pooler speaks no TLS; set client_tls_sslmode in pgbouncer.ini, or sslmode=disable in the database URL on a trusted network",
        ));
    }
    let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(tls.clone())
        .connect(name, tcp)
        .await?;
    Ok(Box::new(stream))
}
