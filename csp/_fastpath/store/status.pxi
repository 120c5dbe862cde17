# Included by csp/_fastpath.pyx after: limits. Says a code in nogil code, an exception in Python: here alone.


class StoreError(Exception):
    """The store can't do what was asked; the text says why and what to do."""


class StoreFull(StoreError):
    """No memory for this change: nothing was changed, deletes and shrinking updates still succeed."""


class StoreCorrupt(StoreError):
    """Bytes fail their checksum or contradict each other."""


class StoreMismatch(StoreError):
    """The segment was written by a build with another layout."""


class StoreKeys(StoreError):
    """The keys of the images were built by another key table: they are to be built anew."""


cdef enum:
    OK = 0
    FULL = -1       # the reserve or /dev/shm is exhausted
    CORRUPT = -2    # a checksum or a size is wrong
    ORDER = -3      # not the revision that follows the published one
    NO_MEMORY = -4  # private memory is exhausted
    STATE = -5      # not now: loading, or not loaded yet
    BAD_CLASS = -6  # class number beyond the table
    OTHER_KEYS = -7  # built by another key table

cdef raise_for_status(int status, str doing):
    if status == OK:
        return
    if status == FULL:
        raise StoreFull(f"{doing}: the store is full; raise its reserve or enlarge /dev/shm")
    if status == CORRUPT:
        raise StoreCorrupt(f"{doing}: checksum or sizes are wrong; load a new generation")
    if status == ORDER:
        raise StoreError(f"{doing}: not the revision after the published one")
    if status == NO_MEMORY:
        raise MemoryError(doing)
    if status == STATE:
        raise StoreError(f"{doing}: not possible while the store is in this state (loading?)")
    if status == BAD_CLASS:
        raise StoreError(f"{doing}: class number beyond {CSP_CLASSES}")
    if status == OTHER_KEYS:
        raise StoreKeys(f"{doing}: its keys were built by another key table")
    raise StoreError(f"{doing}: status {status}")
