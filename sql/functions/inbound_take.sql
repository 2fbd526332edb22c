-- inbound_take(provider, the provider's id, number, when, meaning): takes a message from a person, once. It opens the 24-hour window;
-- stop puts the number on the blacklist and enqueues one confirmation, start undoes what stop did and nothing that a person did,
-- opt_in is consent. Returns what was done: seen (it came before), taken, stopped, started or opted_in.
-- The confirmation passes the blacklist because its rule, system_stop_confirmation, does not respect it; no other rule's message does.
create or replace function sicantik_notify.inbound_take(p_provider bigint, p_external_id text, p_phone text, p_at timestamptz, p_meaning text)
returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $inbound_take$
declare
    written_at timestamptz := least(p_at, sicantik_notify.clock());
begin
    insert into sicantik_notify.inbound_message (provider_id, external_id, phone, at, meaning)
    values (p_provider, p_external_id, p_phone, written_at, p_meaning)
    on conflict do nothing;
    if not found then
        return 'seen';
    end if;
    insert into sicantik_notify.inbound as i (phone, last_inbound_at)
    values (p_phone, written_at)
    on conflict (phone) do update set last_inbound_at = greatest(i.last_inbound_at, excluded.last_inbound_at);

    if p_meaning = 'stop' then
        insert into sicantik_notify.consent as c (phone, stopped_at)
        values (p_phone, written_at)
        on conflict (phone) do update set opted_in_at = null, stopped_at = excluded.stopped_at
        -- Stopped before: no second confirmation, unless a person has let messages through since.
        where c.stopped_at is null or not exists (select from sicantik_notify.blacklist b where b.phone = c.phone and b.active);
        if not found then
            return 'taken';
        end if;
        perform sicantik_notify.blacklist_add(p_phone, 'wrote a word of stop_words', 'stop');
        insert into sicantik_notify.queue (ready, priority, rule_id, trigger_id, phone, template_key, context, changed_at, reply_through)
        select true, r.priority, r.id, t.id, p_phone, r.template_key, '{}', written_at, p_provider
        from sicantik_notify.rule r
        left join sicantik_notify.trigger t on t.code = r.trigger
        where r.code = 'system_stop_confirmation' and r.active;
        return 'stopped';
    elsif p_meaning = 'start' then
        update sicantik_notify.consent c set stopped_at = null where c.phone = p_phone and c.stopped_at <= written_at;
        if not found then
            return 'taken';
        end if;
        if exists (select from sicantik_notify.blacklist b where b.phone = p_phone and b.active and b.source = 'stop') then
            perform sicantik_notify.blacklist_remove(p_phone);
        end if;
        return 'started';
    elsif p_meaning = 'opt_in' then
        insert into sicantik_notify.consent as c (phone, opted_in_at)
        values (p_phone, written_at)
        on conflict (phone) do update set opted_in_at = excluded.opted_in_at
        where c.stopped_at is null;
        return case when found then 'opted_in' else 'taken' end;
    end if;
    return 'taken';
end
$inbound_take$;
comment on function sicantik_notify.inbound_take(bigint, text, text, timestamptz, text) is
    'Takes a message from a person, once: window, stop, start, consent';
