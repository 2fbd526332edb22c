-- blacklisted(numbers): which of these numbers (E.164) must get nothing, and why: our list first, then the host's. Its plan is kept, and
-- was perhaps made while the list was empty: hence by index.
create or replace function sicantik_notify.blacklisted(p_phones text[])
returns table (phone text, reason text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $blacklisted$
begin
    return query
    select distinct on (l.phone) l.phone, l.reason
    from (
        select b.phone, 1 as place, 'the number is on the blacklist' || coalesce(': ' || nullif(b.reason, ''), '') as reason
        from sicantik_notify.blacklist b
        where b.active and b.phone = any (p_phones)
        union all
        select h.phone, 2, 'the number is on the blacklist of Odoo (phone_blacklist)' from sicantik_notify.host_blacklist(p_phones) h
    ) l
    order by l.phone, l.place;
end
$blacklisted$;
comment on function sicantik_notify.blacklisted(text[]) is 'Which numbers must get nothing, and why';

-- blacklist_add(number, reason, source): nothing more is sent to the number, in whatever notation it is given. Returns it as it is kept.
-- source stop: the recipient asked for it, and may take it back by writing a word of start_words.
create or replace function sicantik_notify.blacklist_add(p_number text, p_reason text default null, p_source text default 'operator')
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $blacklist_add$
declare
    normal constant text := sicantik_notify.normal_phone(p_number);
begin
    if normal is null then
        raise exception 'this is no number that a message could go to' using errcode = '22023',
            hint = 'write it as 08… or as +62…; a foreign one with its country code and without the 0 behind it';
    end if;
    insert into sicantik_notify.blacklist as b (phone, reason, source) values (normal, p_reason, coalesce(p_source, 'operator'))
    on conflict (phone) do update
    -- What a person put here stays theirs when the recipient writes STOP too; what STOP put here becomes theirs.
    set reason = case when not b.active then excluded.reason
                      when excluded.source = 'stop' and b.source <> 'stop' then b.reason
                      else coalesce(excluded.reason, b.reason) end,
        source = case when b.active and (b.source = 'operator' or excluded.source = 'stop') then b.source else excluded.source end,
        active = true, changed_at = sicantik_notify.clock();
    return normal;
end
$blacklist_add$;
comment on function sicantik_notify.blacklist_add(text, text, text) is
    'Daftar hitam: nothing more is sent to this number, in any notation';

-- blacklist_remove(number): messages may go to the number again, unless it stands on the host's own list. Returns it as it was kept.
create or replace function sicantik_notify.blacklist_remove(p_number text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $blacklist_remove$
declare
    normal constant text := sicantik_notify.normal_phone(p_number);
begin
    update sicantik_notify.blacklist b set active = false, changed_at = sicantik_notify.clock()
    where b.phone = normal and b.active;
    if not found then
        raise exception 'this number is not on the blacklist' using errcode = 'P0002',
            hint = 'see sicantik_notify.v_blacklist; what stands in Odoo''s own list is taken off in Odoo';
    end if;
    return normal;
end
$blacklist_remove$;
comment on function sicantik_notify.blacklist_remove(text) is 'Daftar hitam: messages may go to this number again';
