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
