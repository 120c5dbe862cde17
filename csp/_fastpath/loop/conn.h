/* One client connection: what its worker keeps of it, and what all workers of the instance may read.
 *
 * Invariants:
 * 1. csp_conn is its worker's own memory: the loop touches its first two lines in every turn, so it is small.
 * 2. csp_client lies in the session table that every worker maps; only the owning worker writes it, it holds no
 *    pointer, and its figures are as old as `shown_ms` says (loop/clients.pxi).
 * 3. id is 0 in a free row of either, and is stored last when a row is taken.
 * 4. in and out exist only while there is something in them, so an idle connection costs its rows and nothing else.
 * 5. The bits of `waits` are the only reasons why a connection's input is not executed. Each has one waker; a bit
 *    is cleared there and nowhere else, and the connection is visited in the next turn (conn_resume):
 *
 *    bit            set by                              cleared by
 *    WAIT_REPLY     slow_command: Python answers later  Loop.reply, slow_call
 *    WAIT_ROOM      conn_stall: too much is unsent      conn_drain, when enough was taken
 *    WAIT_JOB       job_begin: a long read is under way job_finish
 *    WAIT_REVISION  must_wait: a read's revision is     wake_waiting: it is here, or the time is over
 *                   not here yet
 *    WAIT_CURSOR    dispatch: a read, and changes up    wake_resting, when they are delivered; cursor_close, when
 *                   to S are still to be delivered,     there is nothing left to deliver
 *                   or S is yet to reach its cursor
 *    WAIT_END       conn_close: nothing is read any     never: the connection ends when its output is sent
 *                   more
 */
#ifndef CSP_CONN_H
#define CSP_CONN_H

#include <stddef.h>
#include <stdint.h>

#define CSP_CONN_NAME 64
#define CSP_CONN_LIB 24
#define CSP_CONN_VER 16
#define CSP_CONN_USER 64

/* waits: why input is not executed */
#define CSP_WAIT_REPLY 1u
#define CSP_WAIT_ROOM 2u
#define CSP_WAIT_JOB 4u
#define CSP_WAIT_REVISION 8u
#define CSP_WAIT_CURSOR 16u
#define CSP_WAIT_END 32u
/* While these alone hold it back, what a client sends is taken up to the size of one request: a client that
   writes a whole pipeline before it reads would else never come to read. */
#define CSP_WAITS_FOR_CLIENT (CSP_WAIT_ROOM | CSP_WAIT_CURSOR)

/* flags: what it is */
#define CSP_CONN_SIGNED_IN 1u     /* may do more than PING and sign in */
#define CSP_CONN_RESP3 2u
#define CSP_CONN_MULTI 4u         /* every command goes to the slow lane */
#define CSP_CONN_FEED 8u          /* the slow lane wants to hear when output drains */
#define CSP_CONN_KNOWN 16u        /* the slow lane has seen it: tell it when the connection closes */
#define CSP_CONN_SERVER 128u      /* it registered as a configuration server's Application */
#define CSP_CONN_NUDGED 32u       /* the wait of a read is over: answer it now, late or not */
#define CSP_CONN_WILL_SHOW 65536u  /* in MULTI: something queued shows data */
#define CSP_CONN_AWAITS 131072u   /* in the list of those whose cursor awaits its revision */
#define CSP_CONN_TRACKING 262144u /* what it reads is remembered, or named by prefixes: it is told of changes */
#define CSP_CONN_BCAST 524288u    /* by prefixes */
#define CSP_CONN_REDIR_BROKEN 1048576u /* it is told through a connection that has gone */
#define CSP_CONN_MUST_CHANGE 4194304u /* not signed in: its account has to change its password first */
#define CSP_CONN_PEER_FIRST 268435456u /* its port is for the peer of a pair, as which it has yet to register */
#define CSP_CONN_DISCOVERY 32768u /* its port is for discovery: it asks where to go, and nothing else */
#define CSP_CONN_PREFACE 16777216u /* its balancer has yet to say whose connection it is: proxy.pxi */
#define CSP_CONN_UNTOLD 2097152u  /* what it has read has changed, and it has not heard so: reads wait */
#define CSP_CONN_MAINT 536870912u /* it asked to be told of a move by MOVING */
#define CSP_CONN_MOVES 1073741824u /* it was told when to move, and does so by itself: doors.pxi */
#define CSP_CONN_MAINT_BARE 2147483648u /* and not where to */
/* what its account may call: no flags of a connection, but asked for with them */
#define CSP_CONN_ADMINISTRATOR 64u
#define CSP_CONN_DATA 8388608u    /* Read and Execute on the application that it serves, or on `default` */
/* and where it stands in the turn */
#define CSP_CONN_READABLE 256u    /* the socket may hold bytes that were not received yet */
#define CSP_CONN_FULL 512u        /* the socket takes nothing now: its edge will come */
#define CSP_CONN_ENDING 1024u     /* the peer has ended: receive until that end is read */
#define CSP_CONN_ENDED 2048u      /* that end was read: closed once all it asked for is answered and sent */
#define CSP_CONN_QUEUED 4096u     /* in the list of connections to visit next turn */
#define CSP_CONN_READY 8192u      /* its input waits for this turn's pin: not received from twice */
#define CSP_CONN_DIRTY 16384u     /* in the list of connections to send to in this turn */
/* and how it speaks: loop/tls.pxi */
#define CSP_CONN_DETECT 33554432u /* it has said nothing yet: its first byte tells whether it speaks TLS */
#define CSP_CONN_TLS 67108864u    /* it does: `tls` is there */
#define CSP_CONN_WIRE 134217728u  /* the socket did not take all of what was encrypted for it */

/* why it ends; what each is called stands in slow.pxi */
#define CSP_END_SLOW 1u     /* the slow lane ended it, and knows why */
#define CSP_END_PEER 2u     /* its client ended its side, and was answered */
#define CSP_END_BROKEN 3u   /* the network did, or its client with bytes unread */
#define CSP_END_PROTOCOL 4u /* what it sent is no command */
#define CSP_END_SIGN_IN 5u  /* it did not sign in in time */
#define CSP_END_OUTPUT 6u   /* it took nothing of what was unsent for too long */
#define CSP_END_FURTHEST 7u /* too much was cut off for all together, and it was furthest behind */
#define CSP_END_MEMORY 8u   /* there was no memory for what it is to be told */
#define CSP_END_STOP 9u     /* the server stops */
#define CSP_END_TLS 10u     /* its handshake, or a record of it, could not be taken */
#define CSP_END_PREFACE 11u /* its port did not let it in */
#define CSP_END_LEFT 12u    /* its port was shut, or the server drained */

struct csp_job;
struct csp_rest;
struct csp_subs;
struct csp_tls;
struct csp_track;

typedef struct csp_conn {
    uint64_t id;
    uint32_t generation; /* a handle is generation and row: a reused row has another */
    int32_t fd;
    uint32_t flags;
    uint32_t waits;
    union {
        uint32_t next_free; /* of a free row */
        uint32_t account;   /* its row in the worker's table of accounts: loop/rights.pxi */
    };
    uint32_t commands;
    int64_t active_ms;
    int64_t blocked_ms; /* since when nothing was taken of what is unsent; 0: nothing unsent */
    char *in;
    uint32_t in_size, in_room;
    uint32_t in_head;  /* of in: how much is executed already */
    uint32_t in_need;  /* bytes that the next command needs; less is not worth a look */
    struct csp_subs *subs;
    struct csp_job *job;
    char *out;
    uint64_t out_head, out_size;
    struct csp_rest *rest; /* what a socket cut off a pushed message: goes out before all else */
    int64_t shown_ms;  /* when the shared row was written last */
    uint64_t out_room;
    uint64_t rest_at;
    struct csp_track *track; /* what it tracks, and who is told through it */
    struct csp_tls *tls;     /* with CSP_CONN_TLS: OpenSSL's part of it */
    uint16_t listener; /* the row of the port by which it came */
    uint8_t listening; /* with CSP_CONN_DISCOVERY: it is to be told when where to go changes */
    uint32_t in_at, in_taken, in_wanted; /* of the incomplete command: how far it was cut (parse.pxi) */
    uint16_t command;  /* the last one, by its number in commands.h */
    uint16_t end;      /* CSP_END_*: why it ends, as the first said who ended it */
    uint32_t address_row; /* of its address: loop/addresses.pxi; 0: it is not counted */
    uint32_t leave_after; /* 1 + ms from the begin of a drain until it is to leave: loop/doors.pxi; 0: at its end */
} csp_conn;

typedef struct csp_client {
    uint64_t id;
    int64_t created_ms;
    int64_t shown_ms; /* when the rest was so */
    int64_t active_ms;
    uint64_t unsent;
    uint64_t redirect; /* the id of whom its invalidations go to, 0: nobody else */
    uint32_t flags, waits;
    uint32_t commands;
    uint32_t subscriptions, patterns;
    uint32_t input;
    int32_t fd;
    uint32_t account_dbid;
    uint16_t family, port;
    uint8_t address[16];
    char name[CSP_CONN_NAME];
    char lib_name[CSP_CONN_LIB];
    char lib_ver[CSP_CONN_VER];
    char user[CSP_CONN_USER];
    uint64_t credential;       /* revision of the account record by which it signed in; 0: unknown */
    uint32_t application_dbid; /* which it serves; 0: none */
    uint16_t command;
    uint16_t came_by; /* the number of the port by which it came */
} csp_client;

_Static_assert(sizeof(csp_conn) <= 192, "three lines of memory a connection");
_Static_assert(offsetof(csp_conn, shown_ms) <= 120, "what every turn touches lies in the first two");
_Static_assert(sizeof(csp_client) <= 384, "an idle connection may cost 640 bytes in all");
_Static_assert(sizeof(csp_client) % 8 == 0 && sizeof(csp_conn) % 8 == 0, "rows are 8 byte aligned");

#endif
