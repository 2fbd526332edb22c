-- marketing_choice(number, when, stopped): what a person told WhatsApp about promotional messages from this business. The newest word
-- counts. Returns whether it changed something. Owner's right, since the daemon may not write consent.
create or replace function sicantik_notify.marketing_choice(p_phone text, p_at timestamptz, p_stopped boolean)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $marketing_choice$
declare
    said_at constant timestamptz := least(p_at, sicantik_notify.clock());
begin
    insert into sicantik_notify.consent as c (phone, marketing_stopped, marketing_at)
    values (p_phone, p_stopped, said_at)
    on conflict (phone) do update
    set marketing_stopped = excluded.marketing_stopped, marketing_at = excluded.marketing_at
    where c.marketing_at is null or c.marketing_at < excluded.marketing_at;
    return found;
end
$marketing_choice$;
comment on function sicantik_notify.marketing_choice(text, timestamptz, boolean) is
    'Keeps whether a person wants promotional messages';
