-- Messages about a record, and those that its decisions name (one may tell of several records), newest first; numbers are
-- masked as viewers see them.
-- $1 model, $2 record (null: only those named), $3 messages, $4 how many. Indexes: queue_pkey, log_pkey, log_record_idx. Waiting
-- messages of a record are found by reading the queue, which holds only what is not finished: an index there would cost each
-- claim. The lateral join keeps the view from being read as a whole.
select x.id, x.state, x.xact, x.event_id, x.rule, x.trigger, x.partner_id, x.partner_name,
       left(x.phone, 5) || '****' || right(x.phone, 3) as phone, x.template_key, x.scheduled_at, x.tries, x.waiting_for,
       x.possible_duplicate, x.error, x.code, x.provider_type, x.external_id, x.created_at, x.finished_at, x.changed_at
from (
    select q.id, q.state, q.xact::text as xact, q.event_id, v.rule, v.trigger, q.partner_id, q.partner_name, q.phone, q.template_key,
           q.scheduled_at, q.tries, v.waiting_for, q.possible_duplicate, q.last_error as error, null as code,
           null as provider_type, null as external_id, q.created_at, null::timestamptz as finished_at, q.changed_at
    from sicantik_notify.queue q
    cross join lateral (
        select v.rule, v.trigger, v.waiting_for from sicantik_notify.v_queue v where v.id = q.id and v.finished_at is null limit 1
    ) v
    where q.id = any ($3::bigint[])
    union all
    select q.id, q.state, q.xact::text, q.event_id, v.rule, v.trigger, q.partner_id, q.partner_name, q.phone, q.template_key,
           q.scheduled_at, q.tries, v.waiting_for, q.possible_duplicate, q.last_error, null, null, null, q.created_at, null, q.changed_at
    from sicantik_notify.queue q
    cross join lateral (
        select v.rule, v.trigger, v.waiting_for from sicantik_notify.v_queue v where v.id = q.id and v.finished_at is null limit 1
    ) v
    where q.model = $1::text and q.record_id = $2::bigint and q.id <> all ($3::bigint[])
    union all
    select l.id, l.state, null, l.event_id, l.rule_code, l.trigger_code, l.partner_id, l.partner_name, l.phone, l.template_key,
           null, l.tries, null, l.possible_duplicate, l.error, l.code, l.provider_type, l.external_id, l.created_at, l.finished_at,
           l.changed_at
    from sicantik_notify.log l
    where l.id = any ($3::bigint[])
    union all
    select l.id, l.state, null, l.event_id, l.rule_code, l.trigger_code, l.partner_id, l.partner_name, l.phone, l.template_key,
           null, l.tries, null, l.possible_duplicate, l.error, l.code, l.provider_type, l.external_id, l.created_at, l.finished_at,
           l.changed_at
    from sicantik_notify.log l
    where l.model = $1::text and l.record_id = $2::bigint and l.id <> all ($3::bigint[])
) x
order by x.id desc
limit $4::bigint
