-- How a table's changes are looked at now: a row for each of its columns that triggers or rules look at, and one without a
-- column where there is none. No row: nobody looks at the table, or its hook captures it.
-- $1 table, $2 names of its columns in order
select p.model, p.on_insert, t.from_lsn::text as from_lsn, t.until_lsn::text as until_lsn, c.place, c.name, c.watched, c.carried, c.counted
from sicantik_notify.capture_plan p
join sicantik_notify.capture_slot_table t on t.table_name = p.table_name
left join lateral (
    select u.place::integer as place, u.name, u.name = any (p.watched) as watched,
           u.name = any (p.watched || p.read) as carried,
           p.any_write and u.name <> all (p.watched) and not exists (
               select from sicantik_notify.noise_column x
               where x.model in ('*', p.model) and x.column_name = u.name) as counted
    from unnest($2::text[]) with ordinality as u (name, place)
    where u.name !~ '[[:cntrl:]]' and not sicantik_notify.is_secret(p.table_name, u.name)
) c on c.carried or c.counted
where p.table_name = $1::text and p.active
order by c.name collate "C"
