-- Writes the answers of attempts that are still open (one that recovery closed as uncertain stays so).
-- One probe of the key for each, whatever the statistics say: the time leads to its partition. Whether it is open is asked in a way that
-- the index of open attempts cannot answer: that would be read as a whole, with all that was ever in it since the oldest snapshot
-- of the server.
-- $1… one array a column
with open as materialized (
    select f.*
    from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::text[],
                $9::integer[], $10::text[])
         as f (id, started_at, outcome, class, http_status, code, error, external_id, duration_ms, note)
    cross join lateral (
        select a.finished_at from sicantik_notify.attempt a where a.id = f.id and a.started_at = f.started_at limit 1
    ) a
    where a.finished_at is null
)
update sicantik_notify.attempt a
set finished_at = sicantik_notify.clock(), outcome = f.outcome, class = f.class, http_status = f.http_status, code = f.code,
    error = f.error, external_id = f.external_id, duration_ms = f.duration_ms, note = nullif(concat_ws('; ', a.note, f.note), '')
from open f
where a.id = f.id and a.started_at = f.started_at and coalesce(a.finished_at, 'infinity') = 'infinity'
