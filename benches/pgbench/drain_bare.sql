-- The most that a claim with a lease reaches: claim :batch, delete :batch, no record is kept. "raw C" of the measures.
with s as (
    select id from bare_queue where status = 0 and run_at <= now() order by priority, run_at, id for update skip locked limit :batch
), u as (
    update bare_queue q set status = 1, locked_at = now(), attempts = attempts + 1 from s where q.id = s.id returning q.id, q.payload
)
select coalesce(array_agg(id), '{}')::text as ids, string_agg(payload::text, '') as payload from u \gset
delete from bare_queue where id = any (:ids::bigint[]);
