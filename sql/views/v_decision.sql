-- v_decision: why each change led to a message, or did not.
create view sicantik_notify.v_decision as
select d.decided_at, d.outcome, d.model, d.record_id, d.trigger_code as trigger, d.rule_code as rule, d.partner_id,
       d.message_id, d.reason, d.event_id, d.xact, d.campaign_id
from sicantik_notify.decision d;
comment on view sicantik_notify.v_decision is 'Why each change led to a message, or did not';
