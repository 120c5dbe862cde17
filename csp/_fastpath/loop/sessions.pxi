# Included by csp/_fastpath.pyx after: loop rooms; before: worker.
# Session, one connection as Python sees it, and what the session table tells of all clients.
#
# Invariants:
# 1. A connection is named by its handle; a stale one is a KeyError.
# 2. What is read of another worker's row is taken as it is: it may be written meanwhile.

cdef class Session:
    """What is known of one connection; a view on its row."""

    cdef Loop loop
    cdef readonly object conn

    cdef csp_conn *row(self) except NULL:
        cdef csp_conn *c = conn_of(&self.loop.w, self.conn)
        if c == NULL:
            raise KeyError(f"connection {self.conn} is closed")
        return c

    cdef csp_client *client(self) except NULL:
        return client_of(&self.loop.w, self.row())

    cdef set_flag(self, uint32_t flag, bint on):
        cdef csp_conn *c = self.row()
        if on:
            c.flags |= flag
        else:
            c.flags &= ~flag

    @property
    def id(self) -> int:
        return self.row().id

    @property
    def authenticated(self) -> bool:
        return self.row().flags & CSP_CONN_SIGNED_IN != 0

    @authenticated.setter
    def authenticated(self, on: bool) -> None:
        cdef csp_conn *c = self.row()
        cdef bint was = c.flags & CSP_CONN_SIGNED_IN != 0
        if was and not on:
            self.loop.w.unsigned_count += 1
            self.client().created_ms = self.loop.w.now_ms
        elif on and not was:
            self.loop.w.unsigned_count -= 1
        self.set_flag(CSP_CONN_SIGNED_IN, on)

    @property
    def must_change(self) -> bool:
        """Whether its account has to change its password before it is signed in."""
        return self.row().flags & CSP_CONN_MUST_CHANGE != 0

    @must_change.setter
    def must_change(self, on: bool) -> None:
        if on:
            self.client().created_ms = self.loop.w.now_ms
        self.set_flag(CSP_CONN_MUST_CHANGE, on)

    @property
    def administrator(self) -> bool:
        """Whether its account may change who may do what in Environment."""
        return session_may(&self.loop.w, self.row()) & CSP_CONN_ADMINISTRATOR != 0

    def see_all(self) -> None:
        """For tests: it sees everything and may call everything, whatever is granted."""
        cdef csp_conn *c = self.row()
        session_bind(&self.loop.w, c, 0, 0)
        c.account = ACCOUNT_ALL
        if c.subs != NULL:
            subscriber_look(&self.loop.w, c)

    cdef bind(self):
        session_bind(&self.loop.w, self.row(), self.client().account_dbid, self.client().application_dbid)

    @property
    def server(self) -> bool:
        return self.row().flags & CSP_CONN_SERVER != 0

    @server.setter
    def server(self, on: bool) -> None:
        self.set_flag(CSP_CONN_SERVER, on)

    @property
    def proto(self) -> int:
        return 3 if self.row().flags & CSP_CONN_RESP3 else 2

    @proto.setter
    def proto(self, version: int) -> None:
        self.set_flag(CSP_CONN_RESP3, version == 3)

    @property
    def in_multi(self) -> bool:
        return self.row().flags & CSP_CONN_MULTI != 0

    @in_multi.setter
    def in_multi(self, on: bool) -> None:
        self.set_flag(CSP_CONN_MULTI, on)
        self.set_flag(CSP_CONN_WILL_SHOW, False)

    @property
    def feed(self) -> bool:
        return self.row().flags & CSP_CONN_FEED != 0

    @feed.setter
    def feed(self, on: bool) -> None:
        self.loop.w.stats.feeds += int(on) - int(self.feed)
        self.set_flag(CSP_CONN_FEED, on)

    @property
    def hears_moves(self) -> bool:
        """Whether it asked for MOVING (CLIENT MAINT_NOTIFICATIONS)."""
        return self.row().flags & CSP_CONN_MAINT != 0

    @hears_moves.setter
    def hears_moves(self, on: bool) -> None:
        self.set_flag(CSP_CONN_MAINT, on)

    @property
    def hears_no_place(self) -> bool:
        """Whether that is not to say where to."""
        return self.row().flags & CSP_CONN_MAINT_BARE != 0

    @hears_no_place.setter
    def hears_no_place(self, on: bool) -> None:
        self.set_flag(CSP_CONN_MAINT_BARE, on)

    @property
    def account_dbid(self) -> int:
        return self.client().account_dbid

    @account_dbid.setter
    def account_dbid(self, dbid: int) -> None:
        """From now on it reads what this person may read."""
        self.client().account_dbid = dbid
        self.bind()

    @property
    def credential_revision(self) -> int:
        return self.client().credential

    @credential_revision.setter
    def credential_revision(self, revision: int) -> None:
        self.client().credential = revision

    @property
    def application_dbid(self) -> int:
        """Which it serves; 0: none."""
        return self.client().application_dbid

    @application_dbid.setter
    def application_dbid(self, dbid: int) -> None:
        self.client().application_dbid = dbid
        self.bind()

    @property
    def name(self) -> str:
        return self.loop.long_text(self.conn, "name", self.client().name, CSP_CONN_NAME)

    @name.setter
    def name(self, text: str) -> None:
        self.loop.put_text(self.conn, "name", self.client().name, CSP_CONN_NAME, text)

    @property
    def lib_name(self) -> str:
        return self.loop.long_text(self.conn, "lib_name", self.client().lib_name, CSP_CONN_LIB)

    @lib_name.setter
    def lib_name(self, text: str) -> None:
        self.loop.put_text(self.conn, "lib_name", self.client().lib_name, CSP_CONN_LIB, text)

    @property
    def lib_ver(self) -> str:
        return self.loop.long_text(self.conn, "lib_ver", self.client().lib_ver, CSP_CONN_VER)

    @lib_ver.setter
    def lib_ver(self, text: str) -> None:
        self.loop.put_text(self.conn, "lib_ver", self.client().lib_ver, CSP_CONN_VER, text)

    @property
    def user(self) -> str:
        return self.loop.long_text(self.conn, "user", self.client().user, CSP_CONN_USER)

    @user.setter
    def user(self, text: str) -> None:
        self.loop.put_text(self.conn, "user", self.client().user, CSP_CONN_USER, text)

    @property
    def address(self) -> str:
        return client_address_text(self.client())

    @property
    def port(self) -> int:
        """The number of the port by which it came."""
        return self.loop.w.listeners[self.row().listener].port

    @property
    def secured(self) -> str:
        """Protocol and cipher of its TLS; "" for plain text."""
        cdef csp_conn *c = self.row()
        if c.flags & CSP_CONN_TLS == 0:
            return ""
        ssl = (<tls_conn_t *> c.tls).ssl
        return f"{(<bytes> SSL_get_version(ssl)).decode()} {(<bytes> SSL_get_cipher_name(ssl)).decode()}"

    @property
    def certificate(self) -> dict | None:
        """What its client's certificate says, which was verified; None: it has shown none."""
        cdef csp_conn *c = self.row()
        cdef X509 *peer = NULL
        if c.flags & CSP_CONN_TLS:
            peer = SSL_get0_peer_certificate((<tls_conn_t *> c.tls).ssl)
        return None if peer == NULL else certificate_facts(peer)

    def is_revoked(self, TlsContext context not None) -> bool:
        """Whether a list of this context names what its client has shown."""
        cdef csp_conn *c = self.row()
        if c.flags & CSP_CONN_TLS == 0:
            return False
        return client_is_revoked((<tls_conn_t *> c.tls).ssl, SSL_CTX_get_cert_store(context.ctx))

    @property
    def listening(self) -> bool:
        """At a port for discovery: it is to be told of changes, and need not ask meanwhile."""
        return self.row().listening != 0

    @listening.setter
    def listening(self, on: bool) -> None:
        self.row().listening = on

    @property
    def peer_first(self) -> bool:
        """Whether it has yet to register as this server's peer, before it may do anything."""
        return self.row().flags & CSP_CONN_PEER_FIRST != 0

    @peer_first.setter
    def peer_first(self, on: bool) -> None:
        self.set_flag(CSP_CONN_PEER_FIRST, on)

    @property
    def created_ms(self) -> int:
        return self.client().created_ms

    @property
    def idle_ms(self) -> int:
        return self.loop.w.now_ms - self.row().active_ms

    @property
    def subscriptions(self) -> int:
        return subs_count(self.row())


cdef str client_address_text(csp_client *c):
    """HOST:PORT of the other end."""
    return address_text(c.family, c.address, c.port)


cdef str address_text(int family, const uint8_t *address, int port):
    """HOST:PORT; an IPv4 address in an IPv6 socket reads as IPv4."""
    cdef bytes raw = (<const char *> address)[:16]
    if family == AF_INET:
        return f"{socket.inet_ntop(socket.AF_INET, raw[:4])}:{port}"
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        return f"{socket.inet_ntop(socket.AF_INET, raw[12:])}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{port}"


AWAY_WORDS = {
    AWAY_ADDRESS: "address",
    AWAY_BALANCER: "balancer",
    AWAY_HEADER: "header",
    AWAY_LATE: "late",
    AWAY_CROWD: "crowd",
}

cdef list away_take(worker_t *w):
    """Who was turned away since it was asked last: (why, how many, number of the port, address of the last)."""
    cdef away_t *away
    found = []
    for kind, why in AWAY_WORDS.items():
        away = &w.away[<int> kind]
        if away.count > 0:
            address = address_text(away.peer.family, away.peer.address, away.peer.port)
            found.append((why, away.count, away.port, address))
            away.count = 0
    return found


cdef str field_text(const char *field, int room):
    """Text of a row's field; another worker may be writing it, so anything is taken."""
    return (<bytes> field[:room]).split(b"\0", 1)[0].decode("utf-8", "replace")


cdef dict client_dict(csp_client *c, int64_t now_ms, int slot, object handle):
    return {
        "conn": handle,
        "slot": slot,
        "port": c.came_by,
        "id": c.id,
        "address": client_address_text(c),
        "fd": c.fd,
        "name": field_text(c.name, CSP_CONN_NAME),
        "user": field_text(c.user, CSP_CONN_USER),
        "account_dbid": c.account_dbid,
        "lib_name": field_text(c.lib_name, CSP_CONN_LIB),
        "lib_ver": field_text(c.lib_ver, CSP_CONN_VER),
        "authenticated": c.flags & CSP_CONN_SIGNED_IN != 0,
        "proto": 3 if c.flags & CSP_CONN_RESP3 else 2,
        "in_multi": c.flags & CSP_CONN_MULTI != 0,
        "tracking": c.flags & CSP_CONN_TRACKING != 0,
        "bcast": c.flags & CSP_CONN_BCAST != 0,
        "redirect_broken": c.flags & CSP_CONN_REDIR_BROKEN != 0,
        "redirect": c.redirect,
        "feed": c.flags & CSP_CONN_FEED != 0,
        "blocked": c.waits & CSP_WAIT_REPLY != 0,
        "age_ms": now_ms - c.created_ms,
        "idle_ms": now_ms - c.active_ms,
        "subscriptions": c.subscriptions,
        "patterns": c.patterns,
        "commands": c.commands,
        "command": c.command,
        "pending": c.unsent,
        "input_bytes": c.input,
    }
