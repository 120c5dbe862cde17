# Included by csp/_fastpath.pyx after: nothing. Names every maximum of the store rooms, with its reason.

cdef enum:
    # A file system page: the unit of extents and of large blocks.
    PAGE_BYTES = 4096
    # What x86-64 and arm64 map as one huge page; a multiple of it is a place where they can.
    HUGE_BYTES = 2097152
    # <linux/mman.h>, Linux 6.1; C libraries do not all name it yet.
    MADV_COLLAPSE = 25
    # posix_fallocate of 4 MiB takes about a millisecond: fewer calls than 64 KiB steps, no visible pause.
    EXTENT_BYTES = 4194304
    # Kept back so that deletes and shrinking updates succeed when the store is full: the largest
    # object is 16 MiB, but a delete needs a tombstone, a log entry and a copy of the list heads.
    HELD_BYTES_MAX = 4194304
    # A small store (tests, laptops) gives up a sixteenth at most.
    HELD_SHARE = 16
    # It may be as scattered as this: in any 128 pages one of the largest slabs finds its aligned place.
    HELD_RUN_PAGES = 128
    # Slabs hold blocks up to this size; above, whole pages waste at most a fifth, on average 6 %.
    SLAB_BLOCK_BYTES_MAX = 16384
    SIZE_CLASSES = 112
    # The index by DBID has four levels of 12, 12, 4 and 4 bits: of objects that are far apart each pays for
    # a leaf and a twig of 128 bytes and its share of a branch; where they lie close a word each.
    INDEX_BRANCH_SHIFT = 20
    INDEX_TWIG_SHIFT = 8
    INDEX_LEAF_SHIFT = 4
    INDEX_ROOT = 4096  # words of the root, and of a branch
    INDEX_LEAF = 16    # words of a leaf, that is DBIDs, and of a twig
    INDEX_ROOT_BYTES = 32768
    INDEX_LEAF_BYTES = 128
    # Nodes that are in every store behind its superblock, with nothing in them: whoever looks for an object
    # ends in the empty leaf where there is none, and has nothing to ask on the way.
    EMPTY_LEAF = 28672
    EMPTY_TWIG = 28800
    EMPTY_BRANCH = 28928
    EMPTY_ROOT = 61696
    EMPTY_END = 98304  # a whole page
    # Words of a walk's way through the index that cost as much as a look at an object.
    INDEX_LOOKS = 16
    # Lists of up to this many DBIDs lie in their head: one copy of 1 KiB for an insertion.
    LIST_INLINE_MAX = 256
    # A large list falls back to the inline form below this: no flapping at the border.
    LIST_INLINE_AGAIN = 192
    # A leaf is copied whole by an insertion; 1,024 DBIDs are 4 KiB.
    LEAF_MAX = 1024
    # New leaves are filled to three quarters so that the next insertions do not split them.
    LEAF_FILL = 768
    # A leaf that shrinks below is joined with its left neighbour.
    LEAF_JOIN = 128
    # 2^28 directory entries of 8 bytes are 2 GiB; words beyond go to overflow buckets.
    DIRECTORY_DEPTH_MAX = 28
    # Slots of the change log's ring in a large store; 2^20 changes are an hour at 291 a second.
    LOG_SLOTS = 1048576
    # And in a store below LOG_SMALL_BYTES, where 8 MiB would be too large a share.
    LOG_SLOTS_SMALL = 65536
    # Beyond this many times log_bytes, age no longer protects the oldest entries.
    LOG_HARD_FACTOR = 4
    # The same name in more objects than this is answered by the first ones found.
    NAME_CANDIDATES_MAX = 1024
    # Containers above an object; more are a circle, which no master makes.
    CONTAINERS_MAX = 10000
    # How long a change waits in all for memory that readers hold: many of their turns, and well below
    # the three seconds after which the supervisor takes a silent writer for hung.
    FULL_WAIT_MS = 1000
    # A wait that frees nothing for so long is over: a reader stands, and no log is dropped for nothing.
    FULL_STEP_MS = 250
    # Leaves and buckets of a walk between two looks for a signal: some milliseconds.
    WALK_CHECK_STEPS = 4096
    # Moments at which the epoch moved, looked at ten times a second: 12 s exactly, older ones at least.
    EPOCH_TIMES = 128
    # Of each private array of the writer, between two changes: a transaction of some thousand objects.
    KEPT_BYTES_MAX = 1048576
    PENDING_ROOM_MIN = 1024
    # Items of one entry; a cascade changes at most 200,000 objects (protocol.md, limits).
    ENTRY_ITEMS_MAX = 1000000
    # A larger change of a feed spends its time in memory, not in Python, and is taken there.
    FRAME_BYTES_MAX = 65536
    # The entry and account records of a frame; with the kind a count of one digit.
    FRAME_WORDS_MAX = 8
    # A length and its line end.
    SIZE_LINE_MAX = 10
    # A reader is rung after so many changes at the latest (of a feed, some 0.2 ms),
    STEP_CHANGES = 32
    # and the log is never longer beyond its measure than this.
    STEP_BYTES = 262144

cdef uint64_t LOG_SMALL_BYTES = 1 << 30
# A posting list word holds ref / 32 in 32 bits.
cdef uint64_t RESERVE_BYTES_MAX = <uint64_t> 128 << 30
cdef uint64_t RESERVE_BYTES_MIN = 4 << 20
cdef uint64_t LOG_BYTES = 256 << 20
cdef uint64_t LOG_AGE_MS = 600000
