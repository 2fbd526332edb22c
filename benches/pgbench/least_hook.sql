-- The least that a trigger can do that keeps what evaluation needs: no guard against errors, no limits, no look at whether anything
-- relevant changed before the rows are walked.
create schema least;
create table least.event (
    id          bigint generated always as identity primary key,
    record_id   bigint not null,
    xact        xid8 not null default pg_current_xact_id(),
    occurred_at timestamptz not null default clock_timestamp(),
    op          "char" not null,
    model       text not null,
    changed     text[],
    old         jsonb,
    new         jsonb
);
create index on least.event (record_id);
create function least.capture() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into least.event (model, record_id, op, changed, old, new)
    select 'sicantik.permit', n.id, 'U', array['status'], jsonb_build_object('status', o.status),
           jsonb_build_object('applicant_name', n.applicant_name, 'expiry_date', n.expiry_date, 'issue_date', n.issue_date,
                              'partner_id', n.partner_id, 'permit_number', n.permit_number, 'permit_type_name', n.permit_type_name,
                              'registration_id', n.registration_id, 'status', n.status)
    from new_rows n
    join old_rows o on o.id = n.id
    where o.status is distinct from n.status;
    return null;
end
$$;
create trigger least after update on public.sicantik_permit referencing old table as old_rows new table as new_rows
    for each statement execute function least.capture();
