use proptest::prelude::*;

use super::*;

/// A column of a Relation message.
fn column(key: u8, name: &str, oid: u32) -> Vec<u8> {
    let mut bytes = vec![key];
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(oid.to_be_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = vec![b't'];
    bytes.extend((value.len() as i32).to_be_bytes());
    bytes.extend(value.as_bytes());
    bytes
}

/// A stream as the server sends it: one message of each kind.
fn stream() -> Vec<Vec<u8>> {
    let relation = [
        &b"R"[..],
        &77_u32.to_be_bytes(),
        b"public\0sicantik_permit\0f",
        &2_i16.to_be_bytes(),
        &column(1, "id", 23),
        &column(0, "status", 1043),
    ]
    .concat();
    let row = [&2_i16.to_be_bytes()[..], &text("1"), &text("active")].concat();
    let old = [&2_i16.to_be_bytes()[..], &text("1"), b"n"].concat();
    let unchanged = [&2_i16.to_be_bytes()[..], &text("1"), b"u"].concat();
    vec![
        [
            &b"B"[..],
            &0x1_0000_0010_u64.to_be_bytes(),
            &5_i64.to_be_bytes(),
            &9_u32.to_be_bytes(),
        ]
        .concat(),
        [&b"O"[..], &1_u64.to_be_bytes(), b"elsewhere\0"].concat(),
        relation,
        [&b"Y"[..], &8_u32.to_be_bytes(), b"public\0mood\0"].concat(),
        [&b"I"[..], &77_u32.to_be_bytes(), b"N", &row].concat(),
        [&b"U"[..], &77_u32.to_be_bytes(), b"O", &old, b"N", &row].concat(),
        [&b"U"[..], &77_u32.to_be_bytes(), b"K", &old, b"N", &row].concat(),
        [&b"U"[..], &77_u32.to_be_bytes(), b"N", &unchanged].concat(),
        [&b"D"[..], &77_u32.to_be_bytes(), b"K", &old].concat(),
        [&b"T"[..], &1_i32.to_be_bytes(), &[3], &77_u32.to_be_bytes()].concat(),
        [
            &b"M"[..],
            &[1],
            &3_u64.to_be_bytes(),
            b"us\0",
            &2_i32.to_be_bytes(),
            b"hi",
        ]
        .concat(),
        [
            &b"C"[..],
            &[0],
            &16_u64.to_be_bytes(),
            &48_u64.to_be_bytes(),
            &5_i64.to_be_bytes(),
        ]
        .concat(),
    ]
}

#[test]
fn every_kind_is_read() {
    let stream = stream();
    let read: Vec<Message<'_>> = stream.iter().map(|m| decode(m).expect("a message")).collect();
    assert_eq!(
        read[0],
        Message::Begin {
            commit: Lsn(0x1_0000_0010),
            at: 5,
            xid: 9
        }
    );
    let Message::Relation(relation) = &read[2] else {
        panic!("{:?}", read[2])
    };
    assert_eq!(relation.columns[1].name, "status");
    assert!(relation.columns[0].key && !relation.columns[1].key);
    let active = Cell::Text("active".into());
    assert!(matches!(&read[4], Message::Insert { relation: 77, new } if new[1] == active));
    assert!(
        matches!(&read[5], Message::Update { old: Some(Old::Full(old)), new, .. } if old[1] == Cell::Null && new[1] == active)
    );
    assert!(matches!(
        &read[6],
        Message::Update {
            old: Some(Old::Key(_)),
            ..
        }
    ));
    assert!(matches!(&read[7], Message::Update { old: None, new, .. } if new[1] == Cell::Unchanged));
    assert!(matches!(&read[8], Message::Delete { old: Old::Key(_), .. }));
    assert!(
        matches!(&read[9], Message::Truncate { relations, cascade: true, restart: true } if relations == &[77])
    );
    assert!(matches!(
        &read[10],
        Message::Message {
            transactional: true,
            content: b"hi",
            ..
        }
    ));
    assert!(matches!(
        &read[11],
        Message::Commit {
            commit: Lsn(16),
            end: Lsn(48),
            ..
        }
    ));
}

#[test]
fn every_truncation_of_a_message_is_refused() {
    for message in stream() {
        for length in 0..message.len() {
            assert!(decode(&message[..length]).is_err(), "{message:?} cut at {length}");
        }
        let longer = [&message[..], b"x"].concat();
        assert!(decode(&longer).is_err(), "{message:?} with one byte more");
    }
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    for (kind, number) in [(b'R', 3), (b'I', 0), (b'T', 0)] {
        let mut bytes = vec![kind, 0, 0, 0, 77];
        bytes.extend(std::iter::repeat_n(0, number));
        bytes.extend(b"N");
        bytes.extend([0x7F, 0xFF, 0xFF, 0xFF]);
        assert!(decode(&bytes).is_err());
    }
}

#[test]
fn what_is_no_utf8_can_be_stored() {
    let bytes = [
        &b"I"[..],
        &77_u32.to_be_bytes(),
        b"N",
        &1_i16.to_be_bytes(),
        b"t",
        &1_i32.to_be_bytes(),
        &[0xFF],
    ]
    .concat();
    assert!(
        matches!(decode(&bytes).expect("a message"), Message::Insert { new, .. } if new == [Cell::Text("\u{FFFD}".into())])
    );
}

#[test]
fn positions_read_as_the_server_writes_them() {
    let lsn: Lsn = "1A/2B3C4D5E".parse().expect("a position");
    assert_eq!(lsn, Lsn(0x1A_2B3C_4D5E));
    assert_eq!(lsn.to_string(), "1A/2B3C4D5E");
    for wrong in ["", "1A", "1A/", "x/1", "1A/123456789"] {
        assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn noise_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn noise_of_a_known_kind_is_no_panic(
        kind in proptest::sample::select(b"BCORYIUDTM".to_vec()),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut message = vec![kind];
        message.extend(bytes);
        let _ = decode(&message);
    }

    #[test]
    fn a_damaged_message_is_no_panic(index in 0_usize..12, at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut message = stream().swap_remove(index);
        let at = at.index(message.len());
        message[at] = byte;
        let _ = decode(&message);
    }
}
