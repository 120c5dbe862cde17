# Included by csp/_fastpath.pyx after: state, tls_context.
# Tickets, by which a client resumes its TLS session at any worker: sealed with keys that nobody stores.
#
# Invariants:
# 1. A ticket's keys are derived from the newest key of tokens, the stream and the period (ticket_ms, an hour) of the
#    clock: all workers and the whole pool have the same without telling each other, and they outlive reloads of
#    certificates and restarts of workers.
# 2. The present period's key seals, that of the one before still opens: a ticket lives two hours at most.
# 3. A ticket that nobody can open is no error: there is a full handshake.
# 4. Under TLS 1.3 each resumption gets a new ticket (the callback returns 2): clients use one once, and with 1 every
#    second of them would find none.

cdef enum:
    TICKET_NAME_SIZE = 16
    TICKET_KEY_SIZE = 32
    TICKET_IV_SIZE = 16
    TICKET_REFUSED = 0              # what the callback may say
    TICKET_GOOD = 1
    TICKET_RENEW = 2
    TICKET_FAILED = -1

cdef void ticket_part(worker_t *w, int64_t period, uint32_t part, uint8_t *into, size_t size) noexcept nogil:
    cdef const char *purpose = b"tls ticket"
    cdef csp_blake2b_t digest
    csp_blake2b_begin_keyed(&digest, w.token_key.key, sizeof(w.token_key.key), size)
    csp_blake2b_add(&digest, purpose, strlen(purpose))
    csp_blake2b_add(&digest, &part, sizeof(part))
    csp_blake2b_add(&digest, &period, sizeof(period))
    csp_blake2b_add(&digest, w.token_key.stream, sizeof(w.token_key.stream))
    csp_blake2b_end_keyed(&digest, into, size)

cdef void ticket_derive(worker_t *w, int64_t period, ticket_key_t *key) noexcept nogil:
    key.period = period
    ticket_part(w, period, 0, key.name, TICKET_NAME_SIZE)
    ticket_part(w, period, 1, key.cipher, TICKET_KEY_SIZE)
    ticket_part(w, period, 2, key.sign, TICKET_KEY_SIZE)

cdef void tickets_forget(worker_t *w) noexcept nogil:
    """They are derived anew: with another key of tokens, or never again."""
    OPENSSL_cleanse(w.tls.tickets, sizeof(w.tls.tickets))

cdef void tickets_turn(worker_t *w) noexcept nogil:
    """The keys of this period and the one before."""
    cdef int64_t period = store_wall_ms() // w.limits.ticket_ms
    if w.tls.tickets[0].period != period:
        ticket_derive(w, period, &w.tls.tickets[0])
        ticket_derive(w, period - 1, &w.tls.tickets[1])

cdef bint ticket_use(
    ticket_key_t *key, uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bint seals
) noexcept nogil:
    cdef OSSL_PARAM params[3]
    cdef int done
    params[0] = OSSL_PARAM_construct_octet_string(b"key", key.sign, TICKET_KEY_SIZE)
    params[1] = OSSL_PARAM_construct_utf8_string(b"digest", b"SHA256", 0)
    params[2] = OSSL_PARAM_construct_end()
    if seals:
        done = EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv)
    else:
        done = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv)
    return done == 1 and EVP_MAC_CTX_set_params(mac, params) == 1

cdef int ticket_key(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int seals) noexcept nogil:
    """What OpenSSL asks for each ticket: the keys to seal one with, or to open this one."""
    cdef worker_t *w = <worker_t *> BIO_get_data(SSL_get_rbio(ssl))
    cdef uint32_t i
    if w.token_key.id == 0:
        return TICKET_REFUSED
    tickets_turn(w)
    if seals:
        memcpy(name, w.tls.tickets[0].name, TICKET_NAME_SIZE)
        if RAND_bytes(iv, TICKET_IV_SIZE) != 1 or not ticket_use(&w.tls.tickets[0], iv, cipher, mac, True):
            return TICKET_FAILED
        return TICKET_GOOD
    for i in range(2):
        if memcmp(name, w.tls.tickets[i].name, TICKET_NAME_SIZE) == 0:
            if not ticket_use(&w.tls.tickets[i], iv, cipher, mac, False):
                return TICKET_FAILED
            return TICKET_RENEW if i > 0 or SSL_version(ssl) == TLS1_3_VERSION else TICKET_GOOD
    return TICKET_REFUSED
