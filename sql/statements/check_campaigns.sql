-- Campaigns that are not over, with what they rest on.
select c.id, coalesce(c.code, c.id::text) as name, c.state, c.target_model, c.target_domain, c.last_error, r.code as rule, r.active as rule_active,
       t.code as trigger, t.active as trigger_active, t.model as trigger_model, coalesce(c.template_key, r.template_key) as template_key,
       exists (select from sicantik_notify.template p where p.template_key = coalesce(c.template_key, r.template_key) and p.active)
           as template_active
from sicantik_notify.campaign c
join sicantik_notify.rule r on r.code = c.rule
join sicantik_notify.trigger t on t.code = r.trigger
where c.finished_at is null
order by c.id
