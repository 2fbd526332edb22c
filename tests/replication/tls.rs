//! The log comes over the same verified TLS as everything else, and with a password.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sicantik_notifyd::testkit::gateway::Gateway;
use sicantik_notifyd::testkit::office::{DATABASE, Office, Plan};
use sicantik_notifyd::testkit::postgres::Cluster;

use crate::stand::CAPTURE_ONLY;

/// PEM of a CA, and of certificate and key of a server called localhost.
fn certificates() -> (String, String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    (ca, certificate, key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_over_tls_with_a_password() {
    let (ca, certificate, key) = certificates();
    let tls = Cluster::has_tls().await.unwrap();
    let builder = Cluster::builder().setting("max_slot_wal_keep_size", "2GB");
    let builder = if tls {
        builder
            .setting("ssl", "on")
            .file("server.crt", certificate)
            .file("server.key", key)
            .file(
                "pg_hba.conf",
                "local all all trust\nhostssl all all all scram-sha-256\n",
            )
    } else {
        println!(
            "this PostgreSQL was built without TLS (ssl_library is empty): the password alone was tried"
        );
        builder.file(
            "pg_hba.conf",
            "local all all trust\nhost all all all scram-sha-256\n",
        )
    };
    let cluster = builder.start().await.unwrap();
    let plan = Plan {
        providers: false,
        ..Plan::default()
    };
    let program = Path::new(env!("CARGO_BIN_EXE_sicantik-notifyd"));
    let office = Office::furnish(cluster, Gateway::start().await.unwrap(), program, &plan)
        .await
        .unwrap();
    office.run(&["capture", "switch", "logical"]).await.unwrap();
    let admin = office.admin().await.unwrap();
    admin
        .batch_execute("alter role sicantik_notifyd password 'r@hasia & ''kutip'''")
        .await
        .unwrap();
    let file = office.folder().join("ca.pem");
    std::fs::write(&file, ca).unwrap();
    let options = match tls {
        true => format!("sslrootcert={}", file.display()),
        false => "sslmode=disable".to_owned(),
    };
    let url = format!(
        "postgres://sicantik_notifyd:r%40hasia%20%26%20%27kutip%27@localhost:{}/{DATABASE}?{options}",
        office.cluster.port()
    );
    let daemon = office
        .daemon_at(&url, CAPTURE_ONLY, &office.folder().join("state"))
        .await
        .unwrap();
    let reads = &format!(
        "select exists (select from pg_stat_ssl s join pg_stat_replication r using (pid) join pg_replication_slots l on l.active_pid = r.pid \
         where s.ssl = {tls} and r.usename = 'sicantik_notifyd')"
    );
    let until = async |query: &str| {
        if let Err(error) = office.until(&admin, query).await {
            panic!("{error}\n{}", daemon.log());
        }
    };
    until(reads).await;
    admin
        .execute("update sicantik_permit set status = 'over tls' where id = 1", &[])
        .await
        .unwrap();
    until("select count(*) = 1 from sicantik_notify.event").await;
    // A connection that is cut comes back.
    admin
        .execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots",
            &[],
        )
        .await
        .unwrap();
    admin
        .execute(
            "update sicantik_permit set status = 'over tls again' where id = 1",
            &[],
        )
        .await
        .unwrap();
    until("select count(*) = 2 from sicantik_notify.event").await;
    until(reads).await;
}
