-- slot_findings(): what is wrong with capture by logical replication; part of hook_findings(). No rows where the hooks capture.
create or replace function sicantik_notify.slot_findings()
returns table (model text, table_name text, severity text, since timestamptz, finding text, remedy text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $slot_findings$
declare
    install constant text := 'run sicantik-notifyd hooks install (as a DBA)';
    known    sicantik_notify.capture_slot;
    stands   pg_replication_slots;
    pub      pg_publication;
    plan     record;
    lag      bigint;
    warn     bigint;
    alarm    bigint;
    blind    text;
begin
    select * into known from sicantik_notify.capture_slot;
    if not found or pg_is_in_recovery() then
        return;
    end if;
    table_name := 'slot ' || known.slot_name;
    since := known.moved_at;
    severity := 'alarm';
    if current_setting('wal_level') <> 'logical' then
        finding := format('wal_level is %s: nothing is captured', current_setting('wal_level'));
        remedy := 'set wal_level = logical in postgresql.conf and restart the server; then ' || install;
        return next;
    end if;
    finding := sicantik_notify.slot_refusal();
    if finding is not null then
        remedy := install || ': reading begins anew, and what lies between is a problem of its own';
        return next;
    end if;
    if not exists (select from pg_roles r where r.rolname = 'sicantik_notifyd' and (r.rolreplication or r.rolsuper)) then
        finding := 'the role sicantik_notifyd must not read the slot';
        remedy := 'alter role sicantik_notifyd replication';
        return next;
    end if;

    select * into stands from pg_replication_slots s where s.slot_name = known.slot_name;
    if found then
        if stands.wal_status = 'unreserved' then
            finding := 'the server gives the slot up with its next checkpoint: what was not read by then is lost';
            remedy := 'start the daemon, or raise max_slot_wal_keep_size and reload the server';
            return next;
        end if;
        if stands.wal_status <> 'lost' then
            select coalesce(max(s.value) filter (where s.key = 'capture_lag_warn_bytes' and s.value ~ '^[0-9]{1,18}$'), '268435456'),
                   coalesce(max(s.value) filter (where s.key = 'capture_lag_alarm_bytes' and s.value ~ '^[0-9]{1,18}$'), '1073741824')
            into warn, alarm
            from sicantik_notify.setting s;
            lag := pg_wal_lsn_diff(pg_current_wal_lsn(), stands.confirmed_flush_lsn);
            if lag > warn then
                severity := case when lag > alarm then 'alarm' else 'warning' end;
                finding := format('the daemon is %s behind the server%s', pg_size_pretty(lag),
                                  case when stands.active then '' else ', and nobody reads the slot' end);
                remedy := format('look at the daemon (journalctl -u sicantik-notifyd) and at long transactions; if it is gone for good: '
                                 'sicantik-notifyd hooks remove, or select pg_drop_replication_slot(%L) before the disk is full', known.slot_name);
                return next;
            end if;
            if not stands.active and known.moved_at < clock_timestamp() - interval '2 minutes' then
                severity := 'warning';
                finding := 'nobody reads the slot: changes wait in the server''s log';
                remedy := 'start the daemon (systemctl start sicantik-notifyd), or see its log';
                return next;
            end if;
        end if;
        if current_setting('max_slot_wal_keep_size') = '-1' then
            severity := 'warning';
            since := null;
            finding := 'max_slot_wal_keep_size is not set: if the daemon stays away, the server keeps its log until the disk is full, and then stops';
            remedy := 'alter system set max_slot_wal_keep_size = ''20GB'' (what the disk has to spare), then select pg_reload_conf()';
            return next;
        end if;
    end if;

    severity := 'alarm';
    select * into pub from pg_publication p where p.pubname = known.publication_name;
    if not found then
        finding := format('publication %s is gone: nothing is captured', known.publication_name);
        remedy := install;
        return next;
        return;
    end if;
    if not (pub.pubinsert and pub.pubupdate) then
        finding := format('publication %s was altered: it leaves out inserts or updates', known.publication_name);
        remedy := format('alter publication %I set (publish = ''insert, update, delete, truncate'')', known.publication_name);
        return next;
    end if;
    if exists (select from pg_class c
               where c.oid in ('sicantik_notify.capture_plan'::regclass, 'sicantik_notify.noise_column'::regclass,
                               'sicantik_notify.capture_slot_table'::regclass)
                 and not exists (select from pg_publication_rel r where r.prpubid = pub.oid and r.prrelid = c.oid)) then
        finding := format('publication %s lacks our own tables: new triggers are not noticed in time', known.publication_name);
        remedy := format('drop publication %I, then ', known.publication_name) || install;
        return next;
    end if;
    for plan in
        select p.model, p.table_name, c.oid as relation, t.until_lsn, t.from_lsn, h.sound_at,
               exists (select from pg_publication_rel r where r.prpubid = pub.oid and r.prrelid = c.oid) as published,
               exists (select from pg_publication_rel r where r.prpubid = pub.oid and r.prrelid = c.oid
                       and (to_jsonb(r) ->> 'prqual' is not null or to_jsonb(r) ->> 'prattrs' is not null)) as narrowed,
               exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled <> 'D'
                       and g.tgname in ('sicantik_notify_insert', 'sicantik_notify_update')) as hooked
        from sicantik_notify.capture_plan p
        join pg_class c on c.oid = to_regclass(format('public.%I', p.table_name)) and c.relkind in ('r', 'p')
        join sicantik_notify.capture_slot_table t on t.table_name = p.table_name and t.until_lsn is null
        left join sicantik_notify.hook_check h on h.model = p.model
        where p.active
        order by p.model
    loop
        model := plan.model;
        table_name := plan.table_name;
        since := plan.sound_at;
        severity := 'alarm';
        if not plan.published then
            finding := format('public.%I is not in publication %s: its changes are not captured', plan.table_name, known.publication_name);
            remedy := install || '; changes since it left may have been missed';
            return next;
        elsif plan.narrowed then
            finding := format('publication %s has a row filter or a column list for public.%I: the host''s writes may fail, and changes be missed',
                              known.publication_name, plan.table_name);
            remedy := format('alter publication %I drop table public.%I, then ', known.publication_name, plan.table_name) || install;
            return next;
        end if;
        select string_agg(b.relation::text, ', ') into blind from sicantik_notify.slot_blind(plan.relation) b;
        if blind is not null then
            finding := format('the server does not log old rows of %s (replica identity): which updates concern a trigger cannot be told', blind);
            remedy := install;
            return next;
        end if;
        if plan.hooked then
            finding := format('public.%I has a hook and is captured from the slot as well: changes count twice', plan.table_name);
            remedy := install || ', which removes the hook';
            return next;
        end if;
    end loop;
    for model, table_name in
        select p.model, p.table_name
        from sicantik_notify.capture_plan p
        join pg_class c on c.oid = to_regclass(format('public.%I', p.table_name)) and c.relkind = 'p'
        where p.active and not exists (select from sicantik_notify.capture_slot_table t where t.table_name = p.table_name)
          and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
        order by p.model
    loop
        severity := 'warning';
        since := null;
        finding := format('public.%I is partitioned and has no primary key: in a publication, updates of a later partition would fail. '
                          'Only its hook captures it', table_name);
        remedy := 'give it a primary key, then ' || install || '; or capture all tables by hooks: sicantik-notifyd capture switch triggers';
        return next;
    end loop;
end
$slot_findings$;
comment on function sicantik_notify.slot_findings() is 'What is wrong with capture by logical replication; part of hook_findings()';
