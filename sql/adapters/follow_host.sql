-- Where settings template_source and provider_source say host, rows of ours follow those of Odoo's module sicantik_whatsapp. Rows are read
-- through to_jsonb, so that no dependency on the host's tables or columns arises, and each of ours is written only where it differs,
-- since every statement on configuration moves config_version. What the host drops is switched off here, never deleted.
--
-- host_names(text): the names in a JSON list, or in one as Python prints it; null where it is no list of names.
create or replace function sicantik_notify.host_names(p_list text)
returns text[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $host_names$
declare
    names text[];
begin
    select coalesce(array_agg(n.name order by n.place), '{}') into names
    from jsonb_array_elements_text(replace(coalesce(nullif(btrim(p_list), ''), '[]'), '''', '"')::jsonb) with ordinality as n (name, place);
    return case when not exists (select from unnest(names) n where n !~ '^[A-Za-z0-9_]+$') then names end;
exception when data_exception then
    return null;
end
$host_names$;
comment on function sicantik_notify.host_names(text) is 'Names in a list of the host''s, or null where it is none';

create or replace function sicantik_notify.follow_templates()
returns table (about text, summary text, remedy text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $follow_templates$
declare
    d      record;
    ours   sicantik_notify.template;
    wanted sicantik_notify.template;
begin
    for d in
        select distinct on (h.doc ->> 'template_key') h.id, h.doc ->> 'template_key' as key, h.doc,
               sicantik_notify.host_names(h.doc ->> 'parameter_list') as names
        from (select m.id::bigint as id, to_jsonb(m.*) as doc from public.sicantik_whatsapp_template_master m) h
        where h.doc ->> 'template_key' ~ '^[A-Za-z0-9_]+$' and btrim(coalesce(h.doc ->> 'body_preview', '')) <> ''
        order by h.doc ->> 'template_key', coalesce((h.doc ->> 'active')::boolean, false) desc, h.id
    loop
        if d.names is null then
            return query select 'template ' || d.key, 'parameter_list of sicantik_whatsapp_template_master ' || d.id || ' is no list of names',
                                'write it as ["partner_name", "permit_number"] in Odoo; until then the template stays as it was';
            continue;
        end if;
        select t.* into ours from sicantik_notify.template t where t.template_key = d.key;
        wanted := ours;
        wanted.name := coalesce(nullif(btrim(d.doc ->> 'name'), ''), d.key);
        wanted.body := d.doc ->> 'body_preview';
        wanted.parameters := d.names;
        wanted.active := coalesce((d.doc ->> 'active')::boolean, false);
        wanted.language := coalesce(nullif(d.doc ->> 'language', ''), 'id');
        wanted.meta_language := wanted.language;
        wanted.meta_name := nullif(btrim(d.doc ->> 'meta_template_name'), '');
        -- What Meta says itself is newer than what the module remembers.
        if ours.meta_synced_at is null and d.doc ->> 'meta_status' in ('not_configured', 'configured', 'approved', 'rejected') then
            wanted.meta_status := d.doc ->> 'meta_status';
        end if;
        if ours.id is null then
            insert into sicantik_notify.template (template_key, name, body, parameters, active, language, meta_language, meta_name, meta_status)
            values (d.key, wanted.name, wanted.body, wanted.parameters, wanted.active, wanted.language, wanted.meta_language, wanted.meta_name,
                    coalesce(wanted.meta_status, 'not_configured'));
        elsif wanted is distinct from ours then
            update sicantik_notify.template t
            set name = wanted.name, body = wanted.body, parameters = wanted.parameters, active = wanted.active, language = wanted.language,
                meta_language = wanted.meta_language, meta_name = wanted.meta_name, meta_status = wanted.meta_status
            where t.id = ours.id;
        end if;
        perform sicantik_notify.follow_mark('sicantik_whatsapp_template_master', d.id, 'templates', d.key);
    end loop;
    for d in
        select t.id
        from sicantik_notify.import_mark m
        join sicantik_notify.template t on t.template_key = m.code and t.active
        where m.source = 'sicantik_whatsapp_template_master'
        group by t.id, t.template_key
        having not exists (select from public.sicantik_whatsapp_template_master h where to_jsonb(h.*) ->> 'template_key' = t.template_key)
    loop
        update sicantik_notify.template t set active = false where t.id = d.id;
    end loop;
end
$follow_templates$;
comment on function sicantik_notify.follow_templates() is 'Makes our templates what Odoo''s are; returns what could not follow';

create or replace function sicantik_notify.follow_providers()
returns table (about text, summary text, remedy text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $follow_providers$
declare
    d       record;
    s       record;
    ours    sicantik_notify.provider;
    wanted  sicantik_notify.provider;
    account jsonb;
    url     text;
    chosen  constant text := (select btrim(p.value) from public.ir_config_parameter p where p.key = 'sicantik_whatsapp.default_provider_id');
begin
    for d in
        select h.id, h.doc, coalesce(m.code, btrim(h.doc ->> 'name')) as name, h.doc ->> 'provider_type' as kind
        from (select p.id::bigint as id, to_jsonb(p.*) as doc from public.sicantik_whatsapp_provider p) h
        left join sicantik_notify.import_mark m on m.source = 'sicantik_whatsapp_provider' and m.source_id = h.id
        where btrim(coalesce(h.doc ->> 'name', '')) <> ''
        order by h.id
    loop
        if d.kind is null or d.kind not in ('meta', 'fonnte', 'watzap') then
            return query select 'provider ' || d.name, 'sicantik_whatsapp_provider ' || d.id || ' is of an unknown type',
                                'only meta, fonnte and watzap are known; archive it in Odoo if it is not used';
            continue;
        end if;
        select p.* into ours from sicantik_notify.provider p where p.name = d.name;
        if ours.id is not null and exists (select from sicantik_notify.import_mark m where m.source = 'sicantik_whatsapp_provider'
                                             and m.code = d.name and m.source_id <> d.id) then
            return query select 'provider ' || d.name, 'two providers of Odoo have this name', 'give each its own name in Odoo';
            continue;
        end if;
        account := null;
        if d.kind = 'meta' and d.doc ->> 'meta_account_id' is not null then
            select to_jsonb(a.*) into account from public.whatsapp_account a where a.id = (d.doc ->> 'meta_account_id')::bigint;
        end if;
        url := regexp_replace(btrim(case d.kind when 'fonnte' then d.doc ->> 'fonnte_api_url'
                                                when 'watzap' then d.doc ->> 'watzap_base_url' end), '/*(/send)?/*$', '');
        wanted := ours;
        wanted.provider_type := d.kind;
        wanted.sequence := coalesce((d.doc ->> 'sequence')::integer, 10);
        wanted.active := coalesce((d.doc ->> 'active')::boolean, false);
        wanted.is_default := coalesce(chosen = d.id::text, false);
        -- What the host does not know, such as the pace, stays.
        wanted.settings := coalesce(ours.settings, '{}') - array['base_url', 'phone_number_id', 'waba_id']
            || jsonb_strip_nulls(jsonb_build_object(
                   'base_url', nullif(case when url in ('https://api.fonnte.com', 'https://api.watzap.id/v1') then '' else url end, ''),
                   'phone_number_id', nullif(btrim(account ->> 'phone_uid'), ''), 'waba_id', nullif(btrim(account ->> 'account_uid'), '')));
        if d.kind = 'meta' and ours.settings ? 'base_url' then
            wanted.settings := wanted.settings || jsonb_build_object('base_url', ours.settings -> 'base_url');
        end if;
        if ours.id is null then
            insert into sicantik_notify.provider (name, provider_type, sequence, active, is_default, settings)
            values (d.name, wanted.provider_type, wanted.sequence, wanted.active, wanted.is_default, wanted.settings)
            returning * into ours;
        elsif wanted is distinct from ours then
            update sicantik_notify.provider p
            set provider_type = wanted.provider_type, sequence = wanted.sequence, active = wanted.active, is_default = wanted.is_default,
                settings = wanted.settings
            where p.id = ours.id;
        end if;
        perform sicantik_notify.follow_mark('sicantik_whatsapp_provider', d.id, 'providers', d.name);
        for s in
            select v.name, btrim(v.value) as value
            from (values ('token', case d.kind when 'meta' then account ->> 'token' when 'fonnte' then d.doc ->> 'fonnte_token' end),
                         ('api_key', case d.kind when 'watzap' then d.doc ->> 'watzap_api_key' end),
                         ('number_key', case d.kind when 'watzap' then d.doc ->> 'watzap_device_id' end)) v (name, value)
            where btrim(coalesce(v.value, '')) <> ''
              and not exists (select from sicantik_notify.provider_secret x
                              where x.provider_id = ours.id and x.name = v.name and x.value = btrim(v.value))
        loop
            insert into sicantik_notify.provider_secret (provider_id, name, value) values (ours.id, s.name, s.value)
            on conflict (provider_id, name) do update set value = excluded.value, credential = null;
        end loop;
    end loop;
    for d in
        select p.id
        from sicantik_notify.import_mark m
        join sicantik_notify.provider p on p.name = m.code and p.active
        where m.source = 'sicantik_whatsapp_provider'
          and not exists (select from public.sicantik_whatsapp_provider h where h.id = m.source_id)
    loop
        update sicantik_notify.provider p set active = false where p.id = d.id;
    end loop;
end
$follow_providers$;
comment on function sicantik_notify.follow_providers() is 'Makes our providers what Odoo''s are, tokens included; returns what could not follow';

-- So that a row is known again under another name, and is switched off when the host drops it.
create or replace function sicantik_notify.follow_mark(p_source text, p_id bigint, p_section text, p_code text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $follow_mark$
begin
    if not exists (select from sicantik_notify.import_mark m where m.source = p_source and m.source_id = p_id) then
        insert into sicantik_notify.import_mark (source, source_id, section, code, source_sum, row_sum)
        values (p_source, p_id, p_section, p_code, 'followed', 'followed');
    end if;
end
$follow_mark$;
comment on function sicantik_notify.follow_mark(text, bigint, text, text) is 'Remembers which row of the host a row of ours follows';

-- follow_host(): called by the daemon every few seconds; by one instance at a time (a row of nulls: somebody else is at it, or at
-- `apply`). Returns what needs a person. An error of one source
-- undoes that source's round only, and never the caller's work.
create or replace function sicantik_notify.follow_host()
returns table (about text, summary text, remedy text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $follow_host$
declare
    source record;
begin
    if not exists (select from sicantik_notify.setting s where s.key in ('template_source', 'provider_source') and s.value = 'host') then
        return;
    end if;
    if not pg_try_advisory_xact_lock(hashtextextended('sicantik_notify.apply', 0)) then
        return query select null::text, null::text, null::text;
        return;
    end if;
    for source in
        select s.key,
               case s.key when 'template_source' then 'sicantik_whatsapp_template_master' else 'sicantik_whatsapp_provider' end as host_table
        from sicantik_notify.setting s
        where s.key in ('template_source', 'provider_source') and s.value = 'host'
        order by s.key desc
    loop
        begin
            if source.key = 'template_source' then
                return query select f.about, f.summary, f.remedy from sicantik_notify.follow_templates() f;
            else
                return query select f.about, f.summary, f.remedy from sicantik_notify.follow_providers() f;
            end if;
        exception
            when undefined_table or undefined_column then
                return query select 'setting ' || source.key, 'the host has no table ' || source.host_table || ', or another one than expected: '
                                    || sqlerrm || '; what was followed stays as it is',
                                    'update sicantik_notify.setting set value = ''own'' where key = ''' || source.key || '''';
            when insufficient_privilege then
                return query select 'setting ' || source.key, 'the host''s rows may not be read: ' || sqlerrm || '; what was followed stays as it is',
                                    'as a DBA: grant select on public.' || source.host_table
                                    || case source.key when 'provider_source' then ', public.whatsapp_account' else '' end
                                    || ' to sicantik_notify_owner';
            when others then
                return query select 'setting ' || source.key, 'the host''s rows could not be followed: ' || sqlerrm,
                                    'correct the row in Odoo; what was followed stays as it is';
        end;
    end loop;
end
$follow_host$;
comment on function sicantik_notify.follow_host() is
    'Makes templates and providers follow Odoo''s, where settings template_source and provider_source say host; returns what needs a person';
