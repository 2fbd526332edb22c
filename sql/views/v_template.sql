-- v_template: templates, what Meta says of them, and whether each kind of provider can send them (SICANTIK guide §6.3).
create view sicantik_notify.v_template as
select t.template_key, t.name, t.active, t.language, t.parameters,
       coalesce(t.meta_name, t.template_key) as meta_name, t.meta_language, t.meta_status, t.meta_category, t.meta_quality,
       coalesce(t.meta_parameters, t.parameters) as meta_parameters, t.meta_placeholders, t.meta_synced_at,
       case
           when not t.active then 'inactive'
           when t.meta_status not in ('configured', 'approved') then 'is ' || replace(t.meta_status, '_', ' ') || ' at Meta'
           when t.meta_unfit is not null then t.meta_unfit
           when t.meta_synced_at is null then 'usable, not confirmed by a sync'
           else 'usable'
       end as meta,
       g.fitness as fonnte, g.fitness as watzap
from sicantik_notify.template t
cross join lateral (
    select case
        when not t.active then 'inactive'
        when not t.for_gateways then 'not for gateways'
        else 'usable'
    end as fitness
) g;
comment on view sicantik_notify.v_template is 'Templates: the last word of Meta, and whether each kind of provider can send them';
