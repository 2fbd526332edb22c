-- What saas~18.4 has otherwise than 18.0. Run after schema.sql, before any data.
alter table res_partner drop column mobile;
alter table res_company drop column mobile;
-- Unique keys of modules that still declare them the old way are ignored there: duplicates are possible.
alter table sicantik_notification_trigger drop constraint sicantik_notification_trigger_code_unique;
alter table sicantik_notification_blacklist drop constraint sicantik_notification_blacklist_phone_unique;
-- The signals moved from sequences to small tables.
drop sequence base_registry_signaling, base_cache_signaling_default, base_cache_signaling_assets,
    base_cache_signaling_groups, base_cache_signaling_routing, base_cache_signaling_templates;
create table orm_signaling_registry (id serial primary key, date timestamp default now());
create table orm_signaling_default (id serial primary key, date timestamp default now());
create table orm_signaling_groups (id serial primary key, date timestamp default now());
insert into orm_signaling_registry default values;
insert into orm_signaling_default default values;
insert into orm_signaling_groups default values;
