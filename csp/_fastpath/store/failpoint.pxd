"""Declares failpoint.h: named points at which the writer can be killed or stopped."""

from libc.stdint cimport uint64_t


cdef extern from "_fastpath/store/failpoint.h" nogil:
    enum:
        CSP_FP_APPLY_START
        CSP_FP_APPLY_RECORD
        CSP_FP_APPLY_STAGE_LIST
        CSP_FP_APPLY_STAGE_NAME
        CSP_FP_APPLY_ACCOUNT
        CSP_FP_APPLY_NODE
        CSP_FP_APPLY_RIGHTS
        CSP_FP_APPLY_BEFORE_INTENT
        CSP_FP_APPLY_INTENT
        CSP_FP_APPLY_WORD
        CSP_FP_APPLY_LIST_WORD
        CSP_FP_APPLY_COUNT_WORD
        CSP_FP_APPLY_BEFORE_PUBLISH
        CSP_FP_APPLY_PUBLISHED
        CSP_FP_APPLY_RETIRE
        CSP_FP_PUBLISH_INSIDE
        CSP_FP_SPLIT_BEFORE
        CSP_FP_SPLIT_STORED
        CSP_FP_DIRECTORY_DOUBLED
        CSP_FP_LOG_TRIM
        CSP_FP_RECLAIM_START
        CSP_FP_RECLAIM_FREE
        CSP_FP_RECLAIM_TOMBSTONE
        CSP_FP_RECLAIM_LIST
        CSP_FP_RECLAIM_NAME
        CSP_FP_RECLAIM_NODE
        CSP_FP_RECOVER_START
        CSP_FP_RECOVER_SPLIT
        CSP_FP_RECOVER_REDO
        CSP_FP_RECOVER_PUBLISHED
        CSP_FP_RECOVER_LIST
        CSP_FP_RECOVER_END
        CSP_FP_WALK_CLASS
        CSP_FP_WALK_LIST
        CSP_FP_WALK_NAME
        CSP_FP_WALK_LOG
        CSP_FP_WALK_END
        CSP_FP_WALK_MERGED
        CSP_FP_LOAD_RECORD
        CSP_FP_LOAD_LIST
        CSP_FP_LOAD_PUBLISH
        CSP_FP_COUNT
    const char* const* csp_failpoint_names
    void csp_failpoint_arm(int point, int signal_number, uint64_t hit)
    void csp_failpoint(int point)
