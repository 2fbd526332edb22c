-- Templates, active or not, with the rules that use them with the default context.
select t.template_key, t.language, t.body, t.parameters, t.active, t.for_gateways, t.meta_name, t.meta_language, t.meta_status,
       t.meta_named, t.meta_parameters, t.meta_header, t.meta_buttons, t.meta_category, t.meta_unfit,
       array(select r.code from sicantik_notify.rule r
             where r.template_key = t.template_key and coalesce(trim(r.context_preparation_code), '') = ''
             order by r.code) as plain_rules,
       exists (select from sicantik_notify.rule r where r.template_key = t.template_key and r.active) as used
from sicantik_notify.template t
order by t.template_key
