-- capture_object(pairs): a jsonb_build_object call over 'name', value pairs; several, joined, where there are more
-- than a function call may have arguments (100).
create or replace function sicantik_notify.capture_object(p_pairs text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $capture_object$
    select coalesce(
        string_agg('jsonb_build_object(' || chunk.pairs || ')', ' || ' order by chunk.number),
        '''{}''::jsonb')
    from (
        select (p.position - 1) / 45 as number, string_agg(p.pair, ', ' order by p.position) as pairs
        from unnest(p_pairs) with ordinality as p (pair, position)
        group by 1
    ) chunk
$capture_object$;
comment on function sicantik_notify.capture_object(text[]) is 'Part of capture_source: a jsonb object from name and value pairs';
