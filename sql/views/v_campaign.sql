-- v_campaign: campaigns, their terms, and what they wait for.
create view sicantik_notify.v_campaign as
select c.id, c.code, c.name, c.description, c.state,
       case
           when c.state = 'scheduled' then 'its date, ' || c.scheduled_date::timestamptz(0)
           when c.state = 'paused' then 'an operator: ' || coalesce(c.last_error, 'it is paused')
           when c.state = 'draft' and c.last_error is not null then 'an operator: ' || c.last_error
           when c.state <> 'running' then null
           when not coalesce(j.active, true) then 'the job process_campaign_batch, which is disabled'
           when not r.active then 'its rule, which is inactive'
           when not t.active then 'the trigger of its rule, which is inactive'
           when c.materialised_at is null then 'its targets, which are being collected'
       end as waiting_for,
       c.rule, c.target_model, c.target_domain, coalesce(c.template_key, r.template_key) as template_key, c.scheduled_date,
       c.created_by, c.created_at, c.started_at, c.paused_at, c.finished_at, c.targets, c.last_error
from sicantik_notify.campaign c
join sicantik_notify.rule r on r.code = c.rule
join sicantik_notify.trigger t on t.code = r.trigger
left join sicantik_notify.cron_job j on j.code = 'process_campaign_batch';
comment on view sicantik_notify.v_campaign is 'Kampanye: campaigns, their terms, and what they wait for';
