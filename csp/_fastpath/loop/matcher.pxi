# Included by csp/_fastpath.pyx after: watch, match.
# Channels and patterns without connections, as tests see them.

cdef class Matcher:
    """Channels and patterns, and which of them changes match."""

    cdef worker_t w

    def __dealloc__(self) -> None:
        watch_close(&self.w.watch)

    def add(self, text: bytes, pattern: bool) -> None:
        """As if somebody subscribed to it."""
        if watch_make(&self.w.watch, <const char *> text, <uint32_t> len(text), pattern) == NULL:
            raise MemoryError("a subscription")

    def drop(self, text: bytes, pattern: bool) -> None:
        """As if the last subscriber left."""
        watch_remove(&self.w.watch, self.node(text, pattern))

    cdef node_t *node(self, bytes text, bint pattern) except NULL:
        cdef node_t *node = watch_find(&self.w.watch, <const char *> text, <uint32_t> len(text), pattern)
        if node == NULL:
            raise KeyError(text)
        return node

    def counts(self) -> dict:
        """How many there are, and how many of them are loose patterns or stand at places."""
        cdef watch_t *watch = &self.w.watch
        return {"all": watch.count, "loose": watch.loose_count, "places": watch.peg_count}

    def match(self, item: bytes) -> list:
        """What an item of a log entry matches: (text, is a pattern, the name of the item)."""
        cdef const csp_item_t *c = <const csp_item_t *> <const char *> item
        cdef char name[NAME_ROOM]
        cdef match_t *one
        cdef uint32_t i, size
        found = []
        for i in range(watch_match(&self.w, c)):
            one = &self.w.watch.matches[i]
            size = item_name(c, one.which, name)
            found.append((one.node.name[:one.node.size], bool(one.node.pattern), name[:size]))
        return found

    def names(self, item: bytes) -> list:
        """All channels that an item appears on."""
        cdef char name[NAME_ROOM]
        cdef uint32_t size, which = 0
        found = []
        while True:
            size = item_name(<const csp_item_t *> <const char *> item, which, name)
            if size == 0:
                return found
            found.append(name[:size])
            which += 1

    def notices(self) -> list:
        """What matches cfg.notice: (text, is a pattern)."""
        cdef node_t *node = watch_notice(&self.w)
        found = []
        while node != NULL:
            found.append((node.name[:node.size], bool(node.pattern)))
            node = node.notice_next
        return found

    def last(self, text: bytes, pattern: bool, entry: bytes) -> int:
        """The index of the last item of an entry that one of them matches."""
        return node_last(&self.w, self.node(text, pattern), <const csp_entry_t *> <const char *> entry)

    def marked(self, entry: bytes, items: int) -> bool:
        """Goes on by so many items with what last() needs; whether that is all."""
        return watch_marked(&self.w, <const csp_entry_t *> <const char *> entry, items)
