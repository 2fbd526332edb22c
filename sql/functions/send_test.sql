-- send_test(rule, template, partner, name, phone, context): a message that a person sends to try a rule out (SICANTIK guide §7.3); due at once, with
-- the limits of every message. Its id; empty: the rule is not active. The number is a valid one in E.164, as the command line made it.
create or replace function sicantik_notify.send_test(
    p_rule text, p_template text, p_partner bigint, p_name text, p_phone text, p_context jsonb)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $send_test$
declare
    made bigint;
begin
    if p_phone is null or p_phone !~ '^[+][1-9][0-9]{7,14}$' then
        raise exception '% is no number in the form +6281234567890', quote_nullable(p_phone) using errcode = '22023';
    end if;
    if jsonb_typeof(p_context) is distinct from 'object' then
        raise exception 'context must be a JSON object, such as {"partner_name": "Budi"}' using errcode = '22023';
    end if;
    insert into sicantik_notify.queue (ready, priority, rule_id, trigger_id, template_key, partner_id, partner_name, phone, context)
    select true, r.priority, r.id, t.id, p_template, p_partner, p_name, p_phone, p_context
    from sicantik_notify.rule r
    left join sicantik_notify.trigger t on t.code = r.trigger
    where r.code = p_rule and r.active
    returning id into made;
    return made;
end
$send_test$;
comment on function sicantik_notify.send_test(text, text, bigint, text, text, jsonb) is 'A test message to a number, due at once; empty: the rule is not active';
