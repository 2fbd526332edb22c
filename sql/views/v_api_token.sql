-- v_api_token: the tokens of the HTTP API, without what would let anybody use them.
create view sicantik_notify.v_api_token as
select t.name, coalesce(array_to_string(t.triggers, ', '), 'all of type api') as triggers, t.may_use_domain, t.created_at, t.created_by,
       t.expires_at, t.revoked_at,
       case when t.revoked_at is not null then 'revoked'
            when t.expires_at <= sicantik_notify.clock() then 'expired'
            else 'valid' end as state,
       (select max(r.started_at) from sicantik_notify.api_rate r where r.token_id = t.id) as last_used_at
from sicantik_notify.api_token t;
comment on view sicantik_notify.v_api_token is 'Tokens of the HTTP API, without their hashes';
