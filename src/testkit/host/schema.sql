-- The tables of an Odoo 18.0 database with the SICANTIK modules, as far as this daemon meets them.
-- Run as the owner, role odoo, in schema public. Types and nullability are those of a real database; differences of
-- saas~18.4 are in saas_18_4.sql. The unique keys of the SICANTIK modules exist on 18.0 only: see there.

create table ir_config_parameter (
    id serial primary key,
    key varchar not null,
    value text not null,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_cron (
    id serial primary key,
    ir_actions_server_id int4 not null,
    user_id int4 not null,
    interval_number int4 not null,
    priority int4,
    failure_count int4,
    cron_name varchar,
    interval_type varchar not null,
    active bool,
    nextcall timestamp not null,
    lastcall timestamp,
    first_failure_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_model (
    id serial primary key,
    model varchar not null,
    "order" varchar not null,
    state varchar,
    name jsonb not null,
    info text,
    transient bool,
    is_mail_thread bool,
    is_mail_activity bool,
    is_mail_blacklist bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_model_data (
    id serial primary key,
    res_id int4,
    noupdate bool default false,
    name varchar not null,
    module varchar not null,
    model varchar not null,
    create_uid int4,
    create_date timestamp default (now() AT TIME ZONE 'UTC'),
    write_date timestamp default (now() AT TIME ZONE 'UTC'),
    write_uid int4
);

create table ir_model_fields (
    id serial primary key,
    relation_field_id int4,
    model_id int4 not null,
    related_field_id int4,
    size int4,
    name varchar not null,
    complete_name varchar,
    model varchar not null,
    relation varchar,
    relation_field varchar,
    ttype varchar not null,
    related varchar,
    state varchar not null,
    on_delete varchar,
    domain varchar,
    relation_table varchar,
    column1 varchar,
    column2 varchar,
    depends varchar,
    currency_field varchar,
    field_description jsonb not null,
    help jsonb,
    compute text,
    copied bool,
    required bool,
    readonly bool,
    index bool,
    translate bool,
    company_dependent bool,
    group_expand bool,
    selectable bool,
    store bool,
    sanitize bool,
    sanitize_overridable bool,
    sanitize_tags bool,
    sanitize_attributes bool,
    sanitize_style bool,
    sanitize_form bool,
    strip_style bool,
    strip_classes bool,
    tracking int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_module_category (
    id serial primary key,
    parent_id int4,
    name jsonb not null,
    sequence int4,
    description jsonb,
    visible bool,
    exclusive bool,
    create_uid int4,
    create_date timestamp,
    write_date timestamp,
    write_uid int4
);

create table ir_module_module (
    id serial primary key,
    website varchar,
    summary jsonb,
    name varchar not null,
    author varchar,
    icon varchar,
    state varchar(16),
    latest_version varchar,
    shortdesc jsonb,
    category_id int4,
    description jsonb,
    application bool default false,
    demo bool default false,
    web bool default false,
    license varchar(32),
    sequence int4 default 100,
    auto_install bool default false,
    to_buy bool default false,
    maintainer varchar,
    published_version varchar,
    url varchar,
    contributors text,
    menus_by_module text,
    reports_by_module text,
    views_by_module text,
    module_type varchar,
    imported bool,
    create_uid int4,
    create_date timestamp,
    write_date timestamp,
    write_uid int4
);

create table mail_followers (
    id serial primary key,
    res_id int4,
    partner_id int4 not null,
    res_model varchar not null
);

create table mail_message (
    id serial primary key,
    parent_id int4,
    res_id int4,
    record_alias_domain_id int4,
    record_company_id int4,
    subtype_id int4,
    mail_activity_type_id int4,
    author_id int4,
    author_guest_id int4,
    mail_server_id int4,
    subject varchar,
    model varchar,
    record_name varchar,
    message_type varchar not null,
    email_from varchar,
    message_id varchar,
    reply_to varchar,
    email_layout_xmlid varchar,
    body text,
    is_internal bool,
    reply_to_force_new bool,
    email_add_signature bool,
    date timestamp,
    pinned_at timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table mail_tracking_value (
    id serial primary key,
    field_id int4,
    old_value_integer int4,
    new_value_integer int4,
    currency_id int4,
    mail_message_id int4 not null,
    old_value_char varchar,
    new_value_char varchar,
    field_info jsonb,
    old_value_text text,
    new_value_text text,
    old_value_datetime timestamp,
    new_value_datetime timestamp,
    old_value_float float8,
    new_value_float float8,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table phone_blacklist (
    id serial primary key,
    number varchar not null,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_company (
    id serial primary key,
    name varchar not null,
    partner_id int4 not null,
    currency_id int4 not null,
    sequence int4,
    parent_path varchar,
    parent_id int4,
    paperformat_id int4,
    external_report_layout_id int4,
    email varchar,
    phone varchar,
    mobile varchar,
    font varchar,
    primary_color varchar,
    secondary_color varchar,
    layout_background varchar not null,
    report_header jsonb,
    report_footer jsonb,
    company_details jsonb,
    active bool,
    uses_default_logo bool,
    logo_web bytea,
    alias_domain_id int4,
    alias_domain_name varchar,
    email_primary_color varchar,
    email_secondary_color varchar,
    partner_gid int4,
    iap_enrich_auto_done bool,
    snailmail_color bool,
    snailmail_cover bool,
    snailmail_duplex bool,
    create_date timestamp,
    create_uid int4,
    write_uid int4,
    write_date timestamp
);

create table res_company_users_rel (
    cid int4 not null,
    user_id int4 not null,
    primary key (cid, user_id)
);
create index res_company_users_rel_user_id_cid_idx on res_company_users_rel (user_id, cid);

create table res_company_whatsapp_account_rel (
    whatsapp_account_id int4 not null,
    res_company_id int4 not null,
    primary key (whatsapp_account_id, res_company_id)
);
create index res_company_whatsapp_account_rel_res_company_id_whatsapp_account_id_idx on res_company_whatsapp_account_rel (res_company_id, whatsapp_account_id);

create table res_country (
    id serial primary key,
    address_view_id int4,
    currency_id int4,
    phone_code int4,
    code varchar(2) not null,
    name_position varchar,
    name jsonb not null,
    vat_label jsonb,
    address_format text,
    state_required bool,
    zip_required bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_groups (
    id serial primary key,
    name jsonb not null,
    category_id int4,
    color int4,
    comment jsonb,
    share bool,
    api_key_duration float8,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_groups_implied_rel (
    gid int4 not null,
    hid int4 not null,
    primary key (gid, hid)
);
create index res_groups_implied_rel_hid_gid_idx on res_groups_implied_rel (hid, gid);

create table res_groups_users_rel (
    gid int4 not null,
    uid int4 not null,
    primary key (gid, uid)
);
create index res_groups_users_rel_uid_gid_idx on res_groups_users_rel (uid, gid);

create table res_lang (
    id serial primary key,
    name varchar not null,
    code varchar not null,
    iso_code varchar,
    url_code varchar not null,
    direction varchar not null,
    date_format varchar not null,
    time_format varchar not null,
    short_time_format varchar not null,
    week_start varchar not null,
    grouping varchar not null,
    decimal_point varchar not null,
    thousands_sep varchar,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_partner (
    id serial primary key,
    company_id int4,
    name varchar,
    title int4,
    parent_id int4,
    user_id int4,
    state_id int4,
    country_id int4,
    industry_id int4,
    color int4,
    commercial_partner_id int4,
    complete_name varchar,
    ref varchar,
    lang varchar,
    tz varchar,
    vat varchar,
    company_registry varchar,
    website varchar,
    "function" varchar,
    type varchar,
    street varchar,
    street2 varchar,
    zip varchar,
    city varchar,
    email varchar,
    phone varchar,
    mobile varchar,
    commercial_company_name varchar,
    company_name varchar,
    barcode jsonb,
    comment text,
    partner_latitude numeric,
    partner_longitude numeric,
    active bool,
    employee bool,
    is_company bool,
    partner_share bool,
    message_bounce int4,
    email_normalized varchar,
    signup_type varchar,
    partner_gid int4,
    additional_info varchar,
    phone_sanitized varchar,
    sicantik_permit_count int4,
    whatsapp_number varchar,
    whatsapp_opt_in bool,
    whatsapp_opt_in_date timestamp,
    create_date timestamp,
    create_uid int4,
    write_uid int4,
    write_date timestamp
);

create table res_partner_category (
    id serial primary key,
    color int4,
    parent_id int4,
    parent_path varchar,
    name jsonb not null,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_partner_res_partner_category_rel (
    category_id int4 not null,
    partner_id int4 not null,
    primary key (category_id, partner_id)
);
create index res_partner_res_partner_category_rel_partner_id_category_id_idx on res_partner_res_partner_category_rel (partner_id, category_id);

create table res_users (
    id serial primary key,
    company_id int4 not null,
    partner_id int4 not null,
    active bool default true,
    login varchar not null,
    password varchar,
    action_id int4,
    signature text,
    share bool,
    totp_secret varchar,
    tour_enabled bool,
    notification_type varchar not null,
    odoobot_state varchar,
    odoobot_failed bool,
    create_date timestamp,
    create_uid int4,
    write_uid int4,
    write_date timestamp
);

create table res_users_whatsapp_account_rel (
    whatsapp_account_id int4 not null,
    res_users_id int4 not null,
    primary key (whatsapp_account_id, res_users_id)
);
create index res_users_whatsapp_account_rel_res_users_id_whatsapp_account_id_idx on res_users_whatsapp_account_rel (res_users_id, whatsapp_account_id);

create table res_users_whatsapp_template_rel (
    whatsapp_template_id int4 not null,
    res_users_id int4 not null,
    primary key (whatsapp_template_id, res_users_id)
);
create index res_users_whatsapp_template_rel_res_users_id_whatsapp_template_id_idx on res_users_whatsapp_template_rel (res_users_id, whatsapp_template_id);

create table sicantik_document (
    id serial primary key,
    permit_id int4 not null,
    permit_type_id int4,
    file_size int4,
    signer_id int4,
    verification_count int4,
    uploaded_by int4,
    document_number varchar not null,
    name varchar not null,
    permit_number varchar,
    original_filename varchar,
    file_hash varchar,
    minio_bucket varchar,
    minio_object_name varchar,
    minio_url varchar,
    state varchar not null,
    signature_method varchar,
    bsre_request_id varchar,
    bsre_signature_id varchar,
    verification_url varchar,
    download_url varchar,
    bsre_certificate text,
    qr_code_data text,
    notes text,
    qr_code_embedded bool,
    signature_date timestamp,
    last_verified_date timestamp,
    upload_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_permit (
    id serial primary key,
    permit_type_id int4,
    partner_id int4,
    days_until_expiry int4,
    original_permit_id int4,
    renewal_permit_id int4,
    registration_id varchar not null,
    permit_number varchar,
    applicant_name varchar,
    permit_type_name varchar not null,
    expiry_status varchar,
    status varchar not null,
    issue_date date,
    expiry_date date,
    received_date date,
    notes text,
    expiry_notified_90 bool,
    expiry_notified_60 bool,
    expiry_notified_30 bool,
    expiry_notified_7 bool,
    is_renewal bool,
    last_sync_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_permit_type (
    id serial primary key,
    code varchar,
    name varchar not null,
    description text,
    active bool,
    last_sync_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_whatsapp_provider (
    id serial primary key,
    sequence int4,
    meta_account_id int4,
    name varchar not null,
    provider_type varchar not null,
    meta_namespace varchar,
    watzap_base_url varchar,
    watzap_api_key varchar,
    watzap_device_id varchar,
    watzap_callback_token varchar,
    fonnte_api_url varchar,
    fonnte_token varchar,
    fonnte_device varchar,
    fonnte_secret varchar,
    credential_state varchar,
    description text,
    last_error_message text,
    active bool,
    is_default bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_whatsapp_template_master (
    id serial primary key,
    parameter_count int4,
    meta_template_id int4,
    usage_count int4,
    template_key varchar not null,
    name varchar not null,
    meta_template_name varchar,
    watzap_template_id varchar,
    watzap_template_name varchar,
    fonnte_template_id varchar,
    fonnte_template_name varchar,
    meta_status varchar,
    watzap_status varchar,
    fonnte_status varchar,
    language varchar not null,
    description text,
    body_preview text not null,
    parameter_list text not null,
    active bool,
    last_used_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table whatsapp_account (
    id serial primary key,
    name varchar not null,
    app_uid varchar not null,
    app_secret varchar not null,
    account_uid varchar not null,
    phone_uid varchar not null,
    token varchar not null,
    webhook_verify_token varchar,
    phone_number varchar,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table whatsapp_message (
    id serial primary key,
    wa_account_id int4,
    wa_template_id int4,
    mail_message_id int4,
    parent_id int4,
    mobile_number varchar,
    mobile_number_formatted varchar,
    msg_uid varchar,
    message_type varchar,
    state varchar,
    failure_type varchar,
    failure_reason varchar,
    free_text_json jsonb,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table whatsapp_template (
    id serial primary key,
    sequence int4,
    wa_account_id int4,
    model_id int4,
    template_name varchar,
    wa_template_uid varchar,
    model varchar,
    phone_field varchar,
    lang_code varchar,
    template_type varchar,
    status varchar,
    quality varchar,
    header_type varchar,
    header_text varchar,
    footer_text varchar,
    name jsonb,
    body text,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table res_currency (
    id serial primary key,
    name varchar not null,
    symbol varchar not null,
    full_name varchar,
    rounding numeric,
    decimal_places int4,
    active bool,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_model_fields_selection (
    id serial primary key,
    field_id int4 not null,
    value varchar not null,
    name jsonb not null,
    sequence int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_model_inherit (
    id serial primary key,
    model_id int4 not null,
    parent_id int4 not null,
    parent_field_id int4
);

create table ir_act_server (
    id serial primary key,
    name jsonb not null,
    type varchar not null,
    model_id int4 not null,
    model_name varchar,
    state varchar not null,
    usage varchar not null,
    code text,
    sequence int4,
    binding_type varchar not null,
    path varchar,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_cron_trigger (
    id serial primary key,
    cron_id int4,
    call_at timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table ir_cron_progress (
    id serial primary key,
    cron_id int4 not null,
    remaining int4,
    done int4,
    deactivate bool,
    timed_out_counter int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table signature_workflow (
    id serial primary key,
    document_id int4 not null,
    document_number varchar,
    permit_number varchar,
    state varchar not null,
    requester_id int4 not null,
    approver_id int4,
    signer_id int4,
    rejected_by int4,
    request_date timestamp,
    approval_date timestamp,
    signature_date timestamp,
    rejection_date timestamp,
    request_notes text,
    approval_notes text,
    signature_notes text,
    rejection_reason text,
    progress float8,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_whatsapp_message_log (
    id serial primary key,
    mobile_number varchar not null,
    partner_id int4,
    provider_type varchar not null,
    provider_id int4,
    message_type varchar not null,
    message_content text,
    template_key varchar,
    template_id int4,
    state varchar not null,
    external_message_id varchar,
    error_message text,
    res_model varchar,
    res_id int4,
    sent_date timestamp,
    delivered_date timestamp,
    read_date timestamp,
    response_data text,
    display_name varchar,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table whatsapp_opt_in_manager (
    id serial primary key,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table whatsapp_template_variable (
    id serial primary key,
    wa_template_id int4 not null,
    name varchar not null,
    line_type varchar not null,
    field_type varchar not null,
    field_name varchar,
    demo_value varchar,
    model varchar,
    button_id int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_trigger (
    id serial primary key,
    name jsonb not null,
    code varchar not null,
    active bool,
    sequence int4,
    description text,
    model_id int4 not null,
    model_name varchar,
    trigger_type varchar not null,
    field_to_watch int4,
    field_to_watch_name varchar,
    state_field varchar,
    state_from varchar,
    state_to varchar,
    cron_expression varchar,
    cron_interval_number int4,
    cron_interval_type varchar,
    condition_domain varchar,
    rule_count int4,
    execution_count int4,
    last_execution_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_rule (
    id serial primary key,
    name jsonb not null,
    active bool,
    sequence int4,
    description text,
    trigger_id int4 not null,
    trigger_code varchar,
    condition_domain varchar,
    condition_python text,
    template_key varchar not null,
    template_master_id int4,
    recipient_type varchar not null,
    recipient_domain varchar,
    recipient_field varchar,
    staff_group_id int4,
    official_group_id int4,
    schedule_type varchar not null,
    scheduled_delay int4,
    batch_size int4,
    batch_interval int4,
    rate_limit_enabled bool,
    rate_limit_count int4,
    rate_limit_period varchar,
    max_retries int4,
    retry_delay int4,
    respect_blacklist bool,
    context_preparation_code text,
    execution_count int4,
    success_count int4,
    failed_count int4,
    last_execution_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_campaign (
    id serial primary key,
    name varchar not null,
    description text,
    rule_id int4 not null,
    target_model varchar not null,
    target_domain varchar not null,
    template_key varchar,
    scheduled_date timestamp,
    state varchar not null,
    total_targets int4,
    total_sent int4,
    total_failed int4,
    total_pending int4,
    progress_percentage float8,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_queue (
    id serial primary key,
    name varchar,
    rule_id int4 not null,
    campaign_id int4,
    partner_id int4 not null,
    partner_name varchar,
    partner_phone varchar,
    permit_id int4,
    document_id int4,
    template_key varchar not null,
    context_values text,
    scheduled_date timestamp not null,
    priority int4,
    state varchar not null,
    sent_date timestamp,
    provider_id int4,
    provider_type varchar,
    external_message_id varchar,
    error_message text,
    retry_count int4,
    max_retries int4,
    next_retry_date timestamp,
    is_blacklisted bool,
    processing_time_ms int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_log (
    id serial primary key,
    display_name varchar,
    rule_id int4,
    campaign_id int4,
    queue_id int4,
    partner_id int4 not null,
    partner_name varchar,
    partner_phone varchar,
    template_key varchar not null,
    context_values text,
    state varchar not null,
    sent_date timestamp not null,
    provider_id int4,
    provider_type varchar,
    external_message_id varchar,
    error_message text,
    processing_time_ms int4,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

create table sicantik_notification_blacklist (
    id serial primary key,
    phone_number varchar not null,
    partner_id int4,
    reason text,
    active bool,
    blocked_count int4,
    last_blocked_date timestamp,
    create_uid int4,
    write_uid int4,
    create_date timestamp,
    write_date timestamp
);

-- Indexes: only those that the modules ask for. Foreign keys get none by themselves.
create index sicantik_permit__registration_id_index on sicantik_permit (registration_id);
create index sicantik_permit__permit_number_index on sicantik_permit (permit_number);
create index sicantik_permit__expiry_date_index on sicantik_permit (expiry_date);
create index sicantik_permit_type__name_index on sicantik_permit_type (name);
create index sicantik_permit_type__code_index on sicantik_permit_type (code);
create index res_partner__name_index on res_partner (name);
create index res_partner__complete_name_index on res_partner (complete_name);
create index res_partner__parent_id_index on res_partner (parent_id);
create index res_partner__commercial_partner_id_index on res_partner (commercial_partner_id);
create index res_partner__company_id_index on res_partner (company_id);
create index res_partner__vat_index on res_partner (vat);
create index res_partner__ref_index on res_partner (ref);
create index res_users__partner_id_index on res_users (partner_id);
create index ir_model_fields__name_index on ir_model_fields (name);
create index ir_model_fields__model_index on ir_model_fields (model);
create index ir_model_fields__state_index on ir_model_fields (state);
create index ir_model_fields__model_id_index on ir_model_fields (model_id);
create index ir_model_fields__complete_name_index on ir_model_fields (complete_name);
create index ir_module_module__state_index on ir_module_module (state);
create index ir_module_module__category_id_index on ir_module_module (category_id);
create index ir_model_fields_selection__field_id_index on ir_model_fields_selection (field_id);
create index mail_message__author_id_index on mail_message (author_id);
create index mail_message__parent_id_index on mail_message (parent_id);
create index mail_tracking_value__mail_message_id_index on mail_tracking_value (mail_message_id);
create index mail_followers__res_id_index on mail_followers (res_id);
create index mail_followers__partner_id_index on mail_followers (partner_id);
create index sicantik_whatsapp_message_log__mobile_number_index on sicantik_whatsapp_message_log (mobile_number);
create index sicantik_whatsapp_message_log__partner_id_index on sicantik_whatsapp_message_log (partner_id);
create index sicantik_whatsapp_message_log__provider_type_index on sicantik_whatsapp_message_log (provider_type);
create index sicantik_whatsapp_message_log__state_index on sicantik_whatsapp_message_log (state);
create index sicantik_whatsapp_message_log__res_model_index on sicantik_whatsapp_message_log (res_model);
create index sicantik_whatsapp_message_log__res_id_index on sicantik_whatsapp_message_log (res_id);
create index sicantik_whatsapp_message_log__display_name_index on sicantik_whatsapp_message_log (display_name);
create index sicantik_notification_campaign__state_index on sicantik_notification_campaign (state);
create index sicantik_notification_queue__scheduled_date_index on sicantik_notification_queue (scheduled_date);
create index sicantik_notification_queue__state_index on sicantik_notification_queue (state);
create index sicantik_notification_log__state_index on sicantik_notification_log (state);
create index sicantik_notification_log__sent_date_index on sicantik_notification_log (sent_date);
create index sicantik_notification_blacklist__phone_number_index on sicantik_notification_blacklist (phone_number);
create index ir_cron_trigger__cron_id_index on ir_cron_trigger (cron_id);
create index ir_cron_trigger__call_at_index on ir_cron_trigger (call_at);
create index whatsapp_template_variable__wa_template_id_index on whatsapp_template_variable (wa_template_id);
create index res_partner_category__parent_path_index on res_partner_category (parent_path);
create unique index ir_model_data_module_name_uniq_index on ir_model_data (module, name);
create index ir_model_data_model_res_id_index on ir_model_data (model, res_id);
create index mail_message_model_res_id_idx on mail_message (model, res_id);
create index res_partner_phone_partial_tgm on res_partner (regexp_replace(phone, '[\s\\./\(\)\-]', '', 'g')) where phone is not null;
create index res_partner_mobile_partial_tgm on res_partner (regexp_replace(mobile, '[\s\\./\(\)\-]', '', 'g')) where mobile is not null;

-- Keys of Odoo itself, on every version.
alter table ir_model add constraint ir_model_obj_name_uniq unique (model);
alter table ir_model_fields add constraint ir_model_fields_name_unique unique (model, name);
alter table ir_config_parameter add constraint ir_config_parameter_key_uniq unique (key);
alter table ir_module_module add constraint ir_module_module_name_uniq unique (name);
alter table res_users add constraint res_users_login_key unique (login);
alter table res_groups add constraint res_groups_name_uniq unique (category_id, name);
alter table res_company add constraint res_company_name_uniq unique (name);
alter table res_lang add constraint res_lang_code_uniq unique (code);
alter table res_lang add constraint res_lang_name_uniq unique (name);
alter table res_lang add constraint res_lang_url_code_uniq unique (url_code);
alter table res_country add constraint res_country_code_uniq unique (code);
alter table res_currency add constraint res_currency_unique_name unique (name);
alter table phone_blacklist add constraint phone_blacklist_unique_number unique (number);
alter table mail_followers add constraint mail_followers_mail_followers_res_partner_res_model_id_uniq unique (res_model, res_id, partner_id);
alter table ir_model_fields_selection add constraint ir_model_fields_selection_selection_field_uniq unique (field_id, value);
alter table ir_model_inherit add constraint ir_model_inherit_uniq unique (model_id, parent_id);
alter table res_partner add constraint res_partner_check_name check ((type = 'contact' and name is not null) or type <> 'contact');
-- Keys of the SICANTIK modules: created up to 18.0, ignored with a warning afterwards.
alter table sicantik_notification_trigger add constraint sicantik_notification_trigger_code_unique unique (code);
alter table sicantik_notification_blacklist add constraint sicantik_notification_blacklist_phone_unique unique (phone_number);

-- Foreign keys: required fields restrict or cascade, others are emptied.
alter table ir_act_server add constraint ir_act_server_model_id_fkey foreign key (model_id) references ir_model on delete cascade;
alter table ir_cron add constraint ir_cron_ir_actions_server_id_fkey foreign key (ir_actions_server_id) references ir_act_server on delete restrict;
alter table ir_cron add constraint ir_cron_user_id_fkey foreign key (user_id) references res_users on delete restrict;
alter table ir_cron_trigger add constraint ir_cron_trigger_cron_id_fkey foreign key (cron_id) references ir_cron on delete cascade;
alter table ir_cron_progress add constraint ir_cron_progress_cron_id_fkey foreign key (cron_id) references ir_cron on delete cascade;
alter table ir_model_fields add constraint ir_model_fields_model_id_fkey foreign key (model_id) references ir_model on delete cascade;
alter table ir_model_fields add constraint ir_model_fields_relation_field_id_fkey foreign key (relation_field_id) references ir_model_fields on delete cascade;
alter table ir_model_fields add constraint ir_model_fields_related_field_id_fkey foreign key (related_field_id) references ir_model_fields on delete cascade;
alter table ir_model_fields_selection add constraint ir_model_fields_selection_field_id_fkey foreign key (field_id) references ir_model_fields on delete cascade;
alter table ir_model_inherit add constraint ir_model_inherit_model_id_fkey foreign key (model_id) references ir_model on delete cascade;
alter table ir_model_inherit add constraint ir_model_inherit_parent_id_fkey foreign key (parent_id) references ir_model on delete cascade;
alter table ir_model_inherit add constraint ir_model_inherit_parent_field_id_fkey foreign key (parent_field_id) references ir_model_fields on delete cascade;
alter table ir_module_category add constraint ir_module_category_parent_id_fkey foreign key (parent_id) references ir_module_category on delete set null;
alter table ir_module_module add constraint ir_module_module_category_id_fkey foreign key (category_id) references ir_module_category on delete set null;
alter table mail_followers add constraint mail_followers_partner_id_fkey foreign key (partner_id) references res_partner on delete cascade;
alter table mail_message add constraint mail_message_parent_id_fkey foreign key (parent_id) references mail_message on delete set null;
alter table mail_message add constraint mail_message_author_id_fkey foreign key (author_id) references res_partner on delete set null;
alter table mail_message add constraint mail_message_record_company_id_fkey foreign key (record_company_id) references res_company on delete set null;
alter table mail_tracking_value add constraint mail_tracking_value_field_id_fkey foreign key (field_id) references ir_model_fields on delete set null;
alter table mail_tracking_value add constraint mail_tracking_value_currency_id_fkey foreign key (currency_id) references res_currency on delete set null;
alter table mail_tracking_value add constraint mail_tracking_value_mail_message_id_fkey foreign key (mail_message_id) references mail_message on delete cascade;
alter table res_company add constraint res_company_partner_id_fkey foreign key (partner_id) references res_partner on delete restrict;
alter table res_company add constraint res_company_currency_id_fkey foreign key (currency_id) references res_currency on delete restrict;
alter table res_company add constraint res_company_parent_id_fkey foreign key (parent_id) references res_company on delete set null;
alter table res_company_users_rel add constraint res_company_users_rel_cid_fkey foreign key (cid) references res_company on delete cascade;
alter table res_company_users_rel add constraint res_company_users_rel_user_id_fkey foreign key (user_id) references res_users on delete cascade;
alter table res_company_whatsapp_account_rel add constraint res_company_whatsapp_account_rel_whatsapp_account_id_fkey foreign key (whatsapp_account_id) references whatsapp_account on delete cascade;
alter table res_company_whatsapp_account_rel add constraint res_company_whatsapp_account_rel_res_company_id_fkey foreign key (res_company_id) references res_company on delete cascade;
alter table res_country add constraint res_country_currency_id_fkey foreign key (currency_id) references res_currency on delete set null;
alter table res_groups add constraint res_groups_category_id_fkey foreign key (category_id) references ir_module_category on delete set null;
alter table res_groups_implied_rel add constraint res_groups_implied_rel_gid_fkey foreign key (gid) references res_groups on delete cascade;
alter table res_groups_implied_rel add constraint res_groups_implied_rel_hid_fkey foreign key (hid) references res_groups on delete cascade;
alter table res_groups_users_rel add constraint res_groups_users_rel_gid_fkey foreign key (gid) references res_groups on delete cascade;
alter table res_groups_users_rel add constraint res_groups_users_rel_uid_fkey foreign key (uid) references res_users on delete cascade;
alter table res_partner add constraint res_partner_company_id_fkey foreign key (company_id) references res_company on delete set null;
alter table res_partner add constraint res_partner_parent_id_fkey foreign key (parent_id) references res_partner on delete set null;
alter table res_partner add constraint res_partner_user_id_fkey foreign key (user_id) references res_users on delete set null;
alter table res_partner add constraint res_partner_country_id_fkey foreign key (country_id) references res_country on delete restrict;
alter table res_partner add constraint res_partner_commercial_partner_id_fkey foreign key (commercial_partner_id) references res_partner on delete set null;
alter table res_partner_category add constraint res_partner_category_parent_id_fkey foreign key (parent_id) references res_partner_category on delete cascade;
alter table res_partner_res_partner_category_rel add constraint res_partner_res_partner_category_rel_category_id_fkey foreign key (category_id) references res_partner_category on delete cascade;
alter table res_partner_res_partner_category_rel add constraint res_partner_res_partner_category_rel_partner_id_fkey foreign key (partner_id) references res_partner on delete cascade;
alter table res_users add constraint res_users_company_id_fkey foreign key (company_id) references res_company on delete restrict;
alter table res_users add constraint res_users_partner_id_fkey foreign key (partner_id) references res_partner on delete restrict;
alter table res_users_whatsapp_account_rel add constraint res_users_whatsapp_account_rel_whatsapp_account_id_fkey foreign key (whatsapp_account_id) references whatsapp_account on delete cascade;
alter table res_users_whatsapp_account_rel add constraint res_users_whatsapp_account_rel_res_users_id_fkey foreign key (res_users_id) references res_users on delete cascade;
alter table res_users_whatsapp_template_rel add constraint res_users_whatsapp_template_rel_whatsapp_template_id_fkey foreign key (whatsapp_template_id) references whatsapp_template on delete cascade;
alter table res_users_whatsapp_template_rel add constraint res_users_whatsapp_template_rel_res_users_id_fkey foreign key (res_users_id) references res_users on delete cascade;
alter table sicantik_document add constraint sicantik_document_permit_id_fkey foreign key (permit_id) references sicantik_permit on delete restrict;
alter table sicantik_document add constraint sicantik_document_permit_type_id_fkey foreign key (permit_type_id) references sicantik_permit_type on delete set null;
alter table sicantik_document add constraint sicantik_document_signer_id_fkey foreign key (signer_id) references res_users on delete set null;
alter table sicantik_document add constraint sicantik_document_uploaded_by_fkey foreign key (uploaded_by) references res_users on delete set null;
alter table sicantik_permit add constraint sicantik_permit_permit_type_id_fkey foreign key (permit_type_id) references sicantik_permit_type on delete set null;
alter table sicantik_permit add constraint sicantik_permit_partner_id_fkey foreign key (partner_id) references res_partner on delete set null;
alter table sicantik_permit add constraint sicantik_permit_original_permit_id_fkey foreign key (original_permit_id) references sicantik_permit on delete set null;
alter table sicantik_permit add constraint sicantik_permit_renewal_permit_id_fkey foreign key (renewal_permit_id) references sicantik_permit on delete set null;
alter table sicantik_whatsapp_provider add constraint sicantik_whatsapp_provider_meta_account_id_fkey foreign key (meta_account_id) references whatsapp_account on delete set null;
alter table sicantik_whatsapp_template_master add constraint sicantik_whatsapp_template_master_meta_template_id_fkey foreign key (meta_template_id) references whatsapp_template on delete set null;
alter table whatsapp_message add constraint whatsapp_message_wa_account_id_fkey foreign key (wa_account_id) references whatsapp_account on delete set null;
alter table whatsapp_message add constraint whatsapp_message_wa_template_id_fkey foreign key (wa_template_id) references whatsapp_template on delete set null;
alter table whatsapp_message add constraint whatsapp_message_mail_message_id_fkey foreign key (mail_message_id) references mail_message on delete set null;
alter table whatsapp_message add constraint whatsapp_message_parent_id_fkey foreign key (parent_id) references whatsapp_message on delete set null;
alter table whatsapp_template add constraint whatsapp_template_wa_account_id_fkey foreign key (wa_account_id) references whatsapp_account on delete set null;
alter table whatsapp_template add constraint whatsapp_template_model_id_fkey foreign key (model_id) references ir_model on delete cascade;
alter table whatsapp_template_variable add constraint whatsapp_template_variable_wa_template_id_fkey foreign key (wa_template_id) references whatsapp_template on delete cascade;
alter table signature_workflow add constraint signature_workflow_document_id_fkey foreign key (document_id) references sicantik_document on delete cascade;
alter table signature_workflow add constraint signature_workflow_requester_id_fkey foreign key (requester_id) references res_users on delete restrict;
alter table signature_workflow add constraint signature_workflow_approver_id_fkey foreign key (approver_id) references res_users on delete set null;
alter table signature_workflow add constraint signature_workflow_signer_id_fkey foreign key (signer_id) references res_users on delete set null;
alter table signature_workflow add constraint signature_workflow_rejected_by_fkey foreign key (rejected_by) references res_users on delete set null;
alter table sicantik_whatsapp_message_log add constraint sicantik_whatsapp_message_log_partner_id_fkey foreign key (partner_id) references res_partner on delete set null;
alter table sicantik_whatsapp_message_log add constraint sicantik_whatsapp_message_log_provider_id_fkey foreign key (provider_id) references sicantik_whatsapp_provider on delete set null;
alter table sicantik_whatsapp_message_log add constraint sicantik_whatsapp_message_log_template_id_fkey foreign key (template_id) references sicantik_whatsapp_template_master on delete set null;
alter table sicantik_notification_trigger add constraint sicantik_notification_trigger_model_id_fkey foreign key (model_id) references ir_model on delete cascade;
alter table sicantik_notification_trigger add constraint sicantik_notification_trigger_field_to_watch_fkey foreign key (field_to_watch) references ir_model_fields on delete set null;
alter table sicantik_notification_rule add constraint sicantik_notification_rule_trigger_id_fkey foreign key (trigger_id) references sicantik_notification_trigger on delete cascade;
alter table sicantik_notification_rule add constraint sicantik_notification_rule_template_master_id_fkey foreign key (template_master_id) references sicantik_whatsapp_template_master on delete set null;
alter table sicantik_notification_rule add constraint sicantik_notification_rule_staff_group_id_fkey foreign key (staff_group_id) references res_groups on delete set null;
alter table sicantik_notification_rule add constraint sicantik_notification_rule_official_group_id_fkey foreign key (official_group_id) references res_groups on delete set null;
alter table sicantik_notification_campaign add constraint sicantik_notification_campaign_rule_id_fkey foreign key (rule_id) references sicantik_notification_rule on delete restrict;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_rule_id_fkey foreign key (rule_id) references sicantik_notification_rule on delete cascade;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_campaign_id_fkey foreign key (campaign_id) references sicantik_notification_campaign on delete set null;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_partner_id_fkey foreign key (partner_id) references res_partner on delete cascade;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_permit_id_fkey foreign key (permit_id) references sicantik_permit on delete set null;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_document_id_fkey foreign key (document_id) references sicantik_document on delete set null;
alter table sicantik_notification_queue add constraint sicantik_notification_queue_provider_id_fkey foreign key (provider_id) references sicantik_whatsapp_provider on delete set null;
alter table sicantik_notification_log add constraint sicantik_notification_log_rule_id_fkey foreign key (rule_id) references sicantik_notification_rule on delete set null;
alter table sicantik_notification_log add constraint sicantik_notification_log_campaign_id_fkey foreign key (campaign_id) references sicantik_notification_campaign on delete set null;
alter table sicantik_notification_log add constraint sicantik_notification_log_queue_id_fkey foreign key (queue_id) references sicantik_notification_queue on delete set null;
alter table sicantik_notification_log add constraint sicantik_notification_log_partner_id_fkey foreign key (partner_id) references res_partner on delete cascade;
alter table sicantik_notification_log add constraint sicantik_notification_log_provider_id_fkey foreign key (provider_id) references sicantik_whatsapp_provider on delete set null;
alter table sicantik_notification_blacklist add constraint sicantik_notification_blacklist_partner_id_fkey foreign key (partner_id) references res_partner on delete set null;

-- The audit columns of every table.
do $$
declare
    found record;
begin
    for found in
        select c.relname, a.attname
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace
          and c.relkind = 'r'
          and a.attname in ('create_uid', 'write_uid')
    loop
        execute format(
            'alter table public.%I add constraint %I foreign key (%I) references public.res_users on delete set null',
            found.relname, found.relname || '_' || found.attname || '_fkey', found.attname);
    end loop;
end
$$;

-- Odoo's signals between its workers, and the numbers of documents.
create sequence base_registry_signaling increment by 1 start with 1;
create sequence base_cache_signaling_default increment by 1 start with 1;
create sequence base_cache_signaling_assets increment by 1 start with 1;
create sequence base_cache_signaling_groups increment by 1 start with 1;
create sequence base_cache_signaling_routing increment by 1 start with 1;
create sequence base_cache_signaling_templates increment by 1 start with 1;
create sequence ir_sequence_sicantik_document increment by 1 start with 1;
