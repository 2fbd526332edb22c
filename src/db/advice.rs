//! What to do about a connection that was refused: one sentence for logs and people, where we know it.

use std::error::Error;

use tokio_postgres::error::SqlState;

/// Whether waiting may help. A server that starts, stops, is full or is a standby will answer later; one that said no, or
/// whose certificate is not to be trusted, will say it again.
pub fn is_temporary(error: &tokio_postgres::Error) -> bool {
    if let Some(db) = error.as_db_error() {
        // 57P: starting, stopping. 53: no connection left, no memory, no disk.
        let code = db.code().code();
        return code.starts_with("57P") || code.starts_with("53");
    }
    tls(error).is_none() && !speaks_no_tls(error)
}

/// The next step, if it is known.
pub fn next_step(error: &tokio_postgres::Error) -> Option<&'static str> {
    if let Some(db) = error.as_db_error() {
        return Some(match *db.code() {
            SqlState::INVALID_PASSWORD => "check user and password of the database URL",
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if db.message().contains("does not exist") => {
                "check the user of the database URL; `sicantik-notifyd migrate` makes the role sicantik_notifyd"
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "allow this user, database and address in the server's pg_hba.conf, or check the database URL"
            }
            SqlState::INVALID_CATALOG_NAME => "check the database of the database URL: it is Odoo's own",
            SqlState::TOO_MANY_CONNECTIONS => {
                "raise max_connections of the server, or lower `database.pool_size`"
            }
            // Pgbouncer's words for what it was not told to let pass.
            SqlState::PROTOCOL_VIOLATION if db.message().contains("startup parameter") => {
                "a pooler stands between: say so with `database.pooler = true`, or let the URL go to PostgreSQL itself"
            }
            _ => return None,
        });
    }
    if speaks_no_tls(error) {
        return Some(
            "set ssl = on in postgresql.conf of the server, or sslmode=disable in the database URL on a trusted network",
        );
    }
    Some(match tls(error) {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature => {
                "name the CA that signed the server's certificate with `database.ca_file` or sslrootcert= in the database URL"
            }
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. } => {
                "connect by a name that the server's certificate holds, or have it signed for this one"
            }
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                "renew the server's certificate"
            }
            _ => "look at the server's certificate (ssl_cert_file in postgresql.conf)",
        },
        Some(_) => "look at the server's TLS settings (ssl_* in postgresql.conf)",
        None => match io(error)?.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                "check that PostgreSQL runs, and host and port of the database URL"
            }
            std::io::ErrorKind::PermissionDenied => "check the rights on the server's socket",
            _ => "check host and port of the database URL, and the network between",
        },
    })
}

/// The driver has no kind for it, only these words.
fn speaks_no_tls(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(|s| s.to_string().contains("server does not support TLS"))
}

fn io(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    chain(error).find_map(|e| e.downcast_ref())
}

/// rustls's error; the driver hands it on inside an I/O error, which `source()` alone would skip.
fn tls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    chain(error).find_map(|e| {
        e.downcast_ref().or_else(|| {
            let inner = e.downcast_ref::<std::io::Error>()?.get_ref()?;
            inner.downcast_ref()
        })
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn Error + 'static)| (*e).source())
}
