-- v_firing: who asked which trigger to look at how many records. Without kwargs, which may hold what not every viewer should see.
create view sicantik_notify.v_firing as
select f.fired_at, t.code as trigger, t.model, f.source, f.fired_by, f.events, f.xact::text as run
from sicantik_notify.firing f
join sicantik_notify.trigger t on t.id = f.trigger_id;
comment on view sicantik_notify.v_firing is 'Who fired which trigger, newest by fired_at';
