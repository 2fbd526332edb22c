//! The connection that the log comes over. Promises: over TCP, TLS is the same as everywhere else in the daemon (same roots,
//! chain and name verified); what the server answers is classified by SQLSTATE, here and nowhere else.
//!
//! The client crate is used without its own TLS, which trusts other roots and brings a second crypto library. It gets a
//! socket in a folder that only we can enter, behind which we speak TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgwire_replication::{PgWireError, ReplicationClient, ReplicationConfig};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio_postgres::config::Host;

use super::decode::Lsn;
use crate::db::Endpoint;
use crate::db::connect::Place;

/// Changes in memory at most: those of the largest rows must fit.
const BUFFER: usize = 64;
/// A row that is longer is no row of Odoo's; its attachments are elsewhere.
const LONGEST: usize = 256 << 20;
/// The server ends a session that is silent for wal_sender_timeout (60 s by default).
const STATUS: Duration = Duration::from_secs(1);
/// Values read the same whatever server and role say, and as the hooks store them.
const OPTIONS: &str = "-c DateStyle=ISO,YMD -c TimeZone=UTC -c IntervalStyle=postgres -c bytea_output=hex -c extra_float_digits=1";
const PORT: u16 = 5432;

/// Why the log does not come.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Another consumer has the slot.
    #[error("another instance reads the slot")]
    Busy,
    /// It will go on by itself.
    #[error("the log's connection was lost: {0}")]
    Lost(String),
    /// Somebody must do something.
    #[error("{0}")]
    Refused(String),
}

impl From<PgWireError> for WireError {
    fn from(error: PgWireError) -> Self {
        let text = error.to_string();
        match &error {
            PgWireError::Server(server) => match sqlstate(server) {
                // object_in_use
                Some("55006") => Self::Busy,
                // Starting and stopping, full, connection failures, out of memory or disk, a conflict with somebody's work.
                Some(code)
                    if ["57P", "53", "08", "40", "57014"]
                        .iter()
                        .any(|c| code.starts_with(c)) =>
                {
                    Self::Lost(text)
                }
                // 55000: invalidated, or wal_level; 42704: slot or publication gone; 42501: no right; 28…: pg_hba.conf.
                _ => Self::Refused(text),
            },
            PgWireError::Auth(_) | PgWireError::MessageTooLarge { .. } => Self::Refused(text),
            _ => Self::Lost(text),
        }
    }
}

/// The code in the client's text.
fn sqlstate(text: &str) -> Option<&str> {
    let (_, code) = text.rsplit_once("(SQLSTATE ")?;
    code.strip_suffix(')')
}

/// What to do about an answer.
pub fn remedy(text: &str) -> &'static str {
    match sqlstate(text) {
        Some("42501") => "alter role sicantik_notifyd replication (sicantik-notifyd hooks install does it)",
        Some(code) if code.starts_with("28") => {
            "allow the daemon's user, database and address in pg_hba.conf: reading a slot uses the line of the database"
        }
        Some("42704" | "55000") => {
            "run sicantik-notifyd hooks install (as a DBA): it makes what is missing and says what was lost"
        }
        Some("53300" | "53400") => "raise max_wal_senders of the server",
        _ => "see the server's log; sicantik-notifyd hooks verify names what is wrong",
    }
}

/// Begins to read.
///
/// # Errors
/// [`WireError`].
pub async fn open(
    server: &Endpoint,
    slot: &str,
    publication: &str,
    from: Lsn,
) -> Result<ReplicationClient, WireError> {
    let place = server.place().map_err(|e| WireError::Refused(e.to_string()))?;
    let door = door(&place).await?;
    let password = String::from_utf8_lossy(place.password);
    let config = ReplicationConfig::new(door.host, place.user, password, place.database, slot, publication)
        .with_port(door.port)
        .with_start_lsn(pgwire_replication::Lsn(from.0))
        .with_status_interval(STATUS)
        .with_buffer_size(BUFFER)
        .with_max_message_size(LONGEST)
        .with_options(OPTIONS)
        .with_application_name("sicantik-notifyd capture");
    let opening = async {
        let mut client = ReplicationClient::connect(config).await?;
        client.wait_started().await?;
        Ok::<_, PgWireError>(client)
    };
    // The server may have much to read before it begins, but not this much before it answers.
    match tokio::time::timeout(Duration::from_secs(20), opening).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(WireError::Lost("no answer in 20 s".to_owned())),
    }
}

/// Where the client connects.
struct Door {
    host: String,
    port: u16,
    _folder: Option<tempfile::TempDir>,
}

async fn door(place: &Place<'_>) -> Result<Door, WireError> {
    let name = match place.host {
        Host::Unix(folder) => {
            return Ok(Door {
                host: folder.to_string_lossy().into_owned(),
                port: place.port,
                _folder: None,
            });
        }
        Host::Tcp(name) => name,
    };
    let lost = |e: std::io::Error| WireError::Lost(e.to_string());
    let address = place.address.map_or_else(|| name.clone(), |a| a.to_string());
    let Some(tls) = &place.tls else {
        return Ok(Door {
            host: address,
            port: place.port,
            _folder: None,
        });
    };
    let folder = tempfile::tempdir().map_err(lost)?;
    let listener = UnixListener::bind(folder.path().join(format!(".s.PGSQL.{PORT}"))).map_err(lost)?;
    let far = speak_tls(&address, place.port, name, tls.clone()).await?;
    tokio::spawn(async move {
        let mut far = far;
        if let Ok((mut near, _)) = listener.accept().await {
            // Whichever side ends, the other notices.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    Ok(Door {
        host: path(folder.path()),
        port: PORT,
        _folder: Some(folder),
    })
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What asks a server for TLS, as the protocol has it: length, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

async fn speak_tls(
    address: &str,
    port: u16,
    name: &str,
    tls: Arc<ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, WireError> {
    let lost = |e: std::io::Error| WireError::Lost(e.to_string());
    let connecting = async {
        let mut tcp = TcpStream::connect((address, port)).await.map_err(lost)?;
        tcp.set_nodelay(true).map_err(lost)?;
        tcp.write_all(&SSL_REQUEST).await.map_err(lost)?;
        if tcp.read_u8().await.map_err(lost)? != b'S' {
            return Err(WireError::Refused(
                "the server speaks no TLS; set ssl = on in postgresql.conf, or sslmode=disable on a trusted network".to_owned(),
            ));
        }
        let name = ServerName::try_from(name.to_owned()).map_err(|e| WireError::Refused(e.to_string()))?;
        tokio_rustls::TlsConnector::from(tls)
            .connect(name, tcp)
            .await
            .map_err(|e| WireError::Lost(format!("TLS: {e}")))
    };
    match tokio::time::timeout(Duration::from_secs(10), connecting).await {
        Ok(result) => result,
        Err(_) => Err(WireError::Lost("no answer in 10 s".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> WireError {
        PgWireError::Server(text.to_owned()).into()
    }

    #[test]
    fn answers_are_told_apart_by_their_code() {
        assert!(matches!(
            server("slot is active (SQLSTATE 55006)"),
            WireError::Busy
        ));
        for code in ["57P01", "57P02", "57P03", "53300", "08006"] {
            assert!(
                matches!(server(&format!("x (SQLSTATE {code})")), WireError::Lost(_)),
                "{code}"
            );
        }
        for code in ["55000", "42704", "42501", "28000", "XX000"] {
            assert!(
                matches!(server(&format!("x (SQLSTATE {code})")), WireError::Refused(_)),
                "{code}"
            );
        }
        assert!(matches!(server("no code"), WireError::Refused(_)));
    }

    #[test]
    fn a_message_that_quotes_a_code_is_not_mistaken() {
        assert_eq!(sqlstate("a (SQLSTATE 57P01) b (SQLSTATE 55000)"), Some("55000"));
        assert_eq!(sqlstate("(SQLSTATE 57P01) said nobody"), None);
        assert!(remedy("x (SQLSTATE 42501)").contains("replication"));
    }
}
