-- What a firing passes on. Locks: ACCESS EXCLUSIVE on event for an instant (a column without default, no rewrite). A host
-- write of that very instant is counted as a miss, as with every migration of event.

alter table sicantik_notify.event add column kwargs jsonb;
comment on column sicantik_notify.event.kwargs is 'Fired: values that rules'' code sees as kwargs';
alter table sicantik_notify.event_history add column kwargs jsonb;
comment on column sicantik_notify.event_history.kwargs is 'Fired: values that rules'' code sees as kwargs';
comment on column sicantik_notify.event.op is 'I insert, U update, F fired (by a schedule, a person or a programme)';
comment on column sicantik_notify.event_history.op is 'I insert, U update, F fired (by a schedule, a person or a programme)';
