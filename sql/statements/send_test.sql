-- A message that a person sends to try a rule out (SICANTIK guide §7.3). No row: the rule is not active.
-- $1 rule, $2 template key, $3 partner, $4 name, $5 number, $6 context
select made.id
from sicantik_notify.send_test($1::text, $2::text, $3::bigint, $4::text, $5::text, $6::jsonb) made (id)
where made.id is not null
