-- window_opens(send_window, time zone, instant): the earliest instant, not before the given one, at which a rule may send; the given
-- one itself where the window is open then or there is none. Days and times are those of the clock on the wall: where it
-- is set forward, a time that does not exist is as much later; where it is set back, the second of the two counts.
-- A time zone that does not exist is taken for the office's (setting timezone), and for UTC where that does not either.
create or replace function sicantik_notify.window_opens(p_window text, p_timezone text, p_at timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $window_opens$
declare
    zone     text;
    local_at timestamp;
    part     text[];
    first    integer;
    last     integer;
    day      date;
    starts   timestamptz;
    ends     timestamptz;
    earliest timestamptz;
    names    constant jsonb := '{"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7,
                                 "sen": 1, "sel": 2, "rab": 3, "kam": 4, "jum": 5, "sab": 6, "min": 7}';
begin
    if p_window is null or p_at is null then
        return p_at;
    end if;
    foreach zone in array array[p_timezone, sicantik_notify.office_zone(), 'UTC'] loop
        begin
            local_at := p_at at time zone zone;
            exit when local_at is not null;
        exception when invalid_parameter_value then
            null;
        end;
    end loop;
    for part in
        select regexp_match(lower(p), '^\s*(?:([a-z]{3})(?:-([a-z]{3}))?\s+)?(\d\d:\d\d)-(\d\d:\d\d)\s*$')
        from regexp_split_to_table(p_window, ',') p
    loop
        continue when part is null;
        first := coalesce((names ->> part[1])::integer, 1);
        last := coalesce((names ->> part[2])::integer, case when part[1] is null then 7 else first end);
        -- From yesterday (a window over midnight may still be open) to a week ahead.
        for i in -1..8 loop
            day := local_at::date + i;
            continue when case when first <= last then extract(isodow from day)::integer not between first and last
                               else extract(isodow from day)::integer between last + 1 and first - 1 end;
            starts := (day + part[3]::interval) at time zone zone;
            ends := (day + part[4]::interval + case when part[4]::interval <= part[3]::interval then interval '1 day' else interval '0' end)
                    at time zone zone;
            if ends > p_at and ends > starts then
                earliest := least(earliest, greatest(starts, p_at));
                exit;
            end if;
        end loop;
    end loop;
    return coalesce(earliest, p_at);
end
$window_opens$;
comment on function sicantik_notify.window_opens(text, text, timestamptz) is
    'When a rule''s send_window is open next; the given instant itself if it is open then';
