-- Meta refused a template: it is not used there until a sync finds it in order, or an operator empties meta_unfit.
-- $1 key, $2 why
update sicantik_notify.template t
set meta_unfit = $2::text
where t.template_key = $1::text and t.meta_unfit is null
