/* Lays out what processes share, and gives the only ways to load and store shared words.
 *
 * 1. Every structure here starts at a multiple of 8 bytes; its size is asserted below.
 * 2. A word that one process stores while another loads goes through csp_load/csp_store/csp_swap.
 * 3. Everything else is written before the word that makes it reachable is released, and never after.
 * 4. Offsets, not pointers: a ref counts bytes from the start of the data segment; 0 is none.
 */
#ifndef CSP_SHM_H
#define CSP_SHM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CSP_SUPER_MAGIC 0x3165726f74737063ull /* "cpstore1" */
#define CSP_CONTROL_MAGIC 0x316c727463707363ull /* "cspctrl1" */
#define CSP_ENTRY_FORMAT 0x43535033u
#define CSP_FORMAT 8u /* raise it when the meaning of a layout changes but no size does */

#define CSP_SLOTS 64
#define CSP_WRITER_SLOT 49 /* as csp/store/control.py has it */
#define CSP_COUNTERS 128
#define CSP_ALARMS 48
#define CSP_STANDING_TEXT 4080
#define CSP_ALARM_TEXT 144
#define CSP_CLASSES 256
#define CSP_KEYS 4096 /* key id = class id * 64 + n: room for classes 0 to 63 */
#define CSP_KEYS_A_CLASS 64
/* Keys of class 0, which no object has: the name of a governing node, the object whose grants a record holds, the
 * account that a record of grants names. */
#define CSP_NODE_KEY 63
#define CSP_GRANTS_KEY 62
#define CSP_GRANTEE_KEY 61
#define CSP_SPACE_BYTES 65536
#define CSP_DIRTY_WORDS 128 /* one bit for each of 8,192 ranges of hashes */

/* ---- the data segment ---- */

typedef struct { /* the published state; revision is loaded alone, all three under the sequence */
    uint64_t sequence; /* odd while the writer changes the three */
    uint64_t revision;
    uint64_t mark;
    int64_t time_ms;
} csp_state_t;

typedef struct { /* one filter key: which class its DBIDs belong to, and how it is kept */
    uint16_t class_id;
    uint8_t kind;   /* 0 not kept here, 1 name, 2 list */
    uint8_t source; /* class of the objects that contribute its lists, whose DBIDs are the values; 0 none */
} csp_key_kind_t;

typedef struct {
    uint64_t magic;
    uint32_t format;
    uint32_t layout;        /* digest of the sizes below: another build is refused */
    uint64_t reserve_bytes;
    uint64_t seed;          /* of the hashes of names and lists */
    uint64_t hash_mask;     /* all ones; a test clears it so that everything collides */
    uint8_t stream[16];
    uint64_t log_ring;      /* offset of the ring */
    /* 64 */
    uint64_t log_mask;      /* slots of the ring - 1 */
    uint64_t heap;          /* first byte that the arena owns */
    uint64_t extent_end;    /* bytes below are backed by memory */
    uint64_t names_root;    /* directory ref | depth */
    uint64_t lists_root;
    uint64_t log_oldest;    /* oldest revision of the log, published + 1 when it is empty */
    uint64_t loaded;        /* 1 once the first load was published */
    uint64_t held;          /* the first run of the memory kept for deletes, 0 while it is in use */
    /* 128 */
    csp_state_t state;
    uint64_t splitting;     /* 1 names, 2 lists: entries of a directory are being rewritten, as below */
    uint64_t held_bytes;
    uint64_t rights_revision; /* newest that touched nodes, groups or accounts: stored before it is published */
    uint64_t table;         /* digest of the key table by which the keys in here were built */
    /* 192 */
    uint64_t split_start;   /* split_size entries from here are to hold split_left, as many behind */
    uint64_t split_size;    /* them split_right */
    uint64_t split_left;
    uint64_t split_right;
    uint64_t name_words;    /* figures: a kill may leave them wrong by what it interrupted */
    uint64_t list_words;
    uint64_t node_count;    /* numbers of governing nodes given so far: 1..node_count */
    uint8_t pad0[4096 - 128 - 120];
    csp_key_kind_t keys[CSP_KEYS];       /* 4096 */
    uint64_t class_roots[CSP_CLASSES];   /* 20480: ref of the root of the index by DBID */
    uint64_t class_counts[CSP_CLASSES];  /* ref of the newest count cell */
    uint64_t dirty[4][CSP_DIRTY_WORDS];  /* names, names, lists, lists: store/dirty.pxi */
} csp_super_t;

typedef struct { /* begins each run of the memory kept for deletes */
    uint64_t next;          /* the run behind it, 0 none */
    uint64_t pages;
} csp_held_t;

typedef struct { /* a record image, one version of one object: docs/internals/formats.md */
    uint64_t prev;
    uint32_t crc;
    uint32_t node;  /* number of the node that governs it, in this store; 0 in transit */
    uint64_t revision;
    uint32_t dbid;
    uint16_t class_id;
    uint16_t flags; /* CSP_TOMBSTONE, CSP_OWN_GRANTS */
    uint32_t size;
    uint32_t tenant_dbid;
    uint32_t container_dbid;
    uint16_t container_class;
    uint16_t spare;
    uint32_t reply_size;
    uint32_t brief_size;
    uint32_t keys_size;
    uint32_t spare2;
} csp_record_t;
#define CSP_TOMBSTONE 1
#define CSP_OWN_GRANTS 2
#define CSP_OWN_NODE 0x8000u /* in the class of a node's name: the object's own, which governs itself alone */
#define CSP_RECORD_COVERED 16 /* the checksum covers the bytes from here on */

typedef struct __attribute__((packed)) { /* head of one index key inside a record, at any address;
                                            value and members follow */
    uint16_t key_id;
    uint16_t value_size;
    uint32_t member_count;
} csp_key_t;

typedef struct { /* one grant: the first part of a record of CSP_GRANTS_CLASS is nothing else */
    uint32_t dbid; /* of the account */
    uint16_t class_id;
    uint8_t grant; /* CSP_RIGHT_…, CSP_PROPAGATE */
    uint8_t spare;
} csp_grant_t;

typedef struct { /* a change log entry; items follow */
    uint32_t format;
    uint32_t size;
    uint32_t crc;
    uint32_t item_count;
    uint64_t revision;
    uint64_t mark;
    int64_t time_ms;
    uint32_t flags; /* CSP_DIFFERENCE */
    uint32_t spare;
    uint64_t table; /* digest of the key table by which its images' keys were built */
    uint64_t extras; /* for the writer's redo only: a csp_extras_t, 0 none; 0 in transit */
} csp_entry_t;
#define CSP_DIFFERENCE 1

typedef struct { /* a record that a change makes beside its items: of an account, of a governing node */
    uint32_t class_id;
    uint32_t dbid;
    uint64_t ref;
} csp_extra_t;

typedef struct { /* csp_extra_t follow */
    uint64_t count;
} csp_extras_t;

typedef struct { /* one changed object of an entry; tenants, image, event follow */
    uint32_t size;
    uint8_t op; /* 1 create, 2 update, 3 delete; another is no change of an object */
    uint8_t flags; /* CSP_ITEM_… */
    uint16_t class_id;
    uint32_t dbid;
    uint32_t image_size;
    uint32_t event_size;
    uint32_t tenant_count;
    uint32_t before_dbid; /* the node that governed the object, and the one that does now; class 0: none.
                             Of CSP_GRANTS_CLASS: the object whose grants they are */
    uint32_t after_dbid;
    uint16_t before_class;
    uint16_t after_class;
    uint32_t spare;
    uint64_t base; /* the object's revision before; 0 of a create */
    uint64_t ref; /* for the writer's redo only: the record may be gone while the entry is kept */
    uint32_t node_before; /* both nodes by their numbers in this store; 0 in transit, or none */
    uint32_t node_after;
} csp_item_t;
#define CSP_OP_DELETE 3
#define CSP_OP_KEYS 4 /* no change of an object: an account record that only servers carry */
#define CSP_ITEM_ACCOUNT 1 /* the object's account record changed too */
#define CSP_ITEM_SKIPPABLE 128 /* who doesn't know its op passes it over */
#define CSP_ITEM_TRANSIT 48 /* bytes of it that travel; those behind belong to the store */

typedef struct { /* how many objects a class has, one version */
    uint64_t revision;
    uint64_t prev;
    uint64_t count;
    uint64_t spare;
} csp_count_t;

typedef struct { /* a posting list, one version; the value (padded to 8) follows, then the DBIDs
                    themselves (leaf_count 0) or leaf_count csp_leaf_t */
    uint64_t revision;
    uint64_t prev;
    uint32_t hash;
    uint32_t size; /* bytes of this block */
    uint16_t key_id;
    uint16_t value_size;
    uint32_t count;
    uint32_t leaf_count;
    uint32_t spare;
} csp_list_t;

typedef struct { /* one leaf of a large list: its first DBID, how many, where */
    uint32_t first;
    uint32_t count;
    uint64_t ref;
} csp_leaf_t;

typedef struct { /* 64 bytes of a word hash: 7 words (hash << 32 | low), the ref of an overflow */
    uint64_t words[7];
    uint64_t overflow;
} csp_bucket_t;

/* ---- the control segment ---- */

typedef struct { /* one alarm; written by the process that csp/tables/alarms.toml names, read by all */
    int64_t since_ms;    /* UTC; 0: it is not raised. Stored last when it is, first when it is over */
    uint64_t figure;     /* what its owner's successor must know to take it back */
    uint8_t text[CSP_ALARM_TEXT]; /* UTF-8, ended by zeros */
} csp_alarm_t;

typedef struct { /* one reader; the line is written by its owner, cleared when its lock is free */
    uint64_t seen;       /* epoch announced; 0 offline */
    uint64_t asleep;     /* in the poll 1 + the revision it knows; the writer swaps it to 0 when it rings */
    uint64_t interest;   /* 1: ring at every publication */
    uint64_t generation; /* the data segment it is attached to */
    uint64_t progress;   /* grows with every turn: a hang shows */
    uint64_t pid;        /* for people; ownership is the slot's lock */
    uint64_t spare[2];
} csp_slot_t;

typedef struct { /* how the server stands in its pair, in words for people and clients; the writer's */
    uint64_t sequence;   /* odd while the text changes */
    uint64_t size;
    uint8_t text[CSP_STANDING_TEXT]; /* JSON: csp/store/standing.py */
} csp_standing_t;

typedef struct {
    uint64_t magic;
    uint32_t format;
    uint32_t layout;
    uint64_t spare0[6];
    uint64_t generation; /* 64: data segment in force, 0 none yet */
    uint64_t state;      /* 0 loading, 1 ready */
    uint64_t role;       /* in a pair: 0 single, 1 primary, 2 backup */
    uint64_t fence;      /* of a master: the number under which this run writes; 0 none yet */
    uint64_t verified;   /* the run (its start, ms) that checked every record of the generation, or made it */
    uint64_t writable;   /* whether this server takes writes */
    uint64_t log_level;  /* of the log, where the Application states one: its place in csp.observe.log, from 1 */
    uint64_t serving;    /* whether its ports for clients are to be open; a pair's backup has them shut */
    uint64_t epoch;      /* 128: grows after each publication; never 0 */
    uint64_t drain_from; /* a drain, ms by the clock since the boot: its begin, 0 where there is none */
    uint64_t drain_until; /* its end */
    uint64_t doors;      /* grows when ports were opened or shut, and with a drain: workers look at them */
    uint64_t spare2[4];
    uint64_t link_sequence; /* 192: odd while the four change */
    uint64_t link_state;
    uint64_t link_revision;
    int64_t link_heard_ms;
    int64_t link_wall_ms;
    uint64_t spare3[3];
    csp_alarm_t alarms[CSP_ALARMS];                /* 256: a row each, at the place that the table names */
    uint64_t spare4[32];
    csp_slot_t slots[CSP_SLOTS];                   /* 8192 */
    uint64_t counters[CSP_SLOTS][CSP_COUNTERS];    /* 12288: each row written by its slot's owner */
    csp_standing_t standing;                       /* 77824 */
    uint8_t space[CSP_SPACE_BYTES];                /* the loop's; the store never touches it */
} csp_control_t;

_Static_assert(sizeof(csp_state_t) == 32, "state");
_Static_assert(offsetof(csp_super_t, state) == 128, "state on its own line");
_Static_assert(offsetof(csp_super_t, keys) == 4096, "key table");
_Static_assert(offsetof(csp_super_t, class_roots) == 20480, "class roots");
_Static_assert(sizeof(csp_super_t) == 28672, "superblock: EMPTY_LEAF in limits.pxi follows it");
_Static_assert(sizeof(csp_record_t) == 64, "record header, one cache line");
_Static_assert(sizeof(csp_key_t) == 8, "index key");
_Static_assert(offsetof(csp_super_t, rights_revision) < 192, "on the line of the published revision");
_Static_assert(sizeof(csp_entry_t) == 64, "log entry");
_Static_assert(sizeof(csp_item_t) == 64, "log item");
_Static_assert(sizeof(csp_grant_t) == 8, "a grant");
_Static_assert(sizeof(csp_extra_t) == 16, "a record beside the items");
_Static_assert(sizeof(csp_count_t) == 32, "count cell");
_Static_assert(sizeof(csp_list_t) == 40, "list head");
_Static_assert(sizeof(csp_leaf_t) == 16, "leaf");
_Static_assert(sizeof(csp_bucket_t) == 64, "bucket, one cache line");
_Static_assert(sizeof(csp_slot_t) == 64, "slot, one cache line");
_Static_assert(sizeof(csp_alarm_t) == 160, "alarm");
_Static_assert(sizeof(csp_standing_t) == 4096, "standing");
_Static_assert(offsetof(csp_control_t, slots) == 8192, "slots");
_Static_assert(offsetof(csp_control_t, counters) == 12288, "counters");

#define CSP_LAYOUT ((uint32_t)(sizeof(csp_super_t) * 31 + sizeof(csp_control_t) * 37 + \
    sizeof(csp_record_t) * 41 + sizeof(csp_list_t) * 43 + sizeof(csp_bucket_t) * 47 + \
    offsetof(csp_super_t, names_root) * 53 + offsetof(csp_super_t, log_oldest) * 59 + CSP_FORMAT))

/* ---- shared words ---- */

static inline uint64_t csp_load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void csp_store(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
/* The announcement of a reader, the epoch of the writer. */
static inline uint64_t csp_swap(uint64_t *word, uint64_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
static inline uint64_t csp_add(uint64_t *word, uint64_t value) {
    return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}
static inline uint64_t csp_load_all(const uint64_t *word) { /* ordered after earlier swaps */
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
/* Between a store that others look for and the loads that must not overtake it: an announcement and
 * what is then read, an unlinking and the announcements, "asleep" and the revision. The swap alone orders
 * them on x86-64 and, as compiled, on arm64; the language promises it of the fence only. */
static inline void csp_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline uint64_t csp_load_any(const uint64_t *word) { /* inside a sequence lock */
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline void csp_store_any(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline uint32_t csp_u32(const void *start, uint32_t index) { /* at any address */
    uint32_t value;
    memcpy(&value, (const uint8_t *)start + 4 * (size_t)index, 4);
    return value;
}
static inline uint32_t csp_clz(uint64_t value) { return (uint32_t)__builtin_clzll(value); }
static inline uint32_t csp_ctz(uint64_t value) { return (uint32_t)__builtin_ctzll(value); }
static inline void csp_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/* ---- the sequence lock of the published state: fails only while the writer is inside it ---- */

static inline int csp_state_read(const csp_state_t *state, csp_state_t *out) {
    for (int tries = 0; tries < 64; tries++) {
        uint64_t before = csp_load(&state->sequence);
        if (before & 1) continue;
        out->revision = csp_load(&state->revision);
        out->mark = csp_load(&state->mark);
        out->time_ms = (int64_t)csp_load((const uint64_t *)&state->time_ms);
        if (csp_load_any(&state->sequence) == before) return 1;
    }
    return 0; /* the writer died inside: the log entry of the revision has the same figures */
}

#endif
