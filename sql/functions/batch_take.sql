-- batch_take(rule, series, messages): reserves places in the slots of a batch series: each message takes the first slot with fewer
-- than batch_size, slots are batch_interval apart, and the first one is now where the last one is over. Returns the slot that stood
-- before and how many it had: message i (from 0) goes at slot_at + ⌊(taken + i) / batch_size⌋ × batch_interval. No rule: nothing.
create or replace function sicantik_notify.batch_take(p_rule bigint, p_series text, p_messages integer)
returns table (slot_at timestamptz, taken integer)
language plpgsql
volatile
strict
set search_path = pg_catalog, pg_temp
as $batch_take$
declare
    size   integer;
    apart  interval;
    now_at timestamptz;
begin
    select r.batch_size, make_interval(mins => r.batch_interval) into strict size, apart
    from sicantik_notify.rule r where r.id = p_rule;
    insert into sicantik_notify.batch_series (rule_id, series, slot_at, taken) values (p_rule, p_series, '-infinity', 0)
    on conflict (rule_id, series) do nothing;
    select b.slot_at, b.taken into slot_at, taken
    from sicantik_notify.batch_series b where b.rule_id = p_rule and b.series = p_series for update;
    now_at := sicantik_notify.clock();
    if slot_at + apart <= now_at then
        slot_at := now_at;
        taken := 0;
    end if;
    if p_messages > 0 then
        update sicantik_notify.batch_series b
        set slot_at = batch_take.slot_at + (batch_take.taken + p_messages - 1) / size * apart,
            taken = (batch_take.taken + p_messages - 1) % size + 1
        where b.rule_id = p_rule and b.series = p_series;
    end if;
    return next;
end
$batch_take$;
comment on function sicantik_notify.batch_take(bigint, text, integer) is 'Reserves places in the slots of a batch series';
