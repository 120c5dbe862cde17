# cython: language_level=3, cdivision=True, initializedcheck=False, binding=True, embedsignature=True, auto_pickle=False
"""The fast path: everything that runs without the GIL. Read in this order."""

import fcntl
import heapq
import logging
import os
import signal
import socket
import time

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport (
    INT64_MAX, UINT32_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport bsearch, calloc, free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.strings cimport strncasecmp

from csp._fastpath.blake2b cimport *
from csp._fastpath.classes cimport *
from csp._fastpath.conn cimport *
from csp._fastpath.failpoint cimport *
from csp._fastpath.octets cimport *
from csp._fastpath.shm cimport *
from csp._fastpath.stats cimport *
from csp._fastpath.system cimport *

# store: what lies in shared memory, who may touch it, and how it changes (store rooms)
include "_fastpath/limits.pxi"      # every maximum
include "_fastpath/status.pxi"      # C says a code, Python hears an exception
include "_fastpath/read.pxi"        # what is visible at a revision: the loop's primitives
include "_fastpath/arena.pxi"       # memory of the store
include "_fastpath/retire.pxi"      # the writer, and what it replaced until no reader can hold it
include "_fastpath/index.pxi"       # the radix by DBID
include "_fastpath/names.pxi"       # the hashes of names and of lists
include "_fastpath/postings.pxi"    # posting lists
include "_fastpath/log.pxi"         # the change log
include "_fastpath/stage.pxi"       # one transaction, prepared so that it can be undone
include "_fastpath/apply.pxi"       # and then: intent, words, publication
include "_fastpath/reclaim.pxi"     # memory comes back
include "_fastpath/load.pxi"        # a whole store at once
include "_fastpath/recover.pxi"     # after the writer's death
include "_fastpath/scrub.pxi"       # and of damage in memory
include "_fastpath/control.pxi"     # slots, epoch, generation, link
include "_fastpath/writer.pxi"      # what Python may ask of the writer
include "_fastpath/reader.pxi"      # and of a reader

csp_crc_prepare()

# loop: one worker's connections, commands and deliveries (loop rooms)
include "_fastpath/parse.pxi"       # RESP in
include "_fastpath/reply.pxi"       # RESP out
include "_fastpath/watch.pxi"       # subscriptions: who listens to what
include "_fastpath/filter.pxi"      # filters of classes, intersected
include "_fastpath/project.pxi"     # attributes out of an object
include "_fastpath/conn.pxi"        # one connection: row, buffers, back-pressure
include "_fastpath/slow.pxi"        # the ways out to Python
include "_fastpath/hot.pxi"         # GET, MGET and their kin
include "_fastpath/trim.pxi"        # binary values out of an annex
include "_fastpath/deliver.pxi"     # the change log to the subscribers
include "_fastpath/pages.pxi"       # CFG.READ, CFG.FIND, CFG.COUNT
include "_fastpath/ahead.pxi"       # and what memory is asked for before they need it
include "_fastpath/dispatch.pxi"    # which room answers a command
include "_fastpath/clock.pxi"       # what time brings: waits that end, timeouts, notices
include "_fastpath/loop.pxi"        # the turn
include "_fastpath/worker.pxi"      # Loop and Session, as Python sees them

# feed: what a proxy's writer receives from its master
include "_fastpath/follow.pxi"      # changes as they stand in the bytes, on their way to the store
