-- What Meta says of our templates, one array a column. Rows that say what is known already are only stamped.
-- $1 keys, $2 statuses, $3 categories, $4 named, $5 placeholders (JSON arrays), $6 qualities, $7 why unfit
update sicantik_notify.template t
set meta_status = s.status, meta_category = s.category, meta_named = coalesce(s.named, t.meta_named), meta_quality = s.quality,
    meta_placeholders = (select array_agg(e.name order by e.place)
                         from jsonb_array_elements_text(s.placeholders) with ordinality as e (name, place)),
    meta_unfit = s.unfit, meta_synced_at = sicantik_notify.clock()
from unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::jsonb[], $6::text[], $7::text[])
     as s (key, status, category, named, placeholders, quality, unfit)
where t.template_key = s.key
