"""Declares octets.h: CRC32C and hashes over bytes."""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "_fastpath/store/octets.h" nogil:
    void csp_crc_prepare()
    uint32_t csp_crc32c(uint32_t crc, const void* start, size_t size)
    uint64_t csp_hash(uint64_t seed, const void* start, size_t size)
