-- A job over 500 records: columns that no trigger watches.
\set id random(:client_id * :share + 1, (:client_id + 1) * :share - 500)
\set row :first + :id
begin isolation level repeatable read;
update sicantik_permit
set notes = 'seen ' || :id::text, expiry_notified_30 = not coalesce(expiry_notified_30, false), write_uid = 2, write_date = now() at time zone 'UTC'
where id between :row and :row + 499;
commit;
