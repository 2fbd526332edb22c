-- v_event: captured changes that wait for their evaluation, with the values that they carry: for operators, since values are whole.
-- Nobody but the daemon has a right on the table itself, which the host's transactions write.
create view sicantik_notify.v_event as
select e.id, e.model, e.record_id, e.xact, e.occurred_at, e.op, e.changed, e.old, e.new, e.tries as failed_evaluations, e.target_trigger, e.target_rule, e.kwargs
from sicantik_notify.event e;
comment on view sicantik_notify.v_event is 'Captured changes that wait for their evaluation, with their values; operators only';
