#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "feed/change.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool reads(const char *text)
{
        struct json_object *o = json_tokener_parse(text);
        struct sg_feed_change c;
        bool is_good = sg_feed_change_read(&c, o);

        json_object_put(o);
        return is_good;
}

static void test_a_change_is_read(void **state)
{
        struct json_object *o = json_tokener_parse(
                "{\"id\":7,\"name\":\"alice\",\"digest\":\"" HEX "\",\"models\":[\"gpt-*\",\"echo\"],"
                "\"expires_wall_usec\":1780000000000000,\"revoked\":true,\"new\":[]}");
        struct sg_feed_change c;

        assert_true(sg_feed_change_read(&c, o));
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
                "{\"id\":9,\"removed\":true}",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct json_object *o = json_tokener_parse(texts[i]), *again;
                struct sg_feed_change c;
                struct sg_buf b;

                sg_buf_init(&b, 4096);
                assert_true(sg_feed_change_read(&c, o));
                assert_int_equal(sg_feed_change_write(&b, &c.key), 0);
                assert_int_equal(sg_buf_add(&b, SG_STR("\0")), 0);
                again = json_tokener_parse(sg_buf_view(&b).p);
                assert_true(json_object_equal(o, again));
                json_object_put(o);
                json_object_put(again);
                sg_buf_done(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_change_is_read),
                cmocka_unit_test(test_what_may_be_missing),
                cmocka_unit_test(test_what_is_not_a_change_is_refused),
                cmocka_unit_test(test_models_and_names_are_limited),
                cmocka_unit_test(test_what_is_written_is_read_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
