-- storm_admit(rule, messages): how many of so many new messages pass the storm guard: no more than storm_limit in ten minutes (counted
-- by whole minutes, so a little less). One transaction of a rule counts at a time: the lock lasts until its commit.
create or replace function sicantik_notify.storm_admit(p_rule bigint, p_messages integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $storm_admit$
declare
    most   integer;
    before bigint;
    now_at timestamptz;
    pass   integer;
begin
    select r.storm_limit into most from sicantik_notify.rule r where r.id = p_rule;
    if most is null or p_messages <= 0 then
        return p_messages;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.storm', p_rule));
    now_at := sicantik_notify.clock();
    delete from sicantik_notify.storm_count c
    where c.rule_id = p_rule and c.minute < date_trunc('minute', now_at - interval '10 minutes');
    select coalesce(sum(c.passed), 0) into before from sicantik_notify.storm_count c where c.rule_id = p_rule;
    pass := least(p_messages, greatest(0, most - before));
    insert into sicantik_notify.storm_count as c (rule_id, minute, passed, held)
    values (p_rule, date_trunc('minute', now_at), pass, p_messages - pass)
    on conflict (rule_id, minute) do update set passed = c.passed + excluded.passed, held = c.held + excluded.held;
    return pass;
end
$storm_admit$;
comment on function sicantik_notify.storm_admit(bigint, integer) is 'How many of so many new messages pass the storm guard of a rule';
