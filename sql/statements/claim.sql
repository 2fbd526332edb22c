-- Claims due messages: highest priority first, then oldest; one per recipient, none whose recipient has one in flight, none outside
-- of its rule's hours, and of each rule no more than its rate limit has room for.
-- The permit is asked in the same statement (promise P13), and whether the queue's job is enabled (SICANTIK guide §7.4) and the server's
-- timeline open: after a failover nothing is claimed before the daemons have told what they sent; what they told waits for
-- failover_settle and is passed by. The timeline is returned too: the caller gives back what it claimed on one that it has not
-- reconciled itself. The state is checked again in the outer UPDATE.
-- Index: queue_ready_idx for the candidates, queue_in_flight_idx and queue_recipient_idx for the recipients.
-- Two claims must never wait for each other: rows are skipped when locked, and recipients by a lock of their own, because
-- the unique index queue_in_flight_idx makes a claim wait for another one that took the same recipient, and two such waits
-- make a deadlock. What the other one has committed since our snapshot fails with 23505: try again.
-- The rate limit is the one thing that a claim does wait for (`counting`): rows of rate_state, in their order, before it writes anything
-- that another claim could wait for. The count is read from the row as locked, and the clock after that; what this snapshot does not
-- show of rate_usage are places that became free since, which the next claim finds.
-- Messages of a rule that was switched off meanwhile, of a campaign that was paused, or of a rule whose hours are over, are parked where
-- they are met, so that they stand in nobody's way; so is what is over the limit.
-- Rows are locked and written by id = any (array), which keeps to the primary key whatever the statistics say, as long as no partial
-- index fits: coalesce hides the state from those, which would be read as a whole.
-- $1 hash of the arming secret, $2 instance, $3 how many, $4 lease in seconds, $5 priorities that are looked at from a time on (none:
-- everything is looked at), $6 that time of each (none: $7 seconds ago)
with permit as materialized (
    select p.allowed and t.opened_at is not null as allowed, s.line,
           (select l.attempt_id from sicantik_notify.lost_send l where l.settled_at is null limit 1) is not null as lost
    from sicantik_notify.delivery_permit($1::text) p
    cross join sicantik_notify.server_timeline() as s (line)
    left join sicantik_notify.timeline t on t.timeline = s.line
    where exists (select from sicantik_notify.cron_job j where j.code = 'process_queue' and j.active)
), look as materialized (
    select l.*
    from (
        -- Everything; or, where the caller found that to take long, for each priority what is not older than it says (see Lookout).
        (
            select q.id, q.phone, q.priority, q.scheduled_at, q.rule_id, q.urgent, q.campaign_id
            from sicantik_notify.queue q
            where q.state = 'pending' and q.ready
              and (select p.allowed and ($5::integer[] is null or p.lost) from permit p)
              -- Not exists: a probe for each, whatever the statistics say. A join would read all that is under way, and all that was
              -- since the oldest snapshot of the server.
              and (select true from sicantik_notify.queue busy where busy.state = 'processing' and busy.phone = q.phone limit 1) is null
              -- Only after a failover.
              and case when (select p.lost from permit p)
                       then (select l.attempt_id from sicantik_notify.lost_send l
                             where l.settled_at is null and l.message_id = q.id and l.message_created_at = q.created_at
                             limit 1) is null
                            and (select l.attempt_id from sicantik_notify.lost_send l
                                 where l.settled_at is null and l.xact = q.xact and l.record_id = q.record_id and l.rule_id = q.rule_id
                                   and l.phone = q.phone and l.model = q.model and l.changed_at = q.changed_at
                                 limit 1) is null
                       else true
                  end
            order by q.priority desc, q.scheduled_at, q.id
            limit 2 * $3::bigint
        )
        union all
        (
            select near.*
            from (
                select k.priority, coalesce(b.since, sicantik_notify.clock() - make_interval(secs => $7::double precision)) as since
                from (
                    select r.priority from sicantik_notify.rule r
                    union
                    select k.priority from unnest($5::integer[]) as k (priority)
                ) k
                left join unnest($5::integer[], $6::timestamptz[]) as b (priority, since) on b.priority = k.priority
            ) b
            cross join lateral (
                select q.phone
                from sicantik_notify.queue q
                where q.state = 'pending' and q.ready and q.priority = b.priority and q.scheduled_at >= b.since
                  and (select true from sicantik_notify.queue busy where busy.state = 'processing' and busy.phone = q.phone limit 1) is null
                order by q.scheduled_at, q.id
                limit 2 * $3::bigint
            ) found
            -- That recipient's first message, which may be an older one: nobody's messages overtake each other.
            cross join lateral (
                select q.id, q.phone, q.priority, q.scheduled_at, q.rule_id, q.urgent, q.campaign_id
                from sicantik_notify.queue q
                where q.state = 'pending' and q.ready and q.phone = found.phone
                order by q.priority desc, q.scheduled_at, q.id
                limit 1
            ) near
            where $5::integer[] is not null and (select p.allowed and not p.lost from permit p)
        )
    ) l
    order by l.priority desc, l.scheduled_at, l.id
    limit 2 * $3::bigint
), closed as materialized (
    select r.id as rule_id, o.opens
    from sicantik_notify.rule r
    left join sicantik_notify.trigger t on t.code = r.trigger
    cross join lateral (select sicantik_notify.clock() as now) n
    cross join lateral (select sicantik_notify.window_opens(r.send_window, t.timezone, n.now) as opens) o
    where r.id = any (array(select l.rule_id from look l)) and r.send_window is not null and o.opens > n.now
), stray as materialized (
    select q.id, s.active, s.sends, s.opens
    from (
        select l.id, r.active, sicantik_notify.campaign_sends(k.state) as sends, c.opens
        from look l
        join sicantik_notify.rule r on r.id = l.rule_id
        left join sicantik_notify.campaign k on k.id = l.campaign_id
        left join closed c on c.rule_id = l.rule_id and not l.urgent
        where not r.active or not sicantik_notify.campaign_sends(k.state) or c.opens is not null
    ) s
    join sicantik_notify.queue q on q.id = s.id
    where q.id = any (array(select l.id from look l)) and coalesce(q.state, '') = 'pending' and coalesce(q.ready, false)
    for update of q skip locked
), parked as (
    update sicantik_notify.queue q
    set ready = false,
        waiting_for = case when not s.active then 'rule_inactive' when not s.sends then 'campaign_paused' else 'quiet_hours' end,
        scheduled_at = case when s.active and s.sends then s.opens else q.scheduled_at end
    from stray s
    where q.id = s.id and q.id = any (array(select s.id from stray s))
), head as materialized (
    -- Before anything is locked: where another claim holds a recipient's first message, the second one is not taken instead.
    select distinct on (l.phone) l.id, l.priority, l.scheduled_at
    from look l
    join sicantik_notify.rule r on r.id = l.rule_id
    left join sicantik_notify.campaign k on k.id = l.campaign_id
    left join closed c on c.rule_id = l.rule_id and not l.urgent
    where r.active and sicantik_notify.campaign_sends(k.state) and c.rule_id is null
    order by l.phone, l.priority desc, l.scheduled_at, l.id
), chosen as materialized (
    select h.id from head h order by h.priority desc, h.scheduled_at, h.id limit $3::bigint
), locked as materialized (
    select q.id, q.phone, q.rule_id, q.urgent, q.priority, q.scheduled_at, q.fallback
    from sicantik_notify.queue q
    where q.id = any (array(select c.id from chosen c)) and coalesce(q.state, '') = 'pending' and coalesce(q.ready, false)
    for update of q skip locked
), mine as materialized (
    select m.id, m.rule_id, m.limited,
           row_number() over (partition by m.rule_id, m.limited order by m.urgent desc, m.priority desc, m.scheduled_at, m.id) as place
    from (
        select l.*,
               -- A fallback has its place already, as long as that counts.
               r.rate_limit_enabled
               and not (l.fallback and exists (
                   select from sicantik_notify.rate_usage u
                   where u.rule_id = l.rule_id and u.message_id = l.id
                     and u.ended_at > sicantik_notify.clock() - sicantik_notify.rate_period(r.rate_limit_period))) as limited
        from (select l.* from locked l where pg_try_advisory_xact_lock(1936286068, hashtext(l.phone)) offset 0) l
        join sicantik_notify.rule r on r.id = l.rule_id
    ) m
), counting as materialized (
    select s.rule_id, s.used, s.reserved_at
    from sicantik_notify.rate_state s
    where s.rule_id = any (array(select m.rule_id from mine m where m.limited))
    order by s.rule_id
    for no key update
), clocked as materialized (
    -- Never behind the last reservation, should the clock be set back.
    select c.rule_id, c.used, greatest(sicantik_notify.clock(), c.reserved_at) as now, r.rate_limit_count as most,
           sicantik_notify.rate_period(r.rate_limit_period) as period
    from counting c
    join sicantik_notify.rule r on r.id = c.rule_id
), expired as (
    delete from sicantik_notify.rate_usage u
    using clocked c
    where u.rule_id = c.rule_id and u.ended_at <= c.now - c.period
    returning u.rule_id
), room as materialized (
    select c.rule_id, c.now, c.used - e.n as used, greatest(0, c.most - c.used + e.n) as room
    from clocked c
    cross join lateral (select count(*) as n from expired e where e.rule_id = c.rule_id) e
), allowed as materialized (
    -- A limited rule without a row of rate_state has no room.
    select m.id, m.rule_id, case when m.limited then o.now end as now
    from mine m
    left join room o on o.rule_id = m.rule_id
    where not m.limited or m.place <= o.room
), reserved as (
    insert into sicantik_notify.rate_usage (rule_id, message_id, reserved_at)
    select a.rule_id, a.id, a.now from allowed a where a.now is not null
), tally as materialized (
    -- Not a subquery of the UPDATE: that would be asked again for a row that another claim has written since our snapshot.
    select o.rule_id, o.now, o.used + (select count(*) from allowed a where a.rule_id = o.rule_id and a.now is not null) as used from room o
), counted as (
    update sicantik_notify.rate_state s set used = t.used, reserved_at = t.now from tally t where s.rule_id = t.rule_id
), over as materialized (
    -- What stands ready beside them goes too: the rule has no room left. (A hashed subplan: joined, each would be compared with each.)
    select m.id from mine m where (m.id in (select a.id from allowed a)) is not true
    union
    select w.id
    from (select distinct m.rule_id from mine m where (m.id in (select a.id from allowed a)) is not true) f
    cross join lateral (
        select q.id
        from sicantik_notify.queue q
        where q.rule_id = f.rule_id and q.state = 'pending' and q.ready and not q.fallback
          and q.id <> all (array(select a.id from allowed a))
        order by q.scheduled_at
        limit 1000
        for update of q skip locked
    ) w
), blocked as (
    update sicantik_notify.queue q
    set ready = false, waiting_for = 'rate_limit'
    where q.id = any (array(select o.id from over o))
)
update sicantik_notify.queue q
set state = 'processing', ready = false, claim_token = nextval('sicantik_notify.claim_token_seq'), claimed_by = $2::bigint,
    lease_until = sicantik_notify.clock() + make_interval(secs => $4::double precision)
from sicantik_notify.rule r
where q.id = any (array(select a.id from allowed a)) and coalesce(q.state, '') = 'pending' and coalesce(q.ready, false)
  and r.id = q.rule_id and r.active
returning q.id, q.claim_token, q.rule_id, q.partner_id, q.phone, q.template_key, q.context, q.tries, q.uncertain_sends,
          q.postponed, q.priority, q.scheduled_at, q.not_through, q.reply_through, q.created_at, q.xact::text as xact, q.model,
          q.record_id, q.changed_at, r.code as rule_code, r.max_retries, r.retry_delay, r.retry_backoff,
          (select p.line from permit p) as timeline
