def _sn_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _sn_carry(value, size):
    if -size < value < size:
        return value, 0
    sign = -1 if value < 0 else 1
    carried = abs(value) // size * sign
    return value - carried * size, carried


def _sn_mo(n=1):
    return (0, n)


def _sn_tu(n=1):
    return (1, n)


def _sn_we(n=1):
    return (2, n)


def _sn_th(n=1):
    return (3, n)


def _sn_fr(n=1):
    return (4, n)


def _sn_sa(n=1):
    return (5, n)


def _sn_su(n=1):
    return (6, n)


def _sn_weekday(weekday):
    if weekday is None or isinstance(weekday, tuple):
        return weekday
    if isinstance(weekday, int):
        return ([0, 1, 2, 3, 4, 5, 6][weekday], 1)
    return weekday()


def _sn_whole(value, name):
    if value is not None and int(value) != value:
        raise ValueError('Non-integer years and months are ambiguous and not currently supported.')
    return value if value is None else int(value)


def _sn_months(moment, months):
    month = moment.year * 12 + moment.month - 1 + months
    year, month = month // 12, month % 12 + 1
    last = [31, 29 if _sn_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    return moment.replace(year=year, month=month, day=min(moment.day, last))


class relativedelta:
    def __init__(
        self, dt1=None, dt2=None, years=0, months=0, days=0, leapdays=0, weeks=0, hours=0, minutes=0, seconds=0,
        microseconds=0, year=None, month=None, day=None, weekday=None, yearday=None, nlyearday=None, hour=None,
        minute=None, second=None, microsecond=None,
    ):
        if dt1 and dt2:
            if not (isinstance(dt1, date) and isinstance(dt2, date)):
                raise TypeError('relativedelta only diffs datetime/date')
            if isinstance(dt1, datetime) or isinstance(dt2, datetime):
                dt1 = dt1 if isinstance(dt1, datetime) else datetime(dt1.year, dt1.month, dt1.day)
                dt2 = dt2 if isinstance(dt2, datetime) else datetime(dt2.year, dt2.month, dt2.day)
            months = (dt1.year - dt2.year) * 12 + (dt1.month - dt2.month)
            step = 1 if dt1 < dt2 else -1
            moved = _sn_months(dt2, months)
            while (dt1 > moved) if dt1 < dt2 else (dt1 < moved):
                months = months + step
                moved = _sn_months(dt2, months)
            rest = dt1 - moved
            years, days, weeks, hours, minutes, leapdays = 0, 0, 0, 0, 0, 0
            seconds, microseconds = rest.seconds + rest.days * 86400, rest.microseconds
            year = month = day = weekday = hour = minute = second = microsecond = None
        years, months = _sn_whole(years, 'years'), _sn_whole(months, 'months')
        yday = nlyearday or yearday or 0
        if not nlyearday and yearday and yearday > 59:
            leapdays = -1
        if yday:
            ends = [31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 366]
            inside = [at for at, end in enumerate(ends) if yday <= end]
            if not inside:
                raise ValueError('invalid year day (' + str(yday) + ')')
            month = inside[0] + 1
            day = yday if month == 1 else yday - ends[month - 2]
        microseconds, more = _sn_carry(microseconds, 1000000)
        seconds, more = _sn_carry(seconds + more, 60)
        minutes, more = _sn_carry(minutes + more, 60)
        hours, more = _sn_carry(hours + more, 24)
        self.days = days + weeks * 7 + more
        self.weeks = int(self.days / 7)
        self.hours = hours
        self.minutes = minutes
        self.seconds = seconds
        self.microseconds = microseconds
        months, more = _sn_carry(months, 12)
        self.months = months
        self.years = years + more
        self.leapdays = leapdays
        self.year = year
        self.month = month
        self.day = day
        self.weekday = _sn_weekday(weekday)
        self.hour = hour
        self.minute = minute
        self.second = second
        self.microsecond = microsecond


def _sn_times(delta, factor):
    return relativedelta(
        None, None, int(delta.years * factor), int(delta.months * factor), int(delta.days * factor), delta.leapdays, 0,
        int(delta.hours * factor), int(delta.minutes * factor), int(delta.seconds * factor),
        int(delta.microseconds * factor), delta.year, delta.month, delta.day, delta.weekday, None, None, delta.hour,
        delta.minute, delta.second, delta.microsecond,
    )


def _sn_pick(value, other):
    return other if value is None else value


def _sn_join(a, b):
    return relativedelta(
        None, None, a.years + b.years, a.months + b.months, a.days + b.days, a.leapdays or b.leapdays, 0,
        a.hours + b.hours, a.minutes + b.minutes, a.seconds + b.seconds, a.microseconds + b.microseconds,
        _sn_pick(b.year, a.year), _sn_pick(b.month, a.month), _sn_pick(b.day, a.day), _sn_pick(b.weekday, a.weekday),
        None, None, _sn_pick(b.hour, a.hour), _sn_pick(b.minute, a.minute), _sn_pick(b.second, a.second),
        _sn_pick(b.microsecond, a.microsecond),
    )


def _sn_shift(moment, delta):
    timed = delta.hours or delta.minutes or delta.seconds or delta.microseconds
    timed = timed or delta.hour is not None or delta.minute is not None
    timed = timed or delta.second is not None or delta.microsecond is not None
    if timed and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    year = (delta.year or moment.year) + delta.years
    month = delta.month or moment.month
    if not 1 <= month <= 12:
        raise ValueError('bad month number ' + str(month) + '; must be 1-12')
    month = month + delta.months
    if month > 12:
        year, month = year + 1, month - 12
    elif month < 1:
        year, month = year - 1, month + 12
    last = [31, 29 if _sn_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    moment = moment.replace(year=year, month=month, day=min(last, delta.day or moment.day))
    if timed:
        moment = moment.replace(
            hour=_sn_pick(delta.hour, moment.hour), minute=_sn_pick(delta.minute, moment.minute),
            second=_sn_pick(delta.second, moment.second), microsecond=_sn_pick(delta.microsecond, moment.microsecond),
        )
    days = delta.days
    if delta.leapdays and month > 2 and _sn_leap(year):
        days = days + delta.leapdays
    moment = moment + _sn_timedelta(
        days=days, hours=delta.hours, minutes=delta.minutes, seconds=delta.seconds, microseconds=delta.microseconds
    )
    if delta.weekday is not None:
        weekday, nth = delta.weekday
        jump = (abs(nth) - 1) * 7
        if nth > 0:
            jump = jump + (7 - moment.weekday() + weekday) % 7
        else:
            jump = -(jump + (moment.weekday() - weekday) % 7)
        moment = moment + timedelta(days=jump)
    return moment


def _sn_as_delta(value):
    if isinstance(value, timedelta):
        return relativedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    return value


def _sn_add(a, b):
    left, right = isinstance(a, relativedelta), isinstance(b, relativedelta)
    if not left and not right:
        return a + b
    if left and isinstance(b, date):
        return _sn_shift(b, a)
    if right and isinstance(a, date):
        return _sn_shift(a, b)
    a, b = _sn_as_delta(a), _sn_as_delta(b)
    if isinstance(a, relativedelta) and isinstance(b, relativedelta):
        return _sn_join(a, b)
    raise TypeError('a relativedelta can be added to a date, a datetime or another one')


def _sn_neg(a):
    return _sn_times(a, -1) if isinstance(a, relativedelta) else -a


def _sn_sub(a, b):
    if isinstance(b, relativedelta):
        return _sn_add(a, _sn_times(b, -1))
    if isinstance(a, relativedelta):
        return _sn_add(a, _sn_neg(b))
    return a - b


def _sn_mul(a, b):
    if isinstance(a, relativedelta):
        return _sn_times(a, b)
    if isinstance(b, relativedelta):
        return _sn_times(b, a)
    return a * b
