-- A claim that begins later than at the index's beginning takes each recipient's first message all the same. Locks queue against writes while
-- the index is built: some seconds a million messages.
create index queue_recipient_idx on sicantik_notify.queue (phone, priority desc, scheduled_at, id) where state = 'pending' and ready;
