//! Rules that one condition alone does not show: what stands beside it, how often, and as what it was written.

use super::*;

/// `in` and `not in` with no list are `=` and `!=`, but a domain that is met by nobody is known before it is searched.
#[tokio::test(flavor = "multi_thread")]
async fn no_list() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('notes','in',False)]", "false"),
            ("[('notes','in',False),('id','>',0)]", "false"),
            ("['|',('notes','in',False),('notes','in',[])]", "false"),
            (
                "['|',('notes','in',False),('id','=',1)]",
                "notes = '' or notes is null or id = 1",
            ),
            (
                "['|',('expiry_date','in',False),('id','=',1)]",
                "expiry_date is null or id = 1",
            ),
            (
                "['|',('partner_id','in',False),('id','=',1)]",
                "partner_id is null or id = 1",
            ),
            ("[('notes','not in',False)]", "notes <> ''"),
            ("['!',('notes','not in',False)]", "false"),
            ("['!',('notes','in',False)]", "notes <> ''"),
            ("[('notes','in',True)]", "notes = 'True'"),
            ("[('status','not in',True)]", "status <> 'True'"),
            // Nothing is looked up where nothing can be found.
            ("[('nothing','in',[])]", "false"),
            ("[('id','in',None)]", "false"),
            ("[('id','in',0)]", "false"),
            ("[(0,'=',1),('nothing','=',1)]", "false"),
            ("[('days_until_expiry','=','abc'),('id','in',[])]", "false"),
            // The same in a subdomain, which is searched for itself.
            ("[('partner_id.type','in',False)]", "false"),
            ("['!',('partner_id.type','in',False)]", "true"),
            (
                "['|',('partner_id.type','in',False),('partner_id.city','=','Medan')]",
                "partner_id in (select id from res_partner where type is null or city = 'Medan')",
            ),
        ],
    )
    .await;
    host.refuse(
        "sicantik.permit",
        &[
            ("['|',('id','in',[]),('nothing','=',1)]", "field"),
            ("[('nothing','not in',[])]", "field"),
            ("[('id','not in',None)]", "type"),
            ("[('id','in',5)]", "type"),
            ("[('status','in','draft')]", "type"),
            ("['|',('status','in',''),('id','=',1)]", "type"),
            ("[(0,'=',1),('partner_id','any','x')]", "domain"),
        ],
    )
    .await;
}

/// `!` before an operator without an opposite is SQL's NOT; `=?` is `=` or nothing, and `<>` has no opposite.
#[tokio::test(flavor = "multi_thread")]
async fn negations() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("['!',('status','=?','draft')]", "status <> 'draft'"),
            (
                "['!',('notes','=?','Berkas 1')]",
                "notes <> 'Berkas 1' or notes is null",
            ),
            ("['!',('notes','=?',False)]", "false"),
            ("['!',('notes','=?','')]", "false"),
            ("[('notes','=?','')]", "notes = '' or notes is null"),
            ("[('notes','<>',False)]", "notes <> ''"),
            ("['!',('notes','<>',False)]", "not (notes <> '')"),
            ("['!',('notes','!=',False)]", "notes = '' or notes is null"),
            (
                "['!',('days_until_expiry','<>',0)]",
                "not (days_until_expiry <> 0)",
            ),
            ("['!',('notes','<>','Berkas 1')]", "notes = 'Berkas 1'"),
            ("['!',('notes','=ilike','b%')]", "not (notes ilike 'b%')"),
            (
                "['!',('partner_id','parent_of',203)]",
                "not (partner_id in (203,201,18))",
            ),
        ],
    )
    .await;
}

/// The value as it was written decides about NULL, the column's type about what it is compared with.
#[tokio::test(flavor = "multi_thread")]
async fn values_as_written() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('days_until_expiry','=','0')]", "days_until_expiry = 0"),
            ("[('days_until_expiry','=',0.4)]", "days_until_expiry = 0"),
            (
                "[('days_until_expiry','!=','0')]",
                "days_until_expiry <> 0 or days_until_expiry is null",
            ),
            ("[('days_until_expiry','in',['0'])]", "days_until_expiry = 0"),
            ("[('days_until_expiry','in',[''])]", "days_until_expiry = 0"),
            (
                "[('days_until_expiry','in',[0.0])]",
                "days_until_expiry = 0 or days_until_expiry is null",
            ),
            (
                "[('days_until_expiry','<','1')]",
                "days_until_expiry < 1 or days_until_expiry is null",
            ),
            ("[('days_until_expiry','>',[])]", "days_until_expiry > 0"),
            (
                "[('notes','in',['Berkas 1',''])]",
                "notes in ('Berkas 1','') or notes is null",
            ),
            ("[('notes','=?',['a'])]", "notes = '[''a'']'"),
            ("[('notes','>',['a'])]", "notes > '[''a'']'"),
            ("[('notes','in',[['a']])]", "notes = '[''a'']'"),
            // A key that is 0 is NULL in a list, where it finds nothing and hides everything.
            ("[('partner_id','=',0)]", "partner_id is null"),
            ("[('partner_id','in',[0])]", "false"),
            ("[('partner_id','in',[0,10])]", "partner_id = 10"),
            ("[('partner_id','not in',[0,10])]", "partner_id is null"),
            ("[('partner_id','not in',[0,False])]", "false"),
            ("['!',('partner_id','<>',[0,10])]", "partner_id = 10"),
            ("[('partner_id','in',['10',11])]", "partner_id in (10,11)"),
            ("[('partner_id','in',[10.0,2.5])]", "partner_id = 10"),
            ("[('id','in',['1',99999999999])]", "id = 1"),
            ("[('id','in',[1.0,2.5])]", "id = 1"),
            ("[('id','=','')]", "false"),
            ("[('id','!=',0)]", "true"),
            ("[('expiry_date','<',20261222)]", "expiry_date < '2026-12-22'"),
            ("[('is_renewal','in',[0])]", "false"),
            ("[('is_renewal','not in',[0])]", "true"),
            // Patterns on what is no text.
            (
                "[('create_date','=like','2026-%')]",
                "create_date::text like '2026-%'",
            ),
            (
                "[('last_sync_date','ilike','2026-11-21')]",
                "last_sync_date::text ilike '%2026-11-21 00:00:00%'",
            ),
            (
                "[('expiry_date','=like','2026-12-%')]",
                "expiry_date::text like '2026-12-%'",
            ),
            ("[('partner_id','=like',False)]", "partner_id is null"),
            ("[('id','=like','1%')]", "id::text like '1%'"),
        ],
    )
    .await;
    host.refuse(
        "sicantik.permit",
        &[
            ("[('days_until_expiry','=like','1%')]", "type"),
            ("[('is_renewal','=like','t%')]", "type"),
            ("[('partner_id','=like',5)]", "type"),
            ("[('partner_id','in',['x',11])]", "type"),
            ("[('partner_id','in',[True])]", "type"),
            ("[('id','in',[True])]", "type"),
            ("[('id','=',99999999999)]", "type"),
            ("[('id','=',1.0)]", "type"),
            ("[('days_until_expiry','>',[1])]", "type"),
            ("[('days_until_expiry','=',float('inf'))]", "type"),
            ("[('expiry_date','<',5.5)]", "type"),
        ],
    )
    .await;
    host.check(
        "res.partner",
        TABLE,
        &[
            (
                "[('partner_latitude','=','1_0.5')]",
                "t.active and partner_latitude = 10.5",
            ),
            (
                "[('partner_latitude','<',0.00000001)]",
                "t.active and partner_latitude < 0",
            ),
            (
                "[('partner_latitude','<=',0.00000001)]",
                "t.active and (partner_latitude <= 0 or partner_latitude is null)",
            ),
        ],
    )
    .await;
}

/// What follows the same relation is one search, and what it says about `active` counts for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_merged() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let tagged = |test: &str| {
        format!(
            "t.active and exists (select from res_partner_res_partner_category_rel r join res_partner_category c \
             on c.id = r.category_id where r.partner_id = t.id and ({test}))"
        )
    };
    let rows = [
        (
            "['|',('category_id.active','=',False),('category_id.name','=','Food')]",
            tagged("c.active is not true or c.name->>'en_US' = 'Food'"),
        ),
        (
            "['|',('category_id.active','=',False),'!',('category_id.name','!=','Food')]",
            tagged("c.active is not true")
                + " or t.active and not exists (select from res_partner_res_partner_category_rel r join res_partner_category c \
                   on c.id = r.category_id where r.partner_id = t.id and c.active and c.name->>'en_US' <> 'Food')",
        ),
        // Under `&` each has lines of its own.
        (
            "[('category_id.active','=',False),('category_id.name','=','Food')]",
            "false".to_owned(),
        ),
        (
            "[('category_id','any',['|',('active','=',False),('name','=','Food')])]",
            tagged("c.active is not true or c.name->>'en_US' = 'Food'"),
        ),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(d, s)| (*d, s.as_str())).collect();
    host.check("res.partner", TABLE, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_dates() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            (
                "[('expiry_date.month_number','=',12)]",
                "extract(month from expiry_date) = 12",
            ),
            (
                "['!',('expiry_date.month_number','=',12)]",
                "extract(month from expiry_date) <> 12",
            ),
            (
                "[('expiry_date.month_number','!=','12')]",
                "extract(month from expiry_date) <> 12",
            ),
            (
                "[('expiry_date.year_number','in',(2026,2027))]",
                "extract(year from expiry_date) in (2026,2027)",
            ),
            ("[('expiry_date.year_number','not in',(2026,None))]", "false"),
            ("[('expiry_date.quarter_number','=',None)]", "false"),
            (
                "[('last_sync_date.hour_number','>=',23)]",
                "extract(hour from last_sync_date) >= 23",
            ),
            (
                "[('expiry_date.day_of_week','=',0)]",
                "mod(7 - 7 + extract(dow from expiry_date)::int, 7) = 0",
            ),
            (
                "[('partner_id.create_date.year_number','>',2000)]",
                "partner_id in (select id from res_partner where extract(year from create_date) > 2000)",
            ),
        ],
    )
    .await;
    host.refuse(
        "sicantik.permit",
        &[
            ("[('expiry_date.month','=',12)]", "field"),
            ("[('expiry_date.month_number.x','=',12)]", "field"),
            ("[('expiry_date.month_number','=',False)]", "type"),
            ("[('expiry_date.month_number','=','x')]", "type"),
            ("[('expiry_date.month_number','in',[12])]", "type"),
            ("[('expiry_date.month_number','like',12)]", "type"),
            ("[('status.month_number','=',12)]", "field"),
        ],
    )
    .await;
}

/// What records are called where no field is named `name`.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_records() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('display_name','ilike','1')]", "registration_id ilike '%1%'"),
            (
                "[('original_permit_id','ilike','1')]",
                "original_permit_id in (select id from sicantik_permit where registration_id ilike '%1%')",
            ),
            (
                "[('document_ids','ilike','DOC')]",
                "id in (select permit_id from sicantik_document where document_number ilike '%DOC%')",
            ),
            // A login names its owner and nobody else.
            ("[('create_uid','=','admin')]", "create_uid in (select id from res_users where login = 'admin')"),
            ("[('create_uid','ilike','admin')]", "create_uid in (select id from res_users where login = 'admin')"),
            (
                "[('create_uid','not ilike','admin')]",
                "create_uid not in (select id from res_users where login = 'admin') or create_uid is null",
            ),
            (
                "[('create_uid','=like','admin')]",
                "create_uid in (select u.id from res_users u join res_partner p on p.id = u.partner_id where p.name like 'admin')",
            ),
        ],
    )
    .await;
    host.check(
        "signature.workflow",
        TABLE,
        &[(
            "[('display_name','ilike','DOC')]",
            "document_id in (select id from sicantik_document where document_number ilike '%DOC%')",
        )],
    )
    .await;
    host.refuse(
        "res.users",
        &[
            ("[('groups_id','=','')]", "type"),
            ("[('groups_id','ilike','/')]", "type"),
            ("[('groups_id.full_name','in',['Staff',5])]", "type"),
            ("[('groups_id.full_name','=',5)]", "type"),
        ],
    )
    .await;
}

/// A hierarchy begins with what is set; names are looked for among archived records where a many2one leads there.
#[tokio::test(flavor = "multi_thread")]
async fn beginnings_of_hierarchies() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.client
        .batch_execute("update sicantik_permit set partner_id = 202 where id = 12")
        .await
        .unwrap();
    host.check(
        "sicantik.permit",
        TABLE,
        &[
            ("[('partner_id','child_of','Gudang')]", "partner_id = 202"),
            (
                "[('partner_id','child_of',[False,18])]",
                "partner_id in (18,201,202,203)",
            ),
            (
                "[('partner_id','parent_of',[None,202])]",
                "partner_id in (18,202)",
            ),
            ("[('partner_id','parent_of',[False])]", "false"),
            ("[('permit_type_id','parent_of',[])]", "false"),
        ],
    )
    .await;
    host.check(
        "res.partner",
        Eyes {
            active_test: false,
            ..TABLE
        },
        &[
            ("[('id','child_of','Gudang')]", "t.id = 202"),
            // Children are the active ones, also as the way up.
            ("[('child_ids','parent_of',18)]", "t.id in (18,19,201,203)"),
            ("[('child_ids','child_of',203)]", "t.id in (203,201,18)"),
        ],
    )
    .await;
    host.refuse(
        "res.partner",
        &[
            ("[('category_id','child_of',[False,101])]", "type"),
            ("[('name','child_of',0)]", "field"),
            ("[('country_id','child_of','Indonesia')]", "field"),
            ("[('parent_id','child_of',None)]", "type"),
            ("[('parent_id','child_of',True)]", "type"),
        ],
    )
    .await;
}

/// A reference by id alone: a whole number in which NULL is no 0.
#[tokio::test(flavor = "multi_thread")]
async fn pointers() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    host.client
        .batch_execute("insert into mail_message (id, message_type, body) values (950, 'comment', 'x')")
        .await
        .unwrap();
    host.check(
        "mail.message",
        TABLE,
        &[
            ("[('res_id','=',False)]", "res_id is null"),
            ("[('res_id','!=',False)]", "res_id is not null"),
            ("[('res_id','<',5)]", "res_id < 5"),
            ("[('res_id','in',[1,0])]", "res_id in (1,0)"),
            ("[('res_id','not in',[1])]", "res_id <> 1 or res_id is null"),
            ("[('res_id','=','2')]", "res_id = 2"),
        ],
    )
    .await;
}
