# Included by csp/_fastpath.pyx after: refuse, worker. What refuse.pxi decides, as Python hears it.
#
# Invariants: those of refuse.pxi.

cdef tuple judged(csp_conn *c, uint32_t may, bint loading, list args, uint32_t application):
    cdef out_t out
    cdef arg_t *words = words_of(args)
    cdef int number = command_of(words, <uint32_t> len(args))
    cdef int why = judge(c, may, loading, number, <uint32_t> len(args))
    memset(&out, 0, sizeof(out_t))
    if why != MAY:
        out_refusal(&out, why, number, words, <uint32_t> len(args), application)
    refusal = out.data[:out.size] if out.size > 0 else b""
    out_free(&out)
    free(words)
    return number, refusal


def judge_for(list args, *, bint signed_in=True, bint administrator=True, bint data=True, bint server=False,
              bint in_multi=False, bint resp2_subscriber=False, bint loading=False,
              bint must_change=False, bint peer_first=False, bint discovery=False) -> tuple:
    """What Loop.judge() says of a connection that is such; for tests of the slow lane without a loop."""
    cdef csp_conn c
    cdef subs_t subs
    memset(&c, 0, sizeof(csp_conn))
    memset(&subs, 0, sizeof(subs_t))
    c.flags = CSP_CONN_SIGNED_IN * signed_in | CSP_CONN_SERVER * server \
        | CSP_CONN_MULTI * in_multi | CSP_CONN_MUST_CHANGE * must_change | CSP_CONN_PEER_FIRST * peer_first
    c.flags |= CSP_CONN_DISCOVERY * discovery
    if resp2_subscriber:
        subs.count = 1
        c.subs = <csp_subs *> &subs
    may = CSP_CONN_ADMINISTRATOR * administrator | CSP_CONN_DATA * data
    return judged(&c, may, loading, args, 0)
