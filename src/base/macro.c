#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macro.h"

_Noreturn void sg_assert_failed(const char *what, const char *file, int line, const char *function)
{
        char text[512];
        int n;

        /* One write(2), past stdio and the log queue: either may be what is broken. */
        n = snprintf(text, sizeof(text), "assertion failed: %s, in %s(), %s:%d\n", what, function, file, line);
        if (n > 0 && write(STDERR_FILENO, text, SG_MIN((size_t)n, sizeof(text) - 1)) < 0)
                abort();
        abort();
}
