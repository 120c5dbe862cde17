"""Declares blake2b.h: the digest that chains the changes."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "_fastpath/store/blake2b.h" nogil:
    uint64_t csp_mark_next(uint64_t before, const uint8_t* entry, size_t size)
