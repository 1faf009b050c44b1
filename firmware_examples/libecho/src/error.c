#include "echo_edge.h"

#include <stdarg.h>

bool ee_fail(ee_error *error, int code, const char *format, ...)
{
    if (error->code == EE_DONE) {
        va_list values;
        va_start(values, format);
        vsnprintf(error->text, sizeof error->text, format, values);
        va_end(values);
        error->code = code;
        for (char *c = error->text; *c; c++) /* whatever a file or a library says, it is one line */
            if ((unsigned char)*c < ' ' || *c == 0x7f)
                *c = ' ';
    }
    return false;
}
