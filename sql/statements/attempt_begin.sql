-- Records attempts that are about to go on the wire, for claims that still hold and whose rule is still active. A message
-- that is not returned must not be sent. The last look before the wire: blacklists (ours and the host's), quiet hours and the state of
-- its campaign, as they are at this instant. queue.on_wire is written in the same statement: a takeover that runs at the same
-- time waits for this row or skips it, and then sees on_wire, whatever its snapshot shows of attempt.
-- recipient_pace is race-free here: nobody else has a message for this recipient in flight.
-- $1 instance, $2 message ids, $3 claim tokens, $4 provider ids, $5 provider types, $6 template keys, $7 notes,
-- $8 seconds before this account may write to the same recipient again (0: at once)
with barred as materialized (
    select b.phone
    from sicantik_notify.blacklisted(array(select q.phone from sicantik_notify.queue q where q.id = any ($2::bigint[]))) b
), open as materialized (
    select r.id as rule_id, r.respect_blacklist, sicantik_notify.window_opens(r.send_window, t.timezone, n.now) > n.now as closed
    from sicantik_notify.rule r
    left join sicantik_notify.trigger t on t.code = r.trigger
    cross join lateral (select sicantik_notify.clock() as now) n
    where r.id = any (array(select q.rule_id from sicantik_notify.queue q where q.id = any ($2::bigint[])))
), mine as materialized (
    -- One probe of the key for each, whatever the statistics say; the state is looked at outside, so that no partial index is tempting:
    -- it would be read as a whole, with all that was ever in it since the oldest snapshot of the server.
    select w.*
    from (
        select u.*
        from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::double precision[])
             as u (message_id, token, provider_id, provider_type, template_key, note, gap)
        order by u.message_id
    ) w
    cross join lateral (
        select q.state, q.claim_token from sicantik_notify.queue q where q.id = w.message_id limit 1 for no key update
    ) q
    where q.claim_token = w.token and q.state = 'processing'
), held as (
    update sicantik_notify.queue q
    set on_wire = w.provider_id
    from mine w, sicantik_notify.rule r, open o
    where q.id = w.message_id and q.claim_token = w.token and q.lease_until > sicantik_notify.clock()
      and r.id = q.rule_id and r.active and o.rule_id = r.id and (not o.closed or q.urgent)
      and (q.campaign_id is null
           or exists (select from sicantik_notify.campaign c where c.id = q.campaign_id and sicantik_notify.campaign_sends(c.state)))
      and (not o.respect_blacklist or q.phone <> all (array(select b.phone from barred b)))
      -- A lost answer whose receipt has come meanwhile: it was sent.
      and not (q.uncertain_sends > 0 and exists (select from sicantik_notify.receipt x where x.message_id = q.id and x.state <> 'failed'))
    returning q.id, q.claim_token, q.phone, w.provider_id, w.provider_type, w.template_key, w.note, w.gap
), paced as (
    insert into sicantik_notify.recipient_pace as p (provider_id, phone, next_send_at)
    select h.provider_id, h.phone, sicantik_notify.clock() + make_interval(secs => h.gap)
    from held h
    where h.gap > 0
    on conflict (provider_id, phone) do update set next_send_at = excluded.next_send_at
)
insert into sicantik_notify.attempt (message_id, claim_token, instance_id, provider_id, provider_type, template_key, note)
select h.id, h.claim_token, $1::bigint, h.provider_id, h.provider_type, h.template_key, h.note
from held h
returning id, started_at, message_id
