-- Opens a timeline: when every awaited instance has reported; or without those that did not in time, once the changes that stood here
-- before are evaluated, so that their messages are there to be doubted. At the latest after ten times the time.
-- Returns a row if it opens now.
-- $1 timeline, $2 how long to wait, in seconds
update sicantik_notify.timeline t
set opened_at = sicantik_notify.clock(),
    unheard = array(select a.id from unnest(t.awaited) as a (id) where a.id <> all (t.reported) order by a.id)
where t.timeline = $1::bigint and t.opened_at is null
  and (t.awaited <@ t.reported
       or (t.seen_at <= sicantik_notify.clock() - make_interval(secs => $2::double precision)
           and (t.seen_at <= sicantik_notify.clock() - make_interval(secs => 10 * $2::double precision)
                -- Events carry the server's own time.
                or not exists (select from sicantik_notify.event e
                               where e.occurred_at < clock_timestamp() - (sicantik_notify.clock() - t.seen_at)))))
returning cardinality(t.unheard) as unheard,
          (select count(*) from sicantik_notify.lost_send l where l.timeline = t.timeline) as lost
