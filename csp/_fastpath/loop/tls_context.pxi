# Included by csp/_fastpath.pyx after: state.
# TlsContext, the certificates of a port and what it asks of clients, ready for handshakes; and what a certificate says.
#
# Invariants:
# 1. All of a bundle is read before any of it is used: what can't be used raises, in words that name the part and hold
#    nothing of a key.
# 2. Nothing asks at a terminal: a key that needs a password is refused.
# 3. A session is resumed only by a context that demands the same of clients, from the same authorities and with the
#    same list of revoked certificates: they make the session id context.
# 4. Connections hold OpenSSL's own context by reference: who is replaced lives until the last of them has gone.

cdef enum:
    SESSION_SECONDS_MAX = 7200      # a ticket's keys live no longer
    SECURITY_LEVEL = 2              # of OpenSSL: 112 bits, no SHA-1 in signatures
    MUTUAL_NONE = 0
    MUTUAL_ASKED = 1
    MUTUAL_REQUIRED = 2
    FINGERPRINT_BYTES = 32
    ADDRESS4_BYTES = 4
    ADDRESS6_BYTES = 16

# AES first: with the processor's instructions ChaCha20 costs twice as much.
cdef bytes SUITES = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
cdef bytes CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
cdef bytes GROUPS = b"X25519:P-256:P-384"
TLS_PROTOCOLS = ("tlsv1.2", "tlsv1.3")

cdef int no_password(char *into, int size, int writing, void *of) noexcept nogil:
    """Instead of asking at the terminal."""
    return -1

cdef str openssl_reason():
    """What OpenSSL says of the last failure; its queue is empty then."""
    cdef const char *reason = ERR_reason_error_string(ERR_peek_last_error())
    ERR_clear_error()
    return "" if reason == NULL else (<bytes> reason).decode("ascii", "replace")

cdef object tls_error(str what):
    reason = openssl_reason()
    return ValueError(f"{what} ({reason})" if reason else what)

# ---- what a certificate says ----

cdef int64_t time_ms(const ASN1_TIME *time):
    """UTC; 0 for none."""
    cdef int days = 0, seconds = 0
    cdef ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0)
    if epoch == NULL:
        raise MemoryError("a time of a certificate")
    if time != NULL:
        ASN1_TIME_diff(&days, &seconds, epoch, time)
    ASN1_TIME_free(epoch)
    return (<int64_t> days * 86400 + seconds) * 1000

cdef str asn1_text(const ASN1_STRING *text):
    """All of it, NUL characters too: who compares it is not deceived by one."""
    cdef unsigned char *utf8 = NULL
    cdef int size = ASN1_STRING_to_UTF8(&utf8, text)
    if size < 0:
        ERR_clear_error()
        return ""
    said = (<char *> utf8)[:size].decode("utf-8", "replace")
    OPENSSL_free(utf8)
    return said

cdef str subject_text(X509 *certificate):
    """The whole name, as in RFC 2253."""
    cdef BIO *bio = BIO_new(BIO_s_mem())
    cdef char *data = NULL
    cdef long size
    if bio == NULL:
        raise MemoryError("a name of a certificate")
    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB)
    size = BIO_get_mem_data(bio, &data)
    said = data[:size].decode("utf-8", "replace")
    BIO_free(bio)
    return said

cdef str common_name(X509 *certificate):
    """The CN; "" where there are none or several: nobody is to guess which one counts."""
    cdef X509_NAME *name = X509_get_subject_name(certificate)
    cdef int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1)
    if at < 0 or X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0:
        return ""
    return asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)))

cdef tuple alternative_names(X509 *certificate):
    """(names of hosts and addresses, URIs)."""
    cdef GENERAL_NAMES *names = <GENERAL_NAMES *> X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL)
    cdef ASN1_STRING *value
    cdef int i, size
    cdef int kind = 0
    hosts, uris = [], []
    if names == NULL:
        ERR_clear_error()
        return (), ()
    for i in range(sk_GENERAL_NAME_num(names)):
        value = <ASN1_STRING *> GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind)
        if kind == GEN_DNS:
            hosts.append(asn1_text(value))
        elif kind == GEN_URI:
            uris.append(asn1_text(value))
        elif kind == GEN_IPADD:
            size = ASN1_STRING_length(value)
            raw = (<const char *> ASN1_STRING_get0_data(value))[:size]
            if size == ADDRESS4_BYTES or size == ADDRESS6_BYTES:
                hosts.append(socket.inet_ntop(socket.AF_INET if size == ADDRESS4_BYTES else socket.AF_INET6, raw))
    GENERAL_NAMES_free(names)
    return tuple(hosts), tuple(uris)

cdef dict certificate_facts(X509 *certificate):
    """What is known of a peer by its certificate."""
    cdef unsigned char digest[FINGERPRINT_BYTES]
    cdef unsigned int size = 0
    if X509_digest(certificate, EVP_sha256(), digest, &size) != 1 or size != FINGERPRINT_BYTES:
        raise tls_error("the fingerprint of a certificate can't be made")
    hosts, uris = alternative_names(certificate)
    return {
        "subject": subject_text(certificate),
        "common_name": common_name(certificate),
        "names": hosts,
        "uris": uris,
        "fingerprint": (<char *> digest)[:FINGERPRINT_BYTES].hex(),
        "not_before_ms": time_ms(X509_get0_notBefore(certificate)),
        "not_after_ms": time_ms(X509_get0_notAfter(certificate)),
    }

# ---- a port's ----


cdef class TlsContext:
    """The certificates of a port and what it asks of clients.

    The bundle: `certificate` (PEM bytes, leaf first), `key` (PEM bytes), `ca` and `crl` (PEM bytes, maybe empty),
    `ciphers` (as OpenSSL lists them, "" for csp's own), `protocols` (of TLS_PROTOCOLS, separated by commas, "" for
    all), `mutual` (0: clients need no certificate, 1: they are asked for one, 2: they must have one). ValueError says
    what of it can't be used. Times are UTC in ms; the earliest end of all certificates of the chain counts, and of all
    lists (0: there is none).
    """

    cdef SSL_CTX *ctx
    cdef uint8_t demands[DEMANDS_BYTES]
    cdef readonly int mutual
    cdef readonly int64_t not_before_ms
    cdef readonly int64_t not_after_ms
    cdef readonly int64_t crl_next_ms
    cdef readonly str subject
    cdef readonly tuple names

    def __cinit__(self) -> None:
        self.ctx = NULL

    def __init__(self, bundle) -> None:
        if self.ctx != NULL:
            raise ValueError("a TlsContext is made once")
        self.mutual = bundle.get("mutual", MUTUAL_NONE)
        if not MUTUAL_NONE <= self.mutual <= MUTUAL_REQUIRED:
            raise ValueError(f"mutual: {self.mutual} is none of 0 (no), 1 (asked for), 2 (required)")
        wire_prepare()
        self.ctx = SSL_CTX_new(TLS_server_method())
        if self.ctx == NULL:
            raise tls_error("OpenSSL gives no context")
        self.take_protocols(bundle.get("protocols", ""), bundle.get("ciphers", ""))
        self.take_certificate(bundle["certificate"])
        self.take_key(bundle["key"])
        authorities, lists = bundle.get("ca", b""), bundle.get("crl", b"")
        self.take_authorities(authorities)
        self.take_lists(lists)
        self.take_sessions(authorities, lists)

    def __dealloc__(self) -> None:
        SSL_CTX_free(self.ctx)

    def __repr__(self) -> str:
        return f"<TlsContext of {self.subject!r}>"

    cdef take_protocols(self, str protocols, str ciphers):
        wanted = [one.strip().lower() for one in protocols.split(",") if one.strip()] or list(TLS_PROTOCOLS)
        for one in wanted:
            if one not in TLS_PROTOCOLS:
                raise ValueError(f"protocols: {one!r} is none of {', '.join(TLS_PROTOCOLS)}")
        words = [one for one in ciphers.replace(",", ":").split(":") if one]
        suites = [one for one in words if one.startswith("TLS_")]
        older = [one for one in words if not one.startswith("TLS_")]
        if suites and not older:
            if "tlsv1.3" not in wanted:
                raise ValueError(f"ciphers: {ciphers!r} are of TLS 1.3, which the protocols leave out")
            wanted = ["tlsv1.3"]
        SSL_CTX_set_min_proto_version(self.ctx, TLS1_2_VERSION if "tlsv1.2" in wanted else TLS1_3_VERSION)
        SSL_CTX_set_max_proto_version(self.ctx, TLS1_3_VERSION if "tlsv1.3" in wanted else TLS1_2_VERSION)
        SSL_CTX_set_security_level(self.ctx, SECURITY_LEVEL)
        SSL_CTX_set_options(self.ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE)
        if SSL_CTX_set_ciphersuites(self.ctx, ":".join(suites).encode() or SUITES) != 1:
            raise tls_error(f"ciphers: {':'.join(suites)!r} can't be used")
        if SSL_CTX_set_cipher_list(self.ctx, ":".join(older).encode() or CIPHERS) != 1:
            raise tls_error(f"ciphers: {':'.join(older)!r} can't be used")
        if SSL_CTX_set1_groups_list(self.ctx, GROUPS) != 1:
            raise tls_error("the curves of key exchanges can't be set")

    cdef take_certificate(self, bytes text):
        """The leaf, and those that vouch for it."""
        cdef BIO *bio = BIO_new_mem_buf(<const char *> text, <int> len(text))
        cdef X509 *one
        cdef int taken
        cdef bint is_leaf = True
        if bio == NULL:
            raise MemoryError("a certificate")
        try:
            while True:
                one = PEM_read_bio_X509(bio, NULL, no_password, NULL)
                if one == NULL:
                    break
                taken = SSL_CTX_use_certificate(self.ctx, one) if is_leaf else SSL_CTX_add1_chain_cert(self.ctx, one)
                if taken == 1:
                    self.note_certificate(one, is_leaf)
                X509_free(one)
                if taken != 1:
                    raise tls_error("certificate: it can't be used")
                is_leaf = False
            pem_end("certificate", is_leaf)
        finally:
            BIO_free(bio)

    cdef note_certificate(self, X509 *one, bint is_leaf):
        until = time_ms(X509_get0_notAfter(one))
        since = time_ms(X509_get0_notBefore(one))
        if is_leaf:
            self.subject = subject_text(one)
            self.names = alternative_names(one)[0]
        self.not_before_ms = since if is_leaf else max(since, self.not_before_ms)
        self.not_after_ms = until if is_leaf else min(until, self.not_after_ms)

    cdef take_key(self, bytes text):
        cdef BIO *bio = BIO_new_mem_buf(<const char *> text, <int> len(text))
        cdef EVP_PKEY *key
        cdef int taken
        if bio == NULL:
            raise MemoryError("a key")
        key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
        BIO_free(bio)
        if key == NULL and b"ENCRYPTED" in text:
            ERR_clear_error()
            raise ValueError("key: it needs a password, which nobody could give it; store it without one")
        if key == NULL:
            raise tls_error("key: there is no private key in PEM form")
        taken = SSL_CTX_use_PrivateKey(self.ctx, key)
        EVP_PKEY_free(key)
        if taken != 1 or SSL_CTX_check_private_key(self.ctx) != 1:
            raise tls_error("key: it is not the certificate's")

    cdef take_authorities(self, bytes text):
        """Those whose certificates clients may show."""
        cdef BIO *bio
        cdef X509 *one
        cdef int taken
        cdef bint none = True
        if self.mutual == MUTUAL_NONE:
            SSL_CTX_set_verify(self.ctx, SSL_VERIFY_NONE, NULL)
            return
        bio = BIO_new_mem_buf(<const char *> text, <int> len(text))
        if bio == NULL:
            raise MemoryError("certificates of authorities")
        try:
            while True:
                one = PEM_read_bio_X509(bio, NULL, no_password, NULL)
                if one == NULL:
                    break
                taken = X509_STORE_add_cert(SSL_CTX_get_cert_store(self.ctx), one)
                if taken == 1:
                    taken = SSL_CTX_add_client_CA(self.ctx, one)
                X509_free(one)
                if taken != 1:
                    raise tls_error("ca: a certificate can't be used")
                none = False
            pem_end("ca", none)
        finally:
            BIO_free(bio)
        SSL_CTX_set_verify(
            self.ctx, SSL_VERIFY_PEER | (SSL_VERIFY_FAIL_IF_NO_PEER_CERT if self.mutual == MUTUAL_REQUIRED else 0), NULL
        )

    cdef take_lists(self, bytes text):
        """The lists of certificates that were revoked."""
        cdef X509_STORE *store = SSL_CTX_get_cert_store(self.ctx)
        cdef BIO *bio
        cdef X509_CRL *one
        cdef int taken
        cdef bint none = True
        if not text:
            return
        bio = BIO_new_mem_buf(<const char *> text, <int> len(text))
        if bio == NULL:
            raise MemoryError("lists of revoked certificates")
        try:
            while True:
                one = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)
                if one == NULL:
                    break
                following = time_ms(X509_CRL_get0_nextUpdate(one))
                if following and (self.crl_next_ms == 0 or following < self.crl_next_ms):
                    self.crl_next_ms = following
                taken = X509_STORE_add_crl(store, one)
                X509_CRL_free(one)
                if taken != 1:
                    raise tls_error("crl: a list can't be used")
                none = False
            pem_end("crl", none)
        finally:
            BIO_free(bio)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)

    cdef take_sessions(self, bytes authorities, bytes lists):
        """Sessions are resumed by tickets alone: no worker remembers them."""
        demands = hashlib.blake2b(digest_size=DEMANDS_BYTES)
        for part in (b"%d" % self.mutual, authorities if self.mutual else b"", lists if self.mutual else b""):
            demands.update(len(part).to_bytes(8, "little") + part)
        identity = demands.digest()
        memcpy(self.demands, <const char *> <bytes> identity, DEMANDS_BYTES)
        SSL_CTX_set_session_id_context(self.ctx, self.demands, DEMANDS_BYTES)
        SSL_CTX_set_session_cache_mode(self.ctx, SSL_SESS_CACHE_OFF)
        SSL_CTX_set_timeout(self.ctx, SESSION_SECONDS_MAX)
        SSL_CTX_set_num_tickets(self.ctx, 1)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(self.ctx, ticket_key)


cdef pem_end(str part, bint none):
    """After the last certificate, or list, of a text: ValueError where what stands there is a broken one, or none."""
    if ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE:
        raise tls_error(f"{part}: it is broken")
    ERR_clear_error()
    if none:
        raise ValueError(f"{part}: there is none in PEM form")
