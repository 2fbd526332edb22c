//! Who asks: a user of the host, as far as domains ask about them.

use serde_json::{Value, json};
use tokio_postgres::GenericClient;

/// What [`facts`] reads: none of the secret columns, and only what every supported version has.
pub const READS: &[(&str, &[&str])] = &[
    (
        "res_users",
        &["id", "login", "partner_id", "company_id", "active"],
    ),
    (
        "res_partner",
        &["id", "name", "email", "lang", "tz", "commercial_partner_id"],
    ),
    ("res_groups_users_rel", &["gid", "uid"]),
    ("res_company_users_rel", &["cid", "user_id"]),
];

/// What `user` is in a domain: `user.id`, `user.partner_id.id`, `user.groups_id.ids` and their like. `None` where the host
/// has no such user or its users may not be read.
///
/// # Errors
/// The server's.
pub async fn facts(client: &impl GenericClient, uid: i64) -> Result<Option<Value>, tokio_postgres::Error> {
    if !readable(client).await? {
        return Ok(None);
    }
    let query = "select u.login, u.partner_id::bigint, u.company_id::bigint, p.commercial_partner_id::bigint, p.name, p.email, \
                 array(select gid::bigint from public.res_groups_users_rel where uid = u.id order by 1), \
                 array(select cid::bigint from public.res_company_users_rel where user_id = u.id order by 1), p.lang, p.tz, u.active \
                 from public.res_users u join public.res_partner p on p.id = u.partner_id where u.id = $1::bigint";
    let Some(row) = client.query_opt(query, &[&uid]).await? else {
        return Ok(None);
    };
    let one = |id: Option<i64>| match id {
        Some(id) => json!({"id": id, "ids": [id]}),
        None => json!({"id": false, "ids": []}),
    };
    let text = |at: usize| match row.get::<_, Option<String>>(at) {
        Some(text) => json!(text),
        None => json!(false),
    };
    let groups = json!({"ids": row.get::<_, Vec<i64>>(6)});
    let commercial = one(row.get(3));
    Ok(Some(json!({
        "id": uid, "ids": [uid], "login": text(0), "name": text(4), "email": text(5), "lang": text(8), "tz": text(9),
        "active": row.get::<_, Option<bool>>(10).unwrap_or(false),
        "partner_id": {"id": row.get::<_, i64>(1), "ids": [row.get::<_, i64>(1)], "commercial_partner_id": commercial},
        "commercial_partner_id": commercial, "company_id": one(row.get(2)),
        "company_ids": {"ids": row.get::<_, Vec<i64>>(7)}, "groups_id": groups, "group_ids": groups,
    })))
}

async fn readable(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    let query = "select coalesce(bool_and(has_column_privilege(to_regclass($1), c, 'select')), false) from unnest($2::text[]) c";
    for (table, columns) in READS {
        let name = format!("public.{table}");
        if !client
            .query_one(query, &[&name, columns])
            .await?
            .get::<_, bool>(0)
        {
            return Ok(false);
        }
    }
    Ok(true)
}
