/*
 * base/macro.h - ownership, hand-over, checked results, assertions
 *
 * Shape    macros only
 * Owner    SG_AUTO frees at the end of scope what SG_GIVE has not handed over
 * Errors   SG_ASSERT states what our own code promised and aborts, in production too;
 *          it is never applied to bytes from outside
 * Source   the destructor conventions of systemd and dbus-broker
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SG_MUST_CHECK     __attribute__((__warn_unused_result__))
#define SG_PRINTF(at, va) __attribute__((__format__(__printf__, at, va)))

/* Destructors take a pointer that may be NULL and return NULL; sg_x_free_at() is what SG_AUTO calls. */
#define SG_AUTO(fn) __attribute__((__cleanup__(fn##_at), __unused__))
#define SG_DEFINE_AUTO(type, fn)                                                                                       \
        static inline void fn##_at(type *at)                                                                           \
        {                                                                                                              \
                *at = fn(*at);                                                                                         \
        }
#define SG_GIVE(var)                                                                                                   \
        __extension__({                                                                                                \
                __typeof__(var) sg_given_ = (var);                                                                     \
                (var) = NULL;                                                                                          \
                sg_given_;                                                                                             \
        })

#define SG_N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define SG_CONTAINER(ptr, type, member)                                                                                \
        __extension__({                                                                                                \
                const __typeof__(((type *)0)->member) *sg_at_ = (ptr);                                                 \
                (type *)((uintptr_t)sg_at_ - offsetof(type, member));                                                  \
        })

/* The numbers make the locals of one use distinct from those of another inside its arguments. */
#define SG_MIN(a, b)          sg_pick_(a, b, <, __COUNTER__)
#define SG_MAX(a, b)          sg_pick_(a, b, >, __COUNTER__)
#define sg_pick_(a, b, op, n) sg_pick__(a, b, op, n)
#define sg_pick__(a, b, op, n)                                                                                         \
        __extension__({                                                                                                \
                __typeof__(a) sg_a_##n = (a);                                                                          \
                __typeof__(b) sg_b_##n = (b);                                                                          \
                sg_a_##n op sg_b_##n ? sg_a_##n : sg_b_##n;                                                            \
        })

#define SG_LIKELY(x)   __builtin_expect(!!(x), 1)
#define SG_UNLIKELY(x) __builtin_expect(!!(x), 0)

_Noreturn void sg_assert_failed(const char *what, const char *file, int line, const char *function);

#define SG_ASSERT(cond)                                                                                                \
        do {                                                                                                           \
                if (SG_UNLIKELY(!(cond)))                                                                              \
                        sg_assert_failed(#cond, __FILE__, __LINE__, __func__);                                         \
        } while (0)

#define SG_UNREACHABLE() sg_assert_failed("unreachable", __FILE__, __LINE__, __func__)

#define SG_USEC_PER_MSEC UINT64_C(1000)
#define SG_USEC_PER_SEC  UINT64_C(1000000)
#define SG_USEC_NEVER    UINT64_MAX
