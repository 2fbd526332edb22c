-- Columns that one recorded database has and no published version of the module does: they show why the daemon probes.
alter table sicantik_permit add column state varchar, add column active bool;
alter table sicantik_permit_type alter column name type jsonb using jsonb_build_object('en_US', name);
