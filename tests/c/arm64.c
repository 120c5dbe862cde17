/* The ways to shared words, each in a function of its own, for arm64.py to look at what becomes of them. */
#include "_fastpath/store/octets.h"
#include "_fastpath/store/shm.h"

uint64_t load(const uint64_t *word) { return csp_load(word); }
void store(uint64_t *word, uint64_t value) { csp_store(word, value); }
uint64_t swap(uint64_t *word, uint64_t value) { return csp_swap(word, value); }
uint64_t add(uint64_t *word) { return csp_add(word, 1); }
void fence(void) { csp_fence(); }

/* As store_pin in read.pxi: the announcement, then the revision. */
uint64_t pin(csp_control_t *control, csp_slot_t *slot, csp_super_t *super) {
    csp_swap(&slot->seen, csp_load(&control->epoch));
    csp_fence();
    return csp_load(&super->state.revision);
}

/* As retire_replaced and oldest_seen: the epoch, then the announcements. */
uint64_t oldest(csp_control_t *control) {
    uint64_t found = ~0ull;
    csp_add(&control->epoch, 1);
    csp_fence();
    for (int i = 0; i < CSP_SLOTS; i++) {
        uint64_t seen = csp_load_all(&control->slots[i].seen);
        if (seen && seen < found) found = seen;
    }
    return found;
}

uint32_t crc(const void *start, size_t size) { return csp_crc32c(0, start, size); }
void prepare(void) { csp_crc_prepare(); }
