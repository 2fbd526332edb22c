-- Counts a request of a token in its present minute, which begins with its first request. Requests so far, and milliseconds until the next minute.
-- $1 token
insert into sicantik_notify.api_rate as r (token_id, started_at, requests)
values ($1::bigint, sicantik_notify.clock(), 1)
on conflict (token_id) do update
set started_at = case when excluded.started_at - r.started_at between interval '0' and interval '1 minute' then r.started_at
                      else excluded.started_at end,
    requests = case when excluded.started_at - r.started_at between interval '0' and interval '1 minute' then least(r.requests, 1000000) + 1
                    else 1 end
returning r.requests,
          greatest(extract(epoch from r.started_at + interval '1 minute' - sicantik_notify.clock()) * 1000, 0)::bigint as left_ms
