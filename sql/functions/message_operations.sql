-- What operators do to messages. Each locks the message's row first: a claim or a settlement of the same instant is over
-- then, and what is refused says what the message is now.

-- message_state(id): the state of a message, waiting or finished; an error where there is none.
create or replace function sicantik_notify.message_state(p_id bigint)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $message_state$
declare
    found_state text;
begin
    select q.state into found_state from sicantik_notify.queue q where q.id = p_id for update;
    if found_state is null then
        select l.state into found_state from sicantik_notify.log l where l.id = p_id;
    end if;
    if found_state is null then
        raise exception 'there is no message %', p_id using errcode = 'P0002', hint = 'see sicantik_notify.v_queue';
    end if;
    return found_state;
end
$message_state$;
comment on function sicantik_notify.message_state(bigint) is 'State of a message, its row locked while it waits';

-- queue_process_now(id): the message goes with the next claim, without regard to its schedule and to quiet hours. Never skipped: blacklist,
-- rate limit, and whether this database may send at all.
create or replace function sicantik_notify.queue_process_now(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_process_now$
declare
    state constant text := sicantik_notify.message_state(p_id);
    rule  sicantik_notify.rule;
    campaign sicantik_notify.campaign;
begin
    if state not in ('pending', 'held') then
        raise exception 'message % is % and cannot be processed now', p_id,
            case state when 'processing' then 'being sent' else state end
            using errcode = '55000', hint = case when state in ('failed', 'skipped', 'cancelled') then 'queue_retry repeats it as a new message'
                                               else 'see sicantik_notify.v_queue' end;
    end if;
    select r.* into strict rule
    from sicantik_notify.queue q join sicantik_notify.rule r on r.id = q.rule_id where q.id = p_id;
    if not rule.active then
        raise exception 'message % waits for rule %, which is inactive', p_id, rule.code
            using errcode = '55000', hint = 'activate the rule first';
    end if;
    select c.* into campaign
    from sicantik_notify.queue q join sicantik_notify.campaign c on c.id = q.campaign_id where q.id = p_id;
    if campaign.id is not null and not sicantik_notify.campaign_sends(campaign.state) then
        raise exception 'message % belongs to campaign %, which is %', p_id, campaign.id, campaign.state
            using errcode = '55000', hint = format('sicantik_notify.campaign_resume(%s) lets it go on', campaign.id);
    end if;
    update sicantik_notify.queue q
    set state = 'pending', urgent = true, ready = true, waiting_for = null,
        scheduled_at = least(q.scheduled_at, sicantik_notify.clock())
    where q.id = p_id;
    if not exists (select from sicantik_notify.cron_job j where j.code = 'process_queue' and j.active) then
        return format('message %s is due, and goes once the job process_queue is enabled again', p_id);
    end if;
    return format('message %s is due now', p_id);
end
$queue_process_now$;
comment on function sicantik_notify.queue_process_now(bigint) is
    'Proses Sekarang: the message skips schedule and quiet hours, never blacklist or rate limit';

-- queue_retry(id): a message that waits for its next try, or is held, tries again at once; a finished one that was not sent is repeated
-- as a new message, whose id is returned.
create or replace function sicantik_notify.queue_retry(p_id bigint)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_retry$
declare
    state  text := sicantik_notify.message_state(p_id);
    again  bigint;
    become text;
    campaign sicantik_notify.campaign;
begin
    if state in ('pending', 'held') then
        update sicantik_notify.queue q
        set state = 'pending', ready = false, waiting_for = nullif(nullif(nullif(q.waiting_for, 'storm_guard'), 'provider'), 'batch'),
            postponed = 0, scheduled_at = least(q.scheduled_at, sicantik_notify.clock())
        where q.id = p_id;
        return p_id;
    end if;
    -- Sent, but given up by its provider afterwards.
    if state = 'sent' and exists (select from sicantik_notify.receipt_given_up g where g.message_id = p_id) then
        state := 'failed';
    end if;
    if state not in ('failed', 'skipped', 'cancelled') then
        raise exception 'message % is % and cannot be retried', p_id, case state when 'processing' then 'being sent' else state end
            using errcode = '55000';
    end if;
    -- One repetition at a time, whoever asks: the second one waits here and then sees the first one's message.
    perform pg_advisory_xact_lock(hashtextextended('sicantik_notify.retry', p_id));
    select r.id, r.state into again, become
    from (select q.id, 'waiting' as state from sicantik_notify.queue q where q.retry_of = p_id
          union all
          select l.id, l.state from sicantik_notify.log l where l.retry_of = p_id) r
    order by r.state in ('waiting', 'sent') desc, r.id desc
    limit 1;
    if again is not null then
        raise exception 'message % was repeated already, as message %, which is %', p_id, again, become
            using errcode = '55000', hint = format('look at message %s, and retry that one if it failed', again);
    end if;
    select c.* into campaign
    from sicantik_notify.log l join sicantik_notify.campaign c on c.id = l.campaign_id where l.id = p_id;
    if campaign.state = 'cancelled' then
        raise exception 'message % belongs to campaign %, which is cancelled: it cannot be repeated', p_id, campaign.id
            using errcode = '55000', hint = 'sicantik_notify.enqueue sends a message by hand';
    end if;
    insert into sicantik_notify.queue (priority, rule_id, trigger_id, event_id, model, record_id, partner_id, partner_name, phone,
                                       template_key, context, changed_at, retry_of, campaign_id)
    select r.priority, r.id, t.id, l.event_id, l.model, l.record_id, l.partner_id, l.partner_name, l.phone,
           coalesce(campaign.template_key, r.template_key), l.context, l.changed_at, l.id, l.campaign_id
    from sicantik_notify.log l
    join sicantik_notify.rule r on r.id = l.rule_id
    left join sicantik_notify.trigger t on t.code = l.trigger_code
    where l.id = p_id
    returning id into again;
    if again is null then
        raise exception 'the rule of message % does not exist any more: it cannot be repeated', p_id using errcode = '55000';
    end if;
    if campaign.id is not null then
        -- What it came to first is taken back; its new end counts.
        insert into sicantik_notify.campaign_delta (campaign_id, outcome, n) values (campaign.id, state, -1);
    end if;
    return again;
end
$queue_retry$;
comment on function sicantik_notify.queue_retry(bigint) is
    'Ulang Coba: tries a waiting or held message at once, or repeats a finished one that was not sent; returns the id';

-- queue_cancel(id): a message that is not under way ends as cancelled.
create or replace function sicantik_notify.queue_cancel(p_id bigint)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $queue_cancel$
declare
    state constant text := sicantik_notify.message_state(p_id);
begin
    if state not in ('pending', 'held') then
        raise exception 'message % is % and cannot be cancelled', p_id, case state when 'processing' then 'being sent' else state end
            using errcode = '55000';
    end if;
    perform sicantik_notify.messages_end(array[p_id], 'cancelled', 'cancelled by ' || session_user);
    return format('message %s is cancelled', p_id);
end
$queue_cancel$;
comment on function sicantik_notify.queue_cancel(bigint) is 'Batalkan: a message that is not under way ends as cancelled';

-- messages_end(ids, state, reason): moves messages that are not under way from queue to log. Returns how many.
create or replace function sicantik_notify.messages_end(p_ids bigint[], p_state text, p_reason text)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $messages_end$
    with gone as (
        delete from sicantik_notify.queue q where q.id = any (p_ids) and q.state in ('pending', 'held') returning q.*
    ), logged as (
        insert into sicantik_notify.log (id, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id,
            partner_name, phone, template_key, context, error, tries, possible_duplicate, changed_at, created_at, retry_of,
            campaign_id)
        select g.id, p_state, g.rule_id, r.code, t.code, g.event_id, g.model, g.record_id, g.partner_id,
               g.partner_name, g.phone, g.template_key, g.context, concat_ws('; ', p_reason, g.last_error), g.tries,
               g.possible_duplicate, g.changed_at, g.created_at, g.retry_of, g.campaign_id
        from gone g
        left join sicantik_notify.rule r on r.id = g.rule_id
        left join sicantik_notify.trigger t on t.id = g.trigger_id
        returning 1
    ), counted as (
        insert into sicantik_notify.campaign_delta (campaign_id, outcome, n)
        select g.campaign_id, p_state, count(*) from gone g where g.campaign_id is not null group by 1
    )
    select count(*) from logged
$messages_end$;
comment on function sicantik_notify.messages_end(bigint[], text, text) is 'Ends messages that are not under way';

-- enqueue(rule, partner, template, context, at): a message by hand (SICANTIK guide §7.3), to the partner's first valid number of whatsapp_number,
-- mobile and phone. The rule's limits, quiet hours and blacklist apply.
create or replace function sicantik_notify.enqueue(p_rule text, p_partner bigint, p_template text default null,
                                                   p_context jsonb default '{}', p_at timestamptz default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $enqueue$
declare
    rule   sicantik_notify.rule;
    person record;
    number text;
    made   bigint;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_rule;
    if rule.id is null then
        raise exception 'there is no rule %', p_rule using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    if not rule.active then
        raise exception 'rule % is inactive: its messages would wait', p_rule using errcode = '55000', hint = 'activate the rule first';
    end if;
    if not exists (select from sicantik_notify.template t
                   where t.template_key = coalesce(p_template, rule.template_key) and t.active) then
        raise exception 'there is no active template %', coalesce(p_template, rule.template_key) using errcode = 'P0002';
    end if;
    if jsonb_typeof(p_context) is distinct from 'object' then
        raise exception 'context must be a JSON object, such as {"partner_name": "Budi"}' using errcode = '22023';
    end if;
    if not isfinite(p_at) then
        raise exception 'the time of a message cannot be infinite' using errcode = '22023', hint = 'leave it out to send at once';
    end if;
    select h.* into person from sicantik_notify.host_partner(array[p_partner]) h;
    if person.id is null then
        raise exception 'there is no partner %', p_partner using errcode = 'P0002';
    end if;
    number := coalesce(sicantik_notify.normal_phone(person.whatsapp_number), sicantik_notify.normal_phone(person.mobile),
                       sicantik_notify.normal_phone(person.phone));
    if number is null then
        raise exception 'partner % has no usable number in whatsapp_number, mobile or phone', p_partner using errcode = '22023';
    end if;
    insert into sicantik_notify.queue (priority, scheduled_at, rule_id, trigger_id, partner_id, partner_name, phone, template_key, context)
    select rule.priority, coalesce(p_at, sicantik_notify.clock()), rule.id, t.id, p_partner, person.name, number,
           coalesce(p_template, rule.template_key), p_context
    from sicantik_notify.trigger t
    where t.code = rule.trigger
    returning id into made;
    return made;
end
$enqueue$;
comment on function sicantik_notify.enqueue(text, bigint, text, jsonb, timestamptz) is
    'A message by hand: rule, partner, template (empty: the rule''s), values of the placeholders, not before when';

-- rule_release(code, limit): messages that the storm guard held go on, the oldest first; all of them without a limit. The rate limit holds.
create or replace function sicantik_notify.rule_release(p_code text, p_limit bigint default null)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $rule_release$
declare
    rule  sicantik_notify.rule;
    moved bigint;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_code;
    if rule.id is null then
        raise exception 'there is no rule %', p_code using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    -- Straight behind the limit, not through the claim's index.
    with meant as materialized (
        select q.id from sicantik_notify.queue q
        where q.rule_id = rule.id and q.state = 'held' and q.waiting_for = 'storm_guard'
        order by q.id
        limit p_limit
        for update skip locked
    )
    update sicantik_notify.queue q
    set state = 'pending', last_error = null,
        waiting_for = case when q.scheduled_at <= sicantik_notify.clock() and rule.rate_limit_enabled then 'rate_limit' end
    where q.id = any (array(select m.id from meant m));
    get diagnostics moved = row_count;
    return moved;
end
$rule_release$;
comment on function sicantik_notify.rule_release(text, bigint) is 'Lets messages go on that the storm guard held; returns how many';

-- rule_discard(code): messages that the storm guard held end as cancelled.
create or replace function sicantik_notify.rule_discard(p_code text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $rule_discard$
declare
    rule sicantik_notify.rule;
begin
    select r.* into rule from sicantik_notify.rule r where r.code = p_code;
    if rule.id is null then
        raise exception 'there is no rule %', p_code using errcode = 'P0002', hint = 'see sicantik_notify.v_rule';
    end if;
    return sicantik_notify.messages_end(
        array(select q.id from sicantik_notify.queue q
              where q.rule_id = rule.id and q.state = 'held' and q.waiting_for = 'storm_guard' order by q.id for update skip locked),
        'cancelled', 'discarded by ' || session_user);
end
$rule_discard$;
comment on function sicantik_notify.rule_discard(text) is 'Ends messages that the storm guard held; returns how many';
