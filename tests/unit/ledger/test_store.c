/* The database interface: what every driver must do. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "common.h"

#include "base/clock.h"
#include "ledger/sqlite.h"

#define RING "0123456789abcdef0123456789abcdef"

static int store_setup(void **state)
{
        return test_setup(state);
}

/* ---- rings and transactions */

static void count_ring(const struct sg_store_ring *ring, void *owner)
{
        ++*(size_t *)owner;
}

static void test_marks_are_kept_and_replaced(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_ring ring = {.id = RING, .sequence = 5, .offset = 640}, got;
        size_t n = 0;

        assert_int_equal(sg_store_ring_get(s, RING, &got, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_ring_put(s, &ring, NULL), 0);
        ring.sequence = 9;
        ring.offset = 1000;
        ring.n_lost = 2;
        ring.is_finished = true;
        assert_int_equal(sg_store_ring_put(s, &ring, NULL), 0);
        assert_int_equal(sg_store_ring_get(s, RING, &got, NULL), 0);
        assert_string_equal(got.id, RING);
        assert_int_equal(got.sequence, 9);
        assert_int_equal(got.offset, 1000);
        assert_int_equal(got.n_lost, 2);
        assert_true(got.is_finished);
        assert_int_equal(sg_store_ring_list(s, count_ring, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_int_equal(sg_store_ring_drop(s, RING, NULL), 0);
        assert_int_equal(sg_store_ring_get(s, RING, &got, NULL), SG_STORE_E_NONE);
        sg_store_free(s);
}

static void test_rollback_takes_everything_back(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_ring ring = {.id = RING, .sequence = 5, .offset = 640};
        struct sg_record rec = sample(1);

        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_ring_put(s, &ring, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_open_add(s, RING, &rec, NULL), 0);
        sg_store_rollback(s);
        assert_int_equal(sg_store_ring_get(s, RING, &ring, NULL), SG_STORE_E_NONE);
        assert_int_equal(total(s).n_requests, 0);
        assert_int_equal(sg_store_open_next(s, RING, 0, &rec, NULL), SG_STORE_E_NONE);
        /* And a new one can begin. */
        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_commit(s, NULL), 0);
        assert_int_equal(total(s).n_requests, 1);
        sg_store_free(s);
}

static void test_open_exchanges_come_back_in_order(void **state)
{
        struct sg_store *s = open_store();
        struct sg_record rec, in;
        uint64_t after = 0;

        for (uint64_t n = 5; n > 0; n--) {
                rec = sample(n);
                assert_int_equal(sg_store_open_add(s, RING, &rec, NULL), 0);
        }
        rec = sample(9);
        assert_int_equal(sg_store_open_add(s, "ffffffffffffffffffffffffffffffff", &rec, NULL), 0);
        assert_int_equal(sg_store_open_drop(s, RING, 3, NULL), 0);
        for (uint64_t n = 1; n <= 5; n++) {
                if (n == 3)
                        continue;
                in = sample(n);
                assert_int_equal(sg_store_open_next(s, RING, after, &rec, NULL), 0);
                assert_int_equal(rec.exchange, n);
                assert_int_equal(rec.start_wall_usec, in.start_wall_usec);
                assert_int_equal(rec.key_id, in.key_id);
                assert_int_equal(rec.prompt_bytes, 100);
                assert_int_equal(rec.flags, SG_RECORD_STREAM);
                assert_true(sg_str_eq(rec.request_id, in.request_id));
                assert_true(sg_str_eq(rec.key_name, in.key_name));
                assert_true(sg_str_eq(rec.operation, in.operation));
                assert_true(sg_str_eq(rec.model, in.model));
                assert_true(sg_str_eq(rec.provider, in.provider));
                assert_true(sg_str_eq(rec.upstream_model, in.upstream_model));
                assert_true(sg_str_eq(rec.credential, in.credential));
                after = n;
        }
        assert_int_equal(sg_store_open_next(s, RING, after, &rec, NULL), SG_STORE_E_NONE);
        sg_store_free(s);
}

/* ---- usage */

static void check_event(const struct sg_store_usage_event *e, void *owner)
{
        struct sg_record in = sample(7);
        const struct sg_record *rec = &e->rec;

        ++*(size_t *)owner;
        assert_true(sg_str_eq(e->ring, SG_STR(RING)));
        assert_true(sg_str_eq(e->day, SG_STR("2023-11-14")));
        assert_true(sg_str_eq(e->outcome, SG_STR("complete")));
        assert_true(sg_str_eq(e->certainty, SG_STR("measured")));
        assert_int_equal(rec->exchange, 7);
        assert_int_equal(rec->start_wall_usec, in.start_wall_usec);
        assert_int_equal(rec->key_id, in.key_id);
        assert_true(sg_str_eq(rec->request_id, in.request_id));
        assert_true(sg_str_eq(rec->key_name, in.key_name));
        assert_true(sg_str_eq(rec->operation, in.operation));
        assert_true(sg_str_eq(rec->model, in.model));
        assert_true(sg_str_eq(rec->provider, in.provider));
        assert_true(sg_str_eq(rec->upstream_model, in.upstream_model));
        assert_int_equal(rec->prompt_bytes, 100);
        assert_int_equal(rec->flags, SG_RECORD_STREAM);
        assert_int_equal(rec->status, 200);
        assert_int_equal(rec->input_tokens, 10);
        assert_int_equal(rec->output_tokens, 7);
        assert_int_equal(rec->cached_tokens, 3);
        assert_int_equal(rec->cache_write_tokens, 4);
        assert_int_equal(rec->cache_write_1h_tokens, 1);
        assert_true(sg_str_eq(rec->credential, in.credential));
        assert_int_equal(rec->n_attempts, 2);
        assert_int_equal(rec->reasoning_tokens, 5);
        assert_int_equal(rec->audio_input_tokens, 6);
        assert_int_equal(rec->audio_output_tokens, 7);
        assert_int_equal(rec->image_tokens, 8);
        assert_int_equal(rec->duration_usec, 1000);
        assert_int_equal(rec->first_byte_usec, 100);
        assert_int_equal(rec->answer_bytes, 200);
        assert_true(sg_str_eq(rec->reason, in.reason));
        assert_true(sg_str_eq(rec->raw_usage, in.raw_usage));
}

static void test_a_usage_event_keeps_every_field(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_usage_filter all = {ANY_TIME};
        struct sg_record rec = sample(7);
        size_t n = 0;

        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_usage_events(s, &all, check_event, &n, NULL), 0);
        assert_int_equal(n, 1);
        sg_store_free(s);
}

static void add_usage(struct sg_store *s, uint64_t n, const char *key, const char *model, enum sg_outcome outcome,
                      uint32_t certainty, uint64_t start)
{
        struct sg_record rec = sample(n);

        rec.key_name = sg_str_from(key);
        rec.model = sg_str_from(model);
        rec.outcome = outcome;
        rec.certainty = certainty;
        rec.start_wall_usec = start;
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
}

#define DAY_USEC UINT64_C(86400000000)

static void test_sums_by_group_and_filter(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_usage_filter f = {ANY_TIME};
        struct sums sums = {0};

        add_usage(s, 1, "alice", "a", SG_OUTCOME_COMPLETE, SG_RECORD_CERTAINTY_MEASURED, DAY_USEC);
        add_usage(s, 2, "alice", "b", SG_OUTCOME_TRUNCATED, SG_RECORD_CERTAINTY_PARTIAL, DAY_USEC);
        add_usage(s, 3, "alice", "a", SG_OUTCOME_CLIENT_GONE, SG_RECORD_CERTAINTY_ESTIMATED, 2 * DAY_USEC);
        add_usage(s, 4, "bob", "a", SG_OUTCOME_FAILED, SG_RECORD_CERTAINTY_NONE, 3 * DAY_USEC);
        add_usage(s, 5, "bob", "c", SG_OUTCOME_CUT_OFF, SG_RECORD_CERTAINTY_ESTIMATED, 3 * DAY_USEC + 5);

        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_KEY, &f, on_sum, &sums, NULL), 0);
        assert_string_equal(sums.groups, "alice bob ");
        assert_int_equal(sums.first.n_requests, 3);
        assert_int_equal(sums.first.output_tokens, 6);
        assert_int_equal(sums.first.input_tokens, 30);
        assert_int_equal(sums.first.cached_tokens, 9);
        assert_int_equal(sums.first.cache_write_tokens, 12);
        assert_int_equal(sums.first.reasoning_tokens, 15);
        assert_int_equal(sums.first.cache_write_1h_tokens, 3);
        assert_int_equal(sums.first.audio_input_tokens, 18);
        assert_int_equal(sums.first.audio_output_tokens, 21);
        assert_int_equal(sums.first.image_tokens, 24);
        assert_int_equal(sums.first.duration_usec, 3000);
        assert_int_equal(sums.first.n_by_outcome[SG_OUTCOME_COMPLETE], 1);
        assert_int_equal(sums.first.n_by_outcome[SG_OUTCOME_TRUNCATED], 1);
        assert_int_equal(sums.first.n_by_outcome[SG_OUTCOME_CLIENT_GONE], 1);
        assert_int_equal(sums.first.n_by_certainty[SG_RECORD_CERTAINTY_PARTIAL], 1);
        assert_int_equal(sums.first.first_wall_usec, DAY_USEC);
        assert_int_equal(sums.first.last_wall_usec, 2 * DAY_USEC);
        assert_int_equal(sums.last.n_by_outcome[SG_OUTCOME_FAILED], 1);
        assert_int_equal(sums.last.n_by_outcome[SG_OUTCOME_CUT_OFF], 1);
        assert_int_equal(sums.last.n_by_certainty[SG_RECORD_CERTAINTY_NONE], 1);
        assert_int_equal(sums.last.n_by_certainty[SG_RECORD_CERTAINTY_ESTIMATED], 1);

        sums = (struct sums){0};
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_MODEL, &f, on_sum, &sums, NULL), 0);
        assert_string_equal(sums.groups, "a b c ");
        sums = (struct sums){0};
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_DAY, &f, on_sum, &sums, NULL), 0);
        assert_string_equal(sums.groups, "1970-01-02 1970-01-03 1970-01-04 ");
        sums = (struct sums){0};
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_PROVIDER, &f, on_sum, &sums, NULL), 0);
        assert_string_equal(sums.groups, "echo ");

        sums = (struct sums){0};
        f.limit = 2;
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_MODEL, &f, on_sum, &sums, NULL), 0);
        assert_string_equal(sums.groups, "a b ");
        f = (struct sg_store_usage_filter){ANY_TIME};
        f.key = SG_STR("alice");
        f.model = SG_STR("a");
        sums = (struct sums){0};
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_NONE, &f, on_sum, &sums, NULL), 0);
        assert_int_equal(sums.first.n_requests, 2);
        /* From is included, to is not. */
        f = (struct sg_store_usage_filter){.from_wall_usec = 2 * DAY_USEC, .to_wall_usec = 3 * DAY_USEC, .limit = 9};
        sums = (struct sums){0};
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_NONE, &f, on_sum, &sums, NULL), 0);
        assert_int_equal(sums.first.n_requests, 1);
        sg_store_free(s);
}

struct bills {
        char text[1000];
        struct sg_tokens last;
};

static void on_bill(const struct sg_store_usage_bill *bill, void *owner)
{
        struct bills *b = owner;
        size_t at = strlen(b->text);

        (void)snprintf(b->text + at, sizeof(b->text) - at, SG_STR_FMT ":" SG_STR_FMT "/" SG_STR_FMT "@%d:%d,%d,%d ",
                       SG_STR_ARG(bill->group), SG_STR_ARG(bill->provider), SG_STR_ARG(bill->model), (int)bill->day,
                       (int)bill->tokens.n_requests, (int)bill->n_counted, (int)bill->tokens.output);
        b->last = bill->tokens;
}

static void add_bill(struct sg_store *s, uint64_t output, const char *key, const char *provider, const char *upstream,
                     uint64_t start)
{
        struct sg_record rec = sample(output);

        rec.key_name = sg_str_from(key);
        rec.provider = sg_str_from(provider);
        rec.upstream_model = sg_str_from(upstream);
        rec.start_wall_usec = start;
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
}

/* One row for what one price is for: a model of a provider on a day, of a group. */
static void test_bills_are_by_group_model_and_day(void **state)
{
        struct sg_store *s = open_store(), *reader = NULL;
        struct sg_store_usage_filter f = {ANY_TIME};
        struct sg_record failed = sample(0);
        struct bills bills = {0};

        add_bill(s, 1, "bob", "p", "m", DAY_USEC);
        add_bill(s, 2, "bob", "p", "m", 2 * DAY_USEC - 1);
        add_bill(s, 4, "bob", "p", "m", 2 * DAY_USEC);
        add_bill(s, 8, "bob", "q", "m", DAY_USEC);
        add_bill(s, 16, "alice", "p", "", DAY_USEC); /* asked for by the client's name: gpt */
        failed.key_name = SG_STR("bob");
        failed.provider = SG_STR("p");
        failed.upstream_model = SG_STR("m");
        failed.start_wall_usec = DAY_USEC;
        failed.outcome = SG_OUTCOME_FAILED;
        failed.input_tokens = 0;
        assert_int_equal(sg_store_usage_add(s, RING, &failed, NULL), 0);
        assert_int_equal(sg_store_usage_bills(s, SG_STORE_BY_KEY, &f, on_bill, &bills, NULL), 0);
        assert_string_equal(bills.text, "alice:p/gpt@1:1,1,16 bob:p/m@1:2,2,3 bob:q/m@1:1,1,8 bob:p/m@2:1,1,4 ");
        assert_int_equal(bills.last.input, 10);
        assert_int_equal(bills.last.cached, 3);
        assert_int_equal(bills.last.cache_write, 4);
        assert_int_equal(bills.last.cache_write_1h, 1);
        assert_int_equal(bills.last.reasoning, 5);
        assert_int_equal(bills.last.audio_input, 6);
        assert_int_equal(bills.last.audio_output, 7);
        assert_int_equal(bills.last.image, 8);
        bills = (struct bills){0};
        f.provider = SG_STR("q");
        assert_int_equal(sg_store_usage_bills(s, SG_STORE_BY_NONE, &f, on_bill, &bills, NULL), 0);
        assert_string_equal(bills.text, ":q/m@1:1,1,8 ");
        /* A reader's transaction sees one state, whatever is written meanwhile. */
        assert_int_equal(sg_store_open_reader(&reader, sg_store_get_options(s), NULL), 0);
        assert_int_equal(sg_store_begin(reader, NULL), 0);
        bills = (struct bills){0};
        assert_int_equal(sg_store_usage_bills(reader, SG_STORE_BY_DAY, &f, on_bill, &bills, NULL), 0);
        add_bill(s, 32, "bob", "q", "m", DAY_USEC);
        assert_int_equal(sg_store_usage_bills(reader, SG_STORE_BY_DAY, &f, on_bill, &bills, NULL), 0);
        assert_string_equal(bills.text, "1970-01-02:q/m@1:1,1,8 1970-01-02:q/m@1:1,1,8 ");
        sg_store_rollback(reader);
        bills = (struct bills){0};
        assert_int_equal(sg_store_usage_bills(reader, SG_STORE_BY_DAY, &f, on_bill, &bills, NULL), 0);
        assert_string_equal(bills.text, "1970-01-02:q/m@1:2,2,40 ");
        sg_store_free(reader);
        sg_store_free(s);
}

static void test_monstrous_counts_do_not_break_the_sums(void **state)
{
        struct sg_store *s = open_store();
        struct sg_record rec = sample(1);

        rec.input_tokens = rec.output_tokens = rec.duration_usec = rec.prompt_bytes = UINT64_MAX;
        rec.start_wall_usec = rec.key_id = UINT64_MAX;
        for (int i = 0; i < 20; i++)
                assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(total(s).n_requests, 0); /* they start at the end of time, which is not included */
        rec.start_wall_usec = 1;
        for (int i = 0; i < 20; i++)
                assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_true(total(s).input_tokens == 20 * SG_STORE_COUNT_MAX);
        sg_store_free(s);
}

static void note_exchange(const struct sg_store_usage_event *e, void *owner)
{
        char *text = owner;
        size_t at = strlen(text);

        (void)snprintf(text + at, 100 - at, "%d ", (int)e->rec.exchange);
}

static void test_events_come_newest_first(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_usage_filter f = {ANY_TIME};
        char text[100] = "";

        add_usage(s, 1, "alice", "a", SG_OUTCOME_COMPLETE, 1, 300);
        add_usage(s, 2, "bob", "a", SG_OUTCOME_COMPLETE, 1, 100);
        add_usage(s, 3, "alice", "b", SG_OUTCOME_COMPLETE, 1, 200);
        add_usage(s, 4, "alice", "b", SG_OUTCOME_COMPLETE, 1, 200);
        assert_int_equal(sg_store_usage_events(s, &f, note_exchange, text, NULL), 0);
        assert_string_equal(text, "1 4 3 2 ");
        text[0] = 0;
        f.limit = 2;
        f.key = SG_STR("alice");
        assert_int_equal(sg_store_usage_events(s, &f, note_exchange, text, NULL), 0);
        assert_string_equal(text, "1 4 ");
        sg_store_free(s);
}

/* ---- keys */

static struct sg_store_key key_of(const char *name, uint8_t digest)
{
        struct sg_store_key key = {.name = sg_str_from(name), .prefix = "sk-AbCd", .created_wall_usec = 10};

        memset(key.digest, digest, sizeof(key.digest));
        return key;
}

struct keys {
        size_t n;
        struct sg_store_key last;
        char names[200], models[100];
};

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct keys *k = owner;
        size_t at = strlen(k->names);

        k->n++;
        k->last = *key;
        (void)snprintf(k->names + at, sizeof(k->names) - at, SG_STR_FMT " ", SG_STR_ARG(key->name));
        (void)snprintf(k->models, sizeof(k->models), SG_STR_FMT, SG_STR_ARG(key->models));
}

static struct keys list(struct sg_store *s, uint64_t from, uint64_t limit, bool with_revoked)
{
        struct keys keys = {0};

        assert_int_equal(sg_store_key_list(s, from, limit, with_revoked, on_key, &keys, NULL), 0);
        return keys;
}

static void test_a_key_from_birth_to_revocation(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_key key = key_of("alice", 1), other = key_of("alice", 2);
        struct keys keys;
        uint64_t id = 0, found = 0;
        bool is_revoked = true;

        key.models = SG_STR("[\"gpt-*\"]");
        key.expires_wall_usec = 99;
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &found, &is_revoked, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        keys = list(s, id, 1, false);
        assert_int_equal(keys.n, 1);
        assert_int_equal(keys.last.id, id);
        assert_memory_equal(keys.last.digest, key.digest, sizeof(key.digest));
        assert_string_equal(keys.last.prefix, "sk-AbCd");
        assert_string_equal(keys.models, "[\"gpt-*\"]");
        assert_int_equal(keys.last.created_wall_usec, 10);
        assert_int_equal(keys.last.expires_wall_usec, 99);
        assert_int_equal(keys.last.version, 1);

        assert_int_equal(sg_store_key_add(s, &other, &id, NULL), SG_STORE_E_EXISTS);
        other.rotated_wall_usec = 20;
        assert_int_equal(sg_store_key_rotate(s, id, &other, NULL), 0);
        keys = list(s, id, 1, false);
        assert_memory_equal(keys.last.digest, other.digest, sizeof(other.digest));
        assert_int_equal(keys.last.rotated_wall_usec, 20);
        assert_int_equal(keys.last.version, 2); /* what failed did not count */

        assert_int_equal(sg_store_key_revoke(s, id, 30, NULL), 0);
        assert_int_equal(sg_store_key_revoke(s, id, 40, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_key_rotate(s, id, &key, NULL), SG_STORE_E_NONE);
        assert_int_equal(list(s, 0, 10, false).n, 0);
        keys = list(s, 0, 10, true);
        assert_int_equal(keys.n, 1);
        assert_int_equal(keys.last.revoked_wall_usec, 30);
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &found, &is_revoked, NULL), 0);
        assert_int_equal(found, id);
        assert_true(is_revoked);

        /* The name is free again, the id is not. */
        assert_int_equal(sg_store_key_add(s, &key, &found, NULL), 0);
        assert_int_not_equal(found, id);
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &id, &is_revoked, NULL), 0);
        assert_int_equal(found, id);
        assert_false(is_revoked);
        sg_store_free(s);
}

static void test_keys_are_listed_in_pages(void **state)
{
        struct sg_store *s = open_store();
        char name[32];
        struct keys keys;
        uint64_t id;

        for (uint8_t n = 0; n < 7; n++) {
                struct sg_store_key key;

                (void)snprintf(name, sizeof(name), "k%d", n);
                key = key_of(name, n);
                assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        }
        keys = list(s, 0, 3, false);
        assert_string_equal(keys.names, "k0 k1 k2 ");
        keys = list(s, keys.last.id + 1, 3, false);
        assert_string_equal(keys.names, "k3 k4 k5 ");
        keys = list(s, keys.last.id + 1, 3, false);
        assert_string_equal(keys.names, "k6 ");
        sg_store_free(s);
}

static void test_counts(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_counts counts;
        struct sg_store_key a = key_of("a", 1), b = key_of("b", 2), c = key_of("c", 3);
        struct sg_record rec = sample(1);
        uint64_t id;

        b.expires_wall_usec = 100;
        assert_int_equal(sg_store_key_add(s, &a, &id, NULL), 0);
        assert_int_equal(sg_store_key_add(s, &b, &id, NULL), 0);
        assert_int_equal(sg_store_key_add(s, &c, &id, NULL), 0);
        assert_int_equal(sg_store_key_revoke(s, id, 5, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_open_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_count(s, 100, &counts, NULL), 0);
        assert_int_equal(counts.n_keys_active, 1);
        assert_int_equal(counts.n_keys_expired, 1);
        assert_int_equal(counts.n_keys_revoked, 1);
        assert_int_equal(counts.key_version, 4);
        assert_int_equal(counts.n_usage, 1);
        assert_int_equal(counts.n_open, 1);
        assert_int_equal(counts.schema_version, SG_SCHEMA_VERSION);
        assert_int_equal(sg_store_count(s, 99, &counts, NULL), 0);
        assert_int_equal(counts.n_keys_active, 2);
        sg_store_free(s);
}

static void test_text_is_a_value_never_sql(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_usage_filter f = {ANY_TIME};
        struct sums sums = {0};
        struct sg_record rec = sample(1);

        rec.key_name = SG_STR("x'); DROP TABLE usage; --");
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        f.key = SG_STR("' OR '1'='1");
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_NONE, &f, on_sum, &sums, NULL), 0);
        assert_int_equal(sums.first.n_requests, 0);
        f.key = rec.key_name;
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_NONE, &f, on_sum, &sums, NULL), 0);
        assert_int_equal(sums.last.n_requests, 1);
        sg_store_free(s);
}

/* ---- opening */

static void test_what_is_written_is_there_after_opening_again(void **state)
{
        struct sg_store *s = open_store();
        struct sg_record rec = sample(1);
        struct stat st;

        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(stat(db_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        sg_store_free(s);
        s = open_store();
        assert_int_equal(total(s).n_requests, 1);
        sg_store_free(s);
}

static void refuse(int code, const char *text)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        assert_int_equal(open_url(&s, db_url, &err), code);
        assert_null(s);
        if (!strstr(err.text, text))
                print_error("\"%s\" is not in \"%s\"\n", text, err.text);
        assert_non_null(strstr(err.text, text));
}

static void test_a_second_ledger_is_refused(void **state)
{
        struct sg_store *s = open_store();
        char pid[32];

        (void)snprintf(pid, sizeof(pid), "(process %d)", (int)getpid());
        refuse(-EBUSY, pid);
        refuse(-EBUSY, "stop it first");
        sg_store_free(s);
        sg_store_free(open_store());
}

static void run_sql(const char *sql)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

static void test_a_newer_schema_is_refused_with_both_versions(void **state)
{
        char both[100];

        sg_store_free(open_store());
        run_sql("INSERT INTO schema_version VALUES (77, 0)");
        (void)snprintf(both, sizeof(both), "schema version 77, this program knows versions up to %d",
                       SG_SCHEMA_VERSION);
        refuse(-ENOTSUP, both);
        refuse(-ENOTSUP, "restore a backup");
        assert_int_equal(check_url(db_url, NULL), -ENOTSUP);
}

static void test_a_foreign_database_is_left_as_it_is(void **state)
{
        struct stat before, after;

        run_sql("CREATE TABLE recipes (name TEXT)");
        assert_int_equal(stat(db_path, &before), 0);
        refuse(-EMEDIUMTYPE, "belongs to another program");
        assert_int_equal(check_url(db_url, NULL), -EMEDIUMTYPE);
        assert_int_equal(stat(db_path, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void test_what_is_no_database_is_refused(void **state)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        write_file(db_path,
                   "This is a text that somebody wrote, long enough for the header of a database, and then some more.");
        refuse(-EMEDIUMTYPE, "no SQLite database");
        assert_int_equal(open_url(&s, "mysql:x", &err), -EINVAL);
        assert_non_null(strstr(err.text, "sqlite:"));
        assert_int_equal(open_url(&s, "sqlite:", &err), -EINVAL);
        assert_int_equal(open_url(&s, "nothing", &err), -EINVAL);
}

static void test_a_missing_directory_is_named(void **state)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};
        char url[400];

        (void)snprintf(url, sizeof(url), "sqlite:%s/none/ledger.db", test_dir);
        assert_int_equal(open_url(&s, url, &err), -ENOENT);
        assert_non_null(strstr(err.text, "must exist"));
        assert_int_equal(check_url(url, &err), -ENOENT);
}

static void test_check_changes_nothing(void **state)
{
        assert_int_equal(check_url(db_url, NULL), 0);
        assert_int_equal(access(db_path, F_OK), -1);
        sg_store_free(open_store());
        assert_int_equal(check_url(db_url, NULL), 0);
}

static void test_a_locked_database_is_busy_and_nothing_is_changed(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_key key = key_of("a", 1);
        struct sg_error err = {0};
        sqlite3 *db;
        uint64_t id;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_begin(s, &err), -EBUSY);
        assert_non_null(strstr(err.text, "another program"));
        assert_int_equal(sg_store_key_add(s, &key, &id, &err), -EBUSY);
        assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(sg_store_key_add(s, &key, &id, &err), 0);
        sg_store_free(s);
}

static void test_a_full_database_says_so_and_recovers(void **state)
{
        struct sg_store *s = open_store();
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        struct sg_error err = {0};
        struct sg_record rec = sample(1);
        int r = 0;

        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 20", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_begin(s, NULL), 0);
        for (int i = 0; i < 10000 && !r; i++)
                r = sg_store_usage_add(s, RING, &rec, &err);
        assert_int_equal(r, -ENOSPC);
        assert_non_null(strstr(err.text, "disk is full"));
        sg_store_rollback(s);
        assert_int_equal(total(s).n_requests, 0);
        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, &err), 0);
        sg_store_free(s);
}

/* ---- migrations */

static void test_migrations_apply_once_and_each_whole(void **state)
{
        static const struct sg_migration good[] = {
                {1, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_wall_usec INTEGER);"
                    "CREATE TABLE a (x INTEGER)"},
                {2, "INSERT INTO a VALUES (1); CREATE TABLE b (y INTEGER)"},
        };
        static const struct sg_migration bad[] = {
                {1, "not run again"},
                {2, "not run again"},
                {3, "INSERT INTO a VALUES (2); this is no SQL"},
        };
        struct sg_error err = {0};
        sqlite3_stmt *st;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 1, false, &err), 0);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 2, false, &err), 0);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 2, false, &err), 0);
        assert_true(sg_sqlite_migrate(db, db_path, bad, 3, false, &err) < 0);
        assert_non_null(strstr(err.text, "schema"));
        /* Nothing of the third, all of the second once. */
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT (SELECT sum(x) FROM a), max(version) FROM schema_version", -1,
                                            &st, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(st, 0), 1);
        assert_int_equal(sqlite3_column_int(st, 1), 2);
        sqlite3_finalize(st);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 1, false, &err), -ENOTSUP);
        sqlite3_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_marks_are_kept_and_replaced),
                TEST(test_rollback_takes_everything_back),
                TEST(test_open_exchanges_come_back_in_order),
                TEST(test_a_usage_event_keeps_every_field),
                TEST(test_sums_by_group_and_filter),
                TEST(test_bills_are_by_group_model_and_day),
                TEST(test_monstrous_counts_do_not_break_the_sums),
                TEST(test_events_come_newest_first),
                TEST(test_a_key_from_birth_to_revocation),
                TEST(test_keys_are_listed_in_pages),
                TEST(test_counts),
                TEST(test_text_is_a_value_never_sql),
                TEST(test_what_is_written_is_there_after_opening_again),
                TEST(test_a_second_ledger_is_refused),
                TEST(test_a_newer_schema_is_refused_with_both_versions),
                TEST(test_a_foreign_database_is_left_as_it_is),
                TEST(test_what_is_no_database_is_refused),
                TEST(test_a_missing_directory_is_named),
                TEST(test_check_changes_nothing),
                TEST(test_a_locked_database_is_busy_and_nothing_is_changed),
                TEST(test_a_full_database_says_so_and_recovers),
                TEST(test_migrations_apply_once_and_each_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
