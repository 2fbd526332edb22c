-- Statistik: the daily counts. A day is counted as a whole, from log, receipt and decision, so counting twice or after a crash is
-- counting once. Which days to count is found without a clock that could be wrong by a commit: a day of log or decision has changed when
-- its number of rows has (both only grow), and of receipts those are new whose transaction the last look may not have seen.

-- office_zone(): time zone of the office (setting timezone); UTC where there is no such zone. Owner's right: views ask it for viewers,
-- who do not read settings.
create or replace function sicantik_notify.office_zone()
returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $office_zone$
declare
    zone constant text := (select s.value from sicantik_notify.setting s where s.key = 'timezone');
begin
    perform now() at time zone zone;
    return coalesce(zone, 'UTC');
exception when invalid_parameter_value then
    return 'UTC';
end
$office_zone$;
comment on function sicantik_notify.office_zone() is 'Time zone of the office, in which days begin and end';

-- time_bucket(interval) and bucket_time(bucket): histograms of durations whose buckets grow by 9 %, so what is read from them is right
-- within 5 %, from a millisecond to years. No settings of their own: they are called for each message, and so become part of the query.
create or replace function sicantik_notify.time_bucket(p_time interval)
returns smallint
language sql
immutable
parallel safe
as $time_bucket$
    select pg_catalog.ceil(8 * pg_catalog.ln(greatest(1, 1000 * extract(epoch from p_time)::double precision))
                           / pg_catalog.ln(2::double precision))::smallint
$time_bucket$;
comment on function sicantik_notify.time_bucket(interval) is 'The bucket of statistic_time that p_time belongs to';
create or replace function sicantik_notify.bucket_time(p_bucket integer)
returns interval
language sql
immutable
parallel safe
as $bucket_time$
    select pg_catalog.round(pg_catalog.power(2::double precision, (p_bucket - 0.5) / 8)) * interval '1 millisecond'
$bucket_time$;
comment on function sicantik_notify.bucket_time(integer) is 'The middle of bucket p_bucket of statistic_time';

-- statistics_day(day, zone): counts this day, whatever was counted of it before.
create or replace function sicantik_notify.statistics_day(p_day date, p_zone text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $statistics_day$
declare
    begun   constant timestamptz := clock_timestamp();
    from_at constant timestamptz := p_day::timestamp at time zone p_zone;
    to_at   constant timestamptz := (p_day + 1)::timestamp at time zone p_zone;
    n_finished bigint;
    n_decided  bigint;
begin
    delete from sicantik_notify.statistic s where s.day = p_day;
    delete from sicantik_notify.statistic_time s where s.day = p_day;
    delete from sicantik_notify.statistic_skip s where s.day = p_day;
    with fact as materialized (
        select coalesce(l.rule_code, '') as rule_code, coalesce(l.campaign_id, 0) as campaign_id, l.template_key,
               coalesce(l.provider_id, 0) as provider_id, l.provider_type, l.possible_duplicate, l.retry_of, l.tries, l.code,
               case when g.given_up then 'failed' else l.state end as state, g.given_up, r.delivered_at,
               coalesce(r.read, false) as read, l.sent_at, coalesce(l.changed_at, l.created_at) as since
        from sicantik_notify.log l
        left join lateral (
            select min(x.at) filter (where x.state in ('delivered', 'read')) as delivered_at, bool_or(x.state = 'read') as read
            from sicantik_notify.receipt x
            where x.message_id = l.id and l.state = 'sent'
        ) r on true
        -- As receipt_given_up; a scalar, so that no estimate makes the planner compare each message with each that was given up.
        cross join lateral (
            select l.state = 'sent' and r.delivered_at is null
                   and (select true from sicantik_notify.log_given_up u where u.id = l.id) is not null as given_up
        ) g
        where l.finished_at >= from_at and l.finished_at < to_at
    ), counted as (
        insert into sicantik_notify.statistic (day, rule_code, campaign_id, template_key, provider_id, provider_type, messages, sent,
            delivered, read, failed, given_up, cancelled, skipped, possible_duplicates, repeats, tries)
        select p_day, f.rule_code, f.campaign_id, f.template_key, f.provider_id, max(f.provider_type), count(*),
               count(*) filter (where f.state = 'sent'), count(*) filter (where f.state = 'sent' and f.delivered_at is not null),
               count(*) filter (where f.state = 'sent' and f.read), count(*) filter (where f.state = 'failed'),
               count(*) filter (where f.given_up),
               count(*) filter (where f.state = 'cancelled'), count(*) filter (where f.state = 'skipped'),
               count(*) filter (where f.possible_duplicate), count(f.retry_of), sum(f.tries)
        from fact f
        group by f.rule_code, f.campaign_id, f.template_key, f.provider_id
        returning messages
    ), timed as (
        insert into sicantik_notify.statistic_time (day, kind, rule_code, campaign_id, template_key, provider_id, bucket, messages)
        select p_day, k.kind, f.rule_code, f.campaign_id, f.template_key, f.provider_id,
               sicantik_notify.time_bucket(k.until - f.since), count(*)
        from fact f
        cross join lateral (values ('sent', f.sent_at), ('delivered', f.delivered_at)) as k (kind, until)
        where f.state = 'sent' and k.until is not null
        group by k.kind, f.rule_code, f.campaign_id, f.template_key, f.provider_id, sicantik_notify.time_bucket(k.until - f.since)
    ), why as (
        insert into sicantik_notify.statistic_skip (day, rule_code, campaign_id, source, reason, people)
        select p_day, f.rule_code, f.campaign_id, 'message', coalesce(f.code, 'skipped'), count(*)
        from fact f
        where f.state = 'skipped'
        group by f.rule_code, f.campaign_id, coalesce(f.code, 'skipped')
    )
    select coalesce(sum(c.messages), 0) into n_finished from counted c;
    with made as materialized (
        select coalesce(d.rule_code, '') as rule_code, coalesce(d.campaign_id, 0) as campaign_id, d.outcome, count(*) as people
        from sicantik_notify.decision d
        where d.decided_at >= from_at and d.decided_at < to_at
        group by 1, 2, 3
    ), why as (
        insert into sicantik_notify.statistic_skip (day, rule_code, campaign_id, source, reason, people)
        select p_day, m.rule_code, m.campaign_id, 'decision', m.outcome, m.people from made m where m.outcome <> 'enqueued'
    )
    select coalesce(sum(m.people), 0) into n_decided from made m;
    insert into sicantik_notify.statistic_day as d (day, changed, counted_at, took, finished, decided)
    values (p_day, false, sicantik_notify.clock(), clock_timestamp() - begun, n_finished, n_decided)
    on conflict (day) do update
    set changed = false, counted_at = excluded.counted_at, took = excluded.took, finished = excluded.finished, decided = excluded.decided;
end
$statistics_day$;
comment on function sicantik_notify.statistics_day(date, text) is 'Counts day p_day of zone p_zone, whatever was counted of it before';

-- statistics_count(): looks which days have changed, and counts the newest of them that is due. Returns the day; empty: none is due.
-- Days older than log and receipts are kept are not counted again, since part of them may be gone.
create or replace function sicantik_notify.statistics_count()
returns date
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $statistics_count$
declare
    zone  constant text := sicantik_notify.office_zone();
    seen  constant pg_snapshot := pg_current_snapshot(); -- before anything is looked at
    now_at constant timestamptz := sicantik_notify.clock();
    today constant date := (now_at at time zone zone)::date;
    kept  constant integer := (select least(min(case when s.value ~ '^[1-9][0-9]{0,4}$' then s.value::integer end), 36500)
                               from sicantik_notify.setting s where s.key in ('log_retention_days', 'receipt_days'));
    since constant date := today - coalesce(kept, 36500);
    old   sicantik_notify.statistic_state;
    pick  date;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('sicantik_notify.statistics', 0)) then
        return null;
    end if;
    select s.* into strict old from sicantik_notify.statistic_state s for update;
    -- Another time zone; or the transactions of another cluster, from which this database was restored.
    if old.timezone <> zone or old.receipts_from > pg_snapshot_xmax(seen) then
        update sicantik_notify.statistic_day d set changed = true where d.day >= since;
    else
        update sicantik_notify.statistic_day d
        set changed = true
        where not d.changed and d.day in (
            select (l.finished_at at time zone zone)::date
            from sicantik_notify.receipt r
            join sicantik_notify.log l on l.id = r.message_id
            where r.xact >= old.receipts_from);
    end if;
    update sicantik_notify.statistic_state s
    set receipts_from = pg_snapshot_xmin(seen), timezone = zone
    where (s.receipts_from, s.timezone) is distinct from (pg_snapshot_xmin(seen), zone);
    insert into sicantik_notify.statistic_day (day)
    select g::date
    from generate_series((least((select min(l.finished_at) from sicantik_notify.log l),
                                (select min(d.decided_at) from sicantik_notify.decision d), now_at) at time zone zone)::date,
                         today, interval '1 day') g
    on conflict do nothing;
    -- The last days: what a transaction that went on over midnight has brought counts too.
    update sicantik_notify.statistic_day d
    set changed = true
    from generate_series(today - 2, today, interval '1 day') g
    cross join lateral (select g::timestamp at time zone zone as from_at, (g + interval '1 day')::timestamp at time zone zone as to_at) t
    where d.day = g::date and not d.changed
      and (d.finished <> (select count(*) from sicantik_notify.log l where l.finished_at >= t.from_at and l.finished_at < t.to_at)
           or d.decided <> (select count(*) from sicantik_notify.decision x where x.decided_at >= t.from_at and x.decided_at < t.to_at));
    delete from sicantik_notify.statistic_day d
    where d.counted_at is not null and d.day < today - (select nullif(s.value, '0')::integer from sicantik_notify.setting s
                                                      where s.key = 'statistics_days' and s.value ~ '^[0-9]{1,5}$');
    if found then
        delete from sicantik_notify.statistic s where not exists (select from sicantik_notify.statistic_day d where d.day = s.day);
        delete from sicantik_notify.statistic_time s where not exists (select from sicantik_notify.statistic_day d where d.day = s.day);
        delete from sicantik_notify.statistic_skip s where not exists (select from sicantik_notify.statistic_day d where d.day = s.day);
    end if;
    select d.day into pick
    from sicantik_notify.statistic_day d
    where d.changed
      and (d.counted_at is null
           or d.day > since and not (now_at >= d.counted_at and now_at < d.counted_at + 20 * d.took))
    order by d.day desc
    limit 1;
    if pick is not null then
        perform sicantik_notify.statistics_day(pick, zone);
    end if;
    return pick;
end
$statistics_count$;
comment on function sicantik_notify.statistics_count() is
    'Counts the newest day on which something changed since it was counted, for v_daily and its like; returns it, or nothing';

-- statistics(from, to, by): the same over any days (both included), by day, week, month, rule, campaign, template, provider or total.
-- Percentiles are those of the whole range, which those of its days do not tell.
create or replace function sicantik_notify.statistics(p_from date, p_to date, p_by text default 'total')
returns table ("by" text, messages bigint, sent bigint, delivered bigint, read bigint, failed bigint, given_up bigint, cancelled bigint,
               skipped bigint, repeats bigint, sent_p50 interval, sent_p90 interval, sent_p99 interval, delivered_p50 interval,
               delivered_p90 interval, delivered_p99 interval)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $statistics$
declare
    -- Of a row of statistic, statistic_time or statistic_skip; the last one has neither template nor provider.
    key constant text := case p_by
        when 'total' then $$'total'$$
        when 'day' then $$to_char(s.day, 'YYYY-MM-DD')$$
        when 'week' then $$to_char(s.day, 'IYYY-"W"IW')$$
        when 'month' then $$to_char(s.day, 'YYYY-MM')$$
        when 'rule' then $$nullif(s.rule_code, '')$$
        when 'campaign' then $$nullif(s.campaign_id, 0)::text$$
        when 'template' then $$s.template_key$$
        when 'provider' then $$(select p.name from sicantik_notify.provider p where p.id = s.provider_id)$$
    end;
    skips constant boolean := p_by not in ('template', 'provider');
begin
    if key is null then
        raise exception 'statistics are by total, day, week, month, rule, campaign, template or provider, not by %',
            coalesce(p_by, 'nothing')
            using errcode = '22023';
    end if;
    return query execute format($query$
        with counted as (
            select %1$s as key, sum(s.messages)::bigint as messages, sum(s.sent)::bigint as sent, sum(s.delivered)::bigint as delivered,
                   sum(s.read)::bigint as read, sum(s.failed)::bigint as failed, sum(s.given_up)::bigint as given_up,
                   sum(s.cancelled)::bigint as cancelled, sum(s.skipped)::bigint as skipped, sum(s.repeats)::bigint as repeats
            from sicantik_notify.statistic s
            where s.day between $1 and $2
            group by 1
        ), timed as (
            select b.key, b.kind, b.bucket, sum(b.messages) over (partition by b.key, b.kind order by b.bucket) as upto,
                   sum(b.messages) over (partition by b.key, b.kind) as total
            from (select %1$s as key, s.kind, s.bucket, sum(s.messages) as messages
                  from sicantik_notify.statistic_time s
                  where s.day between $1 and $2
                  group by 1, 2, 3) b
        ), middle as (
            select t.key,
                   sicantik_notify.bucket_time(min(t.bucket) filter (where t.kind = 'sent' and t.upto >= 0.5 * t.total)) as sent_p50,
                   sicantik_notify.bucket_time(min(t.bucket) filter (where t.kind = 'sent' and t.upto >= 0.9 * t.total)) as sent_p90,
                   sicantik_notify.bucket_time(min(t.bucket) filter (where t.kind = 'sent' and t.upto >= 0.99 * t.total)) as sent_p99,
                   sicantik_notify.bucket_time(min(t.bucket)
                       filter (where t.kind = 'delivered' and t.upto >= 0.5 * t.total)) as delivered_p50,
                   sicantik_notify.bucket_time(min(t.bucket)
                       filter (where t.kind = 'delivered' and t.upto >= 0.9 * t.total)) as delivered_p90,
                   sicantik_notify.bucket_time(min(t.bucket)
                       filter (where t.kind = 'delivered' and t.upto >= 0.99 * t.total)) as delivered_p99
            from timed t
            group by t.key
        ), skip as (
            %2$s
        ), keys as (
            select c.key from counted c union select k.key from skip k
        )
        select y.key, coalesce(c.messages, 0), coalesce(c.sent, 0), coalesce(c.delivered, 0), coalesce(c.read, 0), coalesce(c.failed, 0),
               coalesce(c.given_up, 0), coalesce(c.cancelled, 0), coalesce(k.people, c.skipped, 0), coalesce(c.repeats, 0),
               m.sent_p50, m.sent_p90, m.sent_p99, m.delivered_p50, m.delivered_p90, m.delivered_p99
        from keys y
        left join counted c on c.key = y.key
        left join skip k on k.key = y.key
        left join middle m on m.key = y.key
        where y.key is not null
        order by y.key
        $query$,
        key,
        case when skips then format($skip$
            select %s as key, sum(s.people)::bigint as people
            from sicantik_notify.statistic_skip s
            where s.day between $1 and $2 and s.skipped
            group by 1
            $skip$, key)
        else 'select null::text as key, null::bigint as people where false' end)
    using p_from, p_to;
end
$statistics$;
comment on function sicantik_notify.statistics(date, date, text) is
    'Statistik of the days p_from to p_to, by p_by: total, day, week, month, rule, campaign, template or provider';
