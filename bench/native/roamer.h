/* One session of `roamers`: what it was told, and whether that goes on without a hole over its connections.
 *
 * 1. An update names the revision that it applies to (`base`): what this session saw last of its object. Else something
 *    is missing.
 * 2. What comes at or below the place that the connection began at, or twice on one connection, is doubled. What came
 *    before on another connection, and lies behind the place of the token, comes again: its delivery was unknown to the
 *    server. It is told apart by its revision.
 */
#ifndef ROAMER_H
#define ROAMER_H
#define _GNU_SOURCE
#include "wire.h"

enum { TOKEN_BYTES_MAX = 256, KEPT_BYTES_MAX = 1 << 20, CONFIRMATIONS = 2 };

typedef enum { WAITING, CONNECTING, SHAKING, ASKING, LIVE } State;

typedef struct {
    Wire wire;
    State state;
    uint32_t number, address, tries;
    uint32_t confirmed, errors;
    char token[TOKEN_BYTES_MAX]; /* empty: it signs in by its password */
    uint64_t token_place;        /* revision of the token */
    uint64_t place;              /* at which this connection begins */
    uint64_t here, newest;       /* of its object: told on this connection, told at all */
    uint64_t known;              /* its first change must apply to no more than this */
    char *kept;                  /* the beginning of a reply that has not come whole */
    size_t kept_size;
    double lost_at, restored_at, heard_at, pinged_at, asked_at, due, move_at;
    int is_told; /* that its server is going */
} Roamer;

/* What all saw since the last `mark`. */
static struct {
    uint64_t lost, restored, refused, attempts, by_token, resyncs, reread, missed, doubled, again, told, bookmarks, moving;
    uint64_t asked, answered, failed, failed_told, error_replies;
    char error[160]; /* the last error reply */
} seen;

/* The length of the first whole reply, 0 when it has not come yet. */
static size_t reply_size(const char *data, size_t size) {
    const char *feed = memchr(data, '\n', size);
    if (!feed) return 0;
    size_t at = (size_t)(feed - data) + 1;
    long count = strtol(data + 1, 0, 10);
    if (*data == '$' || *data == '=') {
        size_t all = count < 0 ? at : at + (size_t)count + 2;
        return all <= size ? all : 0;
    }
    if (!strchr("*>~%", *data)) return at;
    for (long left = *data == '%' ? 2 * count : count; left > 0; left--) {
        size_t one = at < size ? reply_size(data + at, size - at) : 0;
        if (!one) return 0;
        at += one;
    }
    return at;
}

/* The content of the element of an array; a simple string's, too. */
static const char *element(const char *data, size_t size, int index, size_t *length) {
    const char *at = memchr(data, '\n', size);
    for (at = at ? at + 1 : data + size; at < data + size; index--) {
        size_t one = reply_size(at, (size_t)(data + size - at));
        const char *begin = *at == '$' ? (const char *)memchr(at, '\n', one) + 1 : at + 1;
        *length = one - (size_t)(begin - at) - 2;
        if (index == 0) return begin;
        at += one;
    }
    return *length = 0, (const char *)0;
}

static int is_word(const char *word, size_t length, const char *wanted) {
    return word && length == strlen(wanted) && !memcmp(word, wanted, length);
}

/* The number behind a name in JSON, 0 where there is none. */
static uint64_t number_of(const char *json, size_t size, const char *name) {
    const char *at = memmem(json, size, name, strlen(name));
    return at ? strtoull(at + strlen(name), 0, 10) : 0;
}

static void take_token(Roamer *r, const char *token, size_t size, uint64_t revision) {
    if (size == 0 || size >= TOKEN_BYTES_MAX) return;
    memcpy(r->token, token, size), r->token[size] = 0;
    r->token_place = revision;
}

/* The reply of CFG.REGISTER: names and values in turn. */
static void take_registered(Roamer *r, const char *reply, size_t size) {
    size_t token_size = 0, length;
    const char *token = 0, *word;
    uint64_t revision = 0;
    for (int i = 0; (word = element(reply, size, i, &length)); i += 2) {
        size_t value_size;
        const char *value = element(reply, size, i + 1, &value_size);
        if (is_word(word, length, "token")) token = value, token_size = value_size;
        else if (is_word(word, length, "revision")) revision = strtoull(value, 0, 10);
    }
    if (token) take_token(r, token, token_size, revision);
}

static void take_notice(Roamer *r, const char *json, size_t size, double now) {
    if (memmem(json, size, "\"op\":\"bookmark\"", 15)) {
        const char *token = memmem(json, size, "\"token\":\"", 9), *end;
        seen.bookmarks++;
        if (token && (end = memchr(token + 9, '"', (size_t)(json + size - token - 9))))
            take_token(r, token + 9, (size_t)(end - token - 9), number_of(json, size, "\"revision\":"));
    } else if (memmem(json, size, "\"op\":\"resync\"", 13)) seen.resyncs++, r->newest = r->here = 0, r->known = UINT64_MAX;
    else if (memmem(json, size, "\"op\":\"moving\"", 13)) {
        seen.moving++, r->is_told = 1;
        r->move_at = now + (double)number_of(json, size, "\"ms\":") / 1e3;
    }
}

static void take_change(Roamer *r, const char *json, size_t size) {
    uint64_t revision = number_of(json, size, "\"revision\":"), base = number_of(json, size, "\"base\":");
    seen.told++;
    if (!revision) return; /* of redis-server: nothing to compare */
    if (revision <= r->place || revision <= r->here) {
        seen.doubled++;
        return;
    }
    r->here = revision;
    if (revision <= r->newest) {
        seen.again++;
        return;
    }
    if (r->newest ? base != r->newest : base > r->known) seen.missed++;
    r->newest = revision;
}

static void take_reply(Roamer *r, const char *reply, size_t size, double now) {
    size_t length = 0, payload_size = 0;
    const char *word;
    if (*reply == '-') {
        seen.error_replies++, r->errors++;
        snprintf(seen.error, sizeof seen.error, "%.*s", (int)(size - 2), reply + 1);
        for (char *c = seen.error; *c; c++)
            if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
        if (r->asked_at) r->asked_at = 0, seen.failed++, seen.failed_told += (uint64_t)r->is_told;
        return;
    }
    if (*reply == '$') { /* the object that it asked for */
        if (r->asked_at) r->asked_at = 0, seen.answered++;
        else seen.reread++;
        return;
    }
    if (!strchr("*>%", *reply)) {
        r->pinged_at = 0;
        return;
    }
    word = element(reply, size, 0, &length);
    if (is_word(word, length, "message")) {
        const char *channel = element(reply, size, 1, &length), *payload = element(reply, size, 2, &payload_size);
        if (is_word(channel, length, "cfg.notice")) take_notice(r, payload, payload_size, now);
        else take_change(r, payload, payload_size);
    } else if (is_word(word, length, "subscribe")) r->confirmed++;
    else if (is_word(word, length, "pong")) r->pinged_at = 0;
    else if (is_word(word, length, "cfg.from")) r->place = r->known = strtoull(element(reply, size, 1, &length), 0, 10);
    else take_registered(r, reply, size);
}

/* Takes what was received, behind what was kept of it; 0 when the peer sends what can't be. */
static int take_bytes(Roamer *r, char *data, size_t size, double now) {
    char *all = data;
    size_t at = 0, one;
    r->heard_at = now;
    if (r->kept_size) {
        if (r->kept_size + size > KEPT_BYTES_MAX) return 0;
        r->kept = realloc(r->kept, r->kept_size + size);
        memcpy(r->kept + r->kept_size, data, size);
        all = r->kept, size += r->kept_size;
    }
    while (at < size && (one = reply_size(all + at, size - at))) take_reply(r, all + at, one, now), at += one;
    size_t left = size - at;
    if (left && all != r->kept) r->kept = realloc(r->kept, left);
    if (left) memmove(r->kept, all + at, left);
    r->kept_size = left;
    if (!left) free(r->kept), r->kept = 0;
    return 1;
}
#endif
