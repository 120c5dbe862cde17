/* Computes BLAKE2b (RFC 7693) over pieces: without a key for marks, with one for what is signed. */
#ifndef CSP_BLAKE2B_H
#define CSP_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t hash[8];
    uint64_t total;     /* bytes so far; the format's entries stay far below 2^64 */
    uint8_t block[128];
    size_t filled;      /* of the block; the last block waits here until the end is known */
} csp_blake2b_t;

static const uint64_t csp_blake2b_iv[8] = {
    0x6a09e667f3bcc908ull, 0xbb67ae8584caa73bull, 0x3c6ef372fe94f82bull, 0xa54ff53a5f1d36f1ull,
    0x510e527fade682d1ull, 0x9b05688c2b3e6c1full, 0x1f83d9abfb41bd6bull, 0x5be0cd19137e2179ull};

static const uint8_t csp_blake2b_order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static inline uint64_t csp_turn_right(uint64_t word, int bits) {
    return word >> bits | word << (64 - bits);
}

#define CSP_BLAKE2B_MIX(a, b, c, d, x, y) \
    a += b + m[x]; d = csp_turn_right(d ^ a, 32); c += d; b = csp_turn_right(b ^ c, 24); \
    a += b + m[y]; d = csp_turn_right(d ^ a, 16); c += d; b = csp_turn_right(b ^ c, 63);

/* The row is a constant where this stands, so the compiler resolves the order of the words. */
#define CSP_BLAKE2B_ROUND(row) { \
    const uint8_t *o = csp_blake2b_order[row]; \
    CSP_BLAKE2B_MIX(v0, v4, v8, v12, o[0], o[1]) CSP_BLAKE2B_MIX(v1, v5, v9, v13, o[2], o[3]) \
    CSP_BLAKE2B_MIX(v2, v6, v10, v14, o[4], o[5]) CSP_BLAKE2B_MIX(v3, v7, v11, v15, o[6], o[7]) \
    CSP_BLAKE2B_MIX(v0, v5, v10, v15, o[8], o[9]) CSP_BLAKE2B_MIX(v1, v6, v11, v12, o[10], o[11]) \
    CSP_BLAKE2B_MIX(v2, v7, v8, v13, o[12], o[13]) CSP_BLAKE2B_MIX(v3, v4, v9, v14, o[14], o[15]) }

static void csp_blake2b_block(csp_blake2b_t *self, const uint8_t *block, int last) {
    uint64_t m[16];
    uint64_t *h = self->hash;
    const uint64_t *iv = csp_blake2b_iv;
    uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
    uint64_t v8 = iv[0], v9 = iv[1], v10 = iv[2], v11 = iv[3];
    uint64_t v12 = iv[4] ^ self->total, v13 = iv[5], v14 = last ? ~iv[6] : iv[6], v15 = iv[7];
    memcpy(m, block, 128);
    CSP_BLAKE2B_ROUND(0) CSP_BLAKE2B_ROUND(1) CSP_BLAKE2B_ROUND(2) CSP_BLAKE2B_ROUND(3)
    CSP_BLAKE2B_ROUND(4) CSP_BLAKE2B_ROUND(5) CSP_BLAKE2B_ROUND(6) CSP_BLAKE2B_ROUND(7)
    CSP_BLAKE2B_ROUND(8) CSP_BLAKE2B_ROUND(9) CSP_BLAKE2B_ROUND(0) CSP_BLAKE2B_ROUND(1)
    h[0] ^= v0 ^ v8; h[1] ^= v1 ^ v9; h[2] ^= v2 ^ v10; h[3] ^= v3 ^ v11;
    h[4] ^= v4 ^ v12; h[5] ^= v5 ^ v13; h[6] ^= v6 ^ v14; h[7] ^= v7 ^ v15;
}

static inline void csp_blake2b_begin(csp_blake2b_t *self) {
    memcpy(self->hash, csp_blake2b_iv, 64);
    self->hash[0] ^= 0x01010000 ^ 64; /* one lane, no key, 64 bytes of digest */
    self->total = self->filled = 0;
}

/* A key has up to 64 bytes, the digest is to have `size`, also up to 64. */
static inline void csp_blake2b_begin_keyed(csp_blake2b_t *self, const void *key, size_t key_size, size_t size) {
    memcpy(self->hash, csp_blake2b_iv, 64);
    self->hash[0] ^= 0x01010000 ^ (uint64_t)key_size << 8 ^ size;
    memset(self->block, 0, 128);
    memcpy(self->block, key, key_size);
    self->total = 0;
    self->filled = 128;
}

static inline void csp_blake2b_add(csp_blake2b_t *self, const void *from, size_t size) {
    const uint8_t *at = (const uint8_t *)from;
    while (size) {
        size_t room = 128 - self->filled;
        if (room == 0 || (self->filled == 0 && size > 128)) { /* not the last one: more follows */
            const uint8_t *block = room ? at : self->block;
            self->total += 128;
            csp_blake2b_block(self, block, 0);
            if (room) { at += 128; size -= 128; }
            self->filled = 0;
            continue;
        }
        if (room > size) room = size;
        memcpy(self->block + self->filled, at, room);
        self->filled += room;
        at += room;
        size -= room;
    }
}

static inline uint64_t csp_blake2b_end(csp_blake2b_t *self) { /* the digest's first eight bytes */
    memset(self->block + self->filled, 0, 128 - self->filled);
    self->total += self->filled;
    csp_blake2b_block(self, self->block, 1);
    return self->hash[0];
}

static inline void csp_blake2b_end_keyed(csp_blake2b_t *self, void *out, size_t size) {
    csp_blake2b_end(self);
    memcpy(out, self->hash, size);
}

/* The mark of an entry of `size` >= 64 bytes after the mark `before`: docs/internals/formats.md. */
static inline uint64_t csp_mark_next(uint64_t before, const uint8_t *entry, size_t size) {
    static const uint8_t no_mark[8];
    csp_blake2b_t digest;
    csp_blake2b_begin(&digest);
    csp_blake2b_add(&digest, &before, 8);
    csp_blake2b_add(&digest, entry + 12, 12);
    csp_blake2b_add(&digest, no_mark, 8);
    csp_blake2b_add(&digest, entry + 32, size - 32);
    return csp_blake2b_end(&digest);
}

#endif
