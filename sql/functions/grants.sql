-- Rights, each by name; never GRANT ALL. Applied on every migrate, after tables, functions and views.
--
-- The capture role: insert events, count misses. Nothing else, in no schema.
grant usage on schema sicantik_notify to sicantik_notify_capture, sicantik_notifyd, sicantik_notify_viewer;
grant insert on sicantik_notify.event to sicantik_notify_capture;
grant usage on sequence sicantik_notify.event_id_seq, sicantik_notify.miss to sicantik_notify_capture;
grant select on sequence sicantik_notify.awake, sicantik_notify.event_floor to sicantik_notify_capture;

-- The daemon: reads configuration, moves work. No TRIGGER, no REFERENCES, no TRUNCATE, no CREATE, nothing owned.
grant select on sicantik_notify.setting, sicantik_notify.field_alias, sicantik_notify.value_alias, sicantik_notify.noise_column,
    sicantik_notify.trigger, sicantik_notify.rule, sicantik_notify.template, sicantik_notify.template_map,
    sicantik_notify.provider, sicantik_notify.provider_secret, sicantik_notify.config_version,
    sicantik_notify.capture_publication, sicantik_notify.capture_state, sicantik_notify.installation, sicantik_notify.repeatable,
    sicantik_notify.schema_history to sicantik_notifyd;
grant select on sicantik_notify.schema_history to sicantik_notify_viewer; -- the commands look at it first
-- What rule_code and was_given_up look at, which views call for each row.
grant select (id, code) on sicantik_notify.rule to sicantik_notify_viewer;
grant select (id) on sicantik_notify.log_given_up to sicantik_notify_viewer;
grant select (message_id, state) on sicantik_notify.receipt to sicantik_notify_viewer;
grant select, insert, delete on sicantik_notify.event, sicantik_notify.digest to sicantik_notifyd;
grant select, insert, update on sicantik_notify.repeat_mark to sicantik_notifyd;
grant select, insert on sicantik_notify.event_history to sicantik_notifyd;
grant select, insert, update, delete on sicantik_notify.event_set_aside, sicantik_notify.queue, sicantik_notify.instance,
    sicantik_notify.provider_health, sicantik_notify.inbound, sicantik_notify.problem to sicantik_notifyd;
grant select, insert, update, delete on sicantik_notify.capture_plan, sicantik_notify.recipient_pace to sicantik_notifyd;
-- What Meta says of a template, and nothing else of it.
grant update (meta_status, meta_category, meta_named, meta_quality, meta_placeholders, meta_unfit, meta_synced_at)
    on sicantik_notify.template to sicantik_notifyd;
grant select, insert, update on sicantik_notify.attempt to sicantik_notifyd;
grant select, insert on sicantik_notify.log, sicantik_notify.decision to sicantik_notifyd;
grant select on sicantik_notify.event_history, sicantik_notify.repeat_mark, sicantik_notify.digest to sicantik_notifyd; -- explain
grant select, insert, update, delete on sicantik_notify.rate_state, sicantik_notify.rate_usage, sicantik_notify.batch_series,
    sicantik_notify.storm_count to sicantik_notifyd;
grant select, update on sicantik_notify.blacklist to sicantik_notifyd;
-- Campaigns: their state moves by functions only.
grant select on sicantik_notify.campaign to sicantik_notifyd;
grant select, insert on sicantik_notify.campaign_target to sicantik_notifyd;
grant select, insert on sicantik_notify.campaign_delta to sicantik_notifyd;
grant select on sicantik_notify.campaign_count to sicantik_notifyd;
-- Schedules: the leader moves its lease and the state of jobs; what they are and when they run is the operator's.
grant select, update on sicantik_notify.leader to sicantik_notifyd;
grant select on sicantik_notify.cron_job to sicantik_notifyd;
grant select, insert, update on sicantik_notify.cron_state to sicantik_notifyd;
grant select, insert, delete on sicantik_notify.cron_run to sicantik_notifyd;
grant select, delete on sicantik_notify.cron_request to sicantik_notifyd;
grant select, update on sicantik_notify.timeline to sicantik_notifyd;
grant select, insert, update, delete on sicantik_notify.lost_send to sicantik_notifyd;
-- Receipts: the daemon adds.
grant select, insert, update, delete on sicantik_notify.receipt_inbox to sicantik_notifyd;
grant select, insert on sicantik_notify.receipt, sicantik_notify.receipt_alias, sicantik_notify.meta_template_event to sicantik_notifyd;
grant select, insert, delete on sicantik_notify.log_given_up to sicantik_notifyd;
grant select on sicantik_notify.consent, sicantik_notify.inbound_message to sicantik_notifyd;
grant usage on sequence sicantik_notify.event_id_seq, sicantik_notify.message_id_seq, sicantik_notify.claim_token_seq,
    sicantik_notify.attempt_id_seq, sicantik_notify.decision_id_seq to sicantik_notifyd;
grant select, update on sequence sicantik_notify.awake, sicantik_notify.event_floor to sicantik_notifyd;
grant select on sequence sicantik_notify.miss to sicantik_notifyd;
-- Firing and the HTTP API. The hash of a token is what the daemon compares with; tokens are made by people.
grant select, insert, update on sicantik_notify.firing to sicantik_notifyd;
grant select on sicantik_notify.api_token to sicantik_notifyd;
grant select, insert, update on sicantik_notify.api_rate, sicantik_notify.api_request to sicantik_notifyd;
-- Reading the slot: where it stands is the daemon's to write, what it covers is not.
grant select on sicantik_notify.capture_slot, sicantik_notify.capture_slot_table to sicantik_notifyd;
grant update (position, moved_at, transactions, events) on sicantik_notify.capture_slot to sicantik_notifyd;

-- Operators write configuration, except secrets; viewers look.
grant select, insert, update, delete on sicantik_notify.setting, sicantik_notify.field_alias, sicantik_notify.value_alias,
    sicantik_notify.noise_column, sicantik_notify.trigger, sicantik_notify.rule, sicantik_notify.template,
    sicantik_notify.template_map, sicantik_notify.provider to sicantik_notify_operator;
grant select on sicantik_notify.campaign to sicantik_notify_operator;
grant update (code, name, description, rule, target_model, target_domain, template_key) on sicantik_notify.campaign to sicantik_notify_operator;
grant insert, update, delete on sicantik_notify.provider_secret to sicantik_notify_operator;
grant select (provider_id, name, credential) on sicantik_notify.provider_secret to sicantik_notify_operator;
-- `export` and `apply`: numbers in any row, and what the survey of a whole configuration looks at.
grant select, insert, update on sicantik_notify.blacklist to sicantik_notify_operator;
grant select on sicantik_notify.config_version to sicantik_notify_operator;
-- `explain`, `simulate`, `status`, `campaign dry-run`, `backfill`: what the daemon decides by, except secrets. Operators read all of it and write
-- none of it: their functions do.
grant select on sicantik_notify.v_event to sicantik_notify_operator, sicantik_notifyd;
grant select on sicantik_notify.event_history, sicantik_notify.event_set_aside, sicantik_notify.queue,
    sicantik_notify.log, sicantik_notify.attempt, sicantik_notify.decision, sicantik_notify.digest, sicantik_notify.repeat_mark,
    sicantik_notify.instance, sicantik_notify.provider_health, sicantik_notify.problem, sicantik_notify.capture_plan,
    sicantik_notify.firing, sicantik_notify.consent to sicantik_notify_operator;
grant select on sequence sicantik_notify.miss to sicantik_notify_operator;
grant select on sicantik_notify.v_queue, sicantik_notify.v_queue_summary, sicantik_notify.v_log, sicantik_notify.v_attempt,
    sicantik_notify.v_decision, sicantik_notify.v_trigger, sicantik_notify.v_rule, sicantik_notify.v_provider, sicantik_notify.v_template,
    sicantik_notify.v_capture, sicantik_notify.v_problem, sicantik_notify.v_blacklist, sicantik_notify.v_receipt,
    sicantik_notify.receipt_furthest, sicantik_notify.v_cron_job, sicantik_notify.v_cron_run, sicantik_notify.v_instance,
    sicantik_notify.v_campaign, sicantik_notify.v_campaign_progress, sicantik_notify.v_campaign_skipped, sicantik_notify.v_firing,
    sicantik_notify.v_api_token, sicantik_notify.v_failover, sicantik_notify.receipt_given_up, sicantik_notify.queue_waits,
    sicantik_notify.v_daily, sicantik_notify.v_daily_rule, sicantik_notify.v_daily_campaign, sicantik_notify.v_daily_template,
    sicantik_notify.v_daily_provider, sicantik_notify.v_daily_skipped
    to sicantik_notify_viewer, sicantik_notifyd;

-- Functions: nobody by default, whatever an earlier version granted.
do $functions$
declare
    f regprocedure;
begin
    for f in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'sicantik_notify'::regnamespace and p.proowner = 'sicantik_notify_owner'::regrole
    loop
        execute format('revoke all on function %s from public, sicantik_notifyd, sicantik_notify_operator, sicantik_notify_viewer', f);
    end loop;
end
$functions$;
grant execute on function sicantik_notify.clock() to sicantik_notifyd, sicantik_notify_operator, sicantik_notify_viewer;
grant execute on function sicantik_notify.publish_capture(), sicantik_notify.hook_findings(), sicantik_notify.capture_misses(),
    sicantik_notify.host_identity(), sicantik_notify.delivery_permit(text), sicantik_notify.arm(text, text, boolean),
    sicantik_notify.ensure_partitions(timestamptz, integer), sicantik_notify.drop_event_history(timestamptz),
    sicantik_notify.show_phone(text),
    sicantik_notify.host_partner(bigint[]), sicantik_notify.host_group_members(text), sicantik_notify.host_inbound(text[]),
    sicantik_notify.host_reference(text[]),
    sicantik_notify.server_timeline(), sicantik_notify.notice_timeline(), sicantik_notify.receipt_forget(integer), sicantik_notify.inbound_take(bigint, text, text, timestamptz, text),
    sicantik_notify.marketing_choice(text, timestamptz, boolean)
    to sicantik_notifyd;
grant execute on function sicantik_notify.statement_clock(), sicantik_notify.rule_code(bigint), sicantik_notify.was_given_up(bigint),
    sicantik_notify.sees_phones(), sicantik_notify.masked_phone(text), sicantik_notify.office_zone(), sicantik_notify.bucket_time(integer),
    sicantik_notify.statistics(date, date, text) to sicantik_notifyd, sicantik_notify_viewer;
grant execute on function sicantik_notify.statistics_count() to sicantik_notifyd;
grant execute on function sicantik_notify.show_phone(text), sicantik_notify.hook_findings(), sicantik_notify.host_senders(),
    sicantik_notify.server_findings(), sicantik_notify.slot_name() to sicantik_notify_viewer;
grant execute on function sicantik_notify.slot_refusal(), sicantik_notify.slot_name(), sicantik_notify.log_timeline(),
    sicantik_notify.is_secret(text, text) to sicantik_notifyd;
grant execute on function sicantik_notify.host_senders(), sicantik_notify.server_findings() to sicantik_notifyd;
grant execute on function sicantik_notify.host_group_members(text), sicantik_notify.host_reference(text[]),
    sicantik_notify.host_partner(bigint[]), sicantik_notify.host_inbound(text[]), sicantik_notify.blacklisted(text[])
    to sicantik_notify_operator;
grant execute on function sicantik_notify.problem_raise(text, timestamptz, text, text, text) to sicantik_notifyd;
grant execute on function sicantik_notify.office_zone() to sicantik_notifyd, sicantik_notify_viewer;

-- Queue and delivery: what the daemon's statements call, and what operators call.
grant execute on function sicantik_notify.rate_period(text), sicantik_notify.rate_room(bigint),
    sicantik_notify.rate_waits(bigint), sicantik_notify.rate_ready(bigint, integer), sicantik_notify.rate_next(bigint, boolean, bigint),
    sicantik_notify.window_opens(text, text, timestamptz), sicantik_notify.storm_admit(bigint, integer),
    sicantik_notify.batch_take(bigint, text, integer), sicantik_notify.blacklisted(text[]),
    sicantik_notify.retire_partitions(timestamptz) to sicantik_notifyd;
grant execute on function sicantik_notify.rate_period(text), sicantik_notify.window_opens(text, text, timestamptz)
    to sicantik_notify_viewer;
grant execute on function sicantik_notify.normal_phone_part(text), sicantik_notify.normal_phone(text),
    sicantik_notify.blacklist_add(text, text, text), sicantik_notify.blacklist_remove(text)
    to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.queue_process_now(bigint), sicantik_notify.queue_retry(bigint),
    sicantik_notify.queue_cancel(bigint), sicantik_notify.enqueue(text, bigint, text, jsonb, timestamptz),
    sicantik_notify.rule_release(text, bigint), sicantik_notify.rule_discard(text) to sicantik_notify_operator;
grant execute on function sicantik_notify.provider_resume(text) to sicantik_notify_operator;
-- Names and descriptions of jobs are ours: operators change how often and how urgently they run.
grant select, update (active, interval_number, interval_type, priority) on sicantik_notify.cron_job to sicantik_notify_operator;
grant execute on function sicantik_notify.cron_run_now(text), sicantik_notify.cron_enable(text), sicantik_notify.cron_disable(text),
    sicantik_notify.cron_retime(text, integer, text), sicantik_notify.cron_retime(text, text)
    to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.schedule_refusal() to sicantik_notifyd;
grant execute on function sicantik_notify.campaign_create(text, text, text, text, text, timestamptz, text, text),
    sicantik_notify.campaign_schedule(bigint, timestamptz), sicantik_notify.campaign_start(bigint),
    sicantik_notify.campaign_pause(bigint), sicantik_notify.campaign_resume(bigint), sicantik_notify.campaign_cancel(bigint)
    to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.campaign_sends(text), sicantik_notify.campaign_next(bigint, bigint, bigint),
    sicantik_notify.campaign_ahead(bigint, bigint), sicantik_notify.campaign_halt(bigint, text), sicantik_notify.campaign_due(),
    sicantik_notify.campaign_collected(bigint, bigint), sicantik_notify.campaign_not_collected(bigint, text),
    sicantik_notify.campaign_release_begin(bigint), sicantik_notify.campaign_release_end(bigint, bigint[], text[], bigint[]),
    sicantik_notify.campaign_tidy() to sicantik_notifyd;
grant execute on function sicantik_notify.campaign_totals(bigint), sicantik_notify.rule_duration(text, bigint, bigint),
    sicantik_notify.campaign_sends(text) to sicantik_notifyd, sicantik_notify_viewer;
grant execute on function sicantik_notify.campaign_fits(text, text, text) to sicantik_notify_operator; -- the guard of what they change
-- Firing.
grant execute on function sicantik_notify.fire_trigger(text, text, bigint[], jsonb) to sicantik_notify_operator;
grant execute on function sicantik_notify.firing_target(text, text) to sicantik_notifyd, sicantik_notify_operator;
grant execute on function sicantik_notify.fire_records(text, bigint, bigint, text, bigint[], jsonb, jsonb[]),
    sicantik_notify.send_test(text, text, bigint, text, text, jsonb) to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.api_token_create(text, text[], timestamptz, boolean), sicantik_notify.api_token_revoke(text)
    to sicantik_notify_operator;
grant execute on function sicantik_notify.capture_acknowledge(text) to sicantik_notify_operator, sicantik_notifyd;
grant execute on function sicantik_notify.follow_host() to sicantik_notifyd;
