//! Everything that leaves the row.

use super::*;

const RECURSE: &str = "(with recursive h(id) as (select ROOT union select c.id from res_partner c join h on c.parent_id = h.id) \
                       select id from h)";

fn descendants(root: &str) -> String {
    RECURSE.replace("ROOT", root)
}

#[tokio::test(flavor = "multi_thread")]
async fn many2one() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let named = |test: &str| format!("select id from res_partner where {test}");
    let search = |test: &str| {
        let tests: Vec<String> = ["complete_name", "email", "ref", "vat", "company_registry"]
            .map(|c| test.replace('?', c))
            .into();
        named(&tests.join(" or "))
    };
    let budi = search("? ilike '%budi%'");
    let exact = search("? = 'Budi Santoso'");
    let digits = search("? = '10'");
    let rows: Vec<(&str, String)> = vec![
        ("[('partner_id','=',10)]", "partner_id = 10".into()),
        ("[('partner_id','!=',10)]", "partner_id <> 10 or partner_id is null".into()),
        ("[('partner_id','=',False)]", "partner_id is null".into()),
        ("[('partner_id','=',0)]", "partner_id is null".into()),
        ("[('partner_id','in',[10,False])]", "partner_id = 10 or partner_id is null".into()),
        ("[('partner_id','not in',[10])]", "partner_id <> 10 or partner_id is null".into()),
        // Names.
        ("[('partner_id','ilike','budi')]", format!("partner_id in ({budi})")),
        ("[('partner_id','not ilike','budi')]", format!("partner_id not in ({budi}) or partner_id is null")),
        ("['!',('partner_id','ilike','budi')]", format!("partner_id not in ({budi}) or partner_id is null")),
        ("[('partner_id','=','Budi Santoso')]", format!("partner_id in ({exact})")),
        ("[('partner_id','!=','Budi Santoso')]", format!("partner_id not in ({exact}) or partner_id is null")),
        ("[('partner_id','in',['Budi Santoso'])]", format!("partner_id in ({exact})")),
        ("[('partner_id','not in',['Budi Santoso'])]", format!("partner_id not in ({exact}) or partner_id is null")),
        ("[('partner_id','=','10')]", format!("partner_id in ({digits})")),
        ("[('partner_id','ilike','')]", "partner_id is not null".into()),
        // Archived ones are found by name.
        ("[('partner_id','ilike','gita')]", format!("partner_id in ({})", search("? ilike '%gita%'"))),
        // Paths.
        ("[('partner_id.city','=','Medan')]", format!("partner_id in ({})", named("city = 'Medan'"))),
        ("[('partner_id.city','!=','Medan')]", format!("partner_id in ({})", named("city <> 'Medan' or city is null"))),
        ("[('partner_id.city','=',False)]", format!("partner_id in ({})", named("city = '' or city is null"))),
        (
            "['!',('partner_id.city','=','Medan')]",
            format!("partner_id not in ({}) or partner_id is null", named("city = 'Medan'")),
        ),
        ("[('partner_id.active','=',False)]", format!("partner_id in ({})", named("active is not true"))),
        (
            "[('partner_id.country_id.code','=','GB')]",
            "partner_id in (select id from res_partner where country_id in (select id from res_country where code = 'GB'))"
                .into(),
        ),
        ("[('partner_id.id','=',10)]", "partner_id = 10".into()),
        ("[('partner_id','any',[('city','=','Medan')])]", format!("partner_id in ({})", named("city = 'Medan'"))),
        ("[('partner_id','any',[])]", "partner_id is not null".into()),
        ("[('partner_id','not any',[])]", "partner_id is null".into()),
        (
            "[('partner_id','not any',[('city','=','Medan')])]",
            format!("partner_id not in ({}) or partner_id is null", named("city = 'Medan'")),
        ),
        ("['!',('partner_id','any',[])]", "partner_id is null".into()),
        ("[('partner_id.display_name','ilike','budi')]", format!("partner_id in ({budi})")),
        // Nothing below a many2one is filtered: archived categories count.
        (
            "[('partner_id.category_id.name','=','Old')]",
            "partner_id in (select partner_id from res_partner_res_partner_category_rel where category_id = 105)".into(),
        ),
        (
            "[('partner_id.child_ids','any',[])]",
            "partner_id in (select parent_id from res_partner where active)".into(),
        ),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(d, s)| (*d, s.as_str())).collect();
    host.check("sicantik.permit", TABLE, &rows).await;
    host.check(
        "res.partner",
        TABLE,
        &[
            // A related field: a partner without country has an empty code.
            (
                "[('country_code','=',False)]",
                "t.active and (country_id is null or country_id in (select id from res_country where code = '' or code is null))",
            ),
            ("[('country_code','=','GB')]", "t.active and country_id = 231"),
            ("[('country_code','!=','ID')]", "t.active and (country_id is null or country_id <> 100)"),
            ("[('country_code','in',['GB',False])]", "t.active and (country_id is null or country_id = 231)"),
            ("['!',('country_code','=','GB')]", "t.active and (country_id is null or country_id <> 231)"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let any = |test: &str| {
        format!(
            "exists (select from res_partner_res_partner_category_rel r join res_partner_category c on c.id = r.category_id \
             where r.partner_id = t.id and ({test}))"
        )
    };
    let children = |test: &str| {
        format!("t.id in (select parent_id from res_partner where ({test}) and parent_id is not null)")
    };
    let permits = |test: &str| {
        format!("t.id in (select partner_id from sicantik_permit where ({test}) and partner_id is not null)")
    };
    let rows: Vec<(&str, String)> = vec![
        // many2many
        ("[('category_id','=',False)]", format!("not {}", any("true"))),
        ("[('category_id','!=',False)]", any("true")),
        ("[('category_id','=',101)]", any("c.id = 101")),
        ("[('category_id','in',[101,105])]", any("c.id in (101,105)")),
        ("[('category_id','in',[101,False])]", any("c.id = 101")),
        ("[('category_id','in',[False])]", "false".into()),
        ("[('category_id','not in',[False])]", "true".into()),
        ("[('category_id','in',[])]", "false".into()),
        ("[('category_id','not in',[])]", "true".into()),
        ("[('category_id','=',None)]", "false".into()),
        ("[('category_id','!=',101)]", format!("not {}", any("c.id = 101"))),
        (
            "[('category_id','not in',[101])]",
            format!("not {}", any("c.id = 101")),
        ),
        (
            "['!',('category_id','in',[101])]",
            format!("not {}", any("c.id = 101")),
        ),
        (
            "[('category_id.name','=','Health')]",
            any("c.name->>'en_US' = 'Health' and c.active"),
        ),
        (
            "[('category_id.name','!=','Health')]",
            any("c.name->>'en_US' <> 'Health' and c.active"),
        ),
        (
            "['!',('category_id.name','=','Health')]",
            format!("not {}", any("c.name->>'en_US' = 'Health' and c.active")),
        ),
        ("[('category_id.name','=','Old')]", "false".into()),
        (
            "[('category_id','any',[('active','=',False)])]",
            any("c.active is not true"),
        ),
        ("[('category_id.active','=',False)]", any("c.active is not true")),
        ("[('category_id','any',[])]", any("c.active")),
        (
            "[('category_id','not any',[])]",
            format!("not {}", any("c.active")),
        ),
        (
            "[('category_id','ilike','business')]",
            any("c.parent_path like '101/%' and c.active"),
        ),
        ("[('category_id','=','Business')]", any("c.id = 101")),
        (
            "[('category_id','not ilike','business')]",
            format!("not {}", any("c.parent_path like '101/%' and c.active")),
        ),
        (
            "[('category_id','child_of',101)]",
            any("c.parent_path like '101/%' and c.active"),
        ),
        (
            "[('category_id','parent_of',[103])]",
            any("c.id in (101,102,103) and c.active"),
        ),
        ("[('category_id','child_of',False)]", "false".into()),
        // one2many
        ("[('child_ids','=',False)]", format!("not {}", children("active"))),
        ("[('child_ids','!=',False)]", children("active")),
        ("[('child_ids','in',[202])]", children("id = 202")),
        ("[('child_ids','=',201)]", children("id = 201")),
        (
            "[('child_ids','not in',[201])]",
            format!("not {}", children("id = 201")),
        ),
        (
            "[('child_ids.city','=','Medan')]",
            children("city = 'Medan' and active"),
        ),
        (
            "[('child_ids.city','!=','Medan')]",
            children("(city <> 'Medan' or city is null) and active"),
        ),
        (
            "['!',('child_ids.city','=','Medan')]",
            format!("not {}", children("city = 'Medan' and active")),
        ),
        (
            "[('child_ids','any',[('city','=','Medan'),('ref','=',False)])]",
            "false".into(),
        ),
        ("[('child_ids','any',[('active','=',False)])]", "false".into()),
        (
            "[('child_ids','ilike','loket')]",
            children("complete_name ilike '%loket%' and active"),
        ),
        (
            "[('sicantik_permit_ids.status','=','active')]",
            permits("status = 'active'"),
        ),
        (
            "[('sicantik_permit_ids','=',False)]",
            format!("not {}", permits("true")),
        ),
        (
            "[('sicantik_permit_ids','not any',[('status','=','active')])]",
            format!("not {}", permits("status = 'active'")),
        ),
        (
            "[('sicantik_permit_ids.expiry_date','<','2026-01-01')]",
            permits("expiry_date < '2026-01-01'"),
        ),
        (
            "['!',('sicantik_permit_ids.expiry_date','<','2026-01-01')]",
            format!("not {}", permits("expiry_date < '2026-01-01'")),
        ),
        (
            "[('sicantik_permit_ids.document_ids.state','=','draft')]",
            permits("id in (select permit_id from sicantik_document where state = 'draft')"),
        ),
    ];
    let filtered: Vec<(&str, String)> = rows
        .iter()
        .map(|(d, s)| (*d, format!("({s}) and t.active")))
        .collect();
    let filtered: Vec<(&str, &str)> = filtered.iter().map(|(d, s)| (*d, s.as_str())).collect();
    host.check("res.partner", TABLE, &filtered).await;
    let all = Eyes {
        active_test: false,
        ..TABLE
    };
    let rows: Vec<(&str, String)> = vec![
        ("[('category_id.name','=','Old')]", any("c.id = 105")),
        ("[('category_id','not any',[])]", format!("not {}", any("true"))),
        (
            "[('category_id','ilike','business')]",
            any("c.parent_path like '101/%'"),
        ),
        ("[('child_ids','=',False)]", format!("not {}", children("true"))),
        (
            "[('child_ids.city','=','Medan')]",
            children("city = 'Medan' and active"),
        ),
        ("[]", "true".into()),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(d, s)| (*d, s.as_str())).collect();
    host.check("res.partner", all, &rows).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('message_ids.body','ilike','a')]", "t.id in (1)"),
            ("[('message_ids','=',False)]", "t.id not in (1)"),
            ("[('message_ids','in',[901,902])]", "t.id = 1"),
            ("[('message_ids','!=',False)]", "t.id = 1"),
        ],
    )
    .await;
    host.refuse(
        "res.partner",
        &[
            ("[('category_id','in',['Business'])]", "type"),
            ("[('category_id','in',[True])]", "type"),
            ("[('child_ids','in',[201,False])]", "type"),
            ("[('child_ids','in',['Loket'])]", "type"),
            ("[('category_id','any','x')]", "domain"),
            ("[('name','any',[])]", "field"),
            ("[('name.x','=',1)]", "field"),
            ("[('parent_id.nothing','=',1)]", "field"),
            ("[('parent_id','any',[('nothing','=',1)])]", "field"),
            ("[('contact_address','ilike','x')]", "field"),
            ("[('state_id.name','=','x')]", "field"),
            ("[('country_id','child_of',100)]", "field"),
            ("[('name','child_of',1)]", "field"),
            ("[('parent_id','child_of',1.5)]", "type"),
        ],
    )
    .await;
    host.refuse(
        "sicantik.permit",
        &[
            ("[('mobile','!=',False)]", "field"),
            ("[('message_partner_ids','=',3)]", "field"),
            ("[('active','=',True)]", "field"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hierarchies() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let eighteen = descendants("18");
    let rows: Vec<(&str, String)> = vec![
        (
            "[('id','child_of',18)]",
            format!("t.active and t.id in {eighteen}"),
        ),
        (
            "[('parent_id','child_of',18)]",
            format!("t.active and t.id in {eighteen}"),
        ),
        (
            "[('id','child_of',[18,10])]",
            format!("t.active and (t.id in {eighteen} or t.id = 10)"),
        ),
        (
            "[('id','child_of','PT Maju')]",
            format!("t.active and t.id in {eighteen}"),
        ),
        // An archived root is not found by name, but is by id.
        ("[('id','child_of','Gudang')]", "false".into()),
        ("[('id','child_of',[])]", "false".into()),
        ("[('id','child_of',False)]", "false".into()),
        ("[('id','child_of',99999)]", "false".into()),
        ("[('id','parent_of',203)]", "t.id in (203,201,18)".into()),
        ("[('parent_id','parent_of',203)]", "t.id in (203,201,18)".into()),
        (
            "['!',('id','child_of',18)]",
            format!("t.active and t.id not in {eighteen}"),
        ),
        (
            "[('user_ids','=',False)]",
            "t.active and not exists (select from res_users u where u.partner_id = t.id and u.active)".into(),
        ),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(d, s)| (*d, s.as_str())).collect();
    host.check("res.partner", TABLE, &rows).await;
    let all = format!("partner_id in {eighteen}");
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('partner_id','child_of',18)]", &all),
            ("[('partner_id','child_of','PT Maju Jaya')]", &all),
            ("['!',('partner_id','child_of',18)]", &format!("not ({all})")),
            ("['!',('partner_id','child_of',[])]", "true"),
            ("[('original_permit_id','child_of',8)]", "t.id in (8,16)"),
            ("[('partner_id','parent_of',19)]", "partner_id in (19,18)"),
        ],
    )
    .await;
    host.check(
        "res.partner.category",
        TABLE,
        &[
            ("[('id','child_of',101)]", "parent_path like '101/%' and active"),
            (
                "[('parent_id','child_of',102)]",
                "parent_path like '101/102/%' and active",
            ),
            ("[('id','parent_of',103)]", "id in (101,102)"),
            ("[('id','child_of',999)]", "false"),
            (
                "[('id','child_of','Busi')]",
                "parent_path like '101/%' and active",
            ),
            (
                "[('display_name','ilike','busi')]",
                "parent_path like '101/%' and active",
            ),
            (
                "[('active','in',[True,False]),('id','child_of',101)]",
                "parent_path like '101/%'",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_translations() {
    for profile in [Profile::Odoo18_0, Profile::Saas18_4] {
        let host = Host::open(profile, &Options::default()).await;
        let groups = match profile {
            Profile::Odoo18_0 => "groups_id",
            Profile::Saas18_4 => "group_ids",
        };
        let partner = |test: &str| {
            format!(
                "t.active and (select {test} from (select 1) d left join res_partner p on p.id = t.partner_id)"
            )
        };
        let in_group = |test: &str| {
            format!(
                "t.active and t.id in (select uid from res_groups_users_rel where gid in (select id from res_groups where {test}))"
            )
        };
        let by_group = format!("[('{groups}','ilike','pejabat')]");
        let by_path = format!("[('{groups}.name','=','Pejabat')]");
        let rows: Vec<(&str, String)> = vec![
            ("[('name','ilike','siti')]", partner("p.name ilike '%siti%'")),
            (
                "[('email','=',False)]",
                partner("p.email = '' or p.email is null"),
            ),
            ("[('phone','!=',False)]", partner("p.phone <> ''")),
            (
                "[('partner_id.phone','=',False)]",
                partner("p.phone = '' or p.phone is null"),
            ),
            (
                "['!',('partner_id.phone','=','x')]",
                // The one place where the negation of a path is SQL's NOT.
                partner("p.id is null or not (p.phone = 'x')"),
            ),
            ("['!',('email','=like','s%')]", partner("not (p.email like 's%')")),
            ("[('partner_id','=',6)]", "t.active and partner_id = 6".into()),
            ("[('active','=',False)]", "t.active is not true".into()),
            ("[('category_id','=',False)]", "t.active".into()),
            ("[('country_id.code','=','ID')]", partner("p.country_id = 100")),
            (&by_group, in_group("name->>'en_US' ilike '%pejabat%'")),
            (&by_path, in_group("name->>'en_US' = 'Pejabat'")),
            (
                "[('company_ids','in',[1])]",
                "t.active and t.id in (select user_id from res_company_users_rel where cid = 1)".into(),
            ),
            (
                "[('display_name','ilike','siti')]",
                partner("p.name ilike '%siti%'"),
            ),
        ];
        let rows: Vec<(&str, &str)> = rows.iter().map(|(d, s)| (*d, s.as_str())).collect();
        host.check("res.users", TABLE, &rows).await;
        host.check(
            "sicantik.permit",
            TABLE,
            &[
                ("[('create_uid.name','ilike','siti')]", "create_uid = 6"),
                ("[('create_uid','ilike','siti')]", "create_uid = 6"),
                ("[('create_uid.login','!=',False)]", "create_uid is not null"),
                ("[('create_uid.active','=',False)]", "create_uid = 1"),
                (
                    "[('document_ids','=',False)]",
                    "t.id not in (select permit_id from sicantik_document)",
                ),
                (
                    "[('permit_type_id','=','Izin Mendirikan Bangunan')]",
                    "permit_type_id = 2",
                ),
            ],
        )
        .await;
        let indonesian = Eyes {
            lang: "id_ID",
            ..TABLE
        };
        host.check(
            "res.partner.category",
            indonesian,
            &[
                ("[('name','=','Usaha')]", "id = 101"),
                ("[('name','=','Business')]", "false"),
                ("[('name','=','Health')]", "id = 104"),
                ("[('name','!=','Usaha')]", "active and id <> 101"),
            ],
        )
        .await;
        host.check(
            "res.partner",
            TABLE,
            &[
                ("[('category_id.name','=','Business')]", "t.active and t.id in (select partner_id from res_partner_res_partner_category_rel where category_id = 101)"),
                ("[('barcode','=','B201')]", "t.id = 201"),
                ("[('barcode','!=',False)]", "t.active and barcode ? '1'"),
                ("[('barcode','=',False)]", "t.active and (barcode is null or not barcode ? '1')"),
                ("[('barcode','!=','B201')]", "t.active and t.id <> 201"),
                ("[('child_ids.barcode','=','B201')]", "t.id = 18"),
            ],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_cannot_be_named() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    for (model, field) in [
        ("res.users", "password"),
        ("res.users", "totp_secret"),
        ("res.users", "new_password"),
        ("ir.config_parameter", "value"),
        ("sicantik.whatsapp.provider", "fonnte_token"),
        ("sicantik.whatsapp.provider", "watzap_api_key"),
        ("sicantik.permit", "create_uid.password"),
        ("sicantik.permit", "partner_id.user_ids.totp_secret"),
        ("res.partner", "user_ids.password"),
    ] {
        for test in [
            "'like','a%'",
            "'=',False",
            "'!=',False",
            "'in',['x']",
            "'=?',False",
            "'any',[]",
        ] {
            let rows = [
                format!("[('{field}',{test})]"),
                format!("['|',(1,'=',1),'!',('{field}',{test})]"),
            ];
            host.refuse(model, &[(&rows[0], "field"), (&rows[1], "field")])
                .await;
        }
    }
    host.refuse(
        "sicantik.permit",
        &[
            ("[('create_uid','any',[('password','like','a')])]", "field"),
            (
                "[('create_uid','not any',['!',('totp_secret','=','a')])]",
                "field",
            ),
        ],
    )
    .await;
    // Not by the way of a hint either.
    let model = host.catalog.model("res.users").unwrap();
    let error = compile(
        &sicantik_notifyd::lang::domain::parse("[('passwort','=',1)]").unwrap(),
        &host.catalog,
        model,
        &Aliases::default().field("res.users", "state", "password"),
        BaseRow::table(),
    )
    .unwrap_err();
    assert!(!error.to_string().contains("password"), "{error}");
    let aliased = compile(
        &sicantik_notifyd::lang::domain::parse("[('state','=',1)]").unwrap(),
        &host.catalog,
        model,
        &Aliases::default().field("res.users", "state", "password"),
        BaseRow::table(),
    );
    assert!(aliased.is_err());
}
