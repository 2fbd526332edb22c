-- Default data (SICANTIK guide §3.2, §4.3), run by `migrate`: each part once, and only where its table is empty, so that nothing
-- that an administrator changed or removed comes back. `repeatable` remembers which parts were offered.
--
-- The triggers are active as in the guide. The rules are inactive: they send to citizens and officials, and the first
-- message should leave because somebody wanted it to.
do $defaults$
begin
    if not exists (select from sicantik_notify.trigger)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/trigger') then
        insert into sicantik_notify.trigger (code, name, sequence, model, trigger_type, state_field, state_from, state_to,
                                             condition_domain, interval_number, interval_type, description) values
            ('permit_state_change', 'Status Izin Berubah', 10, 'sicantik.permit', 'on_state_change', 'state', null, null,
             null, null, null, 'Status sebuah izin berubah.'),
            ('permit_expiring', 'Izin Mendekati Masa Berlaku', 20, 'sicantik.permit', 'cron', 'state', null, null,
             '[(''state'', ''='', ''approved''), (''expiry_date'', ''>='', context_today().strftime(''%Y-%m-%d'')), '
             '(''expiry_date'', ''<='', (context_today() + timedelta(days=30)).strftime(''%Y-%m-%d''))]',
             1, 'days', 'Izin akan berakhir dalam 30 hari.'),
            ('document_uploaded', 'Dokumen Baru Diupload', 30, 'sicantik.document', 'on_state_change', 'state', 'draft', 'uploaded',
             null, null, null, 'Sebuah dokumen baru diupload.'),
            ('document_pending_signature', 'Dokumen Perlu Ditandatangani', 40, 'sicantik.document', 'on_state_change', 'state', null,
             'pending_signature', null, null, null, 'Sebuah dokumen menunggu tanda tangan.'),
            ('document_signed', 'Dokumen Sudah Ditandatangani', 50, 'sicantik.document', 'on_state_change', 'state', null, 'signed',
             null, null, null, 'Sebuah dokumen sudah ditandatangani.'),
            ('document_pending_reminder', 'Reminder Dokumen Pending', 60, 'sicantik.document', 'cron', 'state', null, null,
             '[(''state'', ''='', ''pending_signature''), '
             '(''create_date'', ''<'', (datetime.now() - timedelta(hours=24)).strftime(''%Y-%m-%d %H:%M:%S''))]',
             1, 'days', 'Dokumen menunggu tanda tangan lebih dari 24 jam.');
        -- Permits that a synchronisation brings are created active: for them the natural event is their number.
        insert into sicantik_notify.trigger (code, name, active, sequence, model, trigger_type, field_to_watch, field_change, description)
        values ('permit_issued', 'Izin Terbit', false, 70, 'sicantik.permit', 'on_field_change', 'permit_number', 'set',
                'Nomor izin terisi, juga saat izin dibuat oleh sinkronisasi.');
    end if;

    if not exists (select from sicantik_notify.template)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/template') then
        insert into sicantik_notify.template (template_key, name, parameters, meta_name, body) values
            ('permit_ready', 'Izin Selesai Diproses', '{partner_name,permit_number,permit_type,status}', 'izin_selesai_diproses',
             E'Yth. {{partner_name}},\n\nIzin Anda nomor {{permit_number}} ({{permit_type}}) telah selesai diproses dengan status {{status}}.\n\nSilakan mengambil dokumen izin di kantor DPMPTSP.'),
            ('izin_selesai_diproses', 'Izin Selesai Diproses (Utility)', '{partner_name,permit_number,permit_type,status,completion_date}', 'izin_selesai_diproses',
             E'Yth. {{partner_name}},\n\nDengan hormat kami sampaikan bahwa izin nomor {{permit_number}} ({{permit_type}}) telah selesai diproses dengan status {{status}} pada tanggal {{completion_date}}.'),
            ('permit_reminder', 'Peringatan Masa Berlaku Izin', '{partner_name,permit_number,permit_type,expiry_date,days_remaining,renewal_link,contact_info}', 'peringatan_masa_berlaku_izin',
             E'Yth. {{partner_name}},\n\nIzin nomor {{permit_number}} ({{permit_type}}) akan berakhir pada {{expiry_date}}, {{days_remaining}} hari lagi.\n\nPerpanjangan: {{renewal_link}}\nInformasi: {{contact_info}}'),
            ('izin_peringatan_berlaku', 'Peringatan Masa Berlaku Izin (Utility)', '{partner_name,permit_number,permit_type,expiry_date,days_remaining,renewal_link,contact_info}', 'izin_peringatan_berlaku',
             E'Yth. {{partner_name}},\n\nDengan hormat kami ingatkan bahwa izin nomor {{permit_number}} ({{permit_type}}) berlaku sampai {{expiry_date}} ({{days_remaining}} hari lagi).\n\nPerpanjangan: {{renewal_link}}\nInformasi: {{contact_info}}'),
            ('status_update', 'Update Status Perizinan', '{partner_name,permit_number,permit_type,new_status,update_date}', 'update_status_perizinan',
             E'Yth. {{partner_name}},\n\nStatus izin nomor {{permit_number}} ({{permit_type}}) berubah menjadi {{new_status}} pada {{update_date}}.'),
            ('izin_update_status', 'Update Status Perizinan (Utility)', '{partner_name,permit_number,permit_type,new_status,update_date,update_reason}', 'izin_update_status',
             E'Yth. {{partner_name}},\n\nStatus izin nomor {{permit_number}} ({{permit_type}}) berubah menjadi {{new_status}} pada {{update_date}}.\nKeterangan: {{update_reason}}'),
            ('renewal_approved', 'Perpanjangan Izin Disetujui', '{partner_name,permit_number,permit_type,new_expiry_date}', 'perpanjangan_izin_disetujui',
             E'Yth. {{partner_name}},\n\nPerpanjangan izin nomor {{permit_number}} ({{permit_type}}) telah disetujui. Izin berlaku sampai {{new_expiry_date}}.'),
            ('izin_perpanjangan_disetujui', 'Perpanjangan Izin Disetujui (Utility)', '{partner_name,permit_number,permit_type,new_expiry_date,approval_date}', 'izin_perpanjangan_disetujui',
             E'Yth. {{partner_name}},\n\nPerpanjangan izin nomor {{permit_number}} ({{permit_type}}) disetujui pada {{approval_date}} dan berlaku sampai {{new_expiry_date}}.'),
            ('document_pending', 'Dokumen Baru untuk Tandatangan', '{jumlah,jenis_izin,nama_pemohon,pendaftaran_id,link_dashboard}', 'dokumen_baru_untuk_tandatangan',
             E'Ada {{jumlah}} dokumen menunggu tanda tangan.\n\nJenis izin: {{jenis_izin}}\nPemohon: {{nama_pemohon}}\nPendaftaran: {{pendaftaran_id}}\n\n{{link_dashboard}}'),
            ('izin_dokumen_baru', 'Dokumen Baru (Utility)', '{staff_name,permit_type,applicant_name,registration_id,document_date}', 'izin_dokumen_baru',
             E'Yth. {{staff_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} (pendaftaran {{registration_id}}, tanggal {{document_date}}) menunggu tindakan Anda.'),
            ('approval_required', 'Dokumen Perlu Approval', '{nama_pejabat,jenis_izin,nama_pemohon,permit_number,approval_link}', 'dokumen_perlu_approval',
             E'Yth. {{nama_pejabat}},\n\nDokumen {{jenis_izin}} atas nama {{nama_pemohon}} (nomor {{permit_number}}) memerlukan persetujuan Anda:\n{{approval_link}}'),
            ('izin_perlu_approval', 'Dokumen Perlu Approval (Utility)', '{official_name,permit_type,applicant_name,permit_number,request_date,approval_link}', 'izin_perlu_approval',
             E'Yth. {{official_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} (nomor {{permit_number}}), diajukan {{request_date}}, memerlukan persetujuan Anda:\n{{approval_link}}'),
            ('reminder', 'Reminder Dokumen Pending', '{jumlah,jenis_izin,nama_pemohon,waktu_pending,link_dashboard}', 'reminder_dokumen_pending',
             E'Pengingat: {{jumlah}} dokumen belum diproses.\n\nJenis izin: {{jenis_izin}}\nPemohon: {{nama_pemohon}}\nMenunggu sejak: {{waktu_pending}}\n\n{{link_dashboard}}'),
            ('izin_reminder', 'Reminder Dokumen Pending (Utility)', '{staff_name,permit_type,applicant_name,pending_since,pending_duration}', 'izin_reminder',
             E'Yth. {{staff_name}},\n\nDokumen {{permit_type}} atas nama {{applicant_name}} menunggu sejak {{pending_since}} ({{pending_duration}}).'),
            ('document_signed', 'Dokumen Sudah Ditandatangani', '{partner_name,document_number,document_name,permit_number,permit_type}', 'dokumen_ditandatangani',
             E'Yth. {{partner_name}},\n\nDokumen {{document_name}} ({{document_number}}) untuk izin {{permit_number}} ({{permit_type}}) telah ditandatangani.'),
            ('meta_opt_in_request', 'Request Meta Opt-In', '{partner_name,opt_in_link,qr_code_link}', null,
             E'Yth. {{partner_name}},\n\nAgar dapat menerima pemberitahuan resmi melalui WhatsApp, mohon berikan persetujuan di {{opt_in_link}} atau pindai {{qr_code_link}}.');
    end if;

    if not exists (select from sicantik_notify.template_map)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/template_map') then
        insert into sicantik_notify.template_map (template_key, meta_key) values
            ('permit_ready', 'izin_selesai_diproses'), ('permit_reminder', 'izin_peringatan_berlaku'),
            ('status_update', 'izin_update_status'), ('renewal_approved', 'izin_perpanjangan_disetujui'),
            ('document_pending', 'izin_dokumen_baru'), ('approval_required', 'izin_perlu_approval'), ('reminder', 'izin_reminder');
    end if;

    if not exists (select from sicantik_notify.rule)
       and not exists (select from sicantik_notify.repeatable r where r.name = 'defaults/rule') then
        insert into sicantik_notify.rule (code, name, active, trigger, condition_domain, template_key, recipient_type, staff_group, description,
                                          repeat_policy, group_by)
        select d.code, d.name, false, d.trigger, d.domain, d.template_key, d.recipient_type, d.staff_group, d.description,
               d.repeat_policy, d.group_by
        from (values
            -- How often: auto tells an expiring permit once for each expiry_date. The reminder: once a day, one message a person.
            -- The condition keeps the nightly active -> expired from telling anybody "your permit is ready".
            ('notify_permit_approved', 'Notifikasi Izin Disetujui', 'permit_state_change', '[(''state'', ''='', ''approved'')]',
             'permit_ready', 'partner', null, 'Memberitahu pemohon bahwa izinnya selesai.', 'auto', 'none'),
            ('notify_permit_expiring', 'Reminder Masa Berlaku Izin', 'permit_expiring', null,
             'permit_reminder', 'partner', null, 'Mengingatkan pemohon sebelum izinnya berakhir.', 'auto', 'none'),
            ('notify_document_uploaded', 'Notifikasi Dokumen Baru', 'document_uploaded', null,
             'izin_dokumen_baru', 'staff', 'DPMPTSP Staff', 'Memberitahu staf tentang dokumen baru.', 'auto', 'none'),
            ('notify_document_pending_signature', 'Notifikasi Dokumen Perlu Tanda Tangan', 'document_pending_signature', null,
             'document_pending', 'staff', 'DPMPTSP Staff', 'Memberitahu staf bahwa dokumen menunggu tanda tangan.', 'auto', 'none'),
            ('notify_document_signed', 'Notifikasi Dokumen Ditandatangani', 'document_signed', null,
             'document_signed', 'partner', null, 'Memberitahu pemohon bahwa dokumennya ditandatangani.', 'auto', 'none'),
            ('notify_document_reminder', 'Reminder Dokumen Pending', 'document_pending_reminder', null,
             'reminder', 'staff', 'DPMPTSP Staff', 'Mengingatkan staf tentang dokumen yang menunggu.', 'cooldown', 'recipient')
        ) as d (code, name, trigger, domain, template_key, recipient_type, staff_group, description, repeat_policy, group_by)
        where exists (select from sicantik_notify.trigger t where t.code = d.trigger);
    end if;

    -- The answer to somebody who stopped our messages: the one rule that sends by itself, since that person asked for it. Its rule does
    -- not respect the blacklist, on which the number stands by then. Switch the rule off to stop without a word.
    if not exists (select from sicantik_notify.repeatable r where r.name = 'system/stop_confirmation') then
        insert into sicantik_notify.trigger (code, name, sequence, model, trigger_type, description)
        values ('system_inbound', 'Pesan Masuk', 1000, 'res.partner', 'manual', 'Pesan masuk melalui WhatsApp; dipakai oleh sistem.')
        on conflict (code) do nothing;
        insert into sicantik_notify.template (template_key, name, body) values
            ('stop_confirmation', 'Konfirmasi Berhenti',
             'Anda tidak akan menerima pesan WhatsApp dari kami lagi. Balas MULAI untuk menerimanya kembali.')
        on conflict (template_key) do nothing;
        insert into sicantik_notify.rule (code, name, sequence, trigger, template_key, respect_blacklist, max_retries, priority, description)
        values ('system_stop_confirmation', 'Konfirmasi Berhenti', 1000, 'system_inbound', 'stop_confirmation', false, 3, 10,
                'Satu jawaban kepada penerima yang berhenti; dipakai oleh sistem.')
        on conflict (code) do nothing;
        insert into sicantik_notify.repeatable (name, checksum) values ('system/stop_confirmation', 'offered') on conflict (name) do nothing;
    end if;

    insert into sicantik_notify.repeatable (name, checksum)
    select 'defaults/' || part, 'offered' from unnest(array['trigger', 'template', 'template_map', 'rule']) as p (part)
    on conflict (name) do nothing;
end
$defaults$;
