-- Applies what Meta told about a template, unless something newer is known, and keeps it. Returns the keys of our templates whose
-- state changed.
-- $1 provider, $2 name, $3 language, $4 time, $5 event, $6 reason, $7 our word for it (empty: none, keep it only)
with told as (
    insert into sicantik_notify.meta_template_event (provider_id, template_name, language, at, event, reason)
    values ($1::bigint, $2::text, $3::text, least($4::timestamptz, sicantik_notify.clock()), $5::text, $6::text)
    on conflict do nothing
    returning at
)
update sicantik_notify.template t
set meta_status = $7::text
from told
where $7::text is not null
  and coalesce(t.meta_name, t.template_key) = $2::text and t.meta_language = $3::text and t.meta_status <> $7::text
  and not exists (select from sicantik_notify.meta_template_event e
                  where e.template_name = $2::text and e.language = $3::text and e.at > told.at)
returning t.template_key
