-- Closes attempts that are open although nobody works on their message under that claim any more: those that were being
-- recorded while the message was taken over, and those of a fallback whose record was not confirmed.
-- Index: attempt_open_idx. One snapshot shows attempt and queue together, so no settlement is met halfway.
update sicantik_notify.attempt a
set finished_at = sicantik_notify.clock(), outcome = 'uncertain', error = 'its claim ended before an answer was recorded'
where a.finished_at is null
  and not exists (select from sicantik_notify.queue q
                  where q.id = a.message_id and q.claim_token = a.claim_token and q.state = 'processing')
