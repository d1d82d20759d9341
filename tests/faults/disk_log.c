/* Writes down what the processes that it is preloaded into change below one folder, and when they have it synced.

LLEM_DISK_ROOT is the folder, LLEM_DISK_LOG the file that each change is appended to, with one call that the kernel
does not divide, so that the order holds among processes. LLEM_DISK_HEARD is the file that stands for the outside
world: what a process writes there is noted before it is written, every change of the disk after it is made. Files
below a folder named logs, and the shared memory of SQLite (-shm), are no part of what a power cut must leave whole.

A record: the kind, the process, the descriptor, a number (where, or how long), the lengths of two paths and of the
data, then these three. Whatever it does not know how to note is noted as '!', which the reader refuses. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 65536
#define NEXT(type, name, ...)                                                                                         \
    static type (*next)(__VA_ARGS__);                                                                                 \
    if (!next)                                                                                                        \
        *(void **)&next = dlsym(RTLD_NEXT, name)

struct __attribute__((packed)) record {
    char kind;
    int32_t process, descriptor;
    int64_t number;
    uint32_t path_bytes, other_bytes, data_bytes;
};

static const char *root, *log_file;
static unsigned char followed[MOST_DESCRIPTORS], heard[MOST_DESCRIPTORS];

static void note(char kind, int descriptor, int64_t number, const char *path, const char *other, const void *data,
                 size_t bytes)
{
    NEXT(int, "open64", const char *, int, ...);
    static ssize_t (*write_parts)(int, const struct iovec *, int);
    static int (*shut)(int);
    if (!write_parts) {
        *(void **)&write_parts = dlsym(RTLD_NEXT, "writev");
        *(void **)&shut = dlsym(RTLD_NEXT, "close");
    }
    struct record record = {kind, getpid(), descriptor, number, strlen(path), strlen(other), bytes};
    struct iovec parts[] = {{&record, sizeof record},
                            {(void *)path, record.path_bytes},
                            {(void *)other, record.other_bytes},
                            {(void *)data, bytes}};
    int log = next(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    ssize_t whole = sizeof record + record.path_bytes + record.other_bytes + bytes;
    if (log < 0 || write_parts(log, parts, 4) != whole)
        abort();
    shut(log);
}

__attribute__((constructor)) static void begin(void)
{
    root = getenv("LLEM_DISK_ROOT");
    log_file = getenv("LLEM_DISK_LOG");
    const char *outside = getenv("LLEM_DISK_HEARD");
    char shown[PATH_MAX];
    ssize_t length = readlink("/proc/self/fd/1", shown, sizeof shown - 1);
    if (root && outside && length > 0) {
        shown[length] = 0;
        heard[1] = strcmp(shown, outside) == 0;
    }
}

/* Put the absolute path into `found` and return whether it is one to note. */
static int resolved(int folder, const char *path, char *found)
{
    if (!root)
        return 0;
    char place[PATH_MAX] = "";
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(place, sizeof place))
                return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, place, sizeof place - 1);
            place[length > 0 ? length : 0] = 0;
        }
    }
    if (snprintf(found, PATH_MAX, "%s%s%s", place, place[0] ? "/" : "", path) >= PATH_MAX)
        abort();
    size_t length = strlen(found), start = strlen(root);
    if (strncmp(found, root, start) != 0 || (found[start] && found[start] != '/') || strstr(found, "/logs/"))
        return 0;
    return length < 4 || strcmp(found + length - 4, "-shm") != 0;
}

static int is_followed(int descriptor)
{
    return descriptor >= 0 && descriptor < MOST_DESCRIPTORS && followed[descriptor];
}

static int opened(int folder, const char *path, int flags, int descriptor)
{
    char found[PATH_MAX];
    if (descriptor >= 0 && descriptor < MOST_DESCRIPTORS) {
        /* A file without a name is on no disk after a power cut. */
        followed[descriptor] = (flags & O_TMPFILE) != O_TMPFILE && resolved(folder, path, found);
        if (followed[descriptor])
            note('o', descriptor, (flags & O_CREAT ? 1 : 0) | (flags & O_TRUNC ? 2 : 0), found, "", "", 0);
    }
    return descriptor;
}

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...)                                                                        \
    {                                                                                                                 \
        NEXT(int, #name, const char *, int, ...);                                                                     \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        int mode = va_arg(rest, int);                                                                                 \
        va_end(rest);                                                                                                 \
        return opened(AT_FDCWD, path, flags, next(path, flags, mode));                                                \
    }
#define OPENAT(name)                                                                                                  \
    int name(int folder, const char *path, int flags, ...)                                                            \
    {                                                                                                                 \
        NEXT(int, #name, int, const char *, int, ...);                                                                \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        int mode = va_arg(rest, int);                                                                                 \
        va_end(rest);                                                                                                 \
        return opened(folder, path, flags, next(folder, path, flags, mode));                                          \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor)
{
    NEXT(int, "close", int);
    if (descriptor >= 0 && descriptor < MOST_DESCRIPTORS)
        followed[descriptor] = heard[descriptor] = 0;
    return next(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t bytes)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    if (descriptor >= 0 && descriptor < MOST_DESCRIPTORS && heard[descriptor])
        note('a', descriptor, 0, "", "", data, bytes);
    ssize_t done = next(descriptor, data, bytes);
    if (done > 0 && is_followed(descriptor))
        note('w', descriptor, lseek(descriptor, 0, SEEK_CUR) - done, "", "", data, done);
    return done;
}

#define PWRITE(name)                                                                                                  \
    ssize_t name(int descriptor, const void *data, size_t bytes, off_t place)                                         \
    {                                                                                                                 \
        NEXT(ssize_t, #name, int, const void *, size_t, off_t);                                                       \
        ssize_t done = next(descriptor, data, bytes, place);                                                          \
        if (done > 0 && is_followed(descriptor))                                                                      \
            note('w', descriptor, place, "", "", data, done);                                                         \
        return done;                                                                                                  \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                                                                \
    int name(int descriptor, off_t bytes)                                                                             \
    {                                                                                                                 \
        NEXT(int, #name, int, off_t);                                                                                 \
        int failed = next(descriptor, bytes);                                                                         \
        if (!failed && is_followed(descriptor))                                                                       \
            note('t', descriptor, bytes, "", "", "", 0);                                                              \
        return failed;                                                                                                \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                                                                    \
    int name(int descriptor)                                                                                          \
    {                                                                                                                 \
        NEXT(int, #name, int);                                                                                        \
        int failed = next(descriptor);                                                                                \
        if (!failed && is_followed(descriptor))                                                                       \
            note('s', descriptor, 0, "", "", "", 0);                                                                  \
        return failed;                                                                                                \
    }
SYNC(fsync)
SYNC(fdatasync)

static void note_name(char kind, int folder, const char *path)
{
    char found[PATH_MAX];
    if (resolved(folder, path, found))
        note(kind, 0, 0, found, "", "", 0);
}

static void note_move(int folder, const char *path, int other_folder, const char *other)
{
    char from[PATH_MAX], to[PATH_MAX];
    int left = resolved(folder, path, from), came = resolved(other_folder, other, to);
    if (left || came)
        note(left && came ? 'r' : '!', 0, 0, from, to, "", 0);
}

#define NAMED(name, kind, more, given, folder)                                                                        \
    int name more                                                                                                     \
    {                                                                                                                 \
        NEXT(int, #name, UNPACK more);                                                                                \
        int failed = next given;                                                                                      \
        if (!failed)                                                                                                  \
            note_name(kind, folder, path);                                                                            \
        return failed;                                                                                                \
    }
#define UNPACK(...) __VA_ARGS__
NAMED(unlink, 'u', (const char *path), (path), AT_FDCWD)
NAMED(rmdir, 'u', (const char *path), (path), AT_FDCWD)
NAMED(unlinkat, 'u', (int place, const char *path, int flags), (place, path, flags), place)
NAMED(mkdir, 'd', (const char *path, mode_t mode), (path, mode), AT_FDCWD)
NAMED(mkdirat, 'd', (int place, const char *path, mode_t mode), (place, path, mode), place)

int rename(const char *path, const char *other)
{
    NEXT(int, "rename", const char *, const char *);
    int failed = next(path, other);
    if (!failed)
        note_move(AT_FDCWD, path, AT_FDCWD, other);
    return failed;
}

int renameat(int place, const char *path, int other_place, const char *other)
{
    NEXT(int, "renameat", int, const char *, int, const char *);
    int failed = next(place, path, other_place, other);
    if (!failed)
        note_move(place, path, other_place, other);
    return failed;
}

void *mmap64(void *address, size_t bytes, int protection, int flags, int descriptor, off64_t place)
{
    NEXT(void *, "mmap64", void *, size_t, int, int, int, off64_t);
    if (is_followed(descriptor) && (flags & MAP_SHARED) && (protection & PROT_WRITE))
        note('!', descriptor, 0, "a shared mapping that can be written", "", "", 0);
    return next(address, bytes, protection, flags, descriptor, place);
}
