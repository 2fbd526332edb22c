-- Tokens that are valid now. All of them, so that the time of a comparison tells nothing.
select t.id, t.name, t.token_hash, t.triggers, t.may_use_domain
from sicantik_notify.api_token t
where t.revoked_at is null and (t.expires_at is null or t.expires_at > sicantik_notify.clock())
order by t.id
