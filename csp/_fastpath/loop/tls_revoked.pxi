# Included by csp/_fastpath.pyx after: tls_context, tls.
# Whether what a client has shown is on a list of revoked certificates that came after its handshake.
#
# Invariants:
# 1. A list counts for the certificates of its own authority, as it does in a handshake.
# 2. Of a session that was resumed its own certificate alone is known: those between were looked at when it began.

cdef enum:
    ON_LIST = 1                     # what X509_CRL_get0_by_cert says of a revoked one

cdef bint certificate_is_listed(X509_STORE *store, X509 *certificate) noexcept nogil:
    """Whether a list of the store names it."""
    cdef X509_OBJECTS *objects = X509_STORE_get0_objects(store)
    cdef X509_REVOKED *found = NULL
    cdef X509_CRL *crl
    cdef int i
    for i in range(sk_X509_OBJECT_num(objects)):
        crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i))
        if crl != NULL and X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(certificate)) == 0 \
                and X509_CRL_get0_by_cert(crl, &found, certificate) == ON_LIST:
            return True
    return False

cdef bint client_is_revoked(SSL *ssl, X509_STORE *store) noexcept nogil:
    """Whether the certificate of a connection's client, or one between it and its authority, is on a list."""
    cdef X509 *own = SSL_get0_peer_certificate(ssl)
    cdef X509_CHAIN *chain = SSL_get_peer_cert_chain(ssl)
    cdef int i
    if own != NULL and certificate_is_listed(store, own):
        return True
    for i in range(sk_X509_num(chain)):  # -1 where there is none
        if certificate_is_listed(store, sk_X509_value(chain, i)):
            return True
    return False
