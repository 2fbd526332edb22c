-- normal_phone(text): the E.164 number in what a person typed, or null. The same as the daemon's own reading (src/host/phone.rs; a
-- test holds the two against each other), and where it cannot know, null: a foreign number with a 0 after its country code,
-- and text in other scripts. A foreign number is not looked up in its country's numbering plan.
--
-- What one part of the text is, without separators:
create or replace function sicantik_notify.normal_phone_part(p_text text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $normal_phone_part$
declare
    digits constant text := regexp_replace(p_text, '[^0-9]', '', 'g');
    plus   constant boolean := coalesce(substring(p_text from '[0-9+]') = '+', false);
    mobile constant text := '^8[1-35-9][0-9]{7,10}$';
    home   text;
    abroad text;
begin
    if digits like '0062%' then
        home := substr(digits, 5);
    elsif digits like '00%' then
        -- 00 before 8… can be read in two ways.
        if substr(digits, 3) !~ mobile then
            abroad := substr(digits, 3);
        end if;
    elsif digits like '0%' then
        home := substr(digits, 2);
    elsif digits like '62%' then
        home := substr(digits, 3);
    elsif plus then
        abroad := digits;
    elsif digits like '8%' then
        home := digits;
    end if;
    if home is not null then
        home := regexp_replace(home, '^0', '');
        return case when home ~ mobile then '+62' || home end;
    end if;
    -- The first digits tell how long a country code is; a 0 behind it may belong to the number or not.
    if abroad ~ '^[1-9][0-9]{7,14}$'
       and abroad !~ '^(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9][0-9]{2})0'
       and abroad !~ '^62' then
        return '+' || abroad;
    end if;
    return null;
end
$normal_phone_part$;
comment on function sicantik_notify.normal_phone_part(text) is 'The number that one part of a text is, or null';

create or replace function sicantik_notify.normal_phone(p_text text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $normal_phone$
declare
    -- Blanks, dashes and invisible marks of Unicode, as escapes: what an editor shows as nothing.
    blanks    constant text := E'[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u0085]';
    marks     constant text := E'[\u00ad\u00b7\u2010-\u2015\u2022\u2212\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]';
    latin     constant text := E'[\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]';
    plain     text := regexp_replace(regexp_replace(regexp_replace(p_text, blanks, ' ', 'g'), marks, '-', 'g'), latin, 'x', 'g');
    piece     text;
    part      text;
    found     text;
begin
    if plain is null or plain ~ E'[^\u0001-\u007f]' then
        return null;
    end if;
    -- Letters and some signs always end a number, a plus begins one.
    for piece in
        select p from regexp_split_to_table(replace(regexp_replace(plain, '[A-Za-z,;|&\n\r]', E'\u0001', 'g'), '+', E'\u0001+'), E'\u0001') p
    loop
        if strpos(piece, '/') > 0 then
            for part in select p from regexp_split_to_table(piece, '/') p loop
                found := sicantik_notify.normal_phone_part(part);
                if found is not null then
                    return found;
                end if;
            end loop;
        end if;
        found := sicantik_notify.normal_phone_part(piece);
        if found is not null then
            return found;
        end if;
        for part in select p from regexp_split_to_table(piece, E'[ \t\u000b\u000c]+') p where p ~ '^(0|\+|62)' loop
            found := sicantik_notify.normal_phone_part(part);
            if found is not null then
                return found;
            end if;
        end loop;
    end loop;
    return null;
end
$normal_phone$;
comment on function sicantik_notify.normal_phone(text) is 'The E.164 number in what a person typed, or null where there is none';
