-- Takes the digests of runs that are over, one answer for each message to be: what is deleted is what is returned.
-- A run is over when none of its events is left. An evaluator that has not committed still shows its events here and hides its
-- digests; once it has, both change in one snapshot: a run is taken whole.
-- Runs are found by steps through digest_run_idx, and the events' transactions once: neither a long run nor a full event table,
-- which the planner believes to be empty, makes it slow.
-- $1 how many runs at most, $2 how many records' values are wanted for a list
with recursive run as (
    (select d.xact, d.rule_id from sicantik_notify.digest d order by d.xact, d.rule_id limit 1)
    union all
    select n.xact, n.rule_id
    from run r
    cross join lateral (
        select d.xact, d.rule_id
        from sicantik_notify.digest d
        where (d.xact, d.rule_id) > (r.xact, r.rule_id)
        order by d.xact, d.rule_id
        limit 1
    ) n
), over as materialized (
    select r.xact, r.rule_id
    from run r
    where r.xact not in (select e.xact from sicantik_notify.event e)
    order by r.xact, r.rule_id
    limit $1::bigint
), taken as (
    -- Of one rule at a time: the storm guard's lock of a second rule could be held by an evaluator that waits for the first.
    delete from sicantik_notify.digest d
    using over o
    where d.xact = o.xact and d.rule_id = o.rule_id and o.rule_id = (select min(f.rule_id) from over f)
    returning d.*
), each as (
    -- A record that was fired twice in a run counts once.
    select distinct on (t.rule_id, t.xact, t.phone, t.model, t.record_id) t.*
    from taken t
    order by t.rule_id, t.xact, t.phone, t.model, t.record_id, t.id
), placed as (
    select e.*, row_number() over (partition by e.rule_id, e.xact, e.phone order by e.id) as place
    from each e
)
select r.id as rule_id, r.code as rule_code, r.priority, r.template_key,
       case when r.schedule_type = 'scheduled' then r.scheduled_delay else 0 end as delay,
       r.schedule_type = 'batch' as batched,
       min(p.trigger_id) as trigger_id, min(t.code) as trigger_code, p.xact::text as xact, p.phone,
       min(p.model) as model, min(p.changed_at) as changed_at,
       (array_agg(p.partner_id order by p.place))[1] as partner_id,
       coalesce((array_agg(p.partner_name order by p.place))[1], '') as partner_name,
       array_agg(p.record_id order by p.place) as records,
       array_agg(p.event_id order by p.place) as events,
       jsonb_agg(p.context order by p.place) filter (where p.place <= $2::bigint) as contexts
from placed p
join sicantik_notify.rule r on r.id = p.rule_id
left join sicantik_notify.trigger t on t.id = p.trigger_id
group by r.id, p.xact, p.phone
order by r.id, min(p.id)
