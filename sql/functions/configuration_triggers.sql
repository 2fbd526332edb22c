-- Every change of configuration moves config_version in its own transaction, once for all its statements, and wakes the daemon at
-- its commit. A savepoint that is rolled back takes the note of it along with the move.
create or replace function sicantik_notify.configuration_changed()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $configuration_changed$
begin
    if current_setting('sicantik_notify.moved_in', true) is distinct from pg_current_xact_id()::text then
        update sicantik_notify.config_version set version = version + 1, changed_at = clock_timestamp();
        perform set_config('sicantik_notify.moved_in', pg_current_xact_id()::text, true);
        perform pg_notify('sicantik_notify_config', '');
    end if;
    return null;
end
$configuration_changed$;
comment on function sicantik_notify.configuration_changed() is 'Trigger: configuration changed';

create or replace function sicantik_notify.touch_updated_at()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $touch_updated_at$
begin
    new.updated_at := clock_timestamp();
    return new;
end
$touch_updated_at$;
comment on function sicantik_notify.touch_updated_at() is 'Trigger: sets updated_at';

-- Messages of an inactive rule leave the claim's index and come back when the rule is active again. Those that wait for
-- its rate limit are outside of it already, and stay so.
create or replace function sicantik_notify.rule_parks_messages()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $rule_parks_messages$
begin
    if new.active then
        update sicantik_notify.queue q set waiting_for = null
        where q.rule_id = new.id and q.state = 'pending' and q.waiting_for = 'rule_inactive';
    else
        update sicantik_notify.queue q set ready = false, waiting_for = 'rule_inactive'
        where q.rule_id = new.id and q.state = 'pending' and q.waiting_for is distinct from 'rule_inactive'
          and q.waiting_for is distinct from 'rate_limit';
    end if;
    return null;
end
$rule_parks_messages$;
comment on function sicantik_notify.rule_parks_messages() is 'Trigger: parks and unparks the messages of a rule';

do $triggers$
declare
    watched text;
begin
    foreach watched in array array['setting', 'field_alias', 'value_alias', 'noise_column', 'trigger', 'template', 'template_map',
                                   'rule', 'provider', 'provider_secret'] loop
        execute format('create or replace trigger configuration_changed after insert or update or delete or truncate'
                       ' on sicantik_notify.%I for each statement execute function sicantik_notify.configuration_changed()', watched);
    end loop;
    foreach watched in array array['trigger', 'template', 'rule', 'provider'] loop
        execute format('create or replace trigger touch_updated_at before update on sicantik_notify.%I'
                       ' for each row execute function sicantik_notify.touch_updated_at()', watched);
    end loop;
    create or replace trigger rule_parks_messages after update of active on sicantik_notify.rule
        for each row when (old.active is distinct from new.active) execute function sicantik_notify.rule_parks_messages();
end
$triggers$;
