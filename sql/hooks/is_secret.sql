-- is_secret(table, column): columns of the host that no hook carries, by the names that Odoo and its modules give them.
create or replace function sicantik_notify.is_secret(p_table text, p_column text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $is_secret$
    select p_table in ('ir_config_parameter', 'res_users_apikeys', 'auth_totp_device')
        or p_column ~* '(passw|secret|token|api_?key|totp|credential|private_?key|(^|_)pin$)'
$is_secret$;
comment on function sicantik_notify.is_secret(text, text) is 'Whether a column of the host may hold a secret; hooks never carry it';
