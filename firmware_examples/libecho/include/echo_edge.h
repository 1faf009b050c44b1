/* What goes wrong: one line for the user, and the exit code that the command line promises. */
#ifndef EE_ERROR_H
#define EE_ERROR_H

#include <stdbool.h>

enum {
    EE_DONE = 0,
    EE_FAILED = 1,  /* the work failed: audio, engine, output */
    EE_USAGE = 2,   /* an option that makes no sense */
    EE_REFUSED = 3, /* a bundle that breaks its promises */
};

typedef struct {
    int code; /* EE_DONE while nothing is wrong */
    char text[768];
} ee_error;

/* Says where, what was found, what was expected, what to do. The first error stays. Returns false,
 * so that a function can `return ee_fail(...)`. */
bool ee_fail(ee_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
