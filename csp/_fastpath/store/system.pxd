# What the store takes from the kernel and the C library, the loop too: declarations only.

from libc.stdint cimport int64_t

cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        int64_t tv_nsec
    int clock_gettime(int clock, timespec *now)
    int nanosleep(const timespec *wait, timespec *left)
    int CLOCK_MONOTONIC
    int CLOCK_THREAD_CPUTIME_ID
    int CLOCK_REALTIME_COARSE
    int CLOCK_BOOTTIME
