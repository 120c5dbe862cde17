/* Counts whole RESP replies in a stream that comes in pieces: top-level ones, elements and errors.
 *
 * Nothing is kept but the line under way, so a stream may be of any size.
 */
#ifndef REPLIES_H
#define REPLIES_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 64, DEPTH_MAX = 8 };

typedef struct {
    uint64_t replies, elements, errors; /* elements: all that is no array, nested or not */
    uint64_t skip;                      /* bytes of a bulk string that are still to come */
    uint64_t left[DEPTH_MAX];           /* elements that each open array still misses */
    unsigned depth, line_size;
    char line[LINE_BYTES_MAX];          /* its beginning; the rest of a longer one is dropped */
} Replies;

static inline void replies_element(Replies *r) {
    while (r->depth && --r->left[r->depth - 1] == 0) r->depth--;
    if (r->depth == 0) r->replies++;
}

static inline void replies_line(Replies *r) {
    long size = strtol(r->line + 1, 0, 10);
    int is_list = strchr("*>~%", r->line[0]) != 0;
    if (is_list && size > 0 && r->depth < DEPTH_MAX) {
        r->left[r->depth++] = (uint64_t)size * (r->line[0] == '%' ? 2 : 1);
        return;
    }
    r->elements += !is_list, r->errors += r->line[0] == '-';
    if ((r->line[0] == '$' || r->line[0] == '=') && size >= 0) r->skip = (uint64_t)size + 2;
    else replies_element(r);
}

static inline void replies_take(Replies *r, const char *data, size_t size) {
    const char *end = data + size;
    while (data < end) {
        if (r->skip) {
            size_t some = r->skip < (uint64_t)(end - data) ? (size_t)r->skip : (size_t)(end - data);
            data += some, r->skip -= some;
            if (r->skip == 0) replies_element(r);
            continue;
        }
        const char *feed = memchr(data, '\n', (size_t)(end - data)), *stop = feed ? feed : end;
        size_t room = LINE_BYTES_MAX - 1 - r->line_size, some = (size_t)(stop - data);
        if (some > room) some = room;
        memcpy(r->line + r->line_size, data, some), r->line_size += (unsigned)some;
        data = feed ? feed + 1 : end;
        if (!feed) break;
        r->line[r->line_size] = 0, r->line_size = 0;
        replies_line(r);
    }
}
#endif
