"""Declares shm.h: what processes share, and the only ways to touch shared words."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "_fastpath/store/shm.h" nogil:
    enum:
        CSP_SUPER_MAGIC
        CSP_CONTROL_MAGIC
        CSP_ENTRY_FORMAT
        CSP_FORMAT
        CSP_LAYOUT
        CSP_SLOTS
        CSP_COUNTERS
        CSP_ALARMS
        CSP_STANDING_TEXT
        CSP_ALARM_TEXT
        CSP_WRITER_SLOT
        CSP_CLASSES
        CSP_KEYS
        CSP_SPACE_BYTES
        CSP_DIRTY_WORDS
        CSP_KEYS_A_CLASS
        CSP_NODE_KEY
        CSP_GRANTS_KEY
        CSP_GRANTEE_KEY
        CSP_TOMBSTONE
        CSP_OWN_GRANTS
        CSP_OWN_NODE
        CSP_RECORD_COVERED
        CSP_OP_DELETE
        CSP_OP_KEYS
        CSP_ITEM_ACCOUNT
        CSP_ITEM_SKIPPABLE
        CSP_ITEM_TRANSIT
        CSP_DIFFERENCE

    ctypedef struct csp_state_t:
        uint64_t sequence
        uint64_t revision
        uint64_t mark
        int64_t time_ms

    ctypedef struct csp_key_kind_t:
        uint16_t class_id
        uint8_t kind
        uint8_t source

    ctypedef struct csp_super_t:
        uint64_t magic
        uint32_t format
        uint32_t layout
        uint64_t reserve_bytes
        uint64_t seed
        uint64_t hash_mask
        uint8_t stream[16]
        uint64_t log_ring
        uint64_t log_mask
        uint64_t heap
        uint64_t extent_end
        uint64_t names_root
        uint64_t lists_root
        uint64_t log_oldest
        uint64_t loaded
        uint64_t held
        csp_state_t state
        uint64_t splitting
        uint64_t held_bytes
        uint64_t rights_revision
        uint64_t table
        uint64_t split_start
        uint64_t split_size
        uint64_t split_left
        uint64_t split_right
        uint64_t name_words
        uint64_t list_words
        uint64_t node_count
        csp_key_kind_t keys[4096]
        uint64_t class_roots[256]
        uint64_t class_counts[256]
        uint64_t dirty[4][128]

    ctypedef struct csp_held_t:
        uint64_t next
        uint64_t pages

    ctypedef struct csp_record_t:
        uint64_t prev
        uint32_t crc
        uint32_t node
        uint64_t revision
        uint32_t dbid
        uint16_t class_id
        uint16_t flags
        uint32_t size
        uint32_t tenant_dbid
        uint32_t container_dbid
        uint16_t container_class
        uint32_t reply_size
        uint32_t brief_size
        uint32_t keys_size

    ctypedef struct csp_key_t:
        uint16_t key_id
        uint16_t value_size
        uint32_t member_count

    ctypedef struct csp_grant_t:
        uint32_t dbid
        uint16_t class_id
        uint8_t grant
        uint8_t spare

    ctypedef struct csp_entry_t:
        uint32_t format
        uint32_t size
        uint32_t crc
        uint32_t item_count
        uint64_t revision
        uint64_t mark
        int64_t time_ms
        uint32_t flags
        uint64_t table
        uint64_t extras

    ctypedef struct csp_extra_t:
        uint32_t class_id
        uint32_t dbid
        uint64_t ref

    ctypedef struct csp_extras_t:
        uint64_t count

    ctypedef struct csp_item_t:
        uint32_t size
        uint8_t op
        uint8_t flags
        uint16_t class_id
        uint32_t dbid
        uint32_t image_size
        uint32_t event_size
        uint32_t tenant_count
        uint32_t before_dbid
        uint32_t after_dbid
        uint16_t before_class
        uint16_t after_class
        uint64_t base
        uint64_t ref
        uint32_t node_before
        uint32_t node_after

    ctypedef struct csp_count_t:
        uint64_t revision
        uint64_t prev
        uint64_t count
        uint64_t spare

    ctypedef struct csp_list_t:
        uint64_t revision
        uint64_t prev
        uint32_t hash
        uint32_t size
        uint16_t key_id
        uint16_t value_size
        uint32_t count
        uint32_t leaf_count
        uint32_t spare

    ctypedef struct csp_leaf_t:
        uint32_t first
        uint32_t count
        uint64_t ref

    ctypedef struct csp_bucket_t:
        uint64_t words[7]
        uint64_t overflow

    ctypedef struct csp_slot_t:
        uint64_t seen
        uint64_t asleep
        uint64_t interest
        uint64_t generation
        uint64_t progress
        uint64_t pid

    ctypedef struct csp_alarm_t:
        int64_t since_ms
        uint64_t figure
        uint8_t text[144]

    ctypedef struct csp_standing_t:
        uint64_t sequence
        uint64_t size
        uint8_t text[4080]

    ctypedef struct csp_control_t:
        uint64_t magic
        uint32_t format
        uint32_t layout
        uint64_t generation
        uint64_t state
        uint64_t role
        uint64_t fence
        uint64_t verified
        uint64_t writable
        uint64_t log_level
        uint64_t serving
        uint64_t epoch
        uint64_t drain_from
        uint64_t drain_until
        uint64_t doors
        uint64_t link_sequence
        uint64_t link_state
        uint64_t link_revision
        int64_t link_heard_ms
        int64_t link_wall_ms
        csp_alarm_t alarms[48]
        csp_slot_t slots[64]
        uint64_t counters[64][128]
        csp_standing_t standing
        uint8_t space[65536]

    uint64_t csp_load(const uint64_t* word)
    void csp_store(uint64_t* word, uint64_t value)
    uint64_t csp_swap(uint64_t* word, uint64_t value)
    uint64_t csp_add(uint64_t* word, uint64_t value)
    uint64_t csp_load_all(const uint64_t* word)
    void csp_fence()
    uint64_t csp_load_any(const uint64_t* word)
    void csp_store_any(uint64_t* word, uint64_t value)
    uint32_t csp_u32(const void* start, uint32_t index)
    uint32_t csp_clz(uint64_t value)
    uint32_t csp_ctz(uint64_t value)
    void csp_prefetch(const void* address)
    int csp_state_read(const csp_state_t* state, csp_state_t* out)
