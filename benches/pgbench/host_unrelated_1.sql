-- As Odoo writes one record: columns that no trigger watches. Each client has its own permits.
\set id random(:client_id * :share + 1, (:client_id + 1) * :share)
\set row :first + :id
begin isolation level repeatable read;
update sicantik_permit
set notes = 'seen ' || :id::text, expiry_notified_30 = not coalesce(expiry_notified_30, false), write_uid = 2, write_date = now() at time zone 'UTC'
where id in (:row);
commit;
