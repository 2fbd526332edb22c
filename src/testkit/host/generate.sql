-- Any number of partners, permits and documents, the same for the same seed. {partners}, {permits}, {documents} are counts, {seed} an
-- integer, {today} a date literal. Numbers stand in every notation that clerks type; what Odoo leaves NULL is NULL.
--
-- draw(i, k) is the i-th row's k-th random number, 0 to 999999: a hash, so that no session state matters.
create function pg_temp.draw(i bigint, k int) returns int language sql immutable as
    $$ select ((hashint8extended(i, {seed} * 1000 + k) % 1000000) + 1000000)::int % 1000000 $$;

create temporary table fixture_base as
select
    (select coalesce(max(id), 0) from res_partner) as partner,
    (select coalesce(max(id), 0) from sicantik_permit) as permit,
    (select coalesce(max(id), 0) from sicantik_document) as document;
-- Fresh statistics here and below: with none the planner takes one row for thousands, and joins by nested loops over whole tables.
analyze fixture_base;

with drawn as materialized (
    select
        b.partner + i as id, i,
        (array['Budi', 'Siti', 'Agus', 'Dewi', 'Eko', 'Rina', 'Joko', 'Maria', 'Andi', 'Lestari'])[1 + pg_temp.draw(i, 1) % 10] || ' '
            || (array['Santoso', 'Ginting', 'Sembiring', 'Tarigan', 'Wijaya', 'Karo-Karo', 'Perangin-angin', 'Sitepu', 'Barus', 'Purba'])[1 + pg_temp.draw(i, 2) % 10]
            || ' ' || i as name,
        -- Unique by i: 812 and nine digits.
        '812' || lpad((100000000 + (i * 7919) % 800000000)::text, 9, '0') as national,
        pg_temp.draw(i, 3) % 100 as notation,
        pg_temp.draw(i, 4) % 100 as habit
    from fixture_base b, generate_series(1, {partners}) as i
),
typed as (
    select *,
        case
            when notation < 40 then '0' || national
            when notation < 55 then '0' || substr(national, 1, 3) || '-' || substr(national, 4, 4) || '-' || substr(national, 8)
            when notation < 65 then '+62 ' || substr(national, 1, 3) || '-' || substr(national, 4, 4) || '-' || substr(national, 8)
            when notation < 80 then '62' || national
            when notation < 84 then '+6262' || national
            when notation < 88 then '0' || substr(national, 1, 3) || '.' || substr(national, 4, 4) || '.' || substr(national, 8)
            when notation < 90 then '+44 7911 ' || lpad((i % 1000000)::text, 6, '0')
            when notation < 92 then 'hub. ' || substr(national, 1, 4)
            when notation < 95 then ''
        end as number,
        case
            when notation < 80 or notation between 84 and 87 then '+62' || national
            when notation between 88 and 89 then '+447911' || lpad((i % 1000000)::text, 6, '0')
        end as sanitized
    from drawn
)
insert into res_partner
    (id, name, complete_name, phone, phone_sanitized, whatsapp_number, whatsapp_opt_in, active, is_company, commercial_partner_id, type, lang,
     country_id, partner_share, color, message_bounce, create_uid, write_uid, create_date, write_date)
select id, name, name, number, sanitized,
    case when notation >= 95 and habit < 60 or habit < 10 then '+62' || national end,
    case when habit < 5 then true when habit < 10 then false end,
    habit < 98, false, id, 'contact', 'id_ID', 100, true, 0, 0, 1, 1, {t0} - habit * interval '1 day', {t0} - habit * interval '1 day'
from typed;

do $$
begin
    if exists (select from pg_attribute where attrelid = 'public.res_partner'::regclass and attname = 'mobile' and not attisdropped) then
        update public.res_partner set mobile = phone, phone = null
        where id > (select partner from fixture_base) and id % 3 <> 0;
    end if;
end
$$;

analyze res_partner;

with span as materialized (
    select b.*, (select count(*) from res_partner where id > b.partner) as count, (select max(id) from res_partner) as last from fixture_base b
),
drawn as materialized (
    select
        s.permit + i as id, i, pg_temp.draw(i, 11) % 100 as fate, 1 + pg_temp.draw(i, 12) % 2 as kind, pg_temp.draw(i, 13) % 100 as gaps,
        pg_temp.draw(i, 14) % 1200 - 200 as days,
        case
            when s.count > 0 then s.partner + 1 + (pg_temp.draw(i, 15)::bigint * 1000003 + i) % s.count
            else 10 + pg_temp.draw(i, 15) % 10
        end::int as partner
    from span s, generate_series(1, {permits}) as i
),
shaped as (
    select *,
        case
            when fate < 4 then 'draft' when fate < 84 then case when days < 0 then 'expired' else 'active' end
            when fate < 90 then 'renewed' when fate < 94 then 'cancelled' else 'active'
        end as status,
        case when gaps >= 8 then {today}::date + days end as expiry
    from drawn
)
insert into sicantik_permit
    (id, registration_id, permit_number, applicant_name, permit_type_id, permit_type_name, partner_id, status, issue_date, received_date,
     expiry_date, days_until_expiry, expiry_status, last_sync_date, create_uid, write_uid, create_date, write_date)
select
    s.id, 'REG-G{seed}-' || lpad(s.id::text, 8, '0'),
    case when status <> 'draft' then 'GEN/' || lpad(s.id::text, 8, '0') || '/2025' end,
    case when gaps < 95 then p.name when gaps < 98 then split_part(p.name, ' ', 1) end,
    case when gaps % 10 <> 0 then kind end,
    case kind when 1 then 'Surat Izin Praktik Dokter' else 'Izin Mendirikan Bangunan' end,
    case when gaps % 20 <> 7 then s.partner end,
    status, expiry - 365, expiry - 380, expiry, coalesce(expiry - {today}::date, 0),
    case
        when expiry is null then null when expiry < {today}::date then 'expired' when expiry <= {today}::date + 30 then 'critical'
        when expiry <= {today}::date + 60 then 'warning' else 'ok'
    end,
    date_trunc('second', {t0}), 1, 1, {t0} - (gaps + 1) * interval '1 hour', {t0} - (gaps + 1) * interval '1 hour'
from shaped s
left join res_partner p on p.id = s.partner;

analyze sicantik_permit;

with span as materialized (
    select b.*, (select count(*) from sicantik_permit where id > b.permit) as count from fixture_base b
)
insert into sicantik_document
    (id, document_number, name, permit_id, permit_number, permit_type_id, state, minio_bucket, minio_object_name, verification_count,
     create_uid, write_uid, create_date, write_date)
select
    s.document + i, 'DOC/2025/' || lpad((s.document + i)::text, 8, '0'), 'Dokumen ' || p.permit_type_name, p.id, p.permit_number, p.permit_type_id,
    (array['draft', 'uploaded', 'pending_signature', 'signed', 'verified', 'rejected', 'cancelled'])[1 + pg_temp.draw(i, 21) % 7],
    'sicantik-documents', 'permits/' || (s.document + i) || '.pdf', 0, 6, 6, p.create_date, p.write_date
from span s
cross join generate_series(1, {documents}) as i
join sicantik_permit p on p.id = case when s.count > 0 then s.permit + 1 + (i - 1) % s.count else 1 + (i - 1) % 20 end::int;

drop table fixture_base;
drop function pg_temp.draw(bigint, int);
