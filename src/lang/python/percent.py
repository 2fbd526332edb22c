def _sn_percent(a, b):
    if not isinstance(a, str):
        return a % b
    values = list(b) if isinstance(b, tuple) else [b]
    out, at, used = '', 0, 0
    while at < len(a):
        sign = a.find('%', at)
        if sign < 0:
            out = out + a[at:]
            break
        out = out + a[at:sign]
        at = sign + 1
        named = None
        if a[at:at + 1] == '(':
            close = a.find(')', at)
            named, at = a[at + 1:close], close + 1
        spec = ''
        while a[at:at + 1] != '' and a[at] in '0123456789.+- #*hlL':
            sign = a[at]
            if sign == '*':
                if used >= len(values):
                    raise TypeError('not enough arguments for format string')
                sign, used = str(values[used]), used + 1
            spec, at = spec + ('' if sign in 'hlL' else sign), at + 1
        kind = a[at:at + 1]
        at = at + 1
        if kind == '%':
            out = out + '%'
            continue
        if kind == '' or kind not in 'sdiurfFeEgGxXoca':
            raise ValueError('unsupported format character ' + repr(kind))
        if named is not None:
            value = b[named]
        elif used < len(values):
            value, used = values[used], used + 1
        else:
            raise TypeError('not enough arguments for format string')
        if '-' in spec:
            spec = '<' + spec.replace('-', '').lstrip('0')
        if kind in 'sra':
            value = str(value) if kind == 's' else repr(value) if kind == 'r' else f'{value!a}'
            if spec and spec[0] not in '<.':
                spec = '>' + spec
            out = out + f'{value:{spec}}'
        elif kind == 'c':
            value = chr(value) if isinstance(value, int) else value
            if not isinstance(value, str) or len(value) != 1:
                raise TypeError('%c requires int or char')
            out = out + f'{value:>{spec}}' if spec and spec[0] not in '<.' else out + f'{value:{spec}}'
        elif kind in 'diu':
            if isinstance(value, str):
                raise TypeError('%d format: a real number is required, not str')
            value = int(value)
            out = out + f'{value:{spec}}'
        else:
            spec = spec + kind
            out = out + f'{value:{spec}}'
    if not isinstance(b, dict) and used < len(values):
        raise TypeError('not all arguments converted during string formatting')
    return out
