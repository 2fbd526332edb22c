-- A new rule gets its row of rate_state: without one its messages wait.
create or replace function sicantik_notify.rule_begins()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $rule_begins$
begin
    insert into sicantik_notify.rate_state (rule_id) values (new.id) on conflict (rule_id) do nothing;
    return null;
end
$rule_begins$;
comment on function sicantik_notify.rule_begins() is 'Trigger: a new rule gets its rate state';
create or replace trigger rule_begins after insert on sicantik_notify.rule
    for each row execute function sicantik_notify.rule_begins();
