-- Moves evaluated events into the history; says how many.
-- $1 ids
with gone as (
    delete from sicantik_notify.event e
    where e.id = any ($1::bigint[])
    returning e.*
), kept as (
    insert into sicantik_notify.event_history (id, record_id, xact, occurred_at, op, tries, target_trigger, target_rule, model, changed,
                                               old, new, kwargs)
    select g.id, g.record_id, g.xact, g.occurred_at, g.op, g.tries, g.target_trigger, g.target_rule, g.model, g.changed, g.old, g.new,
           g.kwargs
    from gone g
)
select count(*) from gone
