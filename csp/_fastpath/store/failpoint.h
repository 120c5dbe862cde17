/* Kills or stops the writer at a named point, so that tests can die between any two stores. */
#ifndef CSP_FAILPOINT_H
#define CSP_FAILPOINT_H

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#define CSP_FAILPOINT_NAMES \
    "apply-start", "apply-record", "apply-stage-list", "apply-stage-name", "apply-account", "apply-node", "apply-rights", \
    "apply-before-intent", "apply-intent", "apply-word", "apply-list-word", "apply-count-word", \
    "apply-before-publish", "apply-published", "apply-retire", \
    "publish-inside", "split-before", "split-stored", "directory-doubled", "log-trim", \
    "reclaim-start", "reclaim-free", "reclaim-tombstone", "reclaim-list", "reclaim-name", \
    "reclaim-node", \
    "recover-start", "recover-split", "recover-redo", "recover-published", "recover-list", \
    "recover-end", "walk-class", "walk-list", "walk-name", "walk-log", "walk-end", "walk-merged", \
    "load-record", "load-list", "load-publish"

enum {
    CSP_FP_APPLY_START, CSP_FP_APPLY_RECORD, CSP_FP_APPLY_STAGE_LIST, CSP_FP_APPLY_STAGE_NAME,
    CSP_FP_APPLY_ACCOUNT, CSP_FP_APPLY_NODE, CSP_FP_APPLY_RIGHTS, CSP_FP_APPLY_BEFORE_INTENT, CSP_FP_APPLY_INTENT, CSP_FP_APPLY_WORD,
    CSP_FP_APPLY_LIST_WORD, CSP_FP_APPLY_COUNT_WORD, CSP_FP_APPLY_BEFORE_PUBLISH,
    CSP_FP_APPLY_PUBLISHED, CSP_FP_APPLY_RETIRE, CSP_FP_PUBLISH_INSIDE, CSP_FP_SPLIT_BEFORE,
    CSP_FP_SPLIT_STORED, CSP_FP_DIRECTORY_DOUBLED, CSP_FP_LOG_TRIM, CSP_FP_RECLAIM_START,
    CSP_FP_RECLAIM_FREE, CSP_FP_RECLAIM_TOMBSTONE, CSP_FP_RECLAIM_LIST, CSP_FP_RECLAIM_NAME, CSP_FP_RECLAIM_NODE,
    CSP_FP_RECOVER_START, CSP_FP_RECOVER_SPLIT, CSP_FP_RECOVER_REDO, CSP_FP_RECOVER_PUBLISHED,
    CSP_FP_RECOVER_LIST, CSP_FP_RECOVER_END, CSP_FP_WALK_CLASS, CSP_FP_WALK_LIST, CSP_FP_WALK_NAME,
    CSP_FP_WALK_LOG, CSP_FP_WALK_END, CSP_FP_WALK_MERGED, CSP_FP_LOAD_RECORD, CSP_FP_LOAD_LIST,
    CSP_FP_LOAD_PUBLISH, CSP_FP_COUNT
};

static const char *const csp_failpoint_names[CSP_FP_COUNT] = {CSP_FAILPOINT_NAMES};
static int csp_failpoint_armed = -1; /* the point, -1 none */
static int csp_failpoint_signal = SIGKILL;
static uint64_t csp_failpoint_hit = 1; /* fires at this pass, counted from 1 */
static uint64_t csp_failpoint_passes;

static inline void csp_failpoint_arm(int point, int signal_number, uint64_t hit) {
    csp_failpoint_armed = point;
    csp_failpoint_signal = signal_number;
    csp_failpoint_hit = hit;
    csp_failpoint_passes = 0;
}
static inline void csp_failpoint(int point) {
    if (__builtin_expect(point == csp_failpoint_armed, 0) &&
        ++csp_failpoint_passes == csp_failpoint_hit)
        kill(getpid(), csp_failpoint_signal);
}

#endif
