/* Computes over bytes: CRC32C, and the 64 bit hashes of names, lists and records. */
#ifndef CSP_OCTETS_H
#define CSP_OCTETS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#define CSP_HWCAP_CRC32 (1ul << 7) /* <asm/hwcap.h> of arm64 */
#endif

static int csp_crc_in_hardware;
static uint32_t csp_crc_table[8][256];

static inline void csp_crc_prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
        csp_crc_table[0][i] = crc;
    }
    for (int row = 1; row < 8; row++)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t crc = csp_crc_table[row - 1][i];
            csp_crc_table[row][i] = (crc >> 8) ^ csp_crc_table[0][crc & 255];
        }
#if defined(__x86_64__)
    csp_crc_in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#elif defined(__aarch64__)
    csp_crc_in_hardware = (getauxval(AT_HWCAP) & CSP_HWCAP_CRC32) != 0;
#endif
}

static inline uint32_t csp_crc_soft(uint32_t crc, const uint8_t *at, size_t size) {
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word ^= crc;
        crc = 0;
        for (int row = 0; row < 8; row++)
            crc ^= csp_crc_table[7 - row][(word >> (8 * row)) & 255];
        at += 8;
        size -= 8;
    }
    while (size--) crc = (crc >> 8) ^ csp_crc_table[0][(crc ^ *at++) & 255];
    return crc;
}

/* Eight bytes and one byte a step, by the instructions of the processor. */
#if defined(__x86_64__)
#define CSP_CRC_TARGET "sse4.2"
#define csp_crc_word(sum, word) __builtin_ia32_crc32di(sum, word)
#define csp_crc_byte(sum, byte) __builtin_ia32_crc32qi((uint32_t)(sum), byte)
typedef uint64_t csp_crc_sum_t; /* as the instruction has it: no conversion in the loop */
#elif defined(__aarch64__)
#define CSP_CRC_TARGET "+crc"
#define csp_crc_word(sum, word) __builtin_aarch64_crc32cx(sum, word)
#define csp_crc_byte(sum, byte) __builtin_aarch64_crc32cb(sum, byte)
typedef uint32_t csp_crc_sum_t;
#endif
#if defined(CSP_CRC_TARGET)
__attribute__((target(CSP_CRC_TARGET)))
static uint32_t csp_crc_hard(uint32_t crc, const uint8_t *at, size_t size) {
    csp_crc_sum_t sum = crc;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = csp_crc_word(sum, word);
        at += 8;
        size -= 8;
    }
    while (size--) sum = csp_crc_byte(sum, *at++);
    return (uint32_t)sum;
}
#endif

/* Goes on from `crc`; begin with 0. csp_crc_prepare ran once before (module start). */
static inline uint32_t csp_crc32c(uint32_t crc, const void *from, size_t size) {
    crc = ~crc;
#if defined(CSP_CRC_TARGET)
    if (csp_crc_in_hardware) return ~csp_crc_hard(crc, (const uint8_t *)from, size);
#endif
    return ~csp_crc_soft(crc, (const uint8_t *)from, size);
}

static inline uint64_t csp_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folds 16 bytes a step; keyed by the seed, so nobody outside can choose names that collide. */
static inline uint64_t csp_hash(uint64_t seed, const void *from, size_t size) {
    const uint64_t odd1 = 0x9e3779b97f4a7c15ull, odd2 = 0xd1b54a32d192ed03ull;
    const uint8_t *at = (const uint8_t *)from;
    uint64_t hash = csp_fold(seed ^ odd1, (uint64_t)size ^ odd2), a, b;
    while (size >= 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        hash = csp_fold(a ^ odd1 ^ hash, b ^ odd2 ^ (hash << 32 | hash >> 32));
        at += 16;
        size -= 16;
    }
    a = b = 0;
    if (size) memcpy(&a, at, size < 8 ? size : 8); /* of nothing `at` may be NULL */
    if (size > 8) memcpy(&b, at + 8, size - 8);
    hash = csp_fold(a ^ odd1 ^ hash, b ^ odd2);
    return csp_fold(hash ^ odd2, seed ^ odd1 ^ hash << 1);
}

#endif
