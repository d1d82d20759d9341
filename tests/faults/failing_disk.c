/* LD_PRELOAD: once the file that LLEM_TEST_EIO names is there, nothing can be synced any more, as on a broken disk. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int synced(long number, int file) {
    const char *sign = getenv("LLEM_TEST_EIO");
    if (sign && access(sign, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, file);
}

int fsync(int file) { return synced(SYS_fsync, file); }

int fdatasync(int file) { return synced(SYS_fdatasync, file); }
