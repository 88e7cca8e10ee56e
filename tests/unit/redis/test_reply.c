/* Bytes in, values out; and what a server may send that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "redis/reply.h"

static const struct sg_redis_reply *only(struct sg_redis_reader *r, const char *bytes)
{
        const struct sg_redis_reply *reply;

        assert_int_equal(sg_redis_reader_feed(r, sg_str_from(bytes)), 0);
        assert_int_equal(sg_redis_reader_next(r, &reply), 0);
        return reply;
}

static void assert_text(const struct sg_redis_reply *v, enum sg_redis_kind kind, const char *text)
{
        assert_int_equal(v->kind, kind);
        assert_int_equal(v->text.n, strlen(text));
        assert_string_equal(v->text.p, text);
}

static void test_each_kind_is_read(void **state)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        const struct sg_redis_reply *v;

        assert_int_equal(sg_redis_reader_new(&r), 0);
        assert_text(only(r, "+OK\r\n"), SG_REDIS_STATUS, "OK");
        assert_text(only(r, "-ERR no\r\n"), SG_REDIS_ERROR, "ERR no");
        assert_text(only(r, "$3\r\na\nb\r\n"), SG_REDIS_TEXT, "a\nb");
        assert_text(only(r, "$0\r\n\r\n"), SG_REDIS_TEXT, "");
        assert_int_equal(only(r, "$-1\r\n")->kind, SG_REDIS_NIL);
        assert_int_equal(only(r, "*-1\r\n")->kind, SG_REDIS_NIL);
        v = only(r, ":-9007199254740993\r\n");
        assert_int_equal(v->kind, SG_REDIS_INTEGER);
        assert_true(v->integer == -INT64_C(9007199254740993));
        v = only(r, "*4\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n*0\r\n+end\r\n");
        assert_int_equal(v->kind, SG_REDIS_ARRAY);
        assert_int_equal(v->n, 4);
        assert_int_equal(v->at[0].integer, 1);
        assert_int_equal(v->at[1].n, 2);
        assert_text(&v->at[1].at[0], SG_REDIS_TEXT, "x");
        assert_int_equal(v->at[1].at[1].kind, SG_REDIS_NIL);
        assert_int_equal(v->at[2].n, 0);
        assert_text(&v->at[3], SG_REDIS_STATUS, "end");
}

static void test_replies_in_pieces_of_one_byte(void **state)
{
        static const char bytes[] = "*2\r\n$5\r\nhello\r\n:7\r\n+OK\r\n";
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        const struct sg_redis_reply *v;
        unsigned n = 0;

        assert_int_equal(sg_redis_reader_new(&r), 0);
        for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
                int e;

                assert_int_equal(sg_redis_reader_feed(r, sg_str_make(bytes + i, 1)), 0);
                e = sg_redis_reader_next(r, &v);
                if (e == SG_REDIS_E_MORE)
                        continue;
                assert_int_equal(e, 0);
                if (++n == 1) {
                        assert_text(&v->at[0], SG_REDIS_TEXT, "hello");
                        assert_int_equal(v->at[1].integer, 7);
                } else {
                        assert_text(v, SG_REDIS_STATUS, "OK");
                }
        }
        assert_int_equal(n, 2);
}

static void assert_garbage(const char *bytes, const char *says)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        const struct sg_redis_reply *v;

        assert_int_equal(sg_redis_reader_new(&r), 0);
        assert_int_equal(sg_redis_reader_feed(r, sg_str_from(bytes)), 0);
        assert_int_equal(sg_redis_reader_next(r, &v), SG_REDIS_E_GARBAGE);
        assert_non_null(strstr(sg_redis_reader_text(r), says));
}

static void test_garbage_is_told(void **state)
{
        char nested[4 * 64 + 1];

        assert_garbage("HTTP/1.1 400 Bad Request\r\n\r\n", "not an answer of Redis");
        assert_garbage("*2147483647\r\n", "too long");
        assert_garbage("*70000\r\n", "too long");
        assert_garbage("*2\r\n*65535\r\n", "too long"); /* both together */
        for (size_t i = 0; i < 64; i++)
                memcpy(nested + 4 * i, "*1\r\n", 4);
        nested[sizeof(nested) - 1] = '\0';
        assert_garbage(nested, "not an answer of Redis");
}

static void test_an_endless_text_is_given_up(void **state)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        const struct sg_redis_reply *v;
        static char block[65536];
        size_t n = 0;
        int e;

        memset(block, 'x', sizeof(block));
        assert_int_equal(sg_redis_reader_new(&r), 0);
        assert_int_equal(sg_redis_reader_feed(r, SG_STR("$500000000\r\n")), 0);
        do {
                e = sg_redis_reader_feed(r, sg_str_make(block, sizeof(block)));
                n += sizeof(block);
                if (!e)
                        assert_int_equal(sg_redis_reader_next(r, &v), SG_REDIS_E_MORE);
        } while (!e);
        assert_int_equal(e, SG_REDIS_E_GARBAGE);
        assert_true(n <= SG_REDIS_REPLY_BYTES_MAX + sizeof(block));
        assert_non_null(strstr(sg_redis_reader_text(r), "too long"));
}

static void test_many_replies_are_not_one_long_one(void **state)
{
        SG_AUTO(sg_redis_reader_free) struct sg_redis_reader *r = NULL;
        const struct sg_redis_reply *v;
        static char block[SG_REDIS_REPLY_BYTES_MAX / 4];

        assert_int_equal(sg_redis_reader_new(&r), 0);
        memset(block, 'y', sizeof(block));
        for (unsigned i = 0; i < 12; i++) {
                char head[32];

                (void)snprintf(head, sizeof(head), "$%zu\r\n", sizeof(block));
                assert_int_equal(sg_redis_reader_feed(r, sg_str_from(head)), 0);
                assert_int_equal(sg_redis_reader_feed(r, sg_str_make(block, sizeof(block))), 0);
                assert_int_equal(sg_redis_reader_feed(r, SG_STR("\r\n")), 0);
                assert_int_equal(sg_redis_reader_next(r, &v), 0);
                assert_int_equal(v->text.n, sizeof(block));
        }
}

static void test_errors_say_what_to_change(void **state)
{
        static const struct {
                const char *error, *says;
                bool is_whole;
        } cases[] = {
                {"MOVED 3999 127.0.0.1:6381", "belongs to a Redis Cluster", true},
                {"ASK 3999 127.0.0.1:6381", "belongs to a Redis Cluster", true},
                {"CLUSTERDOWN Hash slot not served", "belongs to a Redis Cluster", true},
                {"CROSSSLOT Keys in request don't hash to the same slot", "belongs to a Redis Cluster", true},
                {"READONLY You can't write against a read only replica.", "name the primary", true},
                {"LOADING Redis is loading the dataset in memory", "wait until", true},
                {"NOAUTH Authentication required.", "set [redis] password", true},
                {"WRONGPASS invalid username-password pair", "mend [redis] user and password", true},
                {"ERR AUTH <password> called without any password configured for the default user",
                 "remove [redis] password", true},
                {"ERR DB index is out of range", "mend the number", true},
                {"ERR max number of clients reached", "maxclients", true},
                {"OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory", true},
                {"MISCONF Redis is configured to save RDB snapshots", "takes no writes", true},
                {"NOPERM this user has no permissions to run the 'evalsha' command", "ACL SETUSER", true},
                {"DENIED Redis is running in protected mode", "protected mode", true},
                {"ERR unknown command 'EVALSHA'", "version 5", true},
                {"NOSCRIPT No matching script.", "does not know the script", false},
                {"ERR Error running script", "it says: ERR Error running script", false},
                {"MOVEDX not that word", "it says: MOVEDX", false},
                {"", "it says: ", false},
        };
        char words[SG_REDIS_WORDS_BYTES];

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                assert_int_equal(sg_redis_error_words(sg_str_from(cases[i].error), words), cases[i].is_whole);
                if (!strstr(words, cases[i].says))
                        fail_msg("\"%s\" is told as \"%s\"", cases[i].error, words);
        }
        (void)sg_redis_error_words(SG_STR("ERR \x1b[31mred\x07"), words);
        assert_non_null(strstr(words, "ERR ?[31mred?"));
        assert_true(sg_redis_error_is(SG_STR("NOSCRIPT No"), SG_STR("NOSCRIPT")));
        assert_false(sg_redis_error_is(SG_STR("NOSCRIPTS"), SG_STR("NOSCRIPT")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_kind_is_read),
                cmocka_unit_test(test_replies_in_pieces_of_one_byte),
                cmocka_unit_test(test_garbage_is_told),
                cmocka_unit_test(test_an_endless_text_is_given_up),
                cmocka_unit_test(test_many_replies_are_not_one_long_one),
                cmocka_unit_test(test_errors_say_what_to_change),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
