"""Declares blake2b.h: the digest that chains the changes, and the one that signs with a key."""

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "_fastpath/store/blake2b.h" nogil:
    ctypedef struct csp_blake2b_t:
        uint64_t total

    uint64_t csp_mark_next(uint64_t before, const uint8_t* entry, size_t size)
    void csp_blake2b_begin_keyed(csp_blake2b_t* self, const void* key, size_t key_size, size_t size)
    void csp_blake2b_add(csp_blake2b_t* self, const void* start, size_t size)
    void csp_blake2b_end_keyed(csp_blake2b_t* self, void* out, size_t size)
