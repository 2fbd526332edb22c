-- v_problem: everything that needs a person, in one list.
create view sicantik_notify.v_problem as
select p.severity, p.since, p.key as about, p.summary, p.remedy
from sicantik_notify.problem p
union all
select f.severity, f.since, 'hooks of ' || coalesce(f.table_name, f.model), f.finding, f.remedy
from sicantik_notify.hook_findings() f
union all
select f.severity, f.since, f.about, f.summary, f.remedy
from sicantik_notify.server_findings() f
union all
-- One row a rule, however many changes it failed for; an alarm where no further try comes by itself.
select case when bool_or(s.next_try_at is null) then 'alarm' else 'warning' end, min(s.set_aside_at),
       coalesce('rule ' || r.code, 'trigger ' || t.code, 'changes of ' || s.model),
       format('could not be evaluated for %s changes, such as %s,%s: %s', count(*), max(s.model),
              (array_agg(s.record_id order by s.set_aside_at desc))[1], (array_agg(s.error order by s.set_aside_at desc))[1]),
       'mend the rule: what was set aside is tried again with every change of configuration; explain --record tells the whole story'
from sicantik_notify.event_set_aside s
left join sicantik_notify.rule r on r.id = s.target_rule
left join sicantik_notify.trigger t on t.id = s.target_trigger
group by 3
union all
select case c.state when 'paused' then 'alarm' else 'warning' end, coalesce(c.paused_at, c.scheduled_date, c.created_at), 'campaign ' || c.id,
       c.name || ' is ' || case c.state when 'draft' then 'a draft again' else c.state end || ': ' || c.last_error,
       case c.state when 'draft' then format('mend it, then select sicantik_notify.campaign_start(%s)', c.id)
                    else format('mend it, then select sicantik_notify.campaign_resume(%s), or campaign_cancel', c.id) end
from sicantik_notify.campaign c
where c.last_error is not null and c.state in ('draft', 'paused')
union all
select 'warning', q.created_at, 'message ' || q.id, 'held: ' || coalesce(q.last_error, ''), 'release or cancel it'
from sicantik_notify.queue q
where q.state = 'held' and q.waiting_for is distinct from 'storm_guard'
union all
select 'alarm', h.since, 'storm of rule ' || r.code,
       h.messages || ' messages are held: the rule enqueued more than storm_limit (' || coalesce(r.storm_limit::text, 'none now')
       || ') in ten minutes',
       format('look at v_queue, then select sicantik_notify.rule_release(%L [, how many]) or sicantik_notify.rule_discard(%L)', r.code, r.code)
from (select q.rule_id, count(*) as messages, min(q.created_at) as since
      from sicantik_notify.queue q
      where q.state = 'held' and q.waiting_for = 'storm_guard'
      group by q.rule_id) h
join sicantik_notify.rule r on r.id = h.rule_id
union all
select 'alarm', h.opened_at, 'provider ' || p.name, 'paused: ' || coalesce(h.last_error, ''),
       'see the error; messages wait and burn no retries. '
       || case when h.checked_at >= h.open_until then 'It could not be checked, and the next message tries it'
               else 'It is probed by itself, next at ' || h.open_until end
       || '; sicantik_notify.provider_resume(''' || p.name || ''') lets a message try at once'
from sicantik_notify.provider_health h
join sicantik_notify.provider p on p.id = h.provider_id
where h.open_until is not null and (coalesce(h.checked_at < h.open_until, true) or h.checked_in_vain) and p.active
union all
select 'warning', t.updated_at, 'template ' || t.template_key, 'not sent through Meta: ' || t.meta_unfit,
       'mend it in WhatsApp Manager or here, then run sicantik-notifyd template sync; meanwhile gateways send it'
from sicantik_notify.template t
where t.active and t.meta_unfit is not null and t.meta_status in ('configured', 'approved')
union all
select 'warning', h.templates_synced_at, 'templates of ' || p.name, 'could not be read from Meta: ' || h.template_sync_error,
       'run sicantik-notifyd template sync, which says more'
from sicantik_notify.provider_health h
join sicantik_notify.provider p on p.id = h.provider_id
where h.template_sync_error is not null and p.active
union all
select 'alarm', i.started_at, 'instance ' || i.name || '/' || i.pid, 'does not send: ' || i.note,
       'if it should send, run sicantik-notifyd arm on its machine'
from sicantik_notify.instance i
where not i.delivering
union all
-- A week, so that whoever comes back to work sees it.
select 'alarm', coalesce(f.opened_at, f.seen_at), 'failover to timeline ' || f.timeline,
       case when f.opened_at is null
            then format('the database moved to another server at %s: nothing is sent until the daemons that ran then have told what they '
                        'sent last', f.seen_at::timestamptz(0))
            else format('the database moved to another server at %s, and its last seconds did not: %s sends were missing (%s known to be '
                        'sent, %s uncertain, %s without a message here), and %s due messages are uncertain because %s daemons could not be asked',
                        f.seen_at::timestamptz(0), f.lost, f.sent, f.uncertain, f.absent, f.doubted, cardinality(f.unheard))
       end,
       case when f.opened_at is null
            then 'it goes on by itself; start the daemons that ran before, and see their logs'
            else 'see v_failover, and v_queue and v_log where possible_duplicate; it is shown for a week'
       end
from sicantik_notify.v_failover f
where f.opened_at is null
   or (f.lost > 0 or f.doubted > 0) and f.opened_at > sicantik_notify.clock() - interval '7 days'
union all
select 'alarm', w.since, 'daemon', 'work waits, and no daemon has shown a sign of life for a minute',
       'start it (systemctl start sicantik-notifyd), or see its log (journalctl -u sicantik-notifyd)'
from (select least((select e.occurred_at from sicantik_notify.event e order by e.id limit 1),
                   (select min(q.scheduled_at) from sicantik_notify.queue q where q.state = 'pending' and q.ready)) as since) w
where w.since < sicantik_notify.clock() - interval '1 minute'
  and not exists (select from sicantik_notify.instance i where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute')
union all
select 'alarm', greatest(l.since, nullif(l.lease_until, 'epoch')), 'schedules',
       'no instance has run jobs, cron triggers and campaigns for a minute, although '
       || (select count(*) from sicantik_notify.instance i where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute') || ' daemons live',
       'see their logs (journalctl -u sicantik-notifyd | grep -i lead); restarting one makes it stand again'
from sicantik_notify.leader l
where l.lease_until < clock_timestamp() - interval '1 minute'
  and exists (select from sicantik_notify.instance i
              where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute'
                and i.started_at < sicantik_notify.clock() - interval '1 minute')
union all
select 'alarm', s.last_ok_at, coalesce('job ' || s.job, 'trigger ' || t.code),
       format('has failed %s times in a row: %s', s.failures, s.last_error),
       format('mend what the error names; it is tried again by itself, at %s. select sicantik_notify.cron_run_now(%L) tries at once',
              s.next_run_at::timestamptz(0), coalesce(s.job, t.code))
from sicantik_notify.cron_state s
left join sicantik_notify.cron_job j on j.code = s.job
left join sicantik_notify.trigger t on t.id = s.trigger_id
where s.failures >= 3 and coalesce(j.active, t.active and t.trigger_type = 'cron')
union all
select case when s.problem is not null then 'alarm' else 'warning' end, s.note_since, 'trigger ' || t.code,
       coalesce(s.problem, 'its last run, at ' || s.last_run_at::timestamptz(0) || ', lies in the future: the server''s clock was set back, and it '
                           'runs nothing twice; next at ' || coalesce(s.next_run_at::timestamptz(0)::text, 'no time')),
       case when s.problem is not null then 'correct it in sicantik_notify.trigger; sicantik-notifyd check says when it would run'
            else format('where that is too long, give it its schedule again: select sicantik_notify.cron_retime(%L, …)', t.code) end
from sicantik_notify.cron_state s
join sicantik_notify.trigger t on t.id = s.trigger_id
where t.active and t.trigger_type = 'cron' and (s.problem is not null or s.last_run_at > sicantik_notify.clock() + interval '1 minute')
union all
-- A failover takes seconds, a restart a minute or two.
select 'warning', s.next_run_at, coalesce('job ' || s.job, 'trigger ' || t.code),
       'was due at ' || s.next_run_at::timestamptz(0) || ' and has not run' || coalesce(': it ' || s.note, ''),
       'start a daemon (systemctl start sicantik-notifyd), or see its log (journalctl -u sicantik-notifyd)'
from sicantik_notify.cron_state s
left join sicantik_notify.cron_job j on j.code = s.job
left join sicantik_notify.trigger t on t.id = s.trigger_id
where s.next_run_at < sicantik_notify.clock() - interval '10 minutes' and coalesce(j.active, t.active and t.trigger_type = 'cron')
union all
select 'warning', null, 'job process_campaign_batch', 'is disabled, and campaigns run: their targets are not released',
       'sicantik-notifyd cron enable process_campaign_batch'
where exists (select from sicantik_notify.cron_job j where j.code = 'process_campaign_batch' and not j.active)
  and exists (select from sicantik_notify.campaign c where c.state in ('running', 'scheduled'))
union all
select 'warning', null, 'job process_queue', 'is disabled, and messages wait: no daemon takes any',
       'select sicantik_notify.cron_enable(''process_queue'')'
where exists (select from sicantik_notify.cron_job j where j.code = 'process_queue' and not j.active)
  and exists (select from sicantik_notify.queue q where q.state = 'pending' and q.ready)
union all
select 'warning', w.since, 'queue', 'messages are due since ' || w.since || ' and nobody takes them',
       'see v_queue.waiting_for of the oldest, v_provider, and journalctl -u sicantik-notifyd'
from (select (select min(q.scheduled_at) from sicantik_notify.queue q where q.state = 'pending' and q.ready) as since) w
where w.since < sicantik_notify.clock() - interval '15 minutes'
  and exists (select from sicantik_notify.instance i where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute')
union all
select 'alarm', w.since, 'events', 'changes wait for their evaluation since ' || w.since,
       'see journalctl -u sicantik-notifyd; evaluate.enabled must be true for one daemon at least'
from (select (select e.occurred_at from sicantik_notify.event e order by e.id limit 1) as since) w
where w.since < sicantik_notify.clock() - interval '5 minutes'
  and exists (select from sicantik_notify.instance i where i.heartbeat_at > sicantik_notify.clock() - interval '1 minute')
union all
select 'warning', null, 'host cron ' || s.cron_id, 'Odoo''s scheduled action "' || s.name || '" sends WhatsApp messages too: people may get two',
       'if this daemon is to send them, its owner switches it off: update public.ir_cron set active = false where id = ' || s.cron_id
from sicantik_notify.host_senders() s
where exists (
    select from sicantik_notify.rule r
    join sicantik_notify.trigger t on t.code = r.trigger
    where r.active and t.active and t.code <> 'system_inbound' -- answering STOP takes nothing over from the host
)
union all
select 'alarm', null, 'partitions', 'rows fell into the DEFAULT partition of attempt, log, decision or event_history',
       'the daemon moves them within the hour; if they stay: select sicantik_notify.ensure_partitions(), and read its error'
where exists (select from sicantik_notify.attempt_default) or exists (select from sicantik_notify.log_default)
   or exists (select from sicantik_notify.decision_default) or exists (select from sicantik_notify.event_history_default);
comment on view sicantik_notify.v_problem is 'Everything that needs a person, in one list';
