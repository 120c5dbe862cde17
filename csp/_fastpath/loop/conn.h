/* One client connection as a row of its worker's session table, which every worker of the instance can read.
 *
 * Invariants:
 * 1. Only the owning worker writes a row; the pointers in it mean something to that worker alone.
 * 2. id is 0 in a free row, and is stored last when a row is taken.
 * 3. in and out exist only while there is something in them, so an idle connection costs its row and nothing else.
 */
#ifndef CSP_CONN_H
#define CSP_CONN_H

#include <stdint.h>

#define CSP_CONN_NAME 64
#define CSP_CONN_LIB 24
#define CSP_CONN_VER 16
#define CSP_CONN_USER 64

/* flags */
#define CSP_CONN_SIGNED_IN 1u     /* may do more than PING and sign in */
#define CSP_CONN_RESP3 2u
#define CSP_CONN_MULTI 4u         /* every command goes to the slow lane */
#define CSP_CONN_DEFERRED 8u      /* the slow lane owes a reply */
#define CSP_CONN_CLOSING 16u      /* closed once what is queued has been sent */
#define CSP_CONN_STALLED 32u      /* too much unsent: its requests wait */
#define CSP_CONN_READABLE 64u     /* the socket may hold bytes that were not received yet */
#define CSP_CONN_QUEUED 128u      /* in the list of connections to visit next turn */
#define CSP_CONN_DIRTY 256u       /* in the list of connections to send to in this turn */
#define CSP_CONN_FEED 512u        /* the slow lane wants to hear when output drains */
#define CSP_CONN_LAGGING 1024u    /* its subscriptions are held at its cursor */
#define CSP_CONN_JOB 2048u        /* a page is being collected over several turns */
#define CSP_CONN_WAITING 4096u    /* a read waits for a revision */
#define CSP_CONN_KNOWN 8192u      /* the slow lane has seen it: tell it when the connection closes */
#define CSP_CONN_FULL 16384u      /* the last send was cut short: wait for the socket */
#define CSP_CONN_READY 65536u     /* its input waits for this turn's pin: not received from twice */
#define CSP_CONN_NUDGED 32768u    /* the wait of a read is over: answer it now, late or not */
#define CSP_CONN_ENDING 131072u   /* the peer has ended: receive until that end is read */
#define CSP_CONN_ADMINISTRATOR 262144u  /* its account is an administrator's */
#define CSP_CONN_SERVER 524288u   /* it registered as a configuration server's Application */

struct csp_job;
struct csp_subs;

typedef struct csp_conn {
    uint64_t id;
    uint32_t generation; /* a handle is generation and row: a reused row has another */
    int32_t fd;
    uint32_t flags;
    uint32_t next_free;
    int64_t created_ms;
    int64_t active_ms;
    int64_t blocked_ms; /* since when nothing was taken of what is unsent; 0: nothing unsent */
    char *in;
    uint32_t in_size, in_room, in_need, commands;
    char *out;
    uint64_t out_head, out_size, out_room;
    struct csp_job *job;
    struct csp_subs *subs;
    uint64_t cursor_revision;
    uint64_t wait_revision;
    int64_t wait_until_ms;
    uint32_t cursor_item;
    uint32_t account_dbid;
    uint32_t subscriptions;
    uint16_t family, port;
    uint8_t address[16];
    char name[CSP_CONN_NAME];
    char lib_name[CSP_CONN_LIB];
    char lib_ver[CSP_CONN_VER];
    char user[CSP_CONN_USER];
} csp_conn;

_Static_assert(sizeof(csp_conn) <= 384, "an idle connection may cost 512 bytes in all");
_Static_assert(sizeof(csp_conn) % 8 == 0, "rows are 8 byte aligned");

#endif
