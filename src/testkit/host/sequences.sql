-- Rows with fixed ids leave the sequences behind: bring every one to its table's last id.
do $$
declare
    found record;
    counter text;
    last bigint;
begin
    for found in
        select quote_ident(c.relname) as name
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'id'
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    loop
        counter := pg_get_serial_sequence('public.' || found.name, 'id');
        execute format('select max(id) from public.%s', found.name) into last;
        if counter is not null and last is not null then
            perform setval(counter, last);
        end if;
    end loop;
    perform setval('public.ir_sequence_sicantik_document', (select coalesce(max(id), 0) + 1 from public.sicantik_document), false);
end
$$;
