/* heap.h - bytes of the heap in use, which only the test uses; a sanitizer has one of its own */
#pragma once

#include <malloc.h>
#include <stddef.h>

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((__weak__));

static inline size_t heap(void)
{
        return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
                                                       : mallinfo2().uordblks;
}
