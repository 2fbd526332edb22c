-- Keeps which message a second id of Fonnte means, and looks again at once for those that came before it.
-- $1 provider ids, $2 aliases, $3 external ids
with told as (
    insert into sicantik_notify.receipt_alias (provider_id, alias, external_id)
    select s.provider_id, s.alias, s.external_id
    from unnest($1::bigint[], $2::text[], $3::text[]) as s (provider_id, alias, external_id)
    on conflict do nothing
    returning provider_id, alias
)
update sicantik_notify.receipt_inbox i
set next_try_at = sicantik_notify.clock()
from told t
where i.provider_id = t.provider_id and i.external_id = t.alias
