-- host_senders(): active scheduled actions of the host that send WhatsApp messages as well: those of the module that this
-- daemon replaces, and those of other modules that name WhatsApp. plpgsql, so that no dependency on a host table arises. Without
-- the tables, or the right to read them, it says nothing: `check` tells that apart.
create or replace function sicantik_notify.host_senders()
returns table (cron_id bigint, name text, module text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $host_senders$
begin
    if not coalesce(has_table_privilege(to_regclass('public.ir_cron'), 'select')
                    and has_table_privilege(to_regclass('public.ir_model_data'), 'select'), false)
    then
        return;
    end if;
    return query
    select c.id::bigint, coalesce(to_jsonb(c.*) ->> 'cron_name', 'scheduled action ' || c.id), d.module::text
    from public.ir_cron c
    left join lateral (select x.module from public.ir_model_data x where x.model = 'ir.cron' and x.res_id = c.id limit 1) d on true
    where c.active
      and (d.module = 'sicantik_notification_automation'
           or (to_jsonb(c.*) ->> 'cron_name') ilike '%whatsapp%' or d.module ilike '%whatsapp%')
    order by c.id;
end
$host_senders$;
comment on function sicantik_notify.host_senders() is 'Active scheduled actions of the host that send WhatsApp messages as well';
