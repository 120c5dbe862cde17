from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

cdef extern from "_fastpath/loop/conn.h" nogil:
    int CSP_CONN_NAME, CSP_CONN_LIB, CSP_CONN_VER, CSP_CONN_USER
    uint32_t CSP_CONN_SIGNED_IN, CSP_CONN_RESP3, CSP_CONN_MULTI, CSP_CONN_DEFERRED
    uint32_t CSP_CONN_CLOSING, CSP_CONN_STALLED, CSP_CONN_READABLE, CSP_CONN_QUEUED
    uint32_t CSP_CONN_DIRTY, CSP_CONN_FEED, CSP_CONN_LAGGING, CSP_CONN_JOB
    uint32_t CSP_CONN_WAITING, CSP_CONN_KNOWN, CSP_CONN_FULL, CSP_CONN_NUDGED
    uint32_t CSP_CONN_ENDING, CSP_CONN_ADMINISTRATOR, CSP_CONN_SERVER
    uint32_t CSP_CONN_READY
    struct csp_job:
        pass
    struct csp_subs:
        pass
    ctypedef struct csp_conn:
        uint64_t id
        uint32_t generation
        int32_t fd
        uint32_t flags
        uint32_t next_free
        int64_t created_ms
        int64_t active_ms
        int64_t blocked_ms
        char *in_ "in"
        uint32_t in_size, in_room, in_need, commands
        char *out
        uint64_t out_head, out_size, out_room
        csp_job *job
        csp_subs *subs
        uint64_t cursor_revision
        uint64_t wait_revision
        int64_t wait_until_ms
        uint32_t cursor_item
        uint32_t account_dbid
        uint32_t subscriptions
        uint16_t family, port
        uint8_t address[16]
        char name[64]
        char lib_name[24]
        char lib_ver[16]
        char user[64]
