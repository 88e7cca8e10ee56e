/* Any bytes as a server's answers: no read outside, bounded values, and however the bytes are cut they are the same. The
 * first byte says where. */
#include "redis/reply.h"

static size_t check_value(const struct sg_redis_reply *v, size_t n_values)
{
        SG_ASSERT(v->kind < SG_REDIS_KIND_N && n_values <= SG_REDIS_VALUES_MAX + 1);
        if (v->kind == SG_REDIS_ARRAY)
                for (size_t i = 0; i < v->n; i++)
                        n_values = check_value(&v->at[i], n_values + 1);
        else if (v->text.p)
                SG_ASSERT(v->text.p[v->text.n] == '\0');
        return n_values;
}

static int read_all(struct sg_redis_reader *r, size_t *n_replies)
{
        char words[SG_REDIS_WORDS_BYTES];
        const struct sg_redis_reply *v;
        int e;

        while ((e = sg_redis_reader_next(r, &v)) == 0) {
                ++*n_replies;
                (void)check_value(v, 1);
                if (v->kind == SG_REDIS_ERROR)
                        (void)sg_redis_error_words(v->text, words);
        }
        return e;
}

static int feed_cut(struct sg_str all, size_t piece, size_t *n_replies)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        int e = sg_redis_reader_new(&r);

        *n_replies = 0;
        while (!e || e == SG_REDIS_E_MORE) {
                const struct sg_str now = sg_str_head(all, SG_MIN(piece, all.n));

                if (!now.n)
                        break;
                e = sg_redis_reader_feed(r, now);
                if (!e)
                        e = read_all(r, n_replies);
                all = sg_str_skip(all, now.n);
        }
        SG_ASSERT(e == 0 || e == SG_REDIS_E_MORE || (e == SG_REDIS_E_GARBAGE && sg_redis_reader_text(r)[0]));
        return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str all = sg_str_make(data ? data : (const uint8_t *)"", size);
        size_t n_whole, n_cut;
        int whole, cut;

        if (size < 2)
                return 0;
        whole = feed_cut(sg_str_skip(all, 1), size, &n_whole);
        cut = feed_cut(sg_str_skip(all, 1), 1 + data[0] % 64, &n_cut);
        SG_ASSERT(whole == cut && n_whole == n_cut);
        return 0;
}
