//! Domains on a real database: what they select is what the SQL of Odoo 18 selects.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "domain/agreement.rs"]
mod agreement;
#[path = "domain/bound.rs"]
mod bound;
#[path = "domain/columns.rs"]
mod columns;
#[path = "domain/hostile.rs"]
mod hostile;
#[path = "domain/relations.rs"]
mod relations;
#[path = "domain/rules.rs"]
mod rules;

use chrono::{TimeZone, Utc};
use sicantik_notifyd::host::catalog::Catalog;
use sicantik_notifyd::host::search::search;
use sicantik_notifyd::lang::domain::{Aliases, BaseKind, BaseRow, DomainError, Source, Vars, compile};
use sicantik_notifyd::testkit::host::{Options, Profile, install};
use sicantik_notifyd::testkit::postgres::Cluster;
use tokio_postgres::Client;

/// A host with more of everything that relations need.
struct Host {
    _cluster: Cluster,
    client: Client,
    catalog: Catalog,
}

/// How a domain is asked.
#[derive(Clone, Copy)]
struct Eyes {
    kind: BaseKind,
    active_test: bool,
    lang: &'static str,
}

const TABLE: Eyes = Eyes {
    kind: BaseKind::Table,
    active_test: true,
    lang: "en_US",
};

#[derive(Debug)]
#[allow(dead_code)]
enum Fault {
    Domain(DomainError),
    Server(String),
}

impl Host {
    async fn open(profile: Profile, options: &Options) -> Self {
        let cluster = Cluster::start().await.unwrap();
        cluster.create_database("office", None).await.unwrap();
        let mut client = cluster.connect("office").await.unwrap();
        install(&client, profile, options).await.unwrap();
        client
            .batch_execute(include_str!("domain/data.sql"))
            .await
            .unwrap();
        let tx = client.transaction().await.unwrap();
        let catalog = Catalog::load(&tx).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            _cluster: cluster,
            client,
            catalog,
        }
    }

    async fn ask(&self, model: &str, text: &str, eyes: Eyes) -> Result<Vec<i64>, Fault> {
        let now = Utc.with_ymd_and_hms(2026, 12, 22, 18, 30, 0).unwrap();
        let vars = Vars {
            lang: Some(eyes.lang.into()),
            active_test: eyes.active_test,
            ..Vars::at(now, chrono_tz::Asia::Jakarta)
        };
        let model = self.catalog.model(model).unwrap();
        let base = match eyes.kind {
            BaseKind::Table => BaseRow::table(),
            BaseKind::Image => BaseRow::image(),
        };
        let base = vars.base(base).active_test(eyes.active_test);
        let domain = Source::parse(text)
            .and_then(|s| s.evaluate(&vars))
            .map_err(Fault::Domain)?;
        let compiled =
            compile(&domain, &self.catalog, model, &Aliases::default(), base).map_err(Fault::Domain)?;
        let params: Vec<String> = compiled.params.iter().map(|p| format!("{p:?}")).collect();
        search(&self.client, model, &compiled, eyes.kind)
            .await
            .map_err(|e| Fault::Server(format!("{e:?} in {} with {params:?}", compiled.sql)))
    }

    /// Domains of a model with the WHERE clauses of the reference; all differences at once. Both bases must agree.
    async fn check(&self, model: &str, eyes: Eyes, rows: &[(&str, &str)]) {
        let table = model.replace('.', "_");
        let mut wrong = Vec::new();
        for (domain, clause) in rows {
            let query = format!("select t.id::bigint from {table} t where {clause} order by 1");
            let wanted: Vec<i64> = match self.client.query(&query, &[]).await {
                Ok(rows) => rows.iter().map(|r| r.get(0)).collect(),
                Err(e) => panic!("{query}: {e:?}"),
            };
            for kind in [BaseKind::Table, BaseKind::Image] {
                match self.ask(model, domain, Eyes { kind, ..eyes }).await {
                    Ok(found) if found == wanted => {}
                    Ok(found) => wrong.push(format!(
                        "{domain} ({kind:?})\n  wanted {wanted:?}\n  found  {found:?}"
                    )),
                    Err(e) => wrong.push(format!("{domain} ({kind:?})\n  {e:?}")),
                }
            }
        }
        assert!(wrong.is_empty(), "{model}:\n{}", wrong.join("\n"));
    }

    /// Domains that must fail, with the kind, or `server` where PostgreSQL refuses a value.
    async fn refuse(&self, model: &str, rows: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (domain, kind) in rows {
            let found = match self.ask(model, domain, TABLE).await {
                Ok(ids) => format!("{ids:?}"),
                Err(Fault::Domain(error)) => {
                    let _ = error.diagnostic(domain);
                    format!("{} {error}", error.kind)
                }
                Err(Fault::Server(error)) => format!("server {error}"),
            };
            if !found.starts_with(kind) {
                wrong.push(format!("{domain}\n  wanted {kind}\n  found  {found}"));
            }
        }
        assert!(wrong.is_empty(), "{model}:\n{}", wrong.join("\n"));
    }
}
