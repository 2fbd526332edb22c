-- Where a message is, and its attempts: state, why it waits, error, provider, possible_duplicate.
-- $1 message
select q.state, q.waiting_for, q.error, q.provider_type, q.possible_duplicate, q.external_id, q.scheduled_at,
       q.finished_at is not null as finished
from sicantik_notify.v_queue q
where q.id = $1::bigint
