#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "feed/change.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Out of a tree and out of a text: both must say the same of it. */
static bool reads(const char *text)
{
        struct json_object *o = json_tokener_parse(text);
        struct sg_feed_change of_tree = {.key = {.id = 0}}, of_text = {.key = {.id = 0}};
        struct sg_feed_told told;
        char room[4096];
        bool is_good = sg_feed_told_tree(&told, o) && sg_feed_change_read(&of_tree, &told);

        assert_int_equal(sg_feed_told_text(&told, sg_str_from(text), room) && sg_feed_change_read(&of_text, &told),
                         is_good);
        if (is_good) {
                assert_int_equal(of_tree.key.id, of_text.key.id);
                assert_true(sg_str_eq(of_tree.key.name, of_text.key.name));
                assert_memory_equal(of_tree.key.digest, of_text.key.digest, SG_APIKEY_DIGEST_BYTES);
                assert_int_equal(of_tree.key.is_revoked, of_text.key.is_revoked);
                assert_int_equal(of_tree.key.all_models, of_text.key.all_models);
                assert_int_equal(of_tree.key.expires_wall_usec, of_text.key.expires_wall_usec);
                assert_int_equal(of_tree.key.group_id, of_text.key.group_id);
                assert_true(sg_limit_set_is_same(of_tree.key.limits, of_text.key.limits));
                assert_int_equal(of_tree.key.n_models, of_text.key.n_models);
                for (size_t i = 0; i < of_tree.key.n_models; i++)
                        assert_true(sg_str_eq(of_tree.models[i], of_text.models[i]));
        }
        sg_feed_change_done(&of_tree);
        sg_feed_change_done(&of_text);
        json_object_put(o);
        return is_good;
}

static bool read_tree(struct sg_feed_change *c, struct json_object *o)
{
        struct sg_feed_told told;

        return sg_feed_told_tree(&told, o) && sg_feed_change_read(c, &told);
}

static void test_a_change_is_read(void **state)
{
        struct json_object *o = json_tokener_parse(
                "{\"id\":7,\"name\":\"alice\",\"digest\":\"" HEX "\",\"models\":[\"gpt-*\",\"echo\"],"
                "\"expires_wall_usec\":1780000000000000,\"revoked\":true,\"new\":[]}");
        struct sg_feed_change c;

        assert_true(read_tree(&c, o));
        assert_int_equal(c.key.id, 7);
        assert_true(sg_str_eq(c.key.name, SG_STR("alice")));
        assert_int_equal(c.key.digest[1], 0x11);
        assert_int_equal(c.key.expires_wall_usec, UINT64_C(1780000000000000));
        assert_true(c.key.is_revoked);
        assert_false(c.key.all_models);
        assert_int_equal(c.key.n_models, 2);
        assert_true(sg_str_eq(c.key.models[1], SG_STR("echo")));
        json_object_put(o);
}

static void test_what_may_be_missing(void **state)
{
        assert_true(reads("{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}"));
        assert_true(reads("{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":[],\"revoked\":false,"
                          "\"expires_wall_usec\":null}"));
        assert_true(reads("{\"id\":7,\"removed\":true}"));
}

static void test_what_is_not_a_change_is_refused(void **state)
{
        static const char *const wrong[] = {
                "null",
                "[]",
                "{}",
                "{\"id\":-1,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":\"7\",\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":99999999999999999999,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\\u0000b\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "0\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"x\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"models\":null,\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"revoked\":false}", /* no models is not all models */
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":\"*\",\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":[1],\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":[null],\"revoked\":false}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null}", /* nor is silence "not revoked" */
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":0}",
                "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false,"
                "\"expires_wall_usec\":-1}",
                "{\"id\":7,\"removed\":1}",
                "{\"removed\":true}",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++)
                if (reads(wrong[i]))
                        fail_msg("taken: %s", wrong[i]);
}

static void test_models_and_names_are_limited(void **state)
{
        char text[4096], name[SG_NAME_BYTES_MAX + 2];
        size_t n;

        memset(name, 'n', sizeof(name));
        name[SG_NAME_BYTES_MAX] = '\0';
        snprintf(text, sizeof(text),
                 "{\"id\":1,\"name\":\"%s\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}", name);
        assert_true(reads(text));
        snprintf(text, sizeof(text),
                 "{\"id\":1,\"name\":\"%sn\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false}", name);
        assert_false(reads(text));
        for (unsigned n_models = SG_FEED_MODELS_MAX; n_models <= SG_FEED_MODELS_MAX + 1; n_models++) {
                n = (size_t)snprintf(text, sizeof(text),
                                     "{\"id\":1,\"name\":\"a\",\"digest\":\"" HEX
                                     "\",\"revoked\":false,\"models\":[\"m\"");
                for (unsigned i = 1; i < n_models; i++)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, ",\"m\"");
                snprintf(text + n, sizeof(text) - n, "]}");
                assert_int_equal(reads(text), n_models <= SG_FEED_MODELS_MAX);
        }
}

static void test_what_is_written_is_read_back(void **state)
{
        static const char *const texts[] = {
                "{\"id\":7,\"name\":\"al\\\"ic\\u0001e\",\"digest\":\"" HEX "\",\"models\":[\"a\",\"b*\"],"
                "\"expires_wall_usec\":5,\"revoked\":true}",
                "{\"id\":8,\"name\":\"x\",\"digest\":\"" HEX
                "\",\"models\":null,\"expires_wall_usec\":0,\"revoked\":false}",
                "{\"id\":8,\"name\":\"x\",\"digest\":\"" HEX
                "\",\"models\":[],\"expires_wall_usec\":0,\"revoked\":false}",
                "{\"id\":8,\"name\":\"x\",\"digest\":\"" HEX
                "\",\"models\":[],\"expires_wall_usec\":0,\"revoked\":false,"
                "\"group\":3,\"limits\":[\"600 requests/minute\",\"20 usd/month warn=80%\"]}",
                "{\"id\":9,\"removed\":true}",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct json_object *o = json_tokener_parse(texts[i]), *again;
                struct sg_feed_change c;
                struct sg_buf b;

                sg_buf_init(&b, 4096);
                assert_true(reads(texts[i]));
                assert_true(read_tree(&c, o));
                assert_int_equal(sg_feed_change_write(&b, &c.key), 0);
                sg_feed_change_done(&c);
                assert_int_equal(sg_buf_add(&b, SG_STR("\0")), 0);
                again = json_tokener_parse(sg_buf_view(&b).p);
                assert_true(json_object_equal(o, again));
                json_object_put(o);
                json_object_put(again);
                sg_buf_done(&b);
        }
}

#define BASE "{\"id\":7,\"name\":\"a\",\"digest\":\"" HEX "\",\"models\":null,\"revoked\":false,"

static void test_group_and_limits_of_a_key(void **state)
{
        struct json_object *o = json_tokener_parse(BASE "\"group\":5,\"limits\":[\"8 concurrent\"]}");
        struct sg_feed_change c;

        assert_true(read_tree(&c, o));
        assert_int_equal(c.key.group_id, 5);
        assert_int_equal(c.key.limits->n, 1);
        assert_int_equal(c.key.limits->at[0].limit.amount, 8);
        sg_feed_change_done(&c);
        json_object_put(o);
        assert_true(reads(BASE "\"group\":null,\"limits\":null}"));
        assert_true(reads(BASE "\"limits\":[]}"));
        assert_true(reads(BASE "\"group\":0}"));
        /* What we do not understand would not hold. */
        assert_false(reads(BASE "\"limits\":[\"8 smiles\"]}"));
        assert_false(reads(BASE "\"limits\":[\"8 concurrent\",\"9 concurrent\"]}"));
        assert_false(reads(BASE "\"limits\":[8]}"));
        assert_false(reads(BASE "\"limits\":\"8 concurrent\"}"));
        assert_false(reads(BASE "\"limits\":{}}"));
        assert_false(reads(BASE "\"group\":\"team\"}"));
        assert_false(reads(BASE "\"group\":-1}"));
        assert_false(reads(BASE "\"group\":1.5}"));
}

static bool reads_group(const char *text, struct sg_group_change *ret)
{
        struct json_object *o = json_tokener_parse(text);
        struct sg_group_change of_text = {.id = 0};
        struct sg_feed_told told;
        char room[1024];
        bool is_good = sg_feed_told_text(&told, sg_str_from(text), room) && sg_feed_group_read(&of_text, &told);

        *ret = (struct sg_group_change){.id = 0};
        assert_int_equal(sg_feed_told_tree(&told, o) && sg_feed_group_read(ret, &told), is_good);
        if (is_good) {
                assert_int_equal(ret->id, of_text.id);
                assert_int_equal(ret->parent_id, of_text.parent_id);
                assert_int_equal(ret->is_removed, of_text.is_removed);
                assert_true(sg_str_eq(ret->name, of_text.name));
                assert_true(sg_limit_set_is_same(ret->limits, of_text.limits));
        }
        ret->name = SG_STR_NONE;
        sg_feed_group_done(&of_text);
        json_object_put(o);
        return is_good;
}

static void test_groups(void **state)
{
        static const char *const wrong[] = {
                "{}",
                "{\"id\":3}",
                "{\"id\":3,\"name\":\"\"}",
                "{\"id\":3,\"name\":7}",
                "{\"name\":\"team\"}",
                "{\"id\":3,\"name\":\"team\",\"parent\":\"org\"}",
                "{\"id\":3,\"name\":\"team\",\"limits\":[\"1\"]}",
                "{\"id\":3,\"name\":\"team\",\"removed\":1}",
        };
        struct sg_group_change g;

        assert_true(reads_group(
                "{\"id\":3,\"name\":\"te\\\"am\",\"parent\":1,\"limits\":[\"1M tokens/day\"],\"new\":{}}", &g));
        assert_int_equal(g.id, 3);
        assert_int_equal(g.parent_id, 1);
        assert_int_equal(g.limits->at[0].limit.amount, 1000000);
        sg_feed_group_done(&g);
        assert_true(reads_group("{\"id\":3,\"name\":\"team\",\"parent\":null,\"limits\":null}", &g));
        assert_int_equal(g.parent_id, 0);
        assert_null(g.limits);
        assert_true(reads_group("{\"id\":3,\"removed\":true}", &g));
        assert_true(g.is_removed);
        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++)
                assert_false(reads_group(wrong[i], &g));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_change_is_read),
                cmocka_unit_test(test_what_may_be_missing),
                cmocka_unit_test(test_what_is_not_a_change_is_refused),
                cmocka_unit_test(test_models_and_names_are_limited),
                cmocka_unit_test(test_what_is_written_is_read_back),
                cmocka_unit_test(test_group_and_limits_of_a_key),
                cmocka_unit_test(test_groups),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
