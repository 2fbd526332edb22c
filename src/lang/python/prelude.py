from datetime import date, datetime, timedelta, timezone
from datetime import time as _sn_time


def context_today(*_):
    return _sn_today


def _sn_combine(day, time):
    return datetime(day.year, day.month, day.day, time.hour, time.minute, time.second, time.microsecond)


def _sn_strftime(format, moment=None):
    return (moment or datetime.now()).strftime(format)


def _sn_localtime(*_):
    return datetime.now()


def _sn_timedelta(days=0, seconds=0, microseconds=0, milliseconds=0, minutes=0, hours=0, weeks=0):
    whole = [days, seconds, microseconds, milliseconds, minutes, hours, weeks]
    if not [part for part in whole if not isinstance(part, int)]:
        return timedelta(
            days=days, seconds=seconds, microseconds=microseconds, milliseconds=milliseconds, minutes=minutes,
            hours=hours, weeks=weeks,
        )
    days = days + weeks * 7
    seconds = seconds + minutes * 60 + hours * 3600
    full = int(days)
    seconds = seconds + (days - full) * 86400
    rest = int(seconds)
    return timedelta(days=full, seconds=rest, microseconds=round((seconds - rest) * 1000000 + microseconds + milliseconds * 1000))


def _sn_divide(a, b, whole=False):
    if isinstance(a, timedelta) and isinstance(b, timedelta):
        a = (a.days * 86400 + a.seconds) * 1000000 + a.microseconds
        b = (b.days * 86400 + b.seconds) * 1000000 + b.microseconds
    return a // b if whole else a / b


def _sn_floor(a, b):
    return _sn_divide(a, b, True)


def _sn_ordinal(day):
    return (date(day.year, day.month, day.day) - date(1, 1, 1)).days + 1


def _sn_week(day):
    if not isinstance(day, date):
        return day.isocalendar()
    weekday = day.weekday() + 1
    thursday = date(day.year, day.month, day.day) + timedelta(days=4 - weekday)
    return (thursday.year, (thursday - date(thursday.year, 1, 1)).days // 7 + 1, weekday)


def _sn_stamp(moment, format):
    if isinstance(moment, date) and isinstance(format, str) and '%f' in format:
        micro = moment.microsecond if isinstance(moment, datetime) else 0
        pieces = format.split('%%')
        format = '%%'.join([piece.replace('%f', ('000000' + str(micro))[-6:]) for piece in pieces])
    if isinstance(moment, datetime) and moment.tzinfo is None:
        format = '%%'.join([piece.replace('%Z', '').replace('%z', '') for piece in format.split('%%')])
    return moment.strftime(format)


def _sn_iso(moment, sep='T', timespec='auto'):
    text = moment.isoformat()
    if not isinstance(moment, datetime):
        return text
    text = text[:10] + sep + text[11:]
    sizes = {'hours': 13, 'minutes': 16, 'seconds': 19}
    if timespec in sizes:
        return text[:sizes[timespec]]
    if timespec != 'auto':
        text = text[:19] + '.' + ('000000' + str(moment.microsecond))[-6:]
        return text[:23] if timespec == 'milliseconds' else text
    return text


def _sn_bounded(value):
    boxes, values, size = [value], 0, 0
    while boxes:
        box = boxes.pop()
        if isinstance(box, dict):
            box = list(box.keys()) + list(box.values())
        elif not isinstance(box, (list, tuple, set)):
            continue
        values = values + len(box)
        if values > 40000:
            raise MemoryError('too many values')
        for part in box:
            if isinstance(part, (list, tuple, set, dict)):
                boxes.append(part)
            elif isinstance(part, (str, bytes)):
                size = size + len(part)
            elif isinstance(part, int) and not -10 ** 30 < part < 10 ** 30:
                size = size + 100000
        if size > 1000000:
            raise MemoryError('too much text')
    return value


def sum(items, start=0):
    total = start
    for item in items:
        total = total + (int(item) if isinstance(item, bool) else item)
    return total


def reduce(function, items, *initial):
    items = list(items)
    if initial:
        items = [initial[0]] + items
    if not items:
        raise TypeError('reduce() of empty iterable with no initial value')
    value = items[0]
    for item in items[1:]:
        value = function(value, item)
    return value


_sn_latest, _sn_earliest = datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1)
_sn_last_day, _sn_first_day = date(9999, 12, 31), date(1, 1, 1)
unicode = str
xrange = range


_sn_wide = 2 ** 20000


def _sn_multiply(a, b):
    if isinstance(a, int) and isinstance(b, int) and not (-_sn_wide < a < _sn_wide and -_sn_wide < b < _sn_wide):
        raise MemoryError('a number is too large')
    return _sn_mul(a, b)


def _sn_power(a, b):
    if isinstance(a, int) and isinstance(b, int) and b > 1 and (a > 1 or a < -1):
        size, bits = abs(a), 1
        while bits < 40000 and size >= 2 ** bits:
            bits = bits * 2
        if bits * b > 80000:
            raise MemoryError('a number is too large')
    return a ** b


def _sn_shifted(a, b):
    if isinstance(a, int) and isinstance(b, int) and b > 80000:
        raise MemoryError('a number is too large')
    return a << b
