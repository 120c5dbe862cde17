/* The counters of one worker, laid over its row of counters in the control segment: one writer, many readers. */
#ifndef CSP_STATS_H
#define CSP_STATS_H

#include <stdint.h>

#define CSP_STATS_ROOM 64

/* In the order of the row; csp/tables/metrics.toml names them in the same order. */
#define CSP_STATS(_) \
    _(turns) _(commands) _(hits) _(misses) _(keys) _(pages) _(bytes_in) _(bytes_out) \
    _(connections) _(accepted) _(rejected) _(slow_commands) _(slow_errors) _(messages) \
    _(timeouts_sign_in) _(timeouts_output) _(protocol_errors) _(subscriptions) _(buffers) _(jobs) \
    _(waits) _(stalls) _(lags) _(resyncs) _(wakes) _(entries) _(errors) _(deferred) \
    _(subscribers) _(feeds) _(busy) _(longest_turn_us) _(rests_closed)

#define CSP_STATS_FIELD(name) uint64_t name;
typedef struct csp_stats { CSP_STATS(CSP_STATS_FIELD) } csp_stats;
#undef CSP_STATS_FIELD

#define CSP_STATS_NAME(name) #name,
static const char *const csp_stats_names[] = { CSP_STATS(CSP_STATS_NAME) };
#undef CSP_STATS_NAME
#define CSP_STATS_COUNT ((int)(sizeof(csp_stats_names) / sizeof(csp_stats_names[0])))

_Static_assert(sizeof(csp_stats) <= CSP_STATS_ROOM * 8, "a slot has so many counters");

#endif
