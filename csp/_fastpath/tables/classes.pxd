from libc.stdint cimport int16_t, uint16_t, uint8_t

cdef extern from "_fastpath/tables/classes.h" nogil:
    int CSP_KEY_NONE, CSP_KEY_NAME, CSP_KEY_LIST, CSP_KEY_ABSENT, CSP_KEY_FOLDER_OF
    int CSP_KEY_PAIR_PART, CSP_KEY_DBID, CSP_KEY_THROUGH, CSP_KEY_TRIM
    int CSP_VALUE_U32, CSP_VALUE_TEXT, CSP_VALUE_WORD, CSP_VALUE_FLAG, CSP_VALUE_PAIR, CSP_VALUE_ANY
    int CSP_ACCOUNT_CLASS, CSP_NODE_CLASS, CSP_GRANTS_CLASS
    int CSP_RIGHT_R, CSP_RIGHT_C, CSP_RIGHT_U, CSP_RIGHT_X, CSP_RIGHT_D, CSP_RIGHT_RP, CSP_RIGHT_CP
    int CSP_RIGHTS_ALL, CSP_PROPAGATE
    int CSP_ENVIRONMENT, CSP_TENANTS_CLASS
    const char *CSP_TENANTS_ATTRIBUTE
    int CSP_PERSON_CLASS, CSP_TENANT_CLASS, CSP_ACCESS_GROUP_CLASS, CSP_FOLDER_CLASS, CSP_APPLICATION_CLASS
    int CSP_PERSON_STATE_KEY, CSP_GROUP_STATE_KEY, CSP_GROUP_PERSON_KEY, CSP_GROUP_GROUP_KEY, CSP_GROUP_TYPE_KEY
    int CSP_APPLICATION_NAME_KEY
    int CSP_OBJECT_TYPE_COUNT, CSP_CLASS_COUNT, CSP_CLASS_LIMIT, CSP_KEYS_PER_CLASS, CSP_KEY_LIMIT
    ctypedef struct csp_class_t:
        const char *name
        uint16_t name_size
        uint16_t class_id
    ctypedef struct csp_filter_key_t:
        const char *name
        uint16_t name_size
        uint16_t class_id
        uint16_t other
        uint16_t through
        uint8_t kind
        uint8_t value_type
        int16_t words
        uint8_t hidden
    ctypedef struct csp_enum_t:
        const char *name
        int16_t first
        uint8_t closed
        uint16_t count
        const char *const *words
    const uint16_t csp_class_ids[]
    const csp_class_t csp_classes[]
    const csp_filter_key_t csp_keys[]
    const csp_enum_t csp_enums[]
    int csp_enum_word(int number, const char *text, size_t size)
    int csp_class_by_name(const char *name, size_t size)
    int csp_object_type(const char *name, size_t size)
    int csp_key_by_name(int class_id, const char *name, size_t size)
