-- provider_resume(name): an operator has repaired an account and does not wait for the next probe.
create or replace function sicantik_notify.provider_resume(p_name text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $provider_resume$
declare
    v_id bigint;
begin
    select p.id into v_id from sicantik_notify.provider p where p.name = p_name;
    if v_id is null then
        raise exception 'there is no provider %', p_name
            using errcode = 'no_data_found', hint = 'Their names are in sicantik_notify.v_provider.';
    end if;
    -- Half-open, and checked: one message goes first.
    update sicantik_notify.provider_health h
    set open_until = sicantik_notify.clock(), checked_at = sicantik_notify.clock(), probe_until = null, openings = 0, checked_in_vain = false
    where h.provider_id = v_id and h.open_until is not null;
    update sicantik_notify.provider_health h set next_send_at = null
    where h.provider_id = v_id and h.next_send_at > sicantik_notify.clock();
    -- The daemons let waiting messages try again.
    update sicantik_notify.config_version set version = version + 1, changed_at = clock_timestamp();
    perform pg_notify('sicantik_notify_config', '');
end
$provider_resume$;
comment on function sicantik_notify.provider_resume(text) is
    'Lets a message try a paused provider at once; the circuit closes if the provider takes it';
