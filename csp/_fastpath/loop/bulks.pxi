# Included by csp/_fastpath.pyx after: limits. Takes bulk strings that stand in a row, for Python's decoder.
#
# Invariants:
# 1. Only what is whole and right is taken; the rest is left to the decoder, which says what is wrong with it.

cdef enum:
    BULK_DIGITS_MAX = 13  # and $ and a line end make 16 bytes; longer lines are read the other way


def take_bulks(
    const uint8_t[::1] data not None, Py_ssize_t at, Py_ssize_t most, Py_ssize_t size_max, list members not None
) -> int:
    """Appends up to `most` bulk strings from `at` on; where the next one would begin."""
    cdef Py_ssize_t end = data.shape[0], begin, size
    while most > 0 and at < end and data[at] == c'$':
        begin = at + 1
        size = 0
        while begin < end and begin - at <= BULK_DIGITS_MAX and c'0' <= data[begin] <= c'9':
            size = 10 * size + (data[begin] - c'0')
            begin += 1
        if begin == at + 1 or end - begin < 2 or data[begin] != c'\r' or data[begin + 1] != c'\n':
            break
        begin += 2
        if size > size_max or size > end - begin - 2:
            break
        if data[begin + size] != c'\r' or data[begin + size + 1] != c'\n':
            break
        members.append(PyBytes_FromStringAndSize(<const char *> &data[begin], size))
        at = begin + size + 2
        most -= 1
    return at
