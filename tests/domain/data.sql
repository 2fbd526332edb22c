-- What the relations of the tests need beside the fixture's base data.
set role odoo;
insert into res_partner_category (id, name, parent_id, parent_path, active) values
    (101, '{"en_US": "Business", "id_ID": "Usaha"}', null, '101/', true),
    (102, '{"en_US": "Small", "id_ID": "Mikro"}', 101, '101/102/', true),
    (103, '{"en_US": "Food", "id_ID": "Pangan"}', 102, '101/102/103/', false),
    (104, '{"en_US": "Health"}', null, '104/', true),
    (105, '{"en_US": "Old", "id_ID": "Lama"}', null, '105/', false);
insert into res_partner_res_partner_category_rel (partner_id, category_id) values
    (10, 101), (10, 104), (11, 102), (12, 103), (13, 105), (14, 104), (17, 101), (18, 102);
insert into res_partner (id, name, complete_name, active, parent_id, commercial_partner_id, type, city, ref, email, barcode, employee) values
    (201, 'Cabang Medan', 'PT Maju Jaya, Cabang Medan', true, 18, 18, 'other', 'Medan', 'R-201', null, '{"1": "B201", "2": "X"}', true),
    (202, 'Gudang', 'PT Maju Jaya, Gudang', false, 18, 18, 'other', 'Medan', '', null, '{"2": "B202"}', false),
    (203, 'Loket', 'PT Maju Jaya, Cabang Medan, Loket', true, 201, 18, 'other', 'Binjai', null, 'loket@example.com', null, null);
update res_partner set city = 'Kabanjahe', ref = 'R-10', vat = '01.234', street = 'Jl. 100% _ \ é' where id = 10;
update res_partner set city = 'Medan', color = 5 where id in (11, 18);
update res_partner set city = '', color = null where id = 12;
update sicantik_permit set notes = case when id % 3 = 0 then '' when id % 3 = 1 then 'Berkas ' || id end;
update sicantik_permit set days_until_expiry = null where id in (5, 6);
update sicantik_permit set expiry_notified_90 = true where id = 1;
update sicantik_permit set expiry_notified_90 = false where id = 2;
update sicantik_permit set last_sync_date = '2026-11-20' where id = 3;
update sicantik_permit set last_sync_date = '2026-11-20 23:59:59' where id = 4;
update sicantik_permit set last_sync_date = '2026-11-21 00:00:00' where id = 5;
update sicantik_permit set last_sync_date = null where id = 6;
update sicantik_permit set expiry_date = '2026-12-22' where id = 7;
update sicantik_permit set create_uid = 6 where id in (1, 2);
update sicantik_permit set create_uid = 1 where id = 3;
update sicantik_permit set create_uid = null where id = 4;
insert into mail_message (id, model, res_id, message_type, body, create_date) values
    (901, 'sicantik.permit', 1, 'comment', 'satu', now()), (902, 'res.partner', 2, 'comment', 'dua', now()),
    (903, 'sicantik.permit', 3, 'user_notification', 'tiga', now());
reset role;
