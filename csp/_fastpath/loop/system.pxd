# What the loop takes from the kernel and the C library: declarations only.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN
    int EMFILE
    int ENFILE

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "<sys/types.h>" nogil:
    ctypedef unsigned int socklen_t

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void *ptr
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    int EPOLL_CTL_MOD
    int EPOLLIN
    int EPOLLOUT
    int EPOLLRDHUP
    int EPOLLHUP
    int EPOLLERR
    uint32_t EPOLLET

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        uint16_t sa_family
    struct sockaddr_storage:
        uint16_t ss_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)
    ssize_t recv(int fd, void *data, size_t size, int flags)
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int AF_INET
    int AF_INET6
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    int MSG_PEEK
    int SOL_SOCKET
    int SO_KEEPALIVE
    int SO_ACCEPTCONN
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr
    enum:
        INET6_ADDRSTRLEN
    uint16_t ntohs(uint16_t value)
    int IPPROTO_TCP

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char *text, void *into)

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<sys/mman.h>" nogil:
    int MADV_DONTNEED
    int MADV_HUGEPAGE

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void csp_heap_prepare(void) {
        mallopt(M_MMAP_THRESHOLD, 4 << 20); /* said once: else it grows with what is freed, and memory stays */
        mallopt(M_TRIM_THRESHOLD, 8 << 20);
    }
    static void csp_heap_trim(void) { malloc_trim(0); }
    #else
    static void csp_heap_trim(void) {}
    static void csp_heap_prepare(void) {}
    #endif
    """
    void csp_heap_prepare() nogil
    void csp_heap_trim() nogil

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    int dup(int fd)
