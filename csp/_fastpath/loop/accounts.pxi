# Included by csp/_fastpath.pyx after: sessions; before: worker.
# Whose sessions the connections are, as Python asks it: how many an account has, and which ones; and to what all of
# them are limited.
#
# Invariants:
# 1. An account's DBID stands in a connection's shared row while it is signed in, and is written at once: what is
#    counted of other workers is as they are.

cdef class AccountSessions:
    """The connections by the account that has signed in."""

    cdef Loop loop

    def count(self, account: int) -> int:
        """How many of all workers of the server are this account's."""
        cdef session_head_t *head
        cdef csp_client *client
        cdef int64_t place, i
        cdef uint32_t wanted = account
        cdef int64_t found = 0
        for place in range(self.loop.w.workers):
            head = session_head(&self.loop.w, place)
            client = <csp_client *> (<char *> head + SESSION_HEAD_BYTES)
            for i in range(<int64_t> head.row_top):
                found += client[i].id != 0 and client[i].account_dbid == wanted
        return found

    def of(self, accounts: list | None) -> list:
        """Connection, account and credential of this worker's sessions of these accounts; None: of all."""
        cdef worker_t *w = &self.loop.w
        cdef csp_client *client
        cdef uint32_t i
        wanted = None if accounts is None else frozenset(accounts)
        found = []
        for i in range(w.row_top):
            if w.rows[i].id == 0 or w.rows[i].flags & CSP_CONN_SIGNED_IN == 0:
                continue
            client = client_of(w, &w.rows[i])
            if wanted is None or client.account_dbid in wanted:
                found.append((conn_handle(w, &w.rows[i]), client.account_dbid, client.credential))
        return found

    def limit_to(self, containers) -> None:
        """From now on all sessions see what lies in these containers, (class, DBID) each, and nothing else; None:
        what is granted to them."""
        cdef list names = [] if containers is None else [(class_id << 32) | dbid for class_id, dbid in containers]
        cdef uint64_t *made = <uint64_t *> malloc((len(names) + 1) * sizeof(uint64_t))
        cdef bint fine = made != NULL
        cdef uint32_t i
        for i in range(<uint32_t> len(names) if fine else 0):
            made[i] = names[i]
        fine = fine and scope_turn(&self.loop.w, made, <uint32_t> len(names), containers is not None)
        free(made)
        if not fine:
            raise MemoryError("the scope of a server's sessions")


cdef AccountSessions accounts_view(Loop loop):
    cdef AccountSessions view = AccountSessions.__new__(AccountSessions)
    view.loop = loop
    return view
