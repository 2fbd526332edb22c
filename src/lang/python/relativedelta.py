def _sn_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _sn_carry(value, size):
    if -size < value < size:
        return value, 0
    sign = -1 if value < 0 else 1
    carried = abs(value) // size * sign
    return value - carried * size, carried


class relativedelta:
    def __init__(
        self, years=0, months=0, days=0, weeks=0, hours=0, minutes=0, seconds=0, microseconds=0, leapdays=0,
        year=None, month=None, day=None, weekday=None, hour=None, minute=None, second=None, microsecond=None,
    ):
        microseconds, more = _sn_carry(microseconds, 1000000)
        seconds, more = _sn_carry(seconds + more, 60)
        minutes, more = _sn_carry(minutes + more, 60)
        hours, more = _sn_carry(hours + more, 24)
        self.days = days + weeks * 7 + more
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
        self.weekday = weekday
        self.hour = hour
        self.minute = minute
        self.second = second
        self.microsecond = microsecond


def _sn_times(delta, factor):
    return relativedelta(
        int(delta.years * factor), int(delta.months * factor), int(delta.days * factor), 0,
        int(delta.hours * factor), int(delta.minutes * factor), int(delta.seconds * factor),
        int(delta.microseconds * factor), delta.leapdays,
        delta.year, delta.month, delta.day, delta.weekday, delta.hour, delta.minute, delta.second, delta.microsecond,
    )


def _sn_pick(value, other):
    return other if value is None else value


def _sn_join(a, b):
    return relativedelta(
        a.years + b.years, a.months + b.months, a.days + b.days, 0, a.hours + b.hours, a.minutes + b.minutes,
        a.seconds + b.seconds, a.microseconds + b.microseconds, a.leapdays or b.leapdays,
        _sn_pick(b.year, a.year), _sn_pick(b.month, a.month), _sn_pick(b.day, a.day), _sn_pick(b.weekday, a.weekday),
        _sn_pick(b.hour, a.hour), _sn_pick(b.minute, a.minute), _sn_pick(b.second, a.second),
        _sn_pick(b.microsecond, a.microsecond),
    )


def _sn_shift(moment, delta):
    timed = delta.hours or delta.minutes or delta.seconds or delta.microseconds
    timed = timed or delta.hour is not None or delta.minute is not None
    timed = timed or delta.second is not None or delta.microsecond is not None
    if timed and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    year = _sn_pick(delta.year, moment.year) + delta.years
    month = _sn_pick(delta.month, moment.month) + delta.months
    if month > 12:
        year, month = year + 1, month - 12
    elif month < 1:
        year, month = year - 1, month + 12
    last = [31, 29 if _sn_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    moment = moment.replace(year=year, month=month, day=min(last, _sn_pick(delta.day, moment.day)))
    if timed:
        moment = moment.replace(
            hour=_sn_pick(delta.hour, moment.hour), minute=_sn_pick(delta.minute, moment.minute),
            second=_sn_pick(delta.second, moment.second), microsecond=_sn_pick(delta.microsecond, moment.microsecond),
        )
    days = delta.days
    if delta.leapdays and month > 2 and _sn_leap(year):
        days = days + delta.leapdays
    moment = moment + timedelta(
        days=days, hours=delta.hours, minutes=delta.minutes, seconds=delta.seconds, microseconds=delta.microseconds
    )
    if delta.weekday is not None:
        moment = moment + timedelta(days=(7 - moment.weekday() + delta.weekday) % 7)
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
