#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_str(actual, expected)                                                                                   \
        do {                                                                                                           \
                struct sg_str actual_ = (actual);                                                                      \
                assert_int_equal(actual_.n, strlen(expected));                                                         \
                assert_memory_equal(actual_.n ? actual_.p : "", expected, actual_.n);                                  \
        } while (0)
