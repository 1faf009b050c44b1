#include "quiet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void ee_quiet_start(ee_quiet *quiet)
{
    fflush(stderr);
    quiet->kept = memfd_create("stderr", MFD_CLOEXEC);
    quiet->stderr_before = quiet->kept < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (quiet->stderr_before >= 0)
        dup2(quiet->kept, STDERR_FILENO);
}

static void find_error(int file, char *said, size_t size)
{
    char text[4096], *rest = text;
    ssize_t got = pread(file, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        if (strncmp(line, "ERROR", 5) == 0) {
            snprintf(said, size, "%s", line);
            return;
        }
}

void ee_quiet_stop(ee_quiet *quiet, char *said, size_t size)
{
    said[0] = 0;
    if (quiet->stderr_before >= 0) {
        dup2(quiet->stderr_before, STDERR_FILENO);
        close(quiet->stderr_before);
        find_error(quiet->kept, said, size);
    }
    if (quiet->kept >= 0)
        close(quiet->kept);
}
