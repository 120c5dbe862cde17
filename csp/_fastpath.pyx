# cython: language_level=3, cdivision=True, initializedcheck=False, binding=True, embedsignature=True, auto_pickle=False
"""The fast path: everything that runs without the GIL. Read in this order."""

import fcntl
import hashlib
import heapq
import logging
import os
import signal
import socket

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport (
    INT64_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport bsearch, calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.strings cimport strncasecmp

from csp._fastpath.store.blake2b cimport *
from csp._fastpath.tables.classes cimport *
from csp._fastpath.tables.commands cimport *
from csp._fastpath.loop.conn cimport *
from csp._fastpath.store.failpoint cimport *
from csp._fastpath.store.octets cimport *
from csp._fastpath.store.shm cimport *
from csp._fastpath.store.system cimport *
from csp._fastpath.tables.stats cimport *
from csp._fastpath.loop.system cimport *
from csp._fastpath.loop.tls cimport *

# store: what lies in shared memory, who may touch it, and how it changes (store rooms)
include "_fastpath/store/limits.pxi"      # every maximum
include "_fastpath/store/status.pxi"      # C says a code, Python hears an exception
include "_fastpath/store/read.pxi"        # what is there at a revision
include "_fastpath/store/tree.pxi"        # which node governs it
include "_fastpath/store/grants.pxi"      # what is granted on it, and whom that gives which rights
include "_fastpath/store/view.pxi"        # and what of it a session may see: the loop's primitives
include "_fastpath/store/arena.pxi"       # memory of the store
include "_fastpath/store/held.pxi"        # what of it is held back for deletes
include "_fastpath/store/takeover.pxi"    # and what of it a predecessor left in use
include "_fastpath/store/retire.pxi"      # the writer, and what it replaced until no reader can hold it
include "_fastpath/store/pins.pxi"        # which reader holds memory back, and since when
include "_fastpath/store/dirty.pxi"       # which words a death would leave behind
include "_fastpath/store/index.pxi"       # the radix by DBID
include "_fastpath/store/names.pxi"       # the hashes of names and of lists
include "_fastpath/store/postings.pxi"    # posting lists
include "_fastpath/store/nodes.pxi"       # numbers for the nodes that govern objects
include "_fastpath/store/log.pxi"         # the change log
include "_fastpath/store/stage.pxi"       # one transaction, prepared so that it can be undone
include "_fastpath/store/apply.pxi"       # and then: intent, words, publication
include "_fastpath/store/reclaim.pxi"     # memory comes back
include "_fastpath/store/full.pxi"        # and what a change does that finds none
include "_fastpath/store/load.pxi"        # a whole store at once
include "_fastpath/store/recover.pxi"     # after the writer's death
include "_fastpath/store/walk.pxi"        # and what can wait until changes go on
include "_fastpath/store/scrub.pxi"       # and of damage in memory
include "_fastpath/store/control.pxi"     # slots, epoch, generation, link
include "_fastpath/store/writer.pxi"      # what Python may ask of the writer
include "_fastpath/store/probe.pxi"       # whether what readers find is sound
include "_fastpath/store/rights.pxi"      # what is granted on which node: a reader's picture
include "_fastpath/store/groups.pxi"      # which groups an account is
include "_fastpath/store/reach.pxi"       # what may be read, shared by all who may read the same
include "_fastpath/store/scope.pxi"       # and what of it a reader's sessions are limited to
include "_fastpath/store/circles.pxi"     # and who may
include "_fastpath/store/copies.pxi"      # what Python gets of it
include "_fastpath/store/reader.pxi"      # and of a reader

csp_crc_prepare()

# loop: one worker's connections, commands and deliveries (loop rooms)
include "_fastpath/loop/parse.pxi"       # RESP in
include "_fastpath/loop/bulks.pxi"       # and what of it Python reads by itself
include "_fastpath/loop/reply.pxi"       # RESP out
include "_fastpath/loop/refuse.pxi"      # who may call what, and when
include "_fastpath/loop/glob.pxi"        # patterns of any text
include "_fastpath/loop/channels.pxi"    # the channels of a change, and what a channel asks for
include "_fastpath/loop/loose.pxi"       # patterns that numbers cannot say
include "_fastpath/loop/watch.pxi"       # subscriptions: who listens to what
include "_fastpath/loop/tracking_keys.pxi"   # which keys who has read, for client-side caching
include "_fastpath/loop/networks.pxi"    # addresses, and lists of networks
include "_fastpath/loop/proxy.pxi"       # what a balancer says of a connection
include "_fastpath/loop/state.pxi"       # what a worker knows, by room
include "_fastpath/loop/transport.pxi"   # a client's socket
include "_fastpath/loop/tls_context.pxi"  # the certificates of a port
include "_fastpath/loop/tls_wire.pxi"    # where OpenSSL has ciphertext from, and puts it
include "_fastpath/loop/tls_tickets.pxi"  # and by what clients resume
include "_fastpath/loop/tls.pxi"         # TLS of a connection
include "_fastpath/loop/tls_revoked.pxi"  # and whether it would be let in no more
include "_fastpath/loop/budget.pxi"      # what a turn may cost
include "_fastpath/loop/buffers.pxi"     # large ones given back by the piece
include "_fastpath/loop/table.pxi"       # what workers share of their connections
include "_fastpath/loop/conn.pxi"        # one connection: row, buffers, back-pressure
include "_fastpath/loop/clients.pxi"     # what other workers see of it
include "_fastpath/loop/addresses.pxi"   # how many connections one address has
include "_fastpath/loop/subs.pxi"        # and what it subscribes to
include "_fastpath/loop/rights.pxi"      # whose session it is, and what that may read
include "_fastpath/loop/match.pxi"       # what a change matches
include "_fastpath/loop/forms.pxi"       # and what it is to one who may not read all
include "_fastpath/loop/matcher.pxi"     # the same for tests
include "_fastpath/loop/preface.pxi"     # whom a port lets in
include "_fastpath/loop/listen.pxi"      # ports, and who comes in by them
include "_fastpath/loop/filter.pxi"      # filters of classes, intersected
include "_fastpath/loop/project.pxi"     # attributes out of an object
include "_fastpath/loop/slow.pxi"        # the ways out to Python
include "_fastpath/loop/hot.pxi"         # GET, MGET and their kin
include "_fastpath/loop/trim.pxi"        # binary values out of an annex
include "_fastpath/loop/cursor.pxi"      # where each subscriber stands in the log
include "_fastpath/loop/since.pxi"       # whether rights have changed since then
include "_fastpath/loop/start.pxi"       # and where CFG.FROM places it
include "_fastpath/loop/token.pxi"       # what restores a session
include "_fastpath/loop/rest.pxi"        # what a socket cut off a message
include "_fastpath/loop/slice.pxi"       # messages, built once and sent together
include "_fastpath/loop/notice.pxi"      # cfg.notice
include "_fastpath/loop/group.pxi"       # the change log to those who stand somewhere in it
include "_fastpath/loop/flips.pxi"       # what a change of rights means to them
include "_fastpath/loop/deliver.pxi"     # the change log to the subscribers
include "_fastpath/loop/replay.pxi"      # what has left it
include "_fastpath/loop/tracking.pxi"        # CLIENT TRACKING: who, how, and what a change means to them
include "_fastpath/loop/tracking_bcast.pxi"  # by prefixes
include "_fastpath/loop/tracking_tell.pxi"   # and how they are told
include "_fastpath/loop/tracking_reads.pxi"  # what they read
include "_fastpath/loop/subscribe.pxi"   # SUBSCRIBE and its kin
include "_fastpath/loop/job.pxi"         # reads that span several turns,
include "_fastpath/loop/announce.pxi"    # what they announce,
include "_fastpath/loop/options.pxi"     # what may be said with
include "_fastpath/loop/kept.pxi"        # pages that many ask for
include "_fastpath/loop/pages.pxi"       # CFG.READ, CFG.FIND, CFG.COUNT
include "_fastpath/loop/finds.pxi"       # many CFG.FINDs at once
include "_fastpath/loop/keys.pxi"        # MGET, EXISTS
include "_fastpath/loop/exec.pxi"        # EXEC
include "_fastpath/loop/ahead.pxi"       # and what memory is asked for before they need it
include "_fastpath/loop/dispatch.pxi"    # which room answers a command
include "_fastpath/loop/behind.pxi"      # writes behind one that is under way
include "_fastpath/loop/receive.pxi"     # what clients have sent
include "_fastpath/loop/answer.pxi"      # what they get for it
include "_fastpath/loop/doors.pxi"       # ports opened and shut, and how who came by them leaves
include "_fastpath/loop/clock.pxi"       # what time brings: waits that end, timeouts, notices
include "_fastpath/loop/check.pxi"       # in checked builds: whether anything would stand for ever
include "_fastpath/loop/persons.pxi"     # whether a person or his account has changed
include "_fastpath/loop/turn.pxi"        # the turn
include "_fastpath/loop/sessions.pxi"    # a connection, as Python sees it
include "_fastpath/loop/tracking_skin.pxi"   # who tracks, as Python sees them
include "_fastpath/loop/accounts.pxi"    # whose sessions they are, and which of them a change concerns
include "_fastpath/loop/session_reader.pxi"  # what it may read
include "_fastpath/loop/limits.pxi"      # its limits by name
include "_fastpath/loop/worker.pxi"      # and the loop
include "_fastpath/loop/judged.pxi"      # what it may call, as Python hears it

# feed: what a proxy's writer receives from its master
include "_fastpath/store/follow.pxi"      # changes as they stand in the bytes, on their way to the store
