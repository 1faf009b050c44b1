#include "stderr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void ee_stderr_capture(ee_stderr *capture)
{
    fflush(stderr);
    capture->file = memfd_create("stderr", MFD_CLOEXEC);
    capture->saved = capture->file < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (capture->saved >= 0)
        dup2(capture->file, STDERR_FILENO);
}

static void find_error(int file, char *first_error, size_t size)
{
    char text[4096], *rest = text;
    ssize_t got = pread(file, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        if (strncmp(line, "ERROR", 5) == 0) {
            snprintf(first_error, size, "%s", line);
            return;
        }
}

void ee_stderr_restore(ee_stderr *capture, char *first_error, size_t size)
{
    first_error[0] = 0;
    if (capture->saved >= 0) {
        dup2(capture->saved, STDERR_FILENO);
        close(capture->saved);
        find_error(capture->file, first_error, size);
    }
    if (capture->file >= 0)
        close(capture->file);
}
