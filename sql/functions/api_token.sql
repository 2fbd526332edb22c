-- api_token_create(name, triggers, expires_at, may_use_domain): a token for POST /v1/triggers/{code}. Returns the token: it is shown this once
-- and kept nowhere, only its SHA-256. triggers empty: every trigger of type api. gen_random_uuid() is the server's strong random
-- source, 122 bits a call; three of them are hashed into 256.
create or replace function sicantik_notify.api_token_create(p_name text, p_triggers text[] default null, p_expires_at timestamptz default null,
                                                            p_may_use_domain boolean default false)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $api_token_create$
declare
    token constant text := 'snt_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                                                   || uuid_send(gen_random_uuid())), 'hex');
    wrong record;
begin
    if p_name is null or p_name !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$' then
        raise exception '% is no name for a token', coalesce(quote_literal(p_name), 'nothing')
            using errcode = '22023', hint = 'letters, digits, and _ . - behind the first one; 63 at most';
    end if;
    if p_triggers = '{}' then
        raise exception 'a token that may fire no trigger is of no use'
            using errcode = '22023', hint = 'name triggers, or pass null for every trigger of type api';
    end if;
    if p_expires_at <= sicantik_notify.clock() then
        raise exception 'the token would have expired already, on %', p_expires_at using errcode = '22023';
    end if;
    select c.code, t.trigger_type into wrong
    from unnest(p_triggers) c (code)
    left join sicantik_notify.trigger t on t.code = c.code
    where t.trigger_type is distinct from 'api'
    limit 1;
    if found then
        if wrong.trigger_type is null then
            raise exception 'there is no trigger %', coalesce(quote_literal(wrong.code), 'without a code')
                using errcode = 'P0002',
                      hint = coalesce('did you mean ' || sicantik_notify.near_codes(wrong.code) || '? ', '') || 'v_trigger lists all of them';
        end if;
        raise exception 'the trigger % is of type %, and only those of type api are fired over HTTP', wrong.code, wrong.trigger_type
            using errcode = '42809', hint = 'make a trigger of type api on the same model, with rules of its own';
    end if;
    insert into sicantik_notify.api_token (name, token_hash, triggers, may_use_domain, expires_at, created_by)
    values (p_name, encode(sha256(convert_to(token, 'UTF8')), 'hex'), p_triggers, coalesce(p_may_use_domain, false), p_expires_at,
            session_user);
    return token;
exception when unique_violation then
    raise exception 'there is, or was, a token named %', p_name
        using errcode = '42710', hint = 'take another name: explain tells firings by it';
end
$api_token_create$;
comment on function sicantik_notify.api_token_create(text, text[], timestamptz, boolean) is
    'Makes a token for the HTTP API, and shows it this once';

-- api_token_revoke(name): the token is refused from now on. Returns what was done.
create or replace function sicantik_notify.api_token_revoke(p_name text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $api_token_revoke$
declare
    before timestamptz;
begin
    select t.revoked_at into before from sicantik_notify.api_token t where t.name = p_name for update;
    if not found then
        raise exception 'there is no token %', coalesce(quote_literal(p_name), 'without a name')
            using errcode = 'P0002', hint = 'see sicantik_notify.v_api_token';
    end if;
    if before is not null then
        raise exception 'the token % was revoked already, on %', p_name, before using errcode = '55000';
    end if;
    update sicantik_notify.api_token t set revoked_at = sicantik_notify.clock() where t.name = p_name;
    return format('token %s is revoked', p_name);
end
$api_token_revoke$;
comment on function sicantik_notify.api_token_revoke(text) is 'The token is refused from now on';
