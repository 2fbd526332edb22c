-- Templates.
select template_key, language, body, parameters, active, for_gateways, meta_name, meta_language, meta_status, meta_named
from sicantik_notify.template
order by template_key
