-- Whether a run is not over: its events wait, or what they came to waits to be put together.
-- $1 first event, $2 last event, $3 run. Indexes: event_pkey, digest_run_idx.
select exists (select from sicantik_notify.v_event e where e.id between $1::bigint and $2::bigint and e.xact = ($3::text)::xid8)
    or exists (select from sicantik_notify.digest d where d.xact = ($3::text)::xid8)
