from libc.stdint cimport int8_t, uint16_t, uint32_t, uint8_t

cdef extern from "_fastpath/tables/commands.h" nogil:
    enum:
        CSP_CMD_NONE
        CSP_CMD_GET, CSP_CMD_MGET, CSP_CMD_EXISTS, CSP_CMD_TYPE, CSP_CMD_STRLEN, CSP_CMD_PING
        CSP_CMD_MULTI, CSP_CMD_EXEC
        CSP_CMD_CFG_READ, CSP_CMD_CFG_FIND, CSP_CMD_CFG_COUNT
        CSP_CMD_CFG_CREATE, CSP_CMD_CFG_UPDATE, CSP_CMD_CFG_DELETE
        CSP_CMD_SUBSCRIBE, CSP_CMD_PSUBSCRIBE, CSP_CMD_UNSUBSCRIBE, CSP_CMD_PUNSUBSCRIBE
        CSP_FLAG_HOT, CSP_FLAG_LOADING, CSP_FLAG_SUBSCRIBER, CSP_FLAG_NOMULTI, CSP_FLAG_CONTROL
        CSP_FLAG_SHOWS, CSP_FLAG_WRITE, CSP_FLAG_FORCED, CSP_FLAG_ENTRY, CSP_FLAG_DISCOVERY
    ctypedef struct csp_command_t:
        const char *name
        uint32_t who
        uint32_t flags
        int8_t arity
        uint8_t has_parts
    const csp_command_t csp_commands[]
    int csp_command_by_name(const char *name, size_t size)
    int csp_part_by_name(int command, const char *name, size_t size)

cdef extern from "_fastpath/tables/errors.h" nogil:
    const char *CSP_REFUSE_LOADING
    const char *CSP_REFUSE_NOAUTH
    const char *CSP_REFUSE_MUSTCHANGE
