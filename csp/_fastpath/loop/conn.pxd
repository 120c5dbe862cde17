from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

cdef extern from "_fastpath/loop/conn.h" nogil:
    int CSP_CONN_NAME, CSP_CONN_LIB, CSP_CONN_VER, CSP_CONN_USER
    uint32_t CSP_WAIT_REPLY, CSP_WAIT_ROOM, CSP_WAIT_JOB, CSP_WAIT_REVISION, CSP_WAIT_CURSOR, CSP_WAIT_END
    uint32_t CSP_WAITS_FOR_CLIENT
    uint32_t CSP_CONN_SIGNED_IN, CSP_CONN_RESP3, CSP_CONN_MULTI, CSP_CONN_FEED, CSP_CONN_KNOWN, CSP_CONN_NUDGED
    uint32_t CSP_CONN_ADMINISTRATOR, CSP_CONN_DATA, CSP_CONN_SERVER, CSP_CONN_WILL_SHOW, CSP_CONN_AWAITS
    uint32_t CSP_CONN_TRACKING, CSP_CONN_BCAST, CSP_CONN_REDIR_BROKEN, CSP_CONN_UNTOLD, CSP_CONN_MUST_CHANGE
    uint32_t CSP_CONN_PEER_FIRST, CSP_CONN_DISCOVERY
    uint32_t CSP_CONN_PREFACE
    uint32_t CSP_CONN_MAINT, CSP_CONN_MAINT_BARE, CSP_CONN_MOVES
    uint32_t CSP_CONN_READABLE, CSP_CONN_FULL, CSP_CONN_ENDING, CSP_CONN_ENDED
    uint32_t CSP_CONN_QUEUED, CSP_CONN_READY, CSP_CONN_DIRTY
    uint32_t CSP_CONN_DETECT, CSP_CONN_TLS, CSP_CONN_WIRE
    uint16_t CSP_END_SLOW, CSP_END_PEER, CSP_END_BROKEN, CSP_END_PROTOCOL, CSP_END_SIGN_IN, CSP_END_OUTPUT
    uint16_t CSP_END_FURTHEST, CSP_END_MEMORY, CSP_END_STOP, CSP_END_TLS, CSP_END_PREFACE, CSP_END_LEFT
    struct csp_job:
        pass
    struct csp_subs:
        pass
    struct csp_rest:
        pass
    struct csp_track:
        pass
    struct csp_tls:
        pass
    ctypedef struct csp_conn:
        uint64_t id
        uint32_t generation
        int32_t fd
        uint32_t flags, waits
        uint32_t next_free, account
        uint32_t commands
        int64_t active_ms
        int64_t blocked_ms
        char *in_ "in"
        uint32_t in_size, in_room, in_head, in_need
        csp_subs *subs
        csp_job *job
        char *out
        uint64_t out_head, out_size, out_room
        csp_rest *rest
        csp_track *track
        csp_tls *tls
        uint64_t rest_at
        int64_t shown_ms
        uint16_t listener
        uint8_t listening
        uint32_t in_at, in_taken, in_wanted
        uint16_t command, end
        uint32_t address_row
        uint32_t leave_after
    ctypedef struct csp_client:
        uint64_t id
        int64_t created_ms, shown_ms, active_ms
        uint64_t unsent
        uint64_t redirect
        uint32_t flags, waits
        uint32_t commands
        uint32_t subscriptions, patterns
        uint32_t input
        int32_t fd
        uint32_t account_dbid
        uint16_t family, port
        uint8_t address[16]
        char name[64]
        char lib_name[24]
        char lib_ver[16]
        char user[64]
        uint64_t credential
        uint32_t application_dbid
        uint16_t command
        uint16_t came_by
