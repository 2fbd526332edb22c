-- v_blacklist: numbers that get nothing by our own list (SICANTIK guide: Daftar Hitam); the host's phone_blacklist counts too.
create view sicantik_notify.v_blacklist as
select sicantik_notify.show_phone(b.phone) as phone, b.active, b.reason, b.source, b.blocked_count, b.last_blocked_date,
       b.created_at, b.changed_at
from sicantik_notify.blacklist b;
comment on view sicantik_notify.v_blacklist is 'Daftar hitam: numbers that get nothing; those of Odoo''s phone_blacklist get nothing either';
