-- server_timeline(): the timeline that this server writes now. From the name of the file it writes to: the control file tells
-- the new number only after the first checkpoint that follows a promotion.
create or replace function sicantik_notify.server_timeline()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $server_timeline$
begin
    return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
end
$server_timeline$;
comment on function sicantik_notify.server_timeline() is 'The timeline that this server writes; it grows when a standby takes over';

-- notice_timeline(): notes a timeline that is met for the first time, and whose memory is to be waited for. Until it is opened nothing is
-- claimed on it. The numbers of messages, claims and attempts that the old primary gave out last are not known here: they
-- would be given out again, and a late answer or receipt would meet the wrong message. So the sequences jump. Owner's right.
create or replace function sicantik_notify.notice_timeline()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $notice_timeline$
declare
    line constant bigint := sicantik_notify.server_timeline();
begin
    insert into sicantik_notify.timeline (timeline, awaited)
    select line, coalesce((select array_agg(i.id order by i.id) from sicantik_notify.instance i), '{}')
    where not exists (select from sicantik_notify.timeline t where t.timeline = line)
    on conflict do nothing;
    if not found then
        return false;
    end if;
    perform setval('sicantik_notify.message_id_seq', s.last_value + 1000000) from sicantik_notify.message_id_seq s;
    perform setval('sicantik_notify.claim_token_seq', s.last_value + 1000000) from sicantik_notify.claim_token_seq s;
    perform setval('sicantik_notify.attempt_id_seq', s.last_value + 1000000) from sicantik_notify.attempt_id_seq s;
    return true;
end
$notice_timeline$;
comment on function sicantik_notify.notice_timeline() is 'Notes a timeline that is met for the first time; true: it was new';
