-- A job over 500 records: columns that no trigger watches.
\set id random(:client_id * :share + 1, (:client_id + 1) * :share - 500)
begin isolation level repeatable read;
update sicantik_permit
set notes = 'seen ' || :id, expiry_notified_30 = not coalesce(expiry_notified_30, false), write_uid = 2, write_date = now() at time zone 'UTC'
where id between :first + :id and :first + :id + 499;
commit;
