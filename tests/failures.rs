//! The failure table, row by row, against the gateway: what each code, reason and status of a provider leads to. Retry later, the
//! next provider now, the end, or a pause of the account.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

use Account::{Open, Slow, Well};
use Then::{Fails, FallsBack, Later, Uncertain};
use desk::{Desk, desk};
use sicantik_notifyd::testkit::gateway::{Behaviour, Provider};
use sicantik_notifyd::testkit::host::ids;

/// What becomes of the message.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is tried again at the same provider: tries burned, seconds from and to.
    Later(i32, u32, u32),
    /// The next provider has it at once; no try is burned.
    FallsBack,
    /// It failed.
    Fails,
    /// Nobody knows: neither a fallback nor a retry now.
    Uncertain,
}

/// What becomes of the account.
#[derive(Clone, Copy, Debug)]
enum Account {
    /// Nothing.
    Well,
    /// Its circuit is open, for so many seconds at least.
    Open(u32),
    /// It gets nothing for a while.
    Slow,
}

type Row = (Behaviour, Then, Account);

/// Five minutes with jitter, as the rule says.
const SCHEDULE: Then = Later(1, 290, 335);

async fn meet(desk: &Desk, provider: Provider, number: usize, row: &Row) {
    let (behaviour, then, account) = row;
    let phone = format!("+62812000{:05}", 90_000 + number);
    desk.sql(
        "delete from sicantik_notify.queue;
         update sicantik_notify.provider_health set open_until = null, opened_at = null, openings = 0, failures = 0, next_send_at = null;
         update sicantik_notify.template set meta_unfit = null where meta_unfit is not null",
    )
    .await;
    desk.office.gateway.script(provider).clear();
    desk.office
        .gateway
        .script(provider)
        .once_to(&phone, behaviour.clone());
    let id = desk
        .message_to(Some(i64::from(ids::PARTNER_OPTED_IN)), &phone, "permit_ready")
        .await;
    let of = |what: &str| format!("{what} where id = {id}");
    let at = format!("{behaviour:?}");
    let condition = match then {
        Later(tries, from, to) => of(&format!(
            "select state = 'pending' and not ready and tries = {tries} and uncertain_sends = 0 and waiting_for is null
                    and extract(epoch from scheduled_at - clock_timestamp()) between {from} - 10 and {to}
             from sicantik_notify.queue"
        )),
        FallsBack => of("select state = 'sent' and tries = 0 from sicantik_notify.log"),
        Fails => of("select state = 'failed' and error <> '' from sicantik_notify.log"),
        Uncertain => of("select state = 'pending' and not ready and tries = 0 and uncertain_sends = 1 and possible_duplicate
             from sicantik_notify.queue"),
    };
    let reached = desk
        .office
        .until(&desk.admin, &format!("select coalesce(({condition}), false)"))
        .await;
    let first = provider.to_string();
    let attempts = desk
        .text(&format!(
            "select string_agg(provider_type || ' ' || outcome || ' ' || coalesce(class, '-') || ' ' || coalesce(code, '-'), ', ' order by id)
             from sicantik_notify.attempt where message_id = {id}"
        ))
        .await
        .unwrap_or_default();
    assert!(
        reached.is_ok(),
        "{at}: {then:?} did not come; {attempts}\n{}",
        desk.state().await
    );
    let expected = match then {
        FallsBack => 2,
        _ => 1,
    };
    assert_eq!(attempts.split(", ").count(), expected, "{at}: {attempts}");
    assert!(attempts.starts_with(&first), "{at}: {attempts}");
    let told = desk.office.gateway.accepted_to(&phone);
    match then {
        FallsBack => assert!(told.len() == 1 && told[0].provider != provider, "{at}: {told:?}"),
        Uncertain => {}
        _ => assert!(told.is_empty(), "{at}: {told:?}"),
    }
    let account = match account {
        Well => "circuit = 'closed' and next_send_at is null".to_owned(),
        Slow => "circuit = 'closed' and next_send_at > clock_timestamp()".to_owned(),
        Open(seconds) => {
            format!(
                "circuit = 'open' and next_probe_at > clock_timestamp() + interval '1 second' * ({seconds} - 10)"
            )
        }
    };
    let state = format!(
        "select coalesce((select {account} from sicantik_notify.v_provider where provider_type = '{first}'), false)"
    );
    assert!(
        desk.office.until(&desk.admin, &state).await.is_ok(),
        "{at}: {account}\n{:?}",
        desk.text(&format!(
            "select to_jsonb(p.*)::text from sicantik_notify.v_provider p where provider_type = '{first}'"
        ))
        .await
    );
}

async fn all(desk: &Desk, provider: Provider, rows: &[Row]) {
    desk.sql(
        "update sicantik_notify.rule set max_retries = 3, retry_delay = 5;
         update sicantik_notify.provider set uncertain_wait = interval '1 hour'",
    )
    .await;
    let _daemon = desk.quick().await;
    for (number, row) in rows.iter().enumerate() {
        meet(desk, provider, number, row).await;
    }
}

fn meta(code: i64) -> Behaviour {
    Behaviour::meta_error(code, "in the test")
}

fn http(status: u16) -> Behaviour {
    Behaviour::http(status, "<html>no</html>")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_meta() {
    let desk = desk().await;
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |codes: &[i64], then: Then, account: Account| {
        rows.extend(codes.iter().map(|code| (meta(*code), then, account)));
    };
    add(
        &[1, 2, 131_000, 131_016, 131_057, 133_004, 135_000],
        SCHEDULE,
        Well,
    );
    // A template on its way through Meta takes ten minutes.
    add(&[134_101, 134_102], Later(1, 590, 665), Well);
    add(&[130_429, 132_069], Later(0, 0, 10), Slow);
    add(&[4, 80_007, 80_008], Later(0, 50, 70), Slow);
    add(&[131_048, 131_064], FallsBack, Open(4 * 3600));
    add(&[131_056], Later(0, 0, 5), Well);
    add(&[131_049, 130_472], FallsBack, Well);
    add(
        &[131_026, 131_021, 131_030, 131_062, 137_000, 131_050],
        Fails,
        Well,
    );
    add(&[132_001, 132_007, 132_015, 132_016, 132_068], FallsBack, Well);
    add(&[132_000, 132_005, 132_008, 132_012, 132_018], FallsBack, Well);
    add(
        &[100, 131_008, 131_009, 131_051, 131_052, 131_053, 131_055],
        FallsBack,
        Well,
    );
    add(&[131_047], FallsBack, Well);
    add(
        &[0, 3, 10, 33, 190, 200, 299, 368, 131_005, 131_031, 131_037],
        FallsBack,
        Open(60),
    );
    add(
        &[
            131_042, 131_044, 131_045, 133_000, 133_010, 133_015, 133_016, 134_011,
        ],
        FallsBack,
        Open(60),
    );
    // Of marketing, or of one country, alone: the account still sends.
    add(&[131_063, 130_497], FallsBack, Well);
    // Codes that nobody knows: by the status.
    add(&[999_999], FallsBack, Well);
    rows.extend([
        (
            Behaviour::MetaError {
                http: 500,
                code: 999_998,
                details: "x".into(),
            },
            SCHEDULE,
            Well,
        ),
        (Behaviour::Html502, SCHEDULE, Well),
        (http(408), SCHEDULE, Well),
        (http(401), FallsBack, Open(60)),
        (http(404), FallsBack, Open(60)),
        (http(400), FallsBack, Well),
        (Behaviour::too_many(90), Later(0, 90, 91), Slow),
        (Behaviour::Garbage, Uncertain, Well),
        (http(504), Uncertain, Well),
        (Behaviour::CutAfterAccept, Uncertain, Well),
    ]);
    all(&desk, Provider::Meta, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_of_fonnte() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = name <> 'Meta'")
        .await;
    let reason = Behaviour::fonnte_reason;
    let rows: Vec<Row> = vec![
        (reason("token invalid"), FallsBack, Open(60)),
        (reason("unknown user"), FallsBack, Open(60)),
        (reason("devices must belong to an account"), FallsBack, Open(60)),
        (
            reason("request invalid on disconnected device"),
            FallsBack,
            Open(60),
        ),
        (reason("device is not connected"), FallsBack, Open(60)),
        (reason("insufficient quota"), FallsBack, Open(60)),
        (reason("target invalid"), Fails, Well),
        (reason("input invalid"), FallsBack, Well),
        (reason("JSON format invalid"), FallsBack, Well),
        (reason("url invalid"), FallsBack, Well),
        (reason("url unreachable"), FallsBack, Well),
        (reason("file format not supported"), FallsBack, Well),
        (reason("file size must under 4MB"), FallsBack, Well),
        (reason("too many requests"), Later(0, 0, 10), Slow),
        (reason("daily limit"), Later(0, 0, 10), Slow),
        (reason("temporary error"), SCHEDULE, Well),
        (reason("request timeout"), SCHEDULE, Well),
        (reason("bulan purnama"), FallsBack, Well),
        (Behaviour::Html502, SCHEDULE, Well),
        (
            Behaviour::Http {
                status: 503,
                body: "busy".into(),
                headers: vec![("Retry-After".into(), "1200".into())],
            },
            Later(1, 1200, 1201),
            Well,
        ),
        (Behaviour::too_many(30), Later(0, 30, 31), Slow),
        (http(403), FallsBack, Open(60)),
        (http(418), FallsBack, Well),
        (Behaviour::Garbage, Uncertain, Well),
        (Behaviour::http(200, "{}"), Uncertain, Well),
        (http(524), Uncertain, Well),
        (Behaviour::CutAfterAccept, Uncertain, Well),
    ];
    all(&desk, Provider::Fonnte, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_watzap() {
    let desk = desk().await;
    desk.sql(
        "update sicantik_notify.provider set active = name <> 'Meta', sequence = case name when 'Watzap' then 1 else 2 end",
    )
    .await;
    let status = Behaviour::watzap_status;
    let rows: Vec<Row> = vec![
        (status("1002", "Invalid api_key"), FallsBack, Open(60)),
        (status("1003", "Invalid number_key"), FallsBack, Open(60)),
        (status("1004", "Pairing failed"), FallsBack, Open(60)),
        (status("3001", "Please upgrade your plan"), FallsBack, Open(60)),
        (
            status("1005", "WhatsApp Instance Not Started"),
            FallsBack,
            Open(60),
        ),
        (
            status("1005", "Phone number is not registered on WhatsApp"),
            Fails,
            Well,
        ),
        (status("1005", "something else"), FallsBack, Well),
        (status("1006", "Other error"), SCHEDULE, Well),
        (status("1001", "?"), FallsBack, Well),
        (status("1009", "?"), FallsBack, Well),
        (status("429", "slow down"), Later(0, 0, 10), Slow),
        (Behaviour::Html502, SCHEDULE, Well),
        (Behaviour::too_many(30), Later(0, 30, 31), Slow),
        (http(404), FallsBack, Open(60)),
        (Behaviour::Garbage, Uncertain, Well),
        (Behaviour::CutAfterAccept, Uncertain, Well),
    ];
    all(&desk, Provider::Watzap, &rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_tries_at_one_provider_are_used_up_the_next_one_has_it() {
    let desk = desk().await;
    desk.sql("update sicantik_notify.provider set active = name <> 'Meta'; update sicantik_notify.rule set max_retries = 2, retry_delay = 0")
        .await;
    desk.office
        .gateway
        .script(Provider::Fonnte)
        .always(Behaviour::Html502);
    let _daemon = desk.quick().await;
    let id = desk.message("+6281200099000").await;
    let accepted = desk.accepted(1).await;
    assert_eq!(accepted[0].provider, Provider::Watzap);
    desk.drained().await;
    let attempts = desk
        .text(&format!("select string_agg(provider_type, ',' order by id) from sicantik_notify.attempt where message_id = {id}"))
        .await;
    assert_eq!(attempts.as_deref(), Some("fonnte,fonnte,fonnte,watzap"));
    // Meta's "may be a bad request in disguise" is believed twice only.
    desk.sql("update sicantik_notify.provider set active = true")
        .await;
    desk.office
        .gateway
        .script(Provider::Meta)
        .push_times(2, Behaviour::meta_error(1, "unknown"));
    desk.office.gateway.script(Provider::Fonnte).clear();
    desk.sql("update sicantik_notify.provider_health set open_until = null, failures = 0")
        .await;
    let id = desk
        .message_to(
            Some(i64::from(ids::PARTNER_OPTED_IN)),
            "+6281225252525",
            "permit_ready",
        )
        .await;
    desk.accepted(2).await;
    desk.drained().await;
    let attempts = desk
        .text(&format!("select string_agg(provider_type, ',' order by id) from sicantik_notify.attempt where message_id = {id}"))
        .await;
    assert_eq!(attempts.as_deref(), Some("meta,meta,fonnte"));
}
