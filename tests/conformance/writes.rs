use crate::on_both;

on_both!(a_write_makes_an_event, stand, {
    let id: i32 = stand
        .one("select min(id) from sicantik_permit where status <> 'active'")
        .await;
    let host = stand.host().await;
    host.execute(
        &format!("update sicantik_permit set status = 'active' where id = {id}"),
        &[],
    )
    .await
    .unwrap();
    let events = stand.events().await;
    assert_eq!(events.len(), 1, "{events:#?}\n{}", stand.daemon.log());
    println!("{events:#?}");
});
