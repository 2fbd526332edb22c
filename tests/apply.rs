//! Configuration as data: `export` and `apply` against a real server.

#![allow(clippy::unwrap_used)]

mod desk;

use std::io::Write as _;

use desk::{Desk, desk};
use serde_json::Value;
use sicantik_notifyd::setup::apply as setup;
use sicantik_notifyd::setup::export;
use sicantik_notifyd::setup::shape::Shapes;

/// Exit code, standard output, standard error.
async fn run(desk: &Desk, arguments: &[&str]) -> (i32, String, String) {
    let output = desk.office.command(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Writes `rules.toml` and applies it.
async fn apply(desk: &Desk, text: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir_in(desk.office.folder()).unwrap();
    let path = folder.path().join("rules.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let name = path.to_str().unwrap();
    let mut all = vec!["apply", "-f", name];
    all.extend(arguments);
    let (code, out, err) = run(desk, &all).await;
    (code, (out + &err).replace(name, "rules.toml"))
}

async fn version(desk: &Desk) -> i64 {
    desk.number("select version from sicantik_notify.config_version")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_changes_nothing_and_is_a_whole_configuration() {
    let desk = desk().await;
    let (code, file, _) = run(&desk, &["export"]).await;
    assert_eq!(code, 0);
    let before = version(&desk).await;
    let (code, text) = apply(&desk, &file, &["--dry-run", "--prune"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing differs: rules.toml says what stands.\n"),
        "{file}"
    );
    let (code, _) = apply(&desk, &file, &["--prune", "--yes"]).await;
    assert_eq!((code, version(&desk).await), (0, before));
    // Everything can be made again from it.
    let rows = "select md5(string_agg(x, ';' order by x)) from (
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text x from sicantik_notify.trigger t union all
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text from sicantik_notify.rule t union all
        select (to_jsonb(t.*) - '{id,created_at,updated_at}'::text[])::text from sicantik_notify.template t union all
        select to_jsonb(t.*)::text from sicantik_notify.template_map t union all
        select to_jsonb(t.*)::text from sicantik_notify.noise_column t union all
        select to_jsonb(t.*)::text from sicantik_notify.field_alias t union all
        select to_jsonb(t.*)::text from sicantik_notify.value_alias t) s";
    let stood = desk.text(rows).await;
    desk.sql(
        "delete from sicantik_notify.rule; delete from sicantik_notify.trigger; delete from sicantik_notify.template;
         delete from sicantik_notify.template_map; delete from sicantik_notify.noise_column;
         delete from sicantik_notify.field_alias; delete from sicantik_notify.value_alias",
    )
    .await;
    let before = version(&desk).await;
    let (code, text) = apply(&desk, &file, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(desk.text(rows).await, stood);
    // However many statements it took: once.
    assert_eq!(version(&desk).await, before + 1);
}
