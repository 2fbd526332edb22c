-- rule_code(id): the code of a rule. A function that is declared to cost nothing, and not a query within v_queue: as such it would be
-- estimated to cost as much as reading the rules once a message, and a question about a long queue would be compiled (jit) for longer than
-- it takes to answer.
create or replace function sicantik_notify.rule_code(p_id bigint)
returns text
language plpgsql
stable
parallel safe
cost 1
as $rule_code$
begin
    return (select r.code from sicantik_notify.rule r where r.id operator(pg_catalog.=) p_id);
end
$rule_code$;
comment on function sicantik_notify.rule_code(bigint) is 'The code of the rule p_id';
