#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "journal/record.h"

static struct sg_record close_record(void)
{
        return (struct sg_record){
                .kind = SG_RECORD_CLOSE,
                .exchange = 7,
                .start_wall_usec = 1700000000000000,
                .key_id = 3,
                .request_id = SG_STR("req-1"),
                .key_name = SG_STR("alice"),
                .operation = SG_STR("chat"),
                .model = SG_STR("gpt-4o"),
                .provider = SG_STR("openai"),
                .upstream_model = SG_STR("gpt-4o-2024"),
                .credential = SG_STR("team-b"),
                .prompt_bytes = 1234,
                .flags = SG_RECORD_STREAM,
                .outcome = SG_OUTCOME_TRUNCATED,
                .status = 200,
                .certainty = SG_RECORD_CERTAINTY_PARTIAL,
                .n_attempts = 3,
                .input_tokens = 10,
                .output_tokens = UINT64_MAX,
                .cached_tokens = 1,
                .cache_write_tokens = 2,
                .cache_write_1h_tokens = 1,
                .reasoning_tokens = 3,
                .audio_input_tokens = 4,
                .audio_output_tokens = 5,
                .image_tokens = 6,
                .duration_usec = 999,
                .first_byte_usec = 55,
                .answer_bytes = 4321,
                .reason = SG_STR("reset"),
                .raw_usage = SG_STR("{\"prompt_tokens\":10}"),
        };
}

static void assert_str(struct sg_str a, struct sg_str b)
{
        assert_true(sg_str_eq(a, b));
}

static void test_close_comes_back_as_it_went(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        assert_int_equal(sg_record_decode(&out, bytes, n), 0);
        assert_int_equal(out.kind, SG_RECORD_CLOSE);
        assert_int_equal(out.exchange, 7);
        assert_int_equal(out.start_wall_usec, in.start_wall_usec);
        assert_int_equal(out.key_id, 3);
        assert_int_equal(out.prompt_bytes, 1234);
        assert_int_equal(out.flags, SG_RECORD_STREAM);
        assert_int_equal(out.outcome, SG_OUTCOME_TRUNCATED);
        assert_int_equal(out.status, 200);
        assert_int_equal(out.certainty, SG_RECORD_CERTAINTY_PARTIAL);
        assert_int_equal(out.n_attempts, 3);
        assert_int_equal(out.input_tokens, 10);
        assert_true(out.output_tokens == UINT64_MAX);
        assert_int_equal(out.cached_tokens, 1);
        assert_int_equal(out.cache_write_tokens, 2);
        assert_int_equal(out.cache_write_1h_tokens, 1);
        assert_int_equal(out.reasoning_tokens, 3);
        assert_int_equal(out.audio_input_tokens, 4);
        assert_int_equal(out.audio_output_tokens, 5);
        assert_int_equal(out.image_tokens, 6);
        assert_int_equal(out.duration_usec, 999);
        assert_int_equal(out.first_byte_usec, 55);
        assert_int_equal(out.answer_bytes, 4321);
        assert_str(out.request_id, in.request_id);
        assert_str(out.key_name, in.key_name);
        assert_str(out.operation, in.operation);
        assert_str(out.model, in.model);
        assert_str(out.provider, in.provider);
        assert_str(out.upstream_model, in.upstream_model);
        assert_str(out.credential, in.credential);
        assert_str(out.reason, in.reason);
        assert_str(out.raw_usage, in.raw_usage);
}

static void test_open_leaves_the_close_part_zero(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        in.kind = SG_RECORD_OPEN;
        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        assert_int_equal(sg_record_decode(&out, bytes, n), 0);
        assert_int_equal(out.kind, SG_RECORD_OPEN);
        assert_int_equal(out.exchange, 7);
        assert_str(out.model, in.model);
        assert_str(out.credential, in.credential);
        assert_int_equal(out.n_attempts, 0);
        assert_int_equal(out.input_tokens, 0);
        assert_int_equal(out.raw_usage.n, 0);
}

/* As the version before wrote them, byte for byte. */
static const uint8_t old_open[] = {
        0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x00, 0xce, 0xee, 0xb5, 0x40, 0x06, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xd0, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x30, 0x31, 0x39, 0x32, 0x66, 0x33,
        0x61, 0x34, 0x62, 0x35, 0x63, 0x36, 0x64, 0x37, 0x65, 0x38, 0x0c, 0x00, 0x61, 0x6c, 0x69, 0x63,
        0x65, 0x40, 0x74, 0x65, 0x61, 0x6d, 0x2d, 0x31, 0x04, 0x00, 0x63, 0x68, 0x61, 0x74, 0x0e, 0x00,
        0x6d, 0x6f, 0x6f, 0x6e, 0x73, 0x68, 0x6f, 0x74, 0x2d, 0x76, 0x31, 0x2d, 0x38, 0x6b, 0x08, 0x00,
        0x6d, 0x6f, 0x6f, 0x6e, 0x73, 0x68, 0x6f, 0x74, 0x04, 0x00, 0x6b, 0x69, 0x6d, 0x69,
};
static const uint8_t old_close[] = {
        0x01, 0x02, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x00, 0xce, 0xee, 0xb5, 0x40, 0x06, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe8, 0x03,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xc9, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x39, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x30, 0x31, 0x39, 0x32, 0x66, 0x33, 0x61,
        0x34, 0x62, 0x35, 0x63, 0x36, 0x64, 0x37, 0x65, 0x38, 0x0c, 0x00, 0x61, 0x6c, 0x69, 0x63, 0x65, 0x40,
        0x74, 0x65, 0x61, 0x6d, 0x2d, 0x31, 0x04, 0x00, 0x63, 0x68, 0x61, 0x74, 0x0e, 0x00, 0x6d, 0x6f, 0x6f,
        0x6e, 0x73, 0x68, 0x6f, 0x74, 0x2d, 0x76, 0x31, 0x2d, 0x38, 0x6b, 0x08, 0x00, 0x6d, 0x6f, 0x6f, 0x6e,
        0x73, 0x68, 0x6f, 0x74, 0x04, 0x00, 0x6b, 0x69, 0x6d, 0x69, 0x00, 0x00, 0x00, 0x00,
};

static void test_records_of_the_version_before_are_read(void **state)
{
        struct sg_record out, again;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        assert_int_equal(sg_record_decode(&out, old_open, sizeof(old_open)), 0);
        assert_int_equal(out.kind, SG_RECORD_OPEN);
        assert_int_equal(out.exchange, 2);
        assert_str(out.upstream_model, SG_STR("kimi"));
        assert_int_equal(out.credential.n, 0);
        assert_int_equal(sg_record_decode(&out, old_close, sizeof(old_close)), 0);
        assert_int_equal(out.kind, SG_RECORD_CLOSE);
        assert_int_equal(out.status, 201);
        assert_int_equal(out.input_tokens, 1);
        assert_int_equal(out.output_tokens, 2);
        assert_int_equal(out.duration_usec, 12345);
        assert_str(out.upstream_model, SG_STR("kimi"));
        assert_int_equal(out.credential.n, 0);
        assert_int_equal(out.n_attempts, 0);
        assert_int_equal(out.cache_write_1h_tokens, 0);
        assert_int_equal(out.reason.n, 0);
        /* The ledger encodes what it decoded, to keep it for a moment. */
        assert_int_equal(sg_record_encode(&out, bytes, sizeof(bytes), &n), 0);
        assert_int_equal(sg_record_decode(&again, bytes, n), 0);
        assert_int_equal(again.duration_usec, 12345);
        assert_str(again.key_name, SG_STR("alice@team-1"));
        for (size_t cut = 0; cut < sizeof(old_close); cut++)
                assert_int_equal(sg_record_decode(&out, old_close, cut), SG_RECORD_E_BAD);
}

static void test_a_record_of_another_version_is_refused(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        for (unsigned version = 0; version < 256; version++) {
                if (version == bytes[0])
                        continue;
                uint8_t was = bytes[0];

                bytes[0] = (uint8_t)version;
                assert_int_equal(sg_record_decode(&out, bytes, n), SG_RECORD_E_BAD);
                bytes[0] = was;
        }
}

static void test_every_shorter_or_longer_text_is_refused(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        for (size_t cut = 0; cut < n; cut++)
                assert_int_equal(sg_record_decode(&out, bytes, cut), SG_RECORD_E_BAD);
        bytes[n] = 0;
        assert_int_equal(sg_record_decode(&out, bytes, n + 1), SG_RECORD_E_BAD);
}

static void test_too_small_an_output_is_refused(void **state)
{
        struct sg_record in = close_record();
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n, m;

        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        for (size_t room = 0; room < n; room++)
                assert_int_equal(sg_record_encode(&in, bytes, room, &m), SG_RECORD_E_ROOM);
        assert_int_equal(sg_record_encode(&in, bytes, n, &m), 0);
}

static void test_bad_enums_are_refused(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        in.outcome = SG_OUTCOME_N;
        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        assert_int_equal(sg_record_decode(&out, bytes, n), SG_RECORD_E_BAD);
        in.outcome = SG_OUTCOME_FAILED;
        in.certainty = SG_RECORD_CERTAINTY_N;
        assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
        assert_int_equal(sg_record_decode(&out, bytes, n), SG_RECORD_E_BAD);
        assert_string_equal(sg_outcome_name(SG_OUTCOME_N), "unknown");
        assert_string_equal(sg_record_certainty_name(SG_RECORD_CERTAINTY_N), "unknown");
}

static void test_fit_cuts_at_whole_characters_and_drops_a_long_usage(void **state)
{
        static char longest[SG_RAW_USAGE_BYTES_MAX + 1];
        struct sg_record rec = close_record();
        struct sg_str all;
        uint8_t bytes[SG_RECORD_CLOSE_BYTES_MAX];
        size_t n;

        /* "é" everywhere, so that the odd limits of none cut one in two. */
        for (size_t i = 0; i < sizeof(longest); i++)
                longest[i] = i % 2 ? '\xa9' : '\xc3';
        longest[0] = 'x';
        longest[1] = '\xc3';
        for (size_t i = 2; i < sizeof(longest); i++)
                longest[i] = i % 2 ? '\xc3' : '\xa9';
        all = sg_str_make(longest, sizeof(longest));
        rec.request_id = rec.key_name = rec.operation = rec.model = rec.provider = rec.upstream_model = rec.credential =
                rec.reason = all;
        rec.raw_usage = all;
        rec.outcome = 99;
        rec.certainty = 99;
        sg_record_fit(&rec);
        assert_int_equal(rec.model.n, SG_RECORD_MODEL_BYTES_MAX - 1);
        assert_int_equal(rec.request_id.n, SG_REQUEST_ID_BYTES_MAX - 1);
        assert_int_equal(rec.credential.n, SG_NAME_BYTES_MAX - 1);
        assert_true(sg_str_is_utf8(rec.model));
        assert_int_equal(rec.raw_usage.n, 0);
        assert_int_equal(rec.outcome, SG_OUTCOME_FAILED);
        rec.raw_usage = sg_str_make(longest, SG_RAW_USAGE_BYTES_MAX);
        sg_record_fit(&rec);
        assert_int_equal(rec.raw_usage.n, SG_RAW_USAGE_BYTES_MAX);
        assert_int_equal(sg_record_encode(&rec, bytes, sizeof(bytes), &n), 0);
}

static void test_encode_refuses_what_was_not_fitted(void **state)
{
        static char longest[SG_RECORD_MODEL_BYTES_MAX + 1];
        struct sg_record rec = close_record();
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n;

        rec.model = sg_str_make(longest, sizeof(longest));
        assert_int_equal(sg_record_encode(&rec, bytes, sizeof(bytes), &n), SG_RECORD_E_ROOM);
}

/* Whatever changed bytes decode to, it encodes to the same bytes again: no two texts mean one record. */
static void test_changed_bytes_never_decode_to_something_else(void **state)
{
        struct sg_record in = close_record(), out;
        uint8_t bytes[SG_RECORD_BYTES_MAX], again[SG_RECORD_BYTES_MAX];
        size_t n, m, n_ok = 0;

        for (int round = 0; round < 20000; round++) {
                assert_int_equal(sg_record_encode(&in, bytes, sizeof(bytes), &n), 0);
                for (uint64_t i = 1 + sg_random_u64() % 4; i > 0; i--)
                        bytes[sg_random_u64() % n] = (uint8_t)sg_random_u64();
                if (bytes[0] == 1 || sg_record_decode(&out, bytes, n) != 0) /* the version before encodes anew */
                        continue;
                n_ok++;
                assert_int_equal(sg_record_encode(&out, again, sizeof(again), &m), 0);
                assert_int_equal(m, n);
                assert_memory_equal(again, bytes, n);
        }
        assert_true(n_ok > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_close_comes_back_as_it_went),
                cmocka_unit_test(test_open_leaves_the_close_part_zero),
                cmocka_unit_test(test_records_of_the_version_before_are_read),
                cmocka_unit_test(test_a_record_of_another_version_is_refused),
                cmocka_unit_test(test_every_shorter_or_longer_text_is_refused),
                cmocka_unit_test(test_too_small_an_output_is_refused),
                cmocka_unit_test(test_bad_enums_are_refused),
                cmocka_unit_test(test_fit_cuts_at_whole_characters_and_drops_a_long_usage),
                cmocka_unit_test(test_encode_refuses_what_was_not_fitted),
                cmocka_unit_test(test_changed_bytes_never_decode_to_something_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
