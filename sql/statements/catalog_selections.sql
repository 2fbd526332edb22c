-- Values and labels of selection fields; Indonesian label first, else English.
select f.model, f.name, s.value, coalesce(s.label ->> 'id_ID', s.label ->> 'en_US', s.value) as label
from (
    select x.doc ->> 'value' as value, (x.doc ->> 'field_id')::integer as field_id, (x.doc ->> 'sequence')::integer as sequence,
           case jsonb_typeof(x.doc -> 'name') when 'object' then x.doc -> 'name' else jsonb_build_object('en_US', x.doc -> 'name') end as label
    from (select to_jsonb(n.*) as doc from public.ir_model_fields_selection n) x
) s
join public.ir_model_fields f on f.id = s.field_id
order by f.model, f.name, s.sequence, s.value
