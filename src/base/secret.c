#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/secret.h"

struct sg_secret {
        _Atomic uint32_t n_refs;
        size_t n;
        char bytes[];
};

void sg_wipe(void *p, size_t n)
{
        if (n)
                explicit_bzero(p, n);
}

int sg_secret_new(struct sg_secret **ret, struct sg_str bytes)
{
        struct sg_secret *s;

        if (bytes.n > SG_SECRET_BYTES_MAX)
                return -E2BIG;
        s = malloc(sizeof(*s) + bytes.n);
        if (!s)
                return -ENOMEM;
        atomic_init(&s->n_refs, 1);
        s->n = bytes.n;
        if (bytes.n)
                memcpy(s->bytes, bytes.p, bytes.n);
        *ret = s;
        return 0;
}

static struct sg_str without_line_ends(struct sg_str s)
{
        while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
                s.n--;
        return s;
}

int sg_secret_new_from_file(struct sg_secret **ret, const char *path)
{
        struct sg_buf b;
        int r;

        sg_buf_init(&b, SG_SECRET_BYTES_MAX + 2);
        b.secret = true;
        r = sg_buf_add_file(&b, path);
        if (r == SG_BUF_E_FULL)
                r = -E2BIG;
        if (!r)
                r = sg_secret_new(ret, without_line_ends(sg_buf_view(&b)));
        sg_buf_done(&b);
        return r;
}

struct sg_secret *sg_secret_ref(struct sg_secret *s)
{
        SG_ASSERT(atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed) > 0);
        return s;
}

struct sg_secret *sg_secret_unref(struct sg_secret *s)
{
        uint32_t before;

        if (!s)
                return NULL;
        before = atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel);
        SG_ASSERT(before > 0);
        if (before == 1) {
                sg_wipe(s->bytes, s->n);
                free(s);
        }
        return NULL;
}

struct sg_str sg_secret_bytes(const struct sg_secret *s)
{
        return sg_str_make(s->bytes, s->n);
}

bool sg_secret_equals(const struct sg_secret *s, struct sg_str bytes)
{
        volatile unsigned char differs = 0; /* volatile: the loop may not end early */

        if (s->n != bytes.n)
                return false;
        for (size_t i = 0; i < s->n; i++)
                differs |= (unsigned char)(s->bytes[i] ^ bytes.p[i]);
        return differs == 0;
}

bool sg_secret_is_name(struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                      c == '-' || c == '.'))
                        return false;
        }
        return s.n > 0 && s.n <= SG_NAME_BYTES_MAX && s.p[0] != '.';
}

size_t sg_secret_first_odd(const struct sg_secret *s)
{
        size_t i = 0;

        while (i < s->n && s->bytes[i] > ' ' && s->bytes[i] < 0x7f)
                i++;
        return i;
}
