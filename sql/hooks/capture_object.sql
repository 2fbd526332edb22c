-- capture_object(pairs): a jsonb_build_object call over 'name', value pairs, one a line; several, joined, where there are
-- more than a function call may have arguments (100). capture_indent(text, n): its further lines moved n places right.
create or replace function sicantik_notify.capture_object(p_pairs text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_object$
    select coalesce(
        string_agg(E'jsonb_build_object(\n    ' || chunk.pairs || ')', E'\n|| ' order by chunk.number),
        '''{}''::jsonb')
    from (
        select (p.position - 1) / 45 as number, string_agg(p.pair, E',\n    ' order by p.position) as pairs
        from unnest(p_pairs) with ordinality as p (pair, position)
        group by 1
    ) chunk
$capture_object$;
comment on function sicantik_notify.capture_object(text[]) is 'Part of capture_body: a jsonb object from name and value pairs';

create or replace function sicantik_notify.capture_indent(p_text text, p_places integer)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_indent$ select replace(p_text, E'\n', E'\n' || repeat(' ', p_places)) $capture_indent$;
comment on function sicantik_notify.capture_indent(text, integer) is 'Part of capture_body: moves lines right';
