/* CSV by RFC 4180, exports by the names of their columns, and money to the last digit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ctl/csv.h"
#include "ctl/ctl.h"
#include "ctl/export.h"
#include "ctl/money.h"

/* ---- CSV */

/* All records: fields by "|", each record ends with ";". */
static void csv_is(const char *text, const char *expected)
{
        char out[500] = "";
        struct sg_csv c;
        int r;

        assert_int_equal(sg_csv_init(&c, sg_str_from(text)), 0);
        while ((r = sg_csv_next(&c)) == 0) {
                for (size_t i = 0; i < c.n_fields; i++)
                        (void)snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s" SG_STR_FMT, i ? "|" : "",
                                       SG_STR_ARG(c.fields[i]));
                strcat(out, ";");
        }
        if (r == SG_CSV_E_BAD)
                (void)snprintf(out + strlen(out), sizeof(out) - strlen(out), "%zu: %s", c.line, c.problem);
        assert_string_equal(out, expected);
        sg_csv_done(&c);
}

static void test_csv_is_read_as_the_rfc_says(void **state)
{
        csv_is("", "");
        csv_is("a,b\n1,2", "a|b;1|2;");
        csv_is("a,b\r\n1,2\r\n", "a|b;1|2;");
        csv_is("\xef\xbb\xbf"
               "a\n",
               "a;");
        csv_is("\n\r\na\n\n\nb\n", "a;b;");
        csv_is(",\n", "|;");
        csv_is("a,", "a|;");
        csv_is("\"a,b\",\"c\"\"d\",\"\",\"e\nf\r\ng\"\nh,i,j,k\n", "a,b|c\"d||e\nf\r\ng;h|i|j|k;");
        csv_is("\"\xc3\xa9\"", "\xc3\xa9;");
}

static void test_bad_csv_is_told_with_its_line(void **state)
{
        csv_is("a\n\"b\nc", "a;3: a quoted field without its closing quote");
        csv_is("a\n\n\"b\"c", "a;3: text behind the closing quote of a field");
        csv_is("a\"b", "1: a quote within a field that does not begin with one");
        csv_is("a\rb", "1: a carriage return that ends no line");
        csv_is("a\xff", "1: bytes that are not UTF-8");
}

static void test_too_many_fields_are_refused(void **state)
{
        char text[600];
        struct sg_csv c;

        memset(text, ',', sizeof(text));
        assert_int_equal(sg_csv_init(&c, sg_str_make(text, 255)), 0);
        assert_int_equal(sg_csv_next(&c), 0);
        assert_int_equal(c.n_fields, 256);
        sg_csv_done(&c);
        assert_int_equal(sg_csv_init(&c, sg_str_make(text, 256)), 0);
        assert_int_equal(sg_csv_next(&c), SG_CSV_E_BAD);
        sg_csv_done(&c);
}

/* ---- exports */

static struct sg_export *export_of(const char *text)
{
        struct sg_export *e = NULL;
        struct sg_error err = {0};
        int r = sg_export_read_bytes(&e, sg_str_from(text), "f.csv", &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return e;
}

static void refused(const char *text, const char *where, const char *words)
{
        struct sg_export *e = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_export_read_bytes(&e, sg_str_from(text), "f.csv", &err), -EINVAL);
        assert_null(e);
        assert_string_equal(err.where, where);
        if (!strstr(err.text, words))
                print_error("%s\n", err.text);
        assert_non_null(strstr(err.text, words));
}

#define ROW(e, i, class) ((long long)(e)->rows[i].n[class])

static void test_the_plain_form(void **state)
{
        SG_AUTO(sg_export_free)
        struct sg_export *e =
                export_of("date,Model,requests,input_tokens,cached_tokens,cache_write_tokens,output_tokens,cost,other\n"
                          "2026-01-02,b,1,2,3,4,5,0.5,x\n"
                          "2026-01-01,b,1,20,3,4,50,1.25,\n"
                          "2026-01-02,b,10,20,30,40,50.0,0.1230000000000000,\n"
                          "2026-01-02T10:00:00Z,a,1,,0,0,1,,\n"
                          "2026-01-04,,0,0,0,0,0,0,\n");

        assert_int_equal(e->n_rows, 3);
        assert_int_equal(e->has, 0x3f);
        assert_int_equal(e->rows[0].day, 20454);
        assert_string_equal(e->rows[0].model, "b");
        assert_string_equal(e->rows[1].model, "a");
        assert_string_equal(e->rows[2].model, "b");
        assert_int_equal(e->rows[2].n_lines, 2);
        assert_int_equal(ROW(e, 2, SG_EXPORT_REQUESTS), 11);
        assert_int_equal(ROW(e, 2, SG_EXPORT_INPUT), 22);
        assert_int_equal(ROW(e, 2, SG_EXPORT_CACHED), 33);
        assert_int_equal(ROW(e, 2, SG_EXPORT_CACHE_WRITE), 44);
        assert_int_equal(ROW(e, 2, SG_EXPORT_OUTPUT), 55);
        assert_int_equal(ROW(e, 2, SG_EXPORT_COST), 623000000000);
        assert_int_equal(e->cost_digits, 3);
        assert_int_equal(e->first_day, 20454);
        assert_int_equal(e->last_day, 20457); /* a day without usage is a day of the file */
}

static void test_what_providers_export(void **state)
{
        SG_AUTO(sg_export_free)
        struct sg_export *openai = export_of(
                "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,"
                "model,"
                "batch,service_tier,input_tokens,output_tokens,input_cached_tokens\n"
                "1759622400,1759708800,2025-10-05T00:00:00+00:00,2025-10-06T00:00:00+00:00,p,3,,,gpt-5-mini-2025-08-07,"
                "False,default,100,50,20\n"
                "1759968000,1760054400,2025-10-09T00:00:00+00:00,2025-10-10T00:00:00+00:00,,,,,,,,,,\n");
        SG_AUTO(sg_export_free)
        struct sg_export *anthropic = export_of(
                "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
                "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
                "usage_output_tokens,web_search_count,inference_geo,speed\n"
                "2026-03-22,claude-sonnet-4-20250514,k,Default,standard,\xe2\x89\xa4 200k,100,20,3,400,50,0,,\n");

        assert_int_equal(openai->n_rows, 1);
        assert_int_equal(openai->rows[0].day, 20366);
        assert_int_equal(openai->last_day, 20370);
        assert_int_equal(ROW(openai, 0, SG_EXPORT_REQUESTS), 3);
        assert_int_equal(ROW(openai, 0, SG_EXPORT_INPUT), 100);
        assert_int_equal(ROW(openai, 0, SG_EXPORT_CACHED), 20);
        assert_false(openai->has & 1u << SG_EXPORT_COST);
        assert_int_equal(ROW(anthropic, 0, SG_EXPORT_INPUT), 523); /* as we count: all of it */
        assert_int_equal(ROW(anthropic, 0, SG_EXPORT_CACHED), 400);
        assert_int_equal(ROW(anthropic, 0, SG_EXPORT_CACHE_WRITE), 23);
        assert_int_equal(ROW(anthropic, 0, SG_EXPORT_OUTPUT), 50);
        assert_false(anthropic->has & 1u << SG_EXPORT_REQUESTS);
}

static void test_what_is_no_export_is_refused(void **state)
{
        refused("", "f.csv:1", "the file is empty");
        refused("day,model,input_tokens\n", "f.csv:1", "no column for the day: call it 'date'");
        refused("date,input_tokens\n", "f.csv:1", "no column for the model");
        refused("date,model,tokens\n", "f.csv:1", "no column of numbers");
        refused("date,model,cost,COST\n", "f.csv:1", "two columns are called cost");
        refused("date,model,cost\n", "f.csv:2", "no line behind");
        refused("date,model,cost\n2026-01-01,a\n", "f.csv:2", "2 fields, where the first line has 3");
        refused("date,model,cost\n2026-02-30,a,1\n", "f.csv:2", "no day of UTC");
        refused("date,model,cost\n2026-01-01T00:00:00+02:00,a,1\n", "f.csv:2", "no day of UTC");
        refused("date,model,cost\n01/02/2026,a,1\n", "f.csv:2", "no day of UTC");
        refused("date,model,cost\n2026-01-01,a,1e-5\n", "f.csv:2", "no decimal number");
        refused("date,model,input_tokens\n2026-01-01,a,1.5\n", "f.csv:2", "input_tokens is no count");
        refused("date,model,input_tokens\n2026-01-01,a,-1\n", "f.csv:2", "input_tokens is no count");
        refused("date,model,input_tokens\n2026-01-01,\"a,1\n", "f.csv:3", "without its closing quote");
}

/* ---- money */

static void test_decimals_keep_every_digit(void **state)
{
        static const char *const good[] = {"0", "1", "-1", "0.5", "12.000000000001", "-0.25", "999999999999999999.5"};
        static const char *const bad[] = {
                "", "-", ".5", "1.", "1.0000000000001", "1e3", "+1", "1,5", "--1", "1000000000000000000", "1.-5"};
        char out[SG_CTL_MONEY_BYTES];
        unsigned digits;
        __int128 pico;

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                assert_true(sg_ctl_parse_decimal(sg_str_from(good[i]), &pico, &digits));
                assert_string_equal(sg_ctl_format_decimal(pico, out), good[i]);
        }
        assert_true(sg_ctl_parse_decimal(SG_STR("1.500"), &pico, &digits));
        assert_int_equal(digits, 3);
        assert_string_equal(sg_ctl_format_decimal(pico, out), "1.5");
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                assert_false(sg_ctl_parse_decimal(sg_str_from(bad[i]), &pico, &digits));
}

static void money_is(const char *rows, const char *expected)
{
        struct json_object *array = json_tokener_parse(rows);
        struct sg_ctl_money m = {.n = 0};
        char out[SG_CTL_MONEY_BYTES];

        assert_non_null(array);
        for (size_t i = 0; i < json_object_array_length(array); i++)
                sg_ctl_money_add(&m, json_object_array_get_idx(array, i));
        assert_string_equal(sg_ctl_money_text(&m, out), expected);
        json_object_put(array);
}

static void test_money_as_people_read_it(void **state)
{
#define COST(amount, currency) "{\"amount\":\"" amount "\",\"currency\":\"" currency "\"}"
        money_is("[]", "-");
        money_is("[{\"costs\":[],\"unpriced_requests\":3}]", "unknown");
        money_is("[{\"costs\":[" COST("0", "USD") "],\"unpriced_requests\":0}]", "0.00 USD");
        money_is("[{\"costs\":[" COST("1.23454", "USD") "]},{\"costs\":[" COST("2", "EUR") "]}]",
                 "2.00 EUR + 1.2345 USD");
        money_is("[{\"costs\":[" COST("0.1", "USD") "]},{\"costs\":[" COST("0.42", "USD") "],\"unpriced_requests\":3}]",
                 "0.52 USD + 3 unpriced");
        money_is("[{\"costs\":[" COST("0.000012345678", "USD") "]}]", "0.00001235 USD");
        money_is("[{\"costs\":[" COST("12345.678951", "USD") "]}]", "12345.679 USD");
}

static void test_days_go_both_ways(void **state)
{
        char text[SG_CTL_WHEN_BYTES];
        uint64_t day;

        assert_true(sg_ctl_parse_day(SG_STR("2026-11-21"), &day));
        assert_int_equal(day, 20778);
        assert_string_equal(sg_ctl_format_day(day, text), "2026-11-21");
        assert_true(sg_ctl_parse_day(SG_STR("1970-01-01"), &day));
        assert_int_equal(day, 0);
        assert_false(sg_ctl_parse_day(SG_STR("2026-02-29"), &day));
        assert_false(sg_ctl_parse_day(SG_STR("2026-11-21Z"), &day));
        assert_false(sg_ctl_parse_day(SG_STR("today"), &day));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_csv_is_read_as_the_rfc_says),
                cmocka_unit_test(test_bad_csv_is_told_with_its_line),
                cmocka_unit_test(test_too_many_fields_are_refused),
                cmocka_unit_test(test_the_plain_form),
                cmocka_unit_test(test_what_providers_export),
                cmocka_unit_test(test_what_is_no_export_is_refused),
                cmocka_unit_test(test_decimals_keep_every_digit),
                cmocka_unit_test(test_money_as_people_read_it),
                cmocka_unit_test(test_days_go_both_ways),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
