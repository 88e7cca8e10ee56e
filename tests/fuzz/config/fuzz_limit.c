/*
 * Limits, a line each, and the set of them. What is refused says why in UTF-8; what is taken is written as text and must
 * read as the same, and so must the set.
 */
#include "config/limit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_line(struct sg_str line, struct sg_limit *ret)
{
        char text[SG_LIMIT_TEXT_BYTES], amount[SG_LIMIT_TEXT_BYTES], again_text[SG_LIMIT_TEXT_BYTES];
        struct sg_limit again;
        struct sg_error err = {0};
        int r = sg_limit_parse(ret, line, &err);

        SG_ASSERT(r <= 0 && !r == !err.text[0] && sg_str_is_utf8(sg_str_from(err.text)));
        if (r)
                return false;
        SG_ASSERT(ret->amount && ret->amount <= SG_LIMIT_AMOUNT_MAX && ret->warn_percent <= 100);
        SG_ASSERT((ret->kind == SG_LIMIT_COST) == (ret->currency[0] != '\0') && !ret->currency[3]);
        SG_ASSERT((ret->kind == SG_LIMIT_CONCURRENT) == (ret->window == SG_WINDOW_NONE));
        r = sg_limit_parse(&again, sg_str_from(sg_limit_text(ret, text)), &err);
        SG_ASSERT(r == 0 && strcmp(sg_limit_text(&again, again_text), text) == 0);
        SG_ASSERT(sg_limit_amount_text(ret, ret->amount, amount)[0]);
        SG_ASSERT(memcmp(&again, ret, sizeof(again)) == 0);
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str rest = sg_str_make(data, size), line;
        struct sg_limit limits[SG_LIMITS_MAX + 1] = {0};
        struct sg_limit_set *s = NULL, *again = NULL;
        struct sg_error err = {0};
        size_t n = 0;
        int r;

        while (rest.n && n < SG_N_ELEMENTS(limits)) {
                (void)sg_str_cut(&rest, '\n', &line);
                n += read_line(line, &limits[n]);
        }
        r = sg_limit_set_new(&s, limits, n, &err);
        SG_ASSERT(r <= 0 && !r == !err.text[0] && (r == 0 && n) == (s != NULL));
        if (r)
                return 0;
        r = sg_limit_set_new(&again, limits, n, &err);
        SG_ASSERT(r == 0 && sg_limit_set_is_same(s, again));
        sg_limit_set_unref(s);
        sg_limit_set_unref(again);
        return 0;
}
