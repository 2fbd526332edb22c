-- What a question of the views needs to be answered from an index, and the daily counts (Statistik).
-- Locks: SHARE on the partitions of log, attempt, decision and on receipt while their indexes are built, some seconds a million rows:
-- messages are not settled meanwhile; ACCESS EXCLUSIVE on receipt for an instant (columns without a rewrite); nothing on event, which
-- hooks write.

-- log: newest first, and newest first by what people ask for: by time as v_log, by id as v_queue. What
-- was sent is nearly all of it, and needs no index of its own.
create index log_finished_at_idx on sicantik_notify.log (finished_at);
create index log_not_sent_idx on sicantik_notify.log (state, finished_at) where state <> 'sent';
create index log_not_sent_id_idx on sicantik_notify.log (state, id) where state <> 'sent';
create index log_rule_idx on sicantik_notify.log (rule_code, finished_at);
create index log_rule_id_idx on sicantik_notify.log (rule_code, id);
create index log_partner_idx on sicantik_notify.log (partner_id, finished_at) where partner_id is not null;
drop index sicantik_notify.log_campaign_idx;
create index log_campaign_idx on sicantik_notify.log (campaign_id, finished_at) where campaign_id is not null;
create index log_campaign_id_idx on sicantik_notify.log (campaign_id, id) where campaign_id is not null;

-- masked_phone(number): in a migration and not among the repeatable functions, since an index rests on it.
create function sicantik_notify.masked_phone(p_phone text)
returns text
language sql
immutable
strict
parallel safe
return left(p_phone, 5) || '****' || right(p_phone, 3);
comment on function sicantik_notify.masked_phone(text) is 'A phone number as viewers see it: p_phone without its middle';
create index log_masked_phone_idx on sicantik_notify.log (sicantik_notify.masked_phone(phone));

create index attempt_started_at_idx on sicantik_notify.attempt (started_at);
create index attempt_outcome_idx on sicantik_notify.attempt (coalesce(outcome, 'open'), started_at)
    where coalesce(outcome, 'open') <> 'accepted';

create index decision_decided_at_idx on sicantik_notify.decision (decided_at);
create index decision_outcome_idx on sicantik_notify.decision (outcome, decided_at) where outcome <> 'enqueued';
create index decision_rule_idx on sicantik_notify.decision (rule_code, decided_at);
create index decision_partner_idx on sicantik_notify.decision (partner_id, decided_at) where partner_id is not null;
create index decision_xact_idx on sicantik_notify.decision (xact);

create index receipt_failed_idx on sicantik_notify.receipt (received_at) where state = 'failed';
alter table sicantik_notify.receipt add column xact xid8 not null default pg_current_xact_id();
comment on column sicantik_notify.receipt.xact is 'Our transaction that matched it: which receipts the daily counts have not seen';
create index receipt_xact_idx on sicantik_notify.receipt (xact);

-- Rows of log are never changed. Those that v_log shows as failed instead of sent stand here a second time, as it shows them, so that
-- failures can be found by an index like everything else.
create table sicantik_notify.log_given_up (like sicantik_notify.log including comments, primary key (id));
create index log_given_up_finished_at_idx on sicantik_notify.log_given_up (finished_at);
create index log_given_up_rule_idx on sicantik_notify.log_given_up (rule_code, finished_at);
create index log_given_up_record_idx on sicantik_notify.log_given_up (model, record_id);
create index log_given_up_partner_idx on sicantik_notify.log_given_up (partner_id, finished_at) where partner_id is not null;
create index log_given_up_campaign_idx on sicantik_notify.log_given_up (campaign_id, finished_at) where campaign_id is not null;
create index log_given_up_phone_idx on sicantik_notify.log_given_up (phone);
create index log_given_up_masked_phone_idx on sicantik_notify.log_given_up (sicantik_notify.masked_phone(phone));
comment on table sicantik_notify.log_given_up is
    'Messages that log calls sent and that their provider gave up afterwards: state, code and error as they are since then. '
    'One that arrived all the same does not count (receipt_given_up)';
comment on column sicantik_notify.log_given_up.state is 'failed';
comment on column sicantik_notify.log_given_up.code is 'The provider''s code, of the receipt';
comment on column sicantik_notify.log_given_up.error is 'The provider''s words, of the receipt';
insert into sicantik_notify.log_given_up (id, finished_at, state, rule_id, rule_code, trigger_code, event_id, model, record_id, partner_id,
    partner_name, phone, template_key, context, provider_id, provider_type, external_id, code, error, tries, possible_duplicate, changed_at,
    created_at, sent_at, processing_time_ms, retry_of, campaign_id)
select distinct on (l.id) l.id, l.finished_at, 'failed', l.rule_id, l.rule_code, l.trigger_code, l.event_id, l.model, l.record_id,
       l.partner_id, l.partner_name, l.phone, l.template_key, l.context, l.provider_id, l.provider_type, l.external_id,
       coalesce(f.code, l.code), coalesce(f.error, l.error), l.tries, l.possible_duplicate, l.changed_at, l.created_at, l.sent_at,
       l.processing_time_ms, l.retry_of, l.campaign_id
from sicantik_notify.receipt f
join sicantik_notify.log l on l.id = f.message_id and l.state = 'sent'
where f.state = 'failed'
  and not exists (select from sicantik_notify.receipt x where x.message_id = f.message_id and x.state in ('delivered', 'read'))
  and not exists (select from sicantik_notify.attempt a where a.message_id = f.message_id and a.id > f.attempt_id)
order by l.id, f.attempt_id desc;

-- Statistik: what each day came to. Counted from log, receipts and decisions by the job count_statistics, a whole day at a time in one
-- transaction, so a day may be counted again as often as it changes; kept when the months of log are dropped.
create table sicantik_notify.statistic (
    day                 date not null,
    rule_code           text not null,
    campaign_id         bigint not null,
    template_key        text not null,
    provider_id         bigint not null,
    provider_type       text,
    messages            bigint not null,
    sent                bigint not null,
    delivered           bigint not null,
    read                bigint not null,
    failed              bigint not null,
    given_up            bigint not null,
    cancelled           bigint not null,
    skipped             bigint not null,
    possible_duplicates bigint not null,
    repeats             bigint not null,
    tries               bigint not null,
    primary key (day, rule_code, campaign_id, template_key, provider_id)
);
comment on table sicantik_notify.statistic is
    'Statistik: what the finished messages of each day came to, counted by the job count_statistics';
comment on column sicantik_notify.statistic.day is 'Day on which they were finished, in the office''s time zone';
comment on column sicantik_notify.statistic.rule_code is 'Rule; empty: none';
comment on column sicantik_notify.statistic.campaign_id is 'Campaign; 0: none';
comment on column sicantik_notify.statistic.template_key is 'Template that was used';
comment on column sicantik_notify.statistic.provider_id is 'Provider of the last attempt; 0: none was asked';
comment on column sicantik_notify.statistic.provider_type is 'meta, fonnte or watzap';
comment on column sicantik_notify.statistic.messages is 'Messages that were finished: sent + failed + cancelled + skipped';
comment on column sicantik_notify.statistic.sent is 'A provider took them, and did not give them up afterwards';
comment on column sicantik_notify.statistic.delivered is 'Of sent: a receipt says that they arrived';
comment on column sicantik_notify.statistic.read is 'Of delivered: a receipt says that they were read';
comment on column sicantik_notify.statistic.failed is 'Not sent, or given up afterwards';
comment on column sicantik_notify.statistic.given_up is 'Of failed: a provider had taken them first';
comment on column sicantik_notify.statistic.cancelled is 'Cancelled by a person';
comment on column sicantik_notify.statistic.skipped is 'Skipped: the number is on a blacklist';
comment on column sicantik_notify.statistic.possible_duplicates is 'It may have been sent twice';
comment on column sicantik_notify.statistic.repeats is 'Repetitions of a message that had ended before';
comment on column sicantik_notify.statistic.tries is 'Failed tries before the end, of all of them';

create table sicantik_notify.statistic_time (
    day          date not null,
    kind         text not null check (kind in ('sent', 'delivered')),
    rule_code    text not null,
    campaign_id  bigint not null,
    template_key text not null,
    provider_id  bigint not null,
    bucket       smallint not null,
    messages     bigint not null,
    primary key (day, kind, rule_code, campaign_id, template_key, provider_id, bucket)
);
comment on table sicantik_notify.statistic_time is
    'How long messages took from the change to their sending and to their arrival, as histograms: those of several rules or days add up, '
    'percentiles do not';
comment on column sicantik_notify.statistic_time.day is 'As in statistic';
comment on column sicantik_notify.statistic_time.kind is 'sent: until a provider took it; delivered: until it arrived';
comment on column sicantik_notify.statistic_time.rule_code is 'As in statistic';
comment on column sicantik_notify.statistic_time.campaign_id is 'As in statistic';
comment on column sicantik_notify.statistic_time.template_key is 'As in statistic';
comment on column sicantik_notify.statistic_time.provider_id is 'As in statistic';
comment on column sicantik_notify.statistic_time.bucket is 'Eight of them double the time: bucket b holds up to 2^(b/8) milliseconds';
comment on column sicantik_notify.statistic_time.messages is 'How many took so long';

create table sicantik_notify.statistic_skip (
    day         date not null,
    rule_code   text not null,
    campaign_id bigint not null,
    source      text not null check (source in ('decision', 'message')),
    reason      text not null,
    people      bigint not null,
    skipped     boolean not null generated always as (reason not in ('trigger_condition', 'rule_condition', 'no_rule', 'grouped')
                                                      or (reason = 'rule_condition' and campaign_id <> 0)) stored,
    primary key (day, rule_code, campaign_id, source, reason)
);
comment on table sicantik_notify.statistic_skip is
    'Why there was no message, or it was not sent: each day''s decisions and skipped messages, by reason';
comment on column sicantik_notify.statistic_skip.day is 'Day of the decision, or on which the message was finished';
comment on column sicantik_notify.statistic_skip.rule_code is 'Rule; empty: none';
comment on column sicantik_notify.statistic_skip.campaign_id is 'Campaign; 0: none';
comment on column sicantik_notify.statistic_skip.source is 'decision: no message was made; message: it ended as skipped';
comment on column sicantik_notify.statistic_skip.reason is 'outcome of the decision, or code of the message (blacklisted)';
comment on column sicantik_notify.statistic_skip.people is 'How many';
comment on column sicantik_notify.statistic_skip.skipped is
    'Somebody was meant and got nothing: a condition that is not met is no skipping, but for a target of a campaign';

create table sicantik_notify.statistic_day (
    day        date primary key,
    changed    boolean not null default true,
    counted_at timestamptz,
    took       interval not null default '0',
    finished   bigint not null default 0,
    decided    bigint not null default 0
) with (fillfactor = 70);
comment on table sicantik_notify.statistic_day is 'Which days were counted, when, and which have changed since';
comment on column sicantik_notify.statistic_day.day is 'Day, in the office''s time zone';
comment on column sicantik_notify.statistic_day.changed is 'It has to be counted (again)';
comment on column sicantik_notify.statistic_day.counted_at is 'When it was counted last';
comment on column sicantik_notify.statistic_day.took is
    'How long that took: a day is counted again after twenty times as long at the earliest';
comment on column sicantik_notify.statistic_day.finished is 'Rows of log that were counted';
comment on column sicantik_notify.statistic_day.decided is 'Rows of decision that were counted';

create table sicantik_notify.statistic_state (
    only_row      boolean primary key default true check (only_row),
    receipts_from xid8 not null,
    timezone      text not null
);
comment on table sicantik_notify.statistic_state is 'How far the daily counts have looked at receipts';
comment on column sicantik_notify.statistic_state.only_row is 'There is one row';
comment on column sicantik_notify.statistic_state.receipts_from is
    'Every receipt of an older transaction has marked its day: later transactions may have committed unseen';
comment on column sicantik_notify.statistic_state.timezone is 'Time zone in which days were counted last';
-- The receipts that there are belong to days that were never counted.
insert into sicantik_notify.statistic_state (receipts_from, timezone)
values ((pg_current_xact_id()::text::numeric + 1)::text::xid8, 'Asia/Jakarta');

insert into sicantik_notify.setting (key, value, description) values
    ('statistics_days', '1095', 'Days that the daily counts (v_daily and its like) are kept; 0: for ever');
insert into sicantik_notify.cron_job (code, name, interval_number, interval_type, priority, model, method, description) values
    ('count_statistics', 'Notifyd: Count Statistics', 1, 'minutes', 1, 'sicantik_notify.statistic', 'statistics_count',
     'Counts the days on which something changed, late receipts too, for v_daily and its like');
