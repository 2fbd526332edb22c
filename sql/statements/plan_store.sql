-- Stores the plan of one table's hook, and says whether it changed.
-- The shape is the DBA's, and is kept.
insert into sicantik_notify.capture_plan as p (model, table_name, active, on_insert, any_write, watched, read, triggers)
values ($1::text, $2::text, $3::boolean, $4::boolean, $5::boolean, $6::text[], $7::text[], $8::text[])
on conflict (model) do update
set active = excluded.active, on_insert = excluded.on_insert, any_write = excluded.any_write, watched = excluded.watched,
    read = excluded.read, triggers = excluded.triggers, updated_at = sicantik_notify.clock()
where (p.active, p.on_insert, p.any_write, p.watched, p.read, p.triggers)
      is distinct from (excluded.active, excluded.on_insert, excluded.any_write, excluded.watched, excluded.read, excluded.triggers)
returning p.model
