-- receipt_forget(how many): drops what is older than its retention, at most so many rows of each table. Returns how many. Owner's
-- right, since the daemon may not delete receipts. Indexes on received_at.
create or replace function sicantik_notify.receipt_forget(p_limit integer)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $receipt_forget$
declare
    -- A setting that is no number must not stop the work: the default holds.
    kept_since timestamptz := sicantik_notify.clock() - make_interval(days => coalesce((
        select s.value::integer from sicantik_notify.setting s where s.key = 'receipt_days' and s.value ~ '^[0-9]{1,6}$'), 90));
    waits_since timestamptz := sicantik_notify.clock() - make_interval(hours => coalesce((
        select s.value::integer from sicantik_notify.setting s
        where s.key = 'receipt_unmatched_hours' and s.value ~ '^[0-9]{1,6}$'), 24));
    dropped bigint := 0;
    n bigint;
    old text;
begin
    foreach old in array array['receipt', 'receipt_alias', 'inbound_message', 'meta_template_event'] loop
        execute format('delete from sicantik_notify.%I t where t.ctid = any (array(
                            select o.ctid from sicantik_notify.%I o where o.received_at < $1 limit $2))', old, old)
        using kept_since, p_limit;
        get diagnostics n = row_count;
        dropped := dropped + n;
    end loop;
    delete from sicantik_notify.receipt_inbox i
    where i.id = any (array(select o.id from sicantik_notify.receipt_inbox o where o.received_at < waits_since limit p_limit));
    get diagnostics n = row_count;
    return dropped + n;
end
$receipt_forget$;
comment on function sicantik_notify.receipt_forget(integer) is 'Drops receipts and inbound marks that are older than their retention';
