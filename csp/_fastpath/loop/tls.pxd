# What the loop takes from OpenSSL (3.0 or newer): declarations only.

from libc.stdint cimport uint64_t

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void *data, size_t size)
    void OPENSSL_free(void *data)

cdef extern from "<openssl/err.h>" nogil:
    unsigned long ERR_peek_last_error()
    const char *ERR_reason_error_string(unsigned long error)
    void ERR_clear_error()

cdef extern from "<openssl/bio.h>" nogil:
    ctypedef struct BIO:
        pass
    ctypedef struct BIO_METHOD:
        pass
    BIO_METHOD *BIO_meth_new(int kind, const char *name)
    int BIO_meth_set_write(BIO_METHOD *method, int (*write)(BIO *, const char *, int) noexcept nogil)
    int BIO_meth_set_read(BIO_METHOD *method, int (*read)(BIO *, char *, int) noexcept nogil)
    int BIO_meth_set_ctrl(BIO_METHOD *method, long (*ctrl)(BIO *, int, long, void *) noexcept nogil)
    int BIO_get_new_index()
    BIO *BIO_new(const BIO_METHOD *method)
    const BIO_METHOD *BIO_s_mem()
    BIO *BIO_new_mem_buf(const void *data, int size)
    long BIO_get_mem_data(BIO *bio, char **data)
    int BIO_free(BIO *bio)
    void BIO_set_data(BIO *bio, void *data)
    void *BIO_get_data(BIO *bio)
    void BIO_set_init(BIO *bio, int init)
    void BIO_set_retry_read(BIO *bio)
    void BIO_clear_retry_flags(BIO *bio)
    int BIO_CTRL_FLUSH
    int BIO_TYPE_SOURCE_SINK

cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_PKEY:
        pass
    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_MAC_CTX:
        pass
    ctypedef struct EVP_MD:
        pass
    ctypedef struct ENGINE:
        pass
    const EVP_CIPHER *EVP_aes_256_cbc()
    const EVP_MD *EVP_sha256()
    int EVP_EncryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *kind, ENGINE *engine, const unsigned char *key,
                           const unsigned char *iv)
    int EVP_DecryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *kind, ENGINE *engine, const unsigned char *key,
                           const unsigned char *iv)
    void EVP_PKEY_free(EVP_PKEY *key)

cdef extern from "<openssl/params.h>" nogil:
    ctypedef struct OSSL_PARAM:
        pass
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char *key, void *data, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char *key, char *data, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_end()

cdef extern from "<openssl/evp.h>" nogil:
    int EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM *params)

cdef extern from "<openssl/rand.h>" nogil:
    int RAND_bytes(unsigned char *into, int size)

cdef extern from "<openssl/asn1.h>" nogil:
    ctypedef struct ASN1_TIME:
        pass
    ctypedef struct ASN1_STRING:
        pass
    ASN1_TIME *ASN1_TIME_set(ASN1_TIME *into, long long seconds)
    void ASN1_TIME_free(ASN1_TIME *time)
    int ASN1_TIME_diff(int *days, int *seconds, const ASN1_TIME *begin, const ASN1_TIME *end)
    int ASN1_STRING_to_UTF8(unsigned char **out, const ASN1_STRING *text)
    int ASN1_STRING_length(const ASN1_STRING *text)
    const unsigned char *ASN1_STRING_get0_data(const ASN1_STRING *text)
    unsigned long ASN1_STRFLGS_ESC_MSB
    unsigned long XN_FLAG_RFC2253

cdef extern from "<openssl/x509.h>" nogil:
    ctypedef struct X509:
        pass
    ctypedef struct X509_CRL:
        pass
    ctypedef struct X509_NAME:
        pass
    ctypedef struct X509_NAME_ENTRY:
        pass
    ctypedef struct X509_STORE:
        pass
    ctypedef struct X509_STORE_CTX:
        pass
    void X509_free(X509 *certificate)
    void X509_CRL_free(X509_CRL *crl)
    X509_NAME *X509_get_subject_name(const X509 *certificate)
    const ASN1_TIME *X509_get0_notBefore(const X509 *certificate)
    const ASN1_TIME *X509_get0_notAfter(const X509 *certificate)
    const ASN1_TIME *X509_CRL_get0_nextUpdate(const X509_CRL *crl)
    int X509_cmp_current_time(const ASN1_TIME *time)
    int X509_digest(const X509 *certificate, const EVP_MD *kind, unsigned char *into, unsigned int *size)
    int X509_NAME_print_ex(BIO *out, const X509_NAME *name, int indent, unsigned long flags)
    int X509_NAME_get_index_by_NID(X509_NAME *name, int nid, int last)
    X509_NAME_ENTRY *X509_NAME_get_entry(const X509_NAME *name, int at)
    ASN1_STRING *X509_NAME_ENTRY_get_data(const X509_NAME_ENTRY *entry)
    int NID_commonName

cdef extern from "<openssl/x509_vfy.h>" nogil:
    int X509_STORE_add_cert(X509_STORE *store, X509 *certificate)
    int X509_STORE_add_crl(X509_STORE *store, X509_CRL *crl)
    int X509_STORE_set_flags(X509_STORE *store, unsigned long flags)
    unsigned long X509_V_FLAG_CRL_CHECK
    unsigned long X509_V_FLAG_CRL_CHECK_ALL
    long X509_V_OK
    const char *X509_verify_cert_error_string(long error)

    ctypedef struct X509_REVOKED:
        pass
    ctypedef struct X509_OBJECT:
        pass
    ctypedef struct X509_OBJECTS "STACK_OF(X509_OBJECT)":
        pass
    ctypedef struct X509_CHAIN "STACK_OF(X509)":
        pass
    X509_OBJECTS *X509_STORE_get0_objects(const X509_STORE *store)
    int sk_X509_OBJECT_num(const X509_OBJECTS *objects)
    X509_OBJECT *sk_X509_OBJECT_value(const X509_OBJECTS *objects, int at)
    X509_CRL *X509_OBJECT_get0_X509_CRL(const X509_OBJECT *one)
    X509_NAME *X509_get_issuer_name(const X509 *certificate)
    X509_NAME *X509_CRL_get_issuer(const X509_CRL *crl)
    int X509_NAME_cmp(const X509_NAME *one, const X509_NAME *other)
    int X509_CRL_get0_by_cert(X509_CRL *crl, X509_REVOKED **found, X509 *certificate)
    int sk_X509_num(const X509_CHAIN *chain)
    X509 *sk_X509_value(const X509_CHAIN *chain, int at)

cdef extern from "<openssl/x509v3.h>" nogil:
    ctypedef struct GENERAL_NAME:
        pass
    ctypedef struct GENERAL_NAMES:
        pass
    void *X509_get_ext_d2i(const X509 *certificate, int nid, int *critical, int *at)
    int sk_GENERAL_NAME_num(const GENERAL_NAMES *names)
    GENERAL_NAME *sk_GENERAL_NAME_value(const GENERAL_NAMES *names, int at)
    void *GENERAL_NAME_get0_value(const GENERAL_NAME *name, int *kind)
    void GENERAL_NAMES_free(GENERAL_NAMES *names)
    int NID_subject_alt_name
    int GEN_DNS
    int GEN_IPADD
    int GEN_URI

cdef extern from "<openssl/pem.h>" nogil:
    X509 *PEM_read_bio_X509(BIO *bio, X509 **into, int (*password)(char *, int, int, void *) noexcept nogil, void *u)
    X509_CRL *PEM_read_bio_X509_CRL(BIO *bio, X509_CRL **into,
                                    int (*password)(char *, int, int, void *) noexcept nogil, void *u)
    EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bio, EVP_PKEY **into,
                                      int (*password)(char *, int, int, void *) noexcept nogil, void *u)
    int ERR_GET_REASON(unsigned long error)
    int PEM_R_NO_START_LINE

cdef extern from "<openssl/ssl.h>" nogil:
    ctypedef struct SSL_METHOD:
        pass
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_SESSION:
        pass
    ctypedef struct X509_NAMES "STACK_OF(X509_NAME)":
        pass
    ctypedef int OSSL_HANDSHAKE_STATE
    const SSL_METHOD *TLS_server_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    void SSL_CTX_free(SSL_CTX *ctx)
    int SSL_CTX_up_ref(SSL_CTX *ctx)
    uint64_t SSL_CTX_set_options(SSL_CTX *ctx, uint64_t options)
    int SSL_CTX_set_min_proto_version(SSL_CTX *ctx, int version)
    int SSL_CTX_set_max_proto_version(SSL_CTX *ctx, int version)
    int SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *ciphers)
    int SSL_CTX_set_ciphersuites(SSL_CTX *ctx, const char *suites)
    int SSL_CTX_set1_groups_list(SSL_CTX *ctx, char *groups)
    void SSL_CTX_set_security_level(SSL_CTX *ctx, int level)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode)
    int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *id, unsigned int size)
    long SSL_CTX_set_timeout(SSL_CTX *ctx, long seconds)
    int SSL_CTX_set_num_tickets(SSL_CTX *ctx, size_t count)
    int SSL_CTX_set_tlsext_ticket_key_evp_cb(SSL_CTX *ctx, int (*callback)(
        SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int) noexcept nogil)
    int SSL_CTX_use_certificate(SSL_CTX *ctx, X509 *certificate)
    int SSL_CTX_add1_chain_cert(SSL_CTX *ctx, X509 *certificate)
    int SSL_CTX_use_PrivateKey(SSL_CTX *ctx, EVP_PKEY *key)
    int SSL_CTX_check_private_key(const SSL_CTX *ctx)
    X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *ctx)
    void SSL_CTX_set_verify(SSL_CTX *ctx, int mode, int (*verify)(int, X509_STORE_CTX *))
    int SSL_CTX_add_client_CA(SSL_CTX *ctx, X509 *certificate)
    SSL *SSL_new(SSL_CTX *ctx)
    void SSL_free(SSL *ssl)
    void SSL_set_bio(SSL *ssl, BIO *read, BIO *write)
    BIO *SSL_get_rbio(const SSL *ssl)
    void SSL_set_accept_state(SSL *ssl)
    uint64_t SSL_set_options(SSL *ssl, uint64_t options)
    int SSL_set_num_tickets(SSL *ssl, size_t count)
    int SSL_read(SSL *ssl, void *into, int size)
    int SSL_write(SSL *ssl, const void *data, int size)
    int SSL_pending(const SSL *ssl)
    int SSL_want_read(const SSL *ssl)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_shutdown(const SSL *ssl)
    int SSL_is_init_finished(const SSL *ssl)
    SSL_SESSION *SSL_get_session(const SSL *ssl)
    const unsigned char *SSL_SESSION_get0_id_context(const SSL_SESSION *session, unsigned int *size)
    OSSL_HANDSHAKE_STATE SSL_get_state(const SSL *ssl)
    int SSL_session_reused(const SSL *ssl)
    int SSL_version(const SSL *ssl)
    const char *SSL_get_version(const SSL *ssl)
    const char *SSL_get_cipher_name(const SSL *ssl)
    int SSL_free_buffers(SSL *ssl)
    int SSL_get_verify_mode(const SSL *ssl)
    long SSL_get_verify_result(const SSL *ssl)
    X509 *SSL_get0_peer_certificate(const SSL *ssl)
    X509_CHAIN *SSL_get_peer_cert_chain(const SSL *ssl)
    int SSL_VERIFY_NONE
    int SSL_VERIFY_PEER
    int SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    int SSL_RECEIVED_SHUTDOWN
    long SSL_SESS_CACHE_OFF
    uint64_t SSL_OP_NO_COMPRESSION
    uint64_t SSL_OP_NO_RENEGOTIATION
    uint64_t SSL_OP_NO_TICKET
    uint64_t SSL_OP_CIPHER_SERVER_PREFERENCE
    int TLS1_2_VERSION
    int TLS1_3_VERSION
