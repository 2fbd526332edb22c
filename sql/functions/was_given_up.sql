-- was_given_up(id): whether a message that log calls sent was given up by its provider afterwards, as receipt_given_up knows it. A function
-- that is declared to cost next to nothing, and not a query within v_log: asked once a message, that would be estimated to cost so much
-- that questions about a few thousand messages are compiled (jit) for longer than it takes to answer them.
create or replace function sicantik_notify.was_given_up(p_id bigint)
returns boolean
language plpgsql
stable
parallel safe
cost 4
as $was_given_up$
begin
    return exists (select from sicantik_notify.log_given_up g
                   where g.id = p_id
                     and not exists (select from sicantik_notify.receipt x where x.message_id = p_id and x.state in ('delivered', 'read')));
end
$was_given_up$;
comment on function sicantik_notify.was_given_up(bigint) is 'Whether message p_id, which was sent, was given up by its provider afterwards';
