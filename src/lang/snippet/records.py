def _sn_v(x):
    if hasattr(x, '_sn_record'):
        return x if x.ids else False
    return x


def _sn_list(x):
    return [x] if len(x.ids) == 1 else x._sn_each


def _sn_iter(x):
    if hasattr(x, '_sn_record'):
        return _sn_list(x)
    return x


def _sn_bool(x=False):
    return bool(_sn_v(x))


def _sn_len(x):
    if hasattr(x, '_sn_record'):
        return len(x.ids)
    return len(x)


def _sn_str(x=''):
    if hasattr(x, '_sn_record'):
        return x._name + '(' + ''.join([str(i) + ',' for i in x.ids]) + ')'
    return str(x)


def _sn_item(x, key):
    if hasattr(x, '_sn_env'):
        return _sn_model(_sn_bounded(key))
    if not hasattr(x, '_sn_record'):
        return x[key]
    if isinstance(key, str):
        if key.startswith('_'):
            raise KeyError(key)
        return getattr(x, key)
    return _sn_list(x)[key]


def _sn_cut(x, start, end, step):
    if hasattr(x, '_sn_record'):
        return _sn_records(x, x.ids[start:end:step])
    return x[start:end:step]


def _sn_union(a, b):
    if hasattr(a, '_sn_record'):
        return _sn_records(a, a.ids + [i for i in b.ids if i not in a.ids])
    return a | b


def _sn_meet(a, b):
    if hasattr(a, '_sn_record'):
        return _sn_records(a, [i for i in a.ids if i in b.ids])
    return a & b


def _sn_plus(a, b):
    if hasattr(a, '_sn_record'):
        return _sn_records(a, a.ids + b.ids)
    return _sn_add(a, b)


def _sn_minus(a, b):
    if hasattr(a, '_sn_record'):
        return _sn_records(a, [i for i in a.ids if i not in b.ids])
    return _sn_sub(a, b)


def _sn_pairs(items, key, reverse):
    if isinstance(key, str):
        name = key
        pairs = [(getattr(item, name), n) for n, item in enumerate(items)]
    else:
        pairs = [(key(item), n) for n, item in enumerate(items)]
    if reverse:
        pairs = [(value, -n) for value, n in pairs]
    return [abs(n) for value, n in sorted(pairs, reverse=reverse)]


def _sn_sorted(items, key=None, reverse=False):
    items = [item for item in _sn_iter(items)]
    if key is None:
        return sorted(items, reverse=reverse)
    return [items[n] for n in _sn_pairs(items, key, bool(reverse))]


def _sn_best(items, key, default, last):
    if len(items) == 1:
        items = [item for item in _sn_iter(items[0])]
    if not items:
        if default == ():
            raise ValueError('nothing to choose from')
        return default
    if key is None:
        return max(items) if last else min(items)
    best = items[0]
    known = key(best)
    for item in items[1:]:
        value = key(item)
        if (value > known) if last else (value < known):
            best, known = item, value
    return best


def _sn_min(*items, key=None, default=()):
    return _sn_best(items, key, default, False)


def _sn_max(*items, key=None, default=()):
    return _sn_best(items, key, default, True)


def _sn_map(function, *lists):
    if len(lists) == 1:
        return [function(item) for item in _sn_iter(lists[0])]
    return [function(*items) for items in zip(*[_sn_iter(items) for items in lists])]


def _sn_filter(function, items):
    if function is None:
        return [item for item in _sn_iter(items) if _sn_v(item)]
    return [item for item in _sn_iter(items) if _sn_v(function(item))]


def _sn_any(items):
    for item in _sn_iter(items):
        if _sn_v(item):
            return True
    return False


def _sn_all(items):
    for item in _sn_iter(items):
        if not _sn_v(item):
            return False
    return True


def _sn_records_only(x, method):
    if not hasattr(x, '_sn_record'):
        raise AttributeError('only records have ' + method)


def _sn_mapped(x, function):
    _sn_records_only(x, 'mapped')
    if isinstance(function, str):
        for name in function.split('.'):
            _sn_records_only(x, 'fields: ' + function + ' goes beyond them')
            x = _sn_read(x, name)
        return x
    values = [function(record) for record in _sn_list(x)]
    if values and hasattr(values[0], '_sn_record'):
        ids = []
        for value in values:
            ids = ids + [i for i in value.ids if i not in ids]
        return _sn_records(values[0], ids)
    return values


def _sn_filtered(x, function):
    _sn_records_only(x, 'filtered')
    if isinstance(function, str):
        name = function
        return _sn_records(x, [r.id for r in _sn_list(x) if _sn_any([v for v in _sn_values(_sn_mapped(r, name))])])
    return _sn_records(x, [record.id for record in _sn_list(x) if _sn_v(function(record))])


def _sn_values(x):
    return _sn_list(x) if hasattr(x, '_sn_record') else x


def _sn_arranged(x, key=None, reverse=False):
    _sn_records_only(x, 'sorted')
    if key is None:
        ids = _sn_order(x).ids
        return _sn_records(x, ids[::-1] if reverse else ids)
    return _sn_records(x, [x.ids[n] for n in _sn_pairs(_sn_list(x), key, bool(reverse))])


def _sn_now(*_):
    return datetime.now().replace(microsecond=0)


def _sn_midnight(*_):
    return datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)


def _sn_date(value):
    if not value or (isinstance(value, date) and not isinstance(value, datetime)):
        return value or None
    if isinstance(value, datetime):
        return value.date()
    return date(int(value[:4]), int(value[5:7]), int(value[8:10]))


def _sn_datetime(value):
    if not value or isinstance(value, datetime):
        return value or None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    parts = [int(part) for part in value[11:19].split(':') if part != '']
    return datetime(int(value[:4]), int(value[5:7]), int(value[8:10]), *parts)


def _sn_date_text(value):
    return value.strftime('%Y-%m-%d') if value else False


def _sn_datetime_text(value):
    return value.strftime('%Y-%m-%d %H:%M:%S') if value else False
