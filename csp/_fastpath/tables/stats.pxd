from libc.stdint cimport uint64_t

cdef extern from "_fastpath/tables/stats.h" nogil:
    const char *csp_stats_names[]
    int CSP_STATS_COUNT
    ctypedef struct csp_stats:
        uint64_t turns, commands, hits, misses, keys, pages, bytes_in, bytes_out
        uint64_t connections, accepted, rejected, slow_commands, slow_errors, messages
        uint64_t timeouts_sign_in, timeouts_output, protocol_errors, subscriptions, buffers, jobs
        uint64_t waits, stalls, lags, resyncs, wakes, entries, errors, deferred
        uint64_t subscribers, feeds, busy, longest_turn_us, rests_closed
