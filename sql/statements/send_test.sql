-- A message that a person sends to try a rule out (SICANTIK guide §7.3); due at once, like any other. No row: the rule is not active.
-- $1 rule, $2 template key, $3 partner, $4 name, $5 number, $6 context
insert into sicantik_notify.queue (ready, priority, rule_id, trigger_id, template_key, partner_id, partner_name, phone, context)
select true, r.priority, r.id, t.id, $2::text, $3::bigint, $4::text, $5::text, $6::jsonb
from sicantik_notify.rule r
left join sicantik_notify.trigger t on t.code = r.trigger
where r.code = $1::text and r.active
returning id
