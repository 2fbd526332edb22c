-- Campaigns with their progress, newest first; $1: only this one (id or code).
select c.id, to_jsonb(p.*) || to_jsonb(c.*) as row
from sicantik_notify.v_campaign c
join sicantik_notify.v_campaign_progress p on p.id = c.id
where $1::text is null or c.id::text = $1::text or c.code = $1::text
order by c.id desc
