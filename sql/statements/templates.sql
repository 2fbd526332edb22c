-- Templates.
select template_key, name, language, body, parameters, active, for_gateways, meta_name, meta_language, meta_status, meta_named,
       meta_parameters, meta_header, meta_buttons, meta_category, meta_unfit
from sicantik_notify.template
order by template_key
