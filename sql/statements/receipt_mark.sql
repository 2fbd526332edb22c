-- Meta gave messages up because of their template: it is not used there until a sync finds it in order, as when it refuses at once. What
-- Meta told of the template later, and a later sync, know better. Returns the keys of our templates.
-- $1 attempts, $2 why, $3 when
update sicantik_notify.template t
set meta_unfit = w.why
from (
    select distinct on (a.template_key) a.template_key, f.why, f.at
    from unnest($1::bigint[], $2::text[], $3::timestamptz[]) as f (attempt_id, why, at)
    join sicantik_notify.attempt a on a.id = f.attempt_id and a.provider_type = 'meta'
    order by a.template_key, f.at desc
) w
where t.template_key = w.template_key and t.meta_unfit is null
  and (t.meta_synced_at is null or t.meta_synced_at <= w.at)
  and not exists (
      select from sicantik_notify.meta_template_event e
      where e.template_name = coalesce(t.meta_name, t.template_key) and e.language = t.meta_language
        and e.event in ('APPROVED', 'REINSTATED') and e.at > w.at)
returning t.template_key, t.meta_unfit
