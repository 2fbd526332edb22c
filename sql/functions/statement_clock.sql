-- statement_clock(): what clock() was when the statement began. For views: a column that reads a volatile function keeps the planner from
-- looking through the view.
create or replace function sicantik_notify.statement_clock()
returns timestamptz
language sql
stable
parallel safe
as $statement_clock$
    select statement_timestamp()
           + coalesce(nullif(current_setting('sicantik_notify.clock_offset', true), '')::interval, interval '0')
$statement_clock$;
comment on function sicantik_notify.statement_clock() is 'Now, as it was when the statement began';
