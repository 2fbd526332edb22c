-- Campaigns: what operators do to them, and the one place that knows which state may follow which. Each function locks the
-- campaign's row, so that two operators, or an operator and the schedule, cannot both succeed.

-- campaign_locked(id): the campaign, its row locked; an error where there is none.
create or replace function sicantik_notify.campaign_locked(p_id bigint)
returns sicantik_notify.campaign
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $campaign_locked$
declare
    found_campaign sicantik_notify.campaign;
begin
    select c.* into found_campaign from sicantik_notify.campaign c where c.id = p_id for no key update;
    if found_campaign.id is null then
        raise exception 'there is no campaign %', p_id using errcode = 'P0002', hint = 'see sicantik_notify.v_campaign';
    end if;
    return found_campaign;
end
$campaign_locked$;
comment on function sicantik_notify.campaign_locked(bigint) is 'A campaign, its row locked';

-- campaign_allow(campaign, action, states…): an error unless it is in one of these states.
create or replace function sicantik_notify.campaign_allow(p_campaign sicantik_notify.campaign, p_action text, variadic p_states text[])
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $campaign_allow$
begin
    if p_campaign.state <> all (p_states) then
        raise exception 'campaign % is % and cannot be %', p_campaign.id,
            case p_campaign.state when 'draft' then 'a draft' else p_campaign.state end, p_action
            using errcode = '55000',
                  hint = format('that is possible while it is %s', array_to_string(p_states, ' or '));
    end if;
end
$campaign_allow$;
comment on function sicantik_notify.campaign_allow(sicantik_notify.campaign, text, text[]) is 'Refuses what a campaign''s state does not allow';

-- campaign_fits(rule, model, template): an error where messages of such a campaign could not be made.
create or replace function sicantik_notify.campaign_fits(p_rule text, p_model text, p_template text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $campaign_fits$
declare
    rule    sicantik_notify.rule;
    trigger sicantik_notify.trigger;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_rule;
    if rule.id is null then
        raise exception 'there is no rule %', p_rule using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    select t.* into strict trigger from sicantik_notify.trigger t where t.code = rule.trigger;
    if trigger.model <> p_model then
        raise exception 'rule % is about % (by its trigger %), but the campaign''s target_model is %', rule.code, trigger.model,
            trigger.code, p_model
            using errcode = '22023',
                  hint = format('choose a rule whose trigger is about %s, or %s as target_model', p_model, trigger.model);
    end if;
    if p_template is not null
       and not exists (select from sicantik_notify.template t where t.template_key = p_template and t.active) then
        raise exception 'there is no active template %', p_template using errcode = 'P0002', hint = 'see sicantik_notify.v_template';
    end if;
end
$campaign_fits$;
comment on function sicantik_notify.campaign_fits(text, text, text) is 'Refuses a campaign whose rule, model and template do not fit';

-- campaign_may_run(campaign): an error where its rule, trigger or template is not in force.
create or replace function sicantik_notify.campaign_may_run(p_campaign sicantik_notify.campaign)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $campaign_may_run$
declare
    rule    sicantik_notify.rule;
    trigger sicantik_notify.trigger;
begin
    perform sicantik_notify.campaign_fits(p_campaign.rule, p_campaign.target_model, p_campaign.template_key);
    select r.* into strict rule from sicantik_notify.rule r where r.code = p_campaign.rule;
    select t.* into strict trigger from sicantik_notify.trigger t where t.code = rule.trigger;
    if not rule.active then
        raise exception 'rule % of campaign % is inactive', rule.code, p_campaign.id
            using errcode = '55000',
                  hint = format('activate it first: update sicantik_notify.rule set active = true where code = %L', rule.code);
    end if;
    if not trigger.active then
        raise exception 'trigger % of rule % is inactive', trigger.code, rule.code
            using errcode = '55000',
                  hint = format('activate it first: update sicantik_notify.trigger set active = true where code = %L', trigger.code);
    end if;
    if not exists (select from sicantik_notify.template t
                   where t.template_key = coalesce(p_campaign.template_key, rule.template_key) and t.active) then
        raise exception 'there is no active template %', coalesce(p_campaign.template_key, rule.template_key)
            using errcode = 'P0002', hint = 'see sicantik_notify.v_template';
    end if;
end
$campaign_may_run$;
comment on function sicantik_notify.campaign_may_run(sicantik_notify.campaign) is 'Refuses to run a campaign whose rule, trigger or template is not in force';

-- campaign_wake(at): the job of campaigns runs then at the latest, unless it is disabled.
create or replace function sicantik_notify.campaign_wake(p_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $campaign_wake$
begin
    update sicantik_notify.cron_state s
    set next_run_at = p_at
    where s.job = 'process_campaign_batch' and s.next_run_at > p_at;
    perform pg_notify('sicantik_notify_schedule', '');
end
$campaign_wake$;
comment on function sicantik_notify.campaign_wake(timestamptz) is 'The job of campaigns runs then at the latest';

-- campaign_create(name, rule, domain, …): a new campaign, as a draft. Returns its id. The domain is compiled when it starts; the
-- command line compiles it at once.
create or replace function sicantik_notify.campaign_create(
    p_name text, p_rule text, p_domain text default '[]', p_model text default null, p_template text default null,
    p_at timestamptz default null, p_code text default null, p_description text default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_create$
declare
    model text := p_model;
    made  bigint;
begin
    if model is null then
        select t.model into model
        from sicantik_notify.rule r join sicantik_notify.trigger t on t.code = r.trigger
        where r.code = p_rule;
    end if;
    perform sicantik_notify.campaign_fits(p_rule, model, p_template);
    if coalesce(btrim(p_name), '') = '' then
        raise exception 'the campaign has no name' using errcode = '22023', hint = 'give it one that people know it by, such as ''Libur Lebaran''';
    end if;
    if p_code !~ '^[A-Za-z0-9_]*[A-Za-z_][A-Za-z0-9_]*$' then
        raise exception '% cannot be a campaign''s code', quote_literal(p_code)
            using errcode = '22023', hint = 'letters, digits and underscores, not only digits: such as lebaran_2027';
    end if;
    -- Two at once meet here, and not at the index.
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.campaign_create', 0));
    select c.id into made from sicantik_notify.campaign c where c.code = p_code;
    if made is not null then
        raise exception 'there is a campaign % already: campaign %', p_code, made
            using errcode = '23505', hint = 'choose another code, or leave it out';
    end if;
    insert into sicantik_notify.campaign (code, name, description, rule, target_model, target_domain, template_key, scheduled_date)
    values (p_code, p_name, p_description, p_rule, model, coalesce(nullif(btrim(p_domain), ''), '[]'), p_template, p_at)
    returning id into made;
    return made;
end
$campaign_create$;
comment on function sicantik_notify.campaign_create(text, text, text, text, text, timestamptz, text, text) is
    'Buat Kampanye: name, rule, domain, model (empty: the trigger''s), template (empty: the rule''s), date, code, description; returns the id';

-- campaign_schedule(id, at): it starts by itself then. Again with another date: it is moved.
create or replace function sicantik_notify.campaign_schedule(p_id bigint, p_at timestamptz default null)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_schedule$
declare
    campaign constant sicantik_notify.campaign := sicantik_notify.campaign_locked(p_id);
    at       constant timestamptz := coalesce(p_at, campaign.scheduled_date);
begin
    perform sicantik_notify.campaign_allow(campaign, 'scheduled', 'draft', 'scheduled');
    if at is null then
        raise exception 'campaign % has no date', p_id using errcode = '22004', hint = 'campaign_schedule(id, date)';
    end if;
    perform sicantik_notify.campaign_fits(campaign.rule, campaign.target_model, campaign.template_key);
    update sicantik_notify.campaign c set state = 'scheduled', scheduled_date = at, last_error = null where c.id = p_id;
    perform sicantik_notify.campaign_wake(at);
    return format('campaign %s starts at %s', p_id, at::timestamptz(0));
end
$campaign_schedule$;
comment on function sicantik_notify.campaign_schedule(bigint, timestamptz) is 'The campaign starts by itself at a date';

-- campaign_start(id): it runs; the daemon collects its targets and sends. A draft whose date is still to come waits for it, and so does a
-- scheduled one: whoever says start a second time does not start it weeks early. campaign_schedule(id, now()) does.
create or replace function sicantik_notify.campaign_start(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_start$
declare
    campaign constant sicantik_notify.campaign := sicantik_notify.campaign_locked(p_id);
    now_at   constant timestamptz := sicantik_notify.clock();
begin
    perform sicantik_notify.campaign_allow(campaign, 'started', 'draft', 'scheduled');
    perform sicantik_notify.campaign_may_run(campaign);
    if campaign.state = 'scheduled' and campaign.scheduled_date > now_at then
        raise exception 'campaign % starts by itself at %', p_id, campaign.scheduled_date::timestamptz(0)
            using errcode = '55000', hint = format('to start it now: campaign_schedule(%s, now())', p_id);
    end if;
    if campaign.state = 'draft' and campaign.scheduled_date > now_at then
        return sicantik_notify.campaign_schedule(p_id, campaign.scheduled_date);
    end if;
    update sicantik_notify.campaign c
    set state = 'running', started_at = now_at, running_since = now_at, last_error = null
    where c.id = p_id;
    perform sicantik_notify.campaign_wake(now_at);
    return format('campaign %s is running: its targets are collected now', p_id);
end
$campaign_start$;
comment on function sicantik_notify.campaign_start(bigint) is 'Mulai Kampanye: the daemon collects its targets and sends';

-- campaign_due(): starts scheduled campaigns whose date has come; one that may not run goes back to draft and says why. Returns which.
create or replace function sicantik_notify.campaign_due()
returns table (id bigint, error text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_due$
declare
    campaign sicantik_notify.campaign;
    now_at   constant timestamptz := sicantik_notify.clock();
begin
    for campaign in
        select c.* from sicantik_notify.campaign c
        where c.state = 'scheduled' and c.scheduled_date <= now_at
        order by c.scheduled_date, c.id
        for no key update skip locked
    loop
        id := campaign.id;
        error := null;
        begin
            perform sicantik_notify.campaign_may_run(campaign);
        exception when others then
            error := sqlerrm;
        end;
        update sicantik_notify.campaign c
        set state = case when error is null then 'running' else 'draft' end,
            started_at = case when error is null then now_at end,
            running_since = case when error is null then now_at end,
            last_error = case when error is not null then 'it was due at ' || c.scheduled_date::timestamptz(0) || ', but: ' || error end
        where c.id = campaign.id;
        return next;
    end loop;
end
$campaign_due$;
comment on function sicantik_notify.campaign_due() is 'Starts scheduled campaigns whose date has come';

-- campaign_pause(id): from its commit on nothing of the campaign begins to be sent; what is under way ends. Its messages that wait
-- (never more than are released ahead) leave the claim's index.
create or replace function sicantik_notify.campaign_pause(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_pause$
begin
    perform sicantik_notify.campaign_allow(sicantik_notify.campaign_locked(p_id), 'paused', 'running');
    return sicantik_notify.campaign_halt(p_id, null);
end
$campaign_pause$;
comment on function sicantik_notify.campaign_pause(bigint) is 'Jeda: nothing more of the campaign is sent until it is resumed';

-- campaign_halt(id, error): pauses a campaign that runs, for the operator or because it cannot go on.
create or replace function sicantik_notify.campaign_halt(p_id bigint, p_error text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_halt$
declare
    waiting bigint;
begin
    update sicantik_notify.campaign c
    set state = 'paused', paused_at = sicantik_notify.clock(), last_error = p_error
    where c.id = p_id and c.state = 'running';
    if not found then
        return null;
    end if;
    update sicantik_notify.queue q
    set ready = false, waiting_for = 'campaign_paused'
    where q.campaign_id = p_id and q.state = 'pending' and q.waiting_for is distinct from 'campaign_paused';
    get diagnostics waiting = row_count;
    return format('campaign %s is paused; %s messages wait in the queue', p_id, waiting);
end
$campaign_halt$;
comment on function sicantik_notify.campaign_halt(bigint, text) is 'Pauses a running campaign';

-- campaign_resume(id): it goes on where it stopped. Batches keep their distance: slots that were still to come move by the time of
-- the pause.
create or replace function sicantik_notify.campaign_resume(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_resume$
declare
    campaign constant sicantik_notify.campaign := sicantik_notify.campaign_locked(p_id);
    now_at   constant timestamptz := sicantik_notify.clock();
    away     constant interval := greatest(now_at - campaign.paused_at, interval '0');
begin
    perform sicantik_notify.campaign_allow(campaign, 'resumed', 'paused');
    perform sicantik_notify.campaign_may_run(campaign);
    update sicantik_notify.campaign c
    set state = 'running', running_since = now_at, last_error = null,
        done_before = (select coalesce(sum(t.n) filter (where t.outcome in ('sent', 'failed', 'skipped')), 0)
                       from sicantik_notify.campaign_totals(p_id) t)
    where c.id = p_id;
    update sicantik_notify.batch_series b
    set slot_at = b.slot_at + away
    where b.series = 'campaign ' || p_id and b.slot_at > campaign.paused_at;
    perform sicantik_notify.campaign_unpark(p_id, campaign.paused_at, away);
    perform sicantik_notify.campaign_wake(now_at);
    return format('campaign %s is running', p_id);
end
$campaign_resume$;
comment on function sicantik_notify.campaign_resume(bigint) is 'Lanjutkan: a paused campaign goes on where it stopped';

-- campaign_unpark(id, since, away): parked messages of a campaign wait for their time again; what was to go after `since` goes later.
create or replace function sicantik_notify.campaign_unpark(p_id bigint, p_since timestamptz, p_away interval)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $campaign_unpark$
declare
    moved bigint;
begin
    update sicantik_notify.queue q
    set scheduled_at = case when q.scheduled_at > p_since then q.scheduled_at + p_away else q.scheduled_at end,
        waiting_for = case when r.schedule_type = 'batch' and q.scheduled_at > p_since then 'batch' end
    from sicantik_notify.rule r
    where q.campaign_id = p_id and q.waiting_for = 'campaign_paused' and q.state = 'pending' and r.id = q.rule_id;
    get diagnostics moved = row_count;
    return moved;
end
$campaign_unpark$;
comment on function sicantik_notify.campaign_unpark(bigint, timestamptz, interval) is 'Parked messages of a campaign wait for their time again';

-- campaign_cancel(id): it ends. Its waiting messages end as cancelled, its waiting targets are never reached; what is under way ends by
-- itself.
create or replace function sicantik_notify.campaign_cancel(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_cancel$
declare
    ended bigint;
begin
    perform sicantik_notify.campaign_allow(sicantik_notify.campaign_locked(p_id), 'cancelled', 'draft', 'scheduled', 'running', 'paused');
    update sicantik_notify.campaign c set state = 'cancelled', finished_at = sicantik_notify.clock() where c.id = p_id;
    ended := sicantik_notify.messages_end(
        array(select q.id from sicantik_notify.queue q where q.campaign_id = p_id and q.state in ('pending', 'held') order by q.id),
        'cancelled', format('campaign %s was cancelled by %s', p_id, session_user));
    perform sicantik_notify.campaign_wake(sicantik_notify.clock());
    return format('campaign %s is cancelled; %s messages that waited have ended', p_id, ended);
end
$campaign_cancel$;
comment on function sicantik_notify.campaign_cancel(bigint) is 'Batalkan: the campaign and its waiting messages end; what is under way ends by itself';

-- campaign_collected(id, targets): its targets stand in campaign_target now. False: they are not wanted any more, or stood there
-- already, and what was collected must be rolled back. The campaign's row is not locked while they are collected, so that pausing and
-- cancelling do not wait for a million of them.
create or replace function sicantik_notify.campaign_collected(p_id bigint, p_targets bigint)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_collected$
begin
    update sicantik_notify.campaign c
    set targets = p_targets, materialised_at = sicantik_notify.clock(), next_record_id = null
    where c.id = p_id and c.state in ('running', 'paused') and c.materialised_at is null;
    return found;
end
$campaign_collected$;
comment on function sicantik_notify.campaign_collected(bigint, bigint) is 'The targets of a campaign have been collected';

-- campaign_not_collected(id, error): its domain could not be evaluated. It is a draft again, and says why.
create or replace function sicantik_notify.campaign_not_collected(p_id bigint, p_error text)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_not_collected$
begin
    update sicantik_notify.campaign c
    set state = 'draft', started_at = null, running_since = null, paused_at = null, last_error = p_error
    where c.id = p_id and c.state in ('running', 'paused') and c.materialised_at is null;
    return found;
end
$campaign_not_collected$;
comment on function sicantik_notify.campaign_not_collected(bigint, text) is 'The domain of a campaign could not be evaluated: it is a draft again';

-- campaign_release_begin(id): locks a campaign that runs until its next messages are enqueued; a pause waits so long and no longer.
-- Where the search for its next targets begins; empty: it does not run.
create or replace function sicantik_notify.campaign_release_begin(p_id bigint)
returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $campaign_release_begin$
    select coalesce(c.next_record_id, '-9223372036854775808'::bigint)
    from sicantik_notify.campaign c
    where c.id = p_id and c.state = 'running' and c.materialised_at is not null
    for no key update
$campaign_release_begin$;
comment on function sicantik_notify.campaign_release_begin(bigint) is 'Locks a campaign that runs; where the search for its next targets begins';

-- campaign_release_end(id, targets, outcomes, counts): these targets have been reached; what they came to.
create or replace function sicantik_notify.campaign_release_end(p_id bigint, p_targets bigint[], p_outcomes text[], p_counts bigint[])
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $campaign_release_end$
declare
    reached bigint;
begin
    delete from sicantik_notify.campaign_target t where t.campaign_id = p_id and t.record_id = any (p_targets);
    get diagnostics reached = row_count;
    update sicantik_notify.campaign c
    set next_record_id = (select max(x) + 1 from unnest(p_targets) x)
    where c.id = p_id;
    insert into sicantik_notify.campaign_count as k (campaign_id, outcome, n)
    select p_id, o.outcome, o.n from unnest(p_outcomes, p_counts) as o (outcome, n)
    on conflict (campaign_id, outcome) do update set n = k.n + excluded.n;
    return reached;
end
$campaign_release_end$;
comment on function sicantik_notify.campaign_release_end(bigint, bigint[], text[], bigint[]) is 'Targets of a campaign have been reached; what they came to';

-- campaign_tidy(): what follows from the others. Adds deltas up; messages that were parked or came back at the moment of a resume or a
-- cancel go on or end; targets of cancelled campaigns go, some at a time; a campaign without a waiting target or message is
-- completed. Returns those that were completed.
create or replace function sicantik_notify.campaign_tidy()
returns setof bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $campaign_tidy$
declare
    campaign record;
begin
    with gone as (
        delete from sicantik_notify.campaign_delta d returning d.campaign_id, d.outcome, d.n
    )
    insert into sicantik_notify.campaign_count as k (campaign_id, outcome, n)
    select g.campaign_id, g.outcome, sum(g.n) from gone g group by g.campaign_id, g.outcome
    on conflict (campaign_id, outcome) do update set n = k.n + excluded.n;
    for campaign in
        select c.id, c.state from sicantik_notify.campaign c
        where c.id in (select q.campaign_id from sicantik_notify.queue q where q.waiting_for = 'campaign_paused') and c.state <> 'paused'
        order by c.id
        for no key update
    loop
        if campaign.state = 'cancelled' then
            perform sicantik_notify.messages_end(
                array(select q.id from sicantik_notify.queue q
                      where q.campaign_id = campaign.id and q.state in ('pending', 'held') order by q.id),
                'cancelled', format('campaign %s was cancelled', campaign.id));
        elsif sicantik_notify.campaign_sends(campaign.state) then
            perform sicantik_notify.campaign_unpark(campaign.id, 'infinity', interval '0');
        end if;
    end loop;
    for campaign in select c.id from sicantik_notify.campaign c where c.state = 'cancelled' loop
        delete from sicantik_notify.campaign_target t
        where t.campaign_id = campaign.id
          and t.record_id = any (array(select sicantik_notify.campaign_next(campaign.id, '-9223372036854775808'::bigint, 20000)));
    end loop;
    return query
    update sicantik_notify.campaign c
    set state = 'completed', finished_at = sicantik_notify.clock(), last_error = null
    where c.state = 'running' and c.materialised_at is not null
      and not exists (select from sicantik_notify.campaign_next(c.id, coalesce(c.next_record_id, '-9223372036854775808'::bigint), 1))
      and not exists (select from sicantik_notify.queue q where q.campaign_id = c.id)
    returning c.id;
end
$campaign_tidy$;
comment on function sicantik_notify.campaign_tidy() is 'Adds deltas up, ends or frees what a cancel or resume left, and completes campaigns';

-- campaign_sends(state): whether messages of a campaign in this state may go. Empty: of no campaign. Asked for each message of a claim: a
-- body that is parsed here needs no search_path of its own, and so becomes part of the statement that asks.
create or replace function sicantik_notify.campaign_sends(p_state text)
returns boolean
language sql
immutable
return coalesce(p_state in ('running', 'completed'), true);
comment on function sicantik_notify.campaign_sends(text) is 'Whether messages of a campaign in this state may go';

-- campaign_next(id, from, how many): the next targets, in order. Reads an index and nothing else, whatever the statistics say.
create or replace function sicantik_notify.campaign_next(p_id bigint, p_from bigint, p_many bigint)
returns setof bigint
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $campaign_next$
    select t.record_id
    from sicantik_notify.campaign_target t
    where t.campaign_id = p_id and t.record_id >= p_from
    order by t.record_id
    limit p_many
$campaign_next$;
comment on function sicantik_notify.campaign_next(bigint, bigint, bigint) is 'The next targets of a campaign';

-- campaign_ahead(id, most): how many of its messages are released and not sent yet, counted up to `most`. What a person must release
-- does not count: it must not hold up the others.
create or replace function sicantik_notify.campaign_ahead(p_id bigint, p_most bigint)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $campaign_ahead$
    select count(*)
    from (select from sicantik_notify.queue q where q.campaign_id = p_id and q.state in ('pending', 'processing') limit p_most) x
$campaign_ahead$;
comment on function sicantik_notify.campaign_ahead(bigint, bigint) is 'How many messages of a campaign are released and not sent yet';

-- campaign_totals(id): what a campaign has come to so far.
create or replace function sicantik_notify.campaign_totals(p_id bigint)
returns table (outcome text, n bigint)
language sql
stable
security definer -- views call it for whoever may see them
set search_path = pg_catalog, pg_temp
as $campaign_totals$
    select x.outcome, sum(x.n)::bigint
    from (select c.outcome, c.n from sicantik_notify.campaign_count c where c.campaign_id = p_id
          union all
          select d.outcome, d.n from sicantik_notify.campaign_delta d where d.campaign_id = p_id) x
    group by x.outcome
$campaign_totals$;
comment on function sicantik_notify.campaign_totals(bigint) is 'What a campaign has come to so far';

-- rule_duration(code, messages, used): how long so many messages take at least under a rule's rate limit and batches, where so many
-- places of the limit are taken already; quiet hours come on top.
create or replace function sicantik_notify.rule_duration(p_rule text, p_messages bigint, p_used bigint default 0)
returns interval
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $rule_duration$
    select greatest(
        interval '0',
        case when r.rate_limit_enabled and p_messages > 0
             then greatest(0, (p_messages + p_used + r.rate_limit_count - 1) / r.rate_limit_count - 1)
                  * sicantik_notify.rate_period(r.rate_limit_period) end,
        case when r.schedule_type = 'batch'
             then greatest(0, (p_messages + r.batch_size - 1) / r.batch_size - 1) * make_interval(mins => r.batch_interval) end)
    from sicantik_notify.rule r
    where r.code = p_rule
$rule_duration$;
comment on function sicantik_notify.rule_duration(text, bigint, bigint) is
    'How long so many messages take at least under a rule''s rate limit and batches';

-- What a campaign means is fixed once it has started.
create or replace function sicantik_notify.campaign_guard()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $campaign_guard$
begin
    -- Renaming a rule reaches its campaigns whatever their state is.
    if old.state not in ('draft', 'scheduled')
       and (new.target_model, new.target_domain, new.template_key) is distinct from (old.target_model, old.target_domain, old.template_key)
       or (old.state not in ('draft', 'scheduled') and new.rule <> old.rule
           and exists (select from sicantik_notify.rule r where r.code = old.rule)) then
        raise exception 'campaign % is % and cannot be changed', old.id, old.state
            using errcode = '55000', hint = 'make a new one, or pause or cancel this one';
    end if;
    if new.state in ('draft', 'scheduled') and (new.rule, new.target_model, new.template_key)
           is distinct from (old.rule, old.target_model, old.template_key) then
        perform sicantik_notify.campaign_fits(new.rule, new.target_model, new.template_key);
    end if;
    return new;
end
$campaign_guard$;
comment on function sicantik_notify.campaign_guard() is 'Trigger: what a campaign means is fixed once it has started';
create or replace trigger campaign_guard before update of rule, target_model, target_domain, template_key on sicantik_notify.campaign
    for each row execute function sicantik_notify.campaign_guard();
