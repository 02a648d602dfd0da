/* SPDX-License-Identifier: Apache-2.0
 *
 * The interface between the appliance and a provider: a place that disks come from. A provider is a shared object that exports one
 * function, hyper_provider_entry(), which gives its table of callbacks. HACKING.md shows how to write one in a page.
 *
 *     connection   one place, by its URI: a server, an account, a bucket
 *     snapshot     one point in time of one or several disks of a connection, held until it is released
 *     change id    what a snapshot is called by whoever wants to know later what changed since
 *
 * Threads. Every callback may be called from any thread, and several at once, on one connection or snapshot too; but close() and
 * release() come when nothing else is under way on theirs, and are the last; when they returned, no thread of theirs runs the module's code
 * any more, which may be unmapped then. A callback may block until its call's deadline.
 * A provider that does not keep to it loses its caller: the host goes on without the answer, and counts the call as failed.
 *
 * Failures. A callback that can fail gives 0 or what kind of failure it was, and says in the hyper_error what was attempted, on what,
 * and what to do. The host decides about trying again, by the kind; a provider tries nothing twice, but to connect anew.
 *
 * Compatibility. Structures begin with their own size. They grow at their ends alone: who gets one uses no member past its `size`.
 * What cannot be had that way makes a new HYPER_PROVIDER_ABI, and modules of another ABI are refused.
 *
 * Strings are UTF-8 and end in a zero byte; who is given one keeps no pointer past the call. Offsets and lengths are bytes of the disk.
 */
#ifndef HYPER_PROVIDER_H
#define HYPER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HYPER_PROVIDER_ABI 2u

/* The one vocabulary of failures. */
typedef enum hyper_failure {
    HYPER_OK = 0,
    HYPER_RETRY_LATER = 1,       /* will pass: overload, a broken connection; retry_after_ms may say when */
    HYPER_LOG_IN_AGAIN = 2,      /* the session or token is no longer good; the same call may succeed after a new open() */
    HYPER_SNAPSHOT_GONE = 3,     /* this point in time cannot be read any more */
    HYPER_TRACKING_LOST = 4,     /* the disk can be read, but what changed since is not known: compare everything */
    HYPER_QUOTA = 5,             /* a limit of the account or a full disk over there: somebody has to make room */
    HYPER_NOT_ALLOWED = 6,       /* credentials or permissions do not suffice */
    HYPER_BAD_CONFIGURATION = 7, /* URI, option, or name of a disk: trying again is no use */
    HYPER_FATAL = 8              /* everything else */
} hyper_failure;

typedef struct hyper_error {
    size_t size;
    uint32_t retry_after_ms; /* with HYPER_RETRY_LATER; 0: not known */
    char message[1024];      /* no secrets */
} hyper_error;

/* Given with every call that may block. */
typedef struct hyper_call {
    size_t size;
    int64_t deadline_ns; /* of CLOCK_MONOTONIC */
    /* Whether the caller has stopped waiting; to be asked now and then by what takes long. */
    bool (*cancelled)(const struct hyper_call *call);
} hyper_call;

typedef struct hyper_option {
    const char *key, *value;
} hyper_option;

typedef enum hyper_log_level { HYPER_LOG_DEBUG = 0, HYPER_LOG_INFO = 1, HYPER_LOG_WARNING = 2, HYPER_LOG_ERROR = 3 } hyper_log_level;

/* What the host does for a provider. Lives as long as the module is loaded. */
typedef struct hyper_host {
    size_t size;
    void (*log)(const struct hyper_host *host, hyper_log_level level, const char *message);
    /* The ledger of what we make elsewhere. note() is called before the call that makes a thing, with an id that this call will give
     * it (a name or tag with `unique` in it), and is durable on return; if it fails the thing must not be made. forget() is called
     * when the thing is surely gone. What was noted and not forgotten by a process that ended is given to clean() later.
     * `where`: the URI of the connection, without secrets. */
    hyper_failure (*note)(const struct hyper_host *host, const char *where, const char *kind, const char *id, uint64_t *entry,
                          hyper_error *error);
    void (*forget)(const struct hyper_host *host, uint64_t entry);
    /* A text that nobody else has got or will get: letters and digits, at most 32. */
    void (*unique)(const struct hyper_host *host, char text[33]);
} hyper_host;

/* A disk as list() finds it. */
typedef struct hyper_disk {
    size_t size;
    const char *name;     /* as take_snapshot() takes it: "web01/vda" */
    uint64_t size_bytes;  /* 0: not known without a snapshot */
    const char *detail;   /* for people: "running, qcow2 on /var/lib/..." */
    bool tracks_changes;  /* whether `since` may work */
} hyper_disk;

typedef enum hyper_verdict { HYPER_GOOD = 0, HYPER_DOUBTFUL = 1, HYPER_BAD = 2 } hyper_verdict;

typedef struct hyper_snapshot_wish {
    size_t size;
    const char *const *disks; /* names; all of them as they were at one moment */
    size_t disk_count;
    /* Leave a mark, so that a later snapshot can be asked what changed since this one. */
    bool track;
    /* For each disk the change id of the snapshot that it is to be compared with, or NULL. Where it is not known any more, or
     * doubtful, the snapshot is taken all the same, and changed() fails with HYPER_TRACKING_LOST. NULL: none at all. */
    const char *const *since;
} hyper_snapshot_wish;

typedef enum hyper_consistency { HYPER_CRASH_CONSISTENT = 0, HYPER_APPLICATION_CONSISTENT = 1, HYPER_AT_REST = 2 } hyper_consistency;

/* Filled in by describe(), for one disk of a snapshot. The strings live as long as the snapshot. */
typedef struct hyper_snapshot_disk {
    size_t size;
    uint64_t size_bytes;
    /* Which content this is, for ever: two snapshots of one identity have the same bytes. NULL where that cannot be said; then
     * nothing of it is kept past the snapshot. */
    const char *identity;
    const char *disk_id;   /* which disk it is, for ever: "libvirt:UUID/vda" */
    const char *change_id; /* NULL: no mark was left */
    const char *format;    /* of the bytes, as qemu-img names it; NULL: they are the disk's own. "auto": as the name's suffix says */
    hyper_consistency consistency;
    uint32_t request_bytes_min, request_bytes_max; /* reads are multiples of one, but at the end, and at most the other; 0: any */
    uint32_t requests_max;                         /* that it can have under way at once; 0: no bound of its own */
    uint32_t request_bytes_good;                   /* what costs little more than less does, in time or money; 0: nothing to say */
} hyper_snapshot_disk;

typedef enum hyper_outcome {
    HYPER_ABANDONED = 0, /* nobody will ask what changed since: its mark can go */
    HYPER_KEPT = 1       /* its mark stays, and that of `since` can go */
} hyper_outcome;

/* One read. done() is called exactly once, on any thread, perhaps before read() returns; `error` is NULL where the whole buffer was
 * filled. The read and its buffer are the provider's until then, also past the deadline. */
typedef struct hyper_read {
    size_t size;
    uint32_t disk; /* its number in the wish */
    uint64_t offset;
    size_t length;
    void *buffer;
    int64_t deadline_ns; /* of CLOCK_MONOTONIC */
    void (*done)(struct hyper_read *read, hyper_failure failure, const hyper_error *error);
} hyper_read;

/* What is kept beside a disk, as companions() told it. */
typedef struct hyper_companion {
    const char *name;
    const void *bytes;
    size_t length;
} hyper_companion;

/* A disk that is there again. */
typedef struct hyper_machine_disk {
    const char *disk_id; /* which it was, as describe() told it */
    const char *path;    /* the file that holds it, and its format as qemu-img names it */
    const char *format;
} hyper_machine_disk;

/* A machine that is to be made of what was kept of one. */
typedef struct hyper_machine {
    size_t size;
    const char *name; /* that it gets, and nobody else has */
    const hyper_machine_disk *disks; /* of one moment; at least one */
    size_t disk_count;
    const hyper_companion *companions;
    size_t companion_count;
    bool look_only; /* only tell whether it could be made: the files may not be there yet */
} hyper_machine;

enum { HYPER_EXTENT_ZERO = 1, HYPER_EXTENT_CHANGED = 2 };

typedef struct hyper_extent {
    uint64_t length; /* the next begins where this one ends */
    uint32_t flags;
} hyper_extent;

typedef struct hyper_provider {
    size_t size;
    uint32_t abi; /* HYPER_PROVIDER_ABI */
    const char *name;        /* "s3"; of the module's file too: hyper-provider-s3.so */
    const char *version;     /* of the provider */
    const char *description; /* one line */
    const char *schemes;     /* of the URIs that it takes, with spaces between: "nbd nbds nbd+unix" */
    const char *options;     /* the keys that open() knows, with spaces between */

    /* Optional. Whether the module works here (libraries, tools): asked once, before anything else; a module that says no is refused. */
    hyper_failure (*self_check)(const hyper_host *host, hyper_error *error);

    /* Connects, or gets ready to. `disk` gets the name of the disk that the URI means, in memory that the connection owns, or NULL
     * where it means all of a place. */
    hyper_failure (*open)(const hyper_host *host, const hyper_call *call, const char *uri, const hyper_option *options, size_t count,
                          void **connection, const char **disk, hyper_error *error);
    void (*close)(void *connection);

    /* Tells each disk to `found`, until that says false. */
    hyper_failure (*list)(void *connection, const hyper_call *call, bool (*found)(void *opaque, const hyper_disk *disk), void *opaque,
                          hyper_error *error);
    /* Optional. Looks, and changes nothing: whether a disk (NULL: all) could be read and tracked now. */
    hyper_failure (*check)(void *connection, const hyper_call *call, const char *disk,
                           void (*finding)(void *opaque, hyper_verdict verdict, const char *what, const char *text), void *opaque,
                           hyper_error *error);

    hyper_failure (*take_snapshot)(void *connection, const hyper_call *call, const hyper_snapshot_wish *wish, void **snapshot,
                                   hyper_error *error);
    hyper_failure (*describe)(void *snapshot, uint32_t disk, hyper_snapshot_disk *out, hyper_error *error);
    void (*read)(void *snapshot, hyper_read *read);
    /* Optional (all is data). Fills in what [offset, offset + length) is made of, from `offset` on; `count` is the room, and then how
     * many were filled in: at least one, and together they may cover less than the range. HYPER_EXTENT_ZERO: zero for sure. */
    hyper_failure (*extents)(void *snapshot, const hyper_call *call, uint32_t disk, uint64_t offset, uint64_t length,
                             hyper_extent *extents, size_t *count, hyper_error *error);
    /* Optional (nothing is known). Likewise, with HYPER_EXTENT_CHANGED where it may differ from `since`: more than what differs, never
     * less. */
    hyper_failure (*changed)(void *snapshot, const hyper_call *call, uint32_t disk, uint64_t offset, uint64_t length,
                             hyper_extent *extents, size_t *count, hyper_error *error);
    /* Optional. What is to be kept beside the disks, by name: "domain.xml", "nvram". */
    hyper_failure (*companions)(void *snapshot, const hyper_call *call,
                                bool (*found)(void *opaque, const char *name, const void *bytes, size_t length), void *opaque,
                                hyper_error *error);
    /* The snapshot is gone afterwards, whatever happens: what cannot be cleaned up now stays in the ledger. */
    void (*release)(void *snapshot, const hyper_call *call, hyper_outcome outcome);

    /* Optional, for those who note(). Removes a thing that this provider noted and did not forget; HYPER_OK also where there is none
     * such any more. Never touches what it did not make. */
    hyper_failure (*clean)(void *connection, const hyper_call *call, const char *kind, const char *id, hyper_error *error);

    /* Optional. Makes a machine that has the disks, and is not running. What else belongs to it is made beside the first one's file. */
    hyper_failure (*define)(void *connection, const hyper_call *call, const hyper_machine *machine, hyper_error *error);
} hyper_provider;

/* What a module exports. NULL is a refusal. */
typedef const hyper_provider *(*hyper_provider_entry_function)(void);
__attribute__((visibility("default"))) const hyper_provider *hyper_provider_entry(void);

#ifdef __cplusplus
}
#endif

#endif
