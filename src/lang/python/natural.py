def _sn_add(a, b):
    return a + b


def _sn_sub(a, b):
    return a - b


def _sn_mul(a, b):
    return a * b
