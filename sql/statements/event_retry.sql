-- Puts set-aside events whose time has come back into event, for the rule (or trigger) that failed. While that is switched off
-- they wait: somebody may be mending it.
-- $1 how many
with due as (
    delete from sicantik_notify.event_set_aside s
    where s.id in (
        select d.id
        from sicantik_notify.event_set_aside d
        where d.next_try_at <= sicantik_notify.clock()
          and not exists (select from sicantik_notify.rule r where r.id = d.target_rule and not r.active)
          and not exists (select from sicantik_notify.trigger t where t.id = d.target_trigger and not t.active)
        order by d.next_try_at
        limit $1::bigint
        for update skip locked
    )
    returning s.*
)
insert into sicantik_notify.event (model, record_id, xact, occurred_at, op, changed, old, new, tries, target_trigger, target_rule,
                                   kwargs)
select v.model, v.record_id, v.xact, v.occurred_at, v.op::"char", v.changed, v.old, v.new, due.tries, due.target_trigger,
       due.target_rule, v.kwargs
from due
cross join lateral jsonb_to_recordset(due.events) as v (
    id bigint, model text, record_id bigint, xact xid8, occurred_at timestamptz, op text, changed text[], old jsonb, new jsonb,
    kwargs jsonb)
order by v.id
