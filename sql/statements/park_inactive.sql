-- Takes messages of inactive rules out of the claim's index: those that were enqueued while the rule was being switched off.
update sicantik_notify.queue q
set ready = false, waiting_for = 'rule_inactive'
from sicantik_notify.rule r
where r.id = q.rule_id and not r.active and q.state = 'pending' and q.waiting_for is null
