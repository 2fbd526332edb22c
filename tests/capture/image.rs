//! The image of a created record: Odoo inserts, and fills computed columns with a second UPDATE of the same transaction.

use crate::on_both_profiles;
use crate::stand::Stand;

/// The image as the evaluation sees it: the last value of each column, over the events of each record.
const IMAGE: &str = "select jsonb_object_agg(key, value) from (select distinct on (v.key) v.key, v.value \
                     from sicantik_notify.event e cross join lateral jsonb_each(e.new) v \
                     where e.model = $1 order by v.key, e.id desc) last";

async fn image(stand: &Stand, model: &str) -> serde_json::Value {
    stand.admin.query_one(IMAGE, &[&model]).await.unwrap().get(0)
}

on_both_profiles!(an_on_create_image_has_the_computed_columns, stand, {
    stand
        .watch("('new_document', 'N', 'sicantik.document', 'on_create', null), ('new_permit', 'N', 'sicantik.permit', 'on_create', null)")
        .await;
    // A condition makes the hook carry the column; Odoo computes it.
    stand
        .run(
            "update sicantik_notify.trigger set condition_domain = '[(''permit_number'', ''!='', False)]' where code = 'new_document'; \
             update sicantik_notify.trigger set condition_domain = '[(''days_until_expiry'', ''>'', 0)]' where code = 'new_permit'",
        )
        .await;
    for form in ["statement", "row"] {
        stand.office.run(&["hooks", "install"]).await.unwrap();
        stand.shape(form).await;
        stand.run("delete from sicantik_notify.event").await;
        let mut odoo = stand.odoo().await;
        let permit = odoo
            .request(async |odoo| {
                let permits = odoo
                    .create(
                        "sicantik_permit",
                        &[vec![
                            ("registration_id", format!("REG-{form}").into()),
                            ("permit_type_name", "Izin".into()),
                            ("permit_number", format!("503/{form}").into()),
                            ("expiry_date", "2099-01-01".into()),
                        ]],
                    )
                    .await?;
                odoo.flush().await?;
                odoo.create(
                    "sicantik_document",
                    &[vec![("name", "Dokumen".into()), ("permit_id", permits[0].into())]],
                )
                .await?;
                Ok(permits[0])
            })
            .await
            .unwrap();
        let days: i32 = stand
            .one(&format!(
                "select days_until_expiry from sicantik_permit where id = {permit}"
            ))
            .await;
        assert_eq!(
            image(&stand, "sicantik.permit").await["days_until_expiry"],
            days,
            "{form}"
        );
        let document = image(&stand, "sicantik.document").await;
        assert_eq!(
            document["permit_number"],
            format!("503/{form}"),
            "{form}: {document}"
        );
        let operations: Vec<String> = stand
            .one("select array_agg(distinct op::text) from sicantik_notify.event where model = 'sicantik.document'")
            .await;
        assert!(operations.contains(&"I".to_owned()), "{form}");
    }
});

/// psql touches no write_date. Its second statement completes the image too.
#[tokio::test(flavor = "multi_thread")]
async fn so_has_that_of_a_psql_writer() {
    let stand = Stand::open().await;
    stand
        .watch("('new_permit', 'N', 'sicantik.permit', 'on_create', null)")
        .await;
    for form in ["statement", "row"] {
        stand.shape(form).await;
        stand.run("delete from sicantik_notify.event").await;
        stand
            .run(
                "begin; insert into sicantik_permit (registration_id, permit_type_name, status) values ('R', 'Izin', 'active'); \
                 update sicantik_permit set partner_id = 10, permit_number = '503/psql' where id = currval('sicantik_permit_id_seq'); commit",
            )
            .await;
        let image = image(&stand, "sicantik.permit").await;
        assert_eq!(
            (&image["permit_number"], &image["partner_id"]),
            (&"503/psql".into(), &10.into()),
            "{form}: {image}"
        );
        // Bookkeeping alone is still nothing.
        stand.run("delete from sicantik_notify.event; update sicantik_permit set last_sync_date = now(), days_until_expiry = 7").await;
        assert_eq!(stand.events().await, 0, "{form}");
    }
}
