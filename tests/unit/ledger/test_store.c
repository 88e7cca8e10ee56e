/* The database interface: rings and usage. Linked with a fixture for each kind of database. */
#include "store_test.h"

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

/* ---- hourly sums */

#define HOUR_USEC UINT64_C(3600000000)
#define N_EVENTS  400u

static struct sg_record random_event(uint64_t n, uint32_t *seed)
{
        static const char *const names[] = {"alice", "bob", "carol"};
        static const char *const models[] = {"gpt", "k2", ""};
        struct sg_record rec = sample(n);
        uint32_t r = *seed = *seed * 1664525u + 1013904223u;

        r >>= 8;
        rec.key_id = 1 + r % 3;
        rec.key_name = sg_str_from(names[r % 3]);
        rec.model = sg_str_from(models[r / 3 % 2]);
        rec.upstream_model = sg_str_from(models[r / 6 % 3]);
        rec.provider = r / 18 % 2 ? SG_STR("p") : SG_STR("q");
        rec.outcome = (enum sg_outcome)(r / 36 % SG_OUTCOME_N);
        rec.certainty = r / 180 % SG_RECORD_CERTAINTY_N;
        rec.input_tokens = r / 720 % 3;
        rec.output_tokens = r / 2160 % 3;
        /* Three days and a half, and often the very first or last microsecond of an hour. */
        *seed = *seed * 1664525u + 1013904223u;
        rec.start_wall_usec = 20000 * DAY_USEC + (*seed >> 8) % 84 * HOUR_USEC;
        rec.start_wall_usec += (*seed >> 16) % 3 == 0 ? 0 : (*seed >> 16) % 3 == 1 ? HOUR_USEC - 1 : *seed % HOUR_USEC;
        return rec;
}

struct by_hand {
        uint64_t n, n_failed, n_estimated, input, output, duration, first, last, counted, billed;
};

static struct by_hand sum_by_hand(const struct sg_record *events, const struct sg_store_usage_filter *f)
{
        struct by_hand sum = {.first = UINT64_MAX};

        for (size_t i = 0; i < N_EVENTS; i++) {
                const struct sg_record *rec = &events[i];

                if (rec->start_wall_usec < f->from_wall_usec || rec->start_wall_usec >= f->to_wall_usec ||
                    (f->key.n && !sg_str_eq(f->key, rec->key_name)) ||
                    (f->model.n && !sg_str_eq(f->model, rec->model)) ||
                    (f->provider.n && !sg_str_eq(f->provider, rec->provider)))
                        continue;
                sum.n++;
                sum.n_failed += rec->outcome == SG_OUTCOME_FAILED;
                sum.n_estimated += rec->certainty == SG_RECORD_CERTAINTY_ESTIMATED;
                sum.input += rec->input_tokens;
                sum.output += rec->output_tokens;
                sum.duration += rec->duration_usec;
                sum.first = SG_MIN(sum.first, rec->start_wall_usec);
                sum.last = SG_MAX(sum.last, rec->start_wall_usec);
                sum.counted += rec->input_tokens + rec->output_tokens > 0;
                sum.billed += rec->outcome != SG_OUTCOME_FAILED || rec->input_tokens + rec->output_tokens > 0;
        }
        return sum;
}

static void add_up_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        struct by_hand *b = owner;

        b->n += sum->n_requests;
        b->n_failed += sum->n_by_outcome[SG_OUTCOME_FAILED];
        b->n_estimated += sum->n_by_certainty[SG_RECORD_CERTAINTY_ESTIMATED];
        b->input += sum->input_tokens;
        b->output += sum->output_tokens;
        b->duration += sum->duration_usec;
        b->first = SG_MIN(b->first, sum->first_wall_usec);
        b->last = SG_MAX(b->last, sum->last_wall_usec);
}

static void add_up_bill(const struct sg_store_usage_bill *bill, void *owner)
{
        struct by_hand *b = owner;

        b->counted += bill->n_counted;
        b->billed += bill->tokens.n_requests;
}

static void check_range(struct sg_store *s, const struct sg_record *events, const struct sg_store_usage_filter *f)
{
        struct by_hand want = sum_by_hand(events, f), got;

        for (int by = 0; by < SG_STORE_BY_N; by++) {
                if (want.n == 0 && by == SG_STORE_BY_NONE)
                        continue; /* one row of nothing */
                got = (struct by_hand){.first = UINT64_MAX};
                assert_int_equal(sg_store_usage_sums(s, (enum sg_store_by)by, f, add_up_sum, &got, NULL), 0);
                assert_int_equal(sg_store_usage_bills(s, (enum sg_store_by)by, f, add_up_bill, &got, NULL), 0);
                assert_memory_equal(&got, &want, sizeof(want));
        }
}

/* Whatever part of a range comes from hourly sums: the answer is that of the events. */
static void test_hourly_sums_and_events_agree(void **state)
{
        static struct sg_record events[N_EVENTS];
        struct sg_store *s = open_store();
        uint32_t seed = 7;

        for (size_t i = 0; i < N_EVENTS; i++) {
                if (i % 50 == 0)
                        assert_int_equal(sg_store_begin(s, NULL), 0);
                events[i] = random_event(i, &seed);
                assert_int_equal(sg_store_usage_add(s, RING, &events[i], NULL), 0);
                if (i % 50 == 49)
                        assert_int_equal(sg_store_commit(s, NULL), 0);
        }
        for (int i = 0; i < 300; i++) {
                struct sg_store_usage_filter f = {.limit = 1000};
                struct sg_record from = random_event(0, &seed), to = random_event(0, &seed);

                f.from_wall_usec = i % 7 ? from.start_wall_usec : 0;
                f.to_wall_usec = i % 5 ? to.start_wall_usec + i % 2 : UINT64_MAX;
                if (i % 4 == 0)
                        f.key = from.key_name;
                if (i % 8 == 0)
                        f.provider = to.provider;
                if (i % 6 == 0)
                        f.model = from.model;
                check_range(s, events, &f);
        }
        sg_store_free(s);
}

static void test_a_transaction_sees_its_own_sums_and_takes_them_back(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_counts counts;
        struct sg_record rec = sample(1);

        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(total(s).n_requests, 1);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(total(s).n_requests, 2);
        sg_store_rollback(s);
        assert_int_equal(total(s).n_requests, 0);
        assert_int_equal(sg_store_begin(s, NULL), 0);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_commit(s, NULL), 0);
        assert_int_equal(total(s).n_requests, 1);
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 1);
        sg_store_free(s);
}

/* ---- what was used of a limit */

static void use(struct sg_store *s, uint64_t key_id, const char *model, const char *provider, uint64_t start)
{
        struct sg_record rec = sample(1);

        rec.key_id = key_id;
        rec.model = sg_str_from(model);
        rec.provider = sg_str_from(provider);
        rec.upstream_model = SG_STR("m");
        rec.start_wall_usec = start;
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
}

static const char *totals_of(struct sg_store *s, int of, uint64_t id, const char *name, uint64_t from, uint64_t to)
{
        static struct bills bills;
        struct sg_store_total_filter f = {
                .id = id, .name = sg_str_from(name), .from_wall_usec = from, .to_wall_usec = to};

        f.of = of;
        bills = (struct bills){0};
        assert_int_equal(sg_store_totals(s, &f, on_bill, &bills, NULL), 0);
        return bills.text;
}

static void test_totals_of_keys_models_and_providers(void **state)
{
        struct sg_store *s = open_store();

        use(s, 1, "gpt", "p", DAY_USEC);
        use(s, 1, "gpt", "p", 2 * DAY_USEC - 1);
        use(s, 1, "k2", "q", 2 * DAY_USEC);
        use(s, 2, "gpt", "p", DAY_USEC + 5);
        assert_string_equal(totals_of(s, SG_TOTAL_KEY, 1, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:2,2,2 ");
        assert_string_equal(totals_of(s, SG_TOTAL_KEY, 1, "", 0, 3 * DAY_USEC), ":p/m@1:2,2,2 :q/m@2:1,1,1 ");
        assert_string_equal(totals_of(s, SG_TOTAL_KEY, 3, "", 0, 3 * DAY_USEC), "");
        assert_string_equal(totals_of(s, SG_TOTAL_MODEL, 0, "gpt", 0, 3 * DAY_USEC), ":p/m@1:3,3,3 ");
        assert_string_equal(totals_of(s, SG_TOTAL_PROVIDER, 0, "q", 0, 3 * DAY_USEC), ":q/m@2:1,1,1 ");
        assert_string_equal(totals_of(s, SG_TOTAL_PROVIDER, 0, "q", 0, 2 * DAY_USEC), "");
        sg_store_free(s);
}

/* A group's total is that of the keys that are in it now, at any depth. */
static void test_totals_of_groups_go_by_the_tree_as_it_stands(void **state)
{
        struct sg_store *s = open_store();
        uint64_t org = add_group(s, "org", 0), team = add_group(s, "team", org), other = add_group(s, "other", 0);
        uint64_t a = add_key(s, "a", 1, team), b = add_key(s, "b", 2, org);
        struct sg_store_group circle = {.parent_id = team};
        struct sg_store_key moved = {.group_id = other};

        use(s, a, "gpt", "p", DAY_USEC);
        use(s, b, "gpt", "p", DAY_USEC);
        use(s, b, "gpt", "p", DAY_USEC + HOUR_USEC);
        assert_int_equal(sg_store_key_revoke(s, b, 5, NULL), 0); /* what it used stays used */
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, org, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:3,3,3 ");
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, team, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:1,1,1 ");
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, other, "", DAY_USEC, 2 * DAY_USEC), "");
        assert_int_equal(sg_store_key_change(s, a, &moved, NULL), 0);
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, org, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:2,2,2 ");
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, other, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:1,1,1 ");
        /* Nobody makes one, and it ends all the same. */
        assert_int_equal(sg_store_group_change(s, org, &circle, NULL), 0);
        assert_string_equal(totals_of(s, SG_TOTAL_GROUP, team, "", DAY_USEC, 2 * DAY_USEC), ":p/m@1:2,2,2 ");
        sg_store_free(s);
}

static void note_key(uint64_t key_id, void *owner)
{
        struct bills *b = owner;
        size_t at = strlen(b->text);

        (void)snprintf(b->text + at, sizeof(b->text) - at, "%d ", (int)key_id);
}

static const char *used(struct sg_store *s, uint64_t *event, uint64_t from)
{
        static struct bills keys;

        keys = (struct bills){0};
        assert_int_equal(sg_store_used_keys(s, *event, from, note_key, &keys, event, NULL), 0);
        return keys.text;
}

static void test_which_keys_were_used_since(void **state)
{
        struct sg_store *s = open_store();
        uint64_t event = 0, n;

        use(s, 1, "gpt", "p", DAY_USEC);
        use(s, 2, "gpt", "p", 2 * DAY_USEC);
        assert_string_equal(used(s, &event, 2 * DAY_USEC), "2 ");
        assert_string_equal(used(s, &event, 2 * DAY_USEC), "");
        use(s, 1, "gpt", "p", DAY_USEC);
        use(s, 1, "gpt", "p", DAY_USEC);
        assert_string_equal(used(s, &event, 2 * DAY_USEC), "1 ");
        assert_string_equal(used(s, &event, 2 * DAY_USEC), "");
        /* Whatever becomes of the events: what comes behind is told. */
        assert_int_equal(sg_store_usage_prune(s, UINT64_MAX, 9, &n, NULL), 0);
        use(s, 3, "gpt", "p", 2 * DAY_USEC);
        assert_non_null(strstr(used(s, &event, 2 * DAY_USEC), "3 "));
        assert_string_equal(used(s, &event, 2 * DAY_USEC), "");
        sg_store_free(s);
}

/* ---- pruning */

static void test_pruning_takes_the_oldest_events_and_no_sums(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_usage_filter f = {ANY_TIME};
        struct sg_store_counts counts;
        char text[100] = "";
        uint64_t n = 9;

        add_usage(s, 1, "alice", "a", SG_OUTCOME_COMPLETE, 1, 3 * DAY_USEC);
        add_usage(s, 2, "alice", "a", SG_OUTCOME_COMPLETE, 1, DAY_USEC);
        add_usage(s, 3, "alice", "a", SG_OUTCOME_COMPLETE, 1, 2 * DAY_USEC);
        add_usage(s, 4, "alice", "a", SG_OUTCOME_COMPLETE, 1, 4 * DAY_USEC);
        assert_int_equal(sg_store_usage_prune(s, 4 * DAY_USEC, 2, &n, NULL), 0);
        assert_int_equal(n, 2);
        assert_int_equal(sg_store_usage_events(s, &f, note_exchange, text, NULL), 0);
        assert_string_equal(text, "4 1 ");
        assert_int_equal(sg_store_usage_prune(s, 4 * DAY_USEC, 2, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_int_equal(sg_store_usage_prune(s, 4 * DAY_USEC, 2, &n, NULL), 0);
        assert_int_equal(n, 0);
        assert_int_equal(total(s).n_requests, 4);
        assert_int_equal(total(s).first_wall_usec, DAY_USEC);
        assert_string_equal(totals_of(s, SG_TOTAL_KEY, 1, "", DAY_USEC, 2 * DAY_USEC), ":echo/echo-1@1:1,1,2 ");
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 1);
        /* And counting goes on. */
        assert_int_equal(sg_store_usage_prune(s, UINT64_MAX, 9, &n, NULL), 0);
        add_usage(s, 5, "alice", "a", SG_OUTCOME_COMPLETE, 1, 5 * DAY_USEC);
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 1);
        assert_int_equal(total(s).n_requests, 5);
        sg_store_free(s);
}

/* ---- the whole */

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

/* As the drain does when a ring ends: what the same transaction has closed is not settled once more. */
static void test_a_transaction_sees_what_it_closed(void **state)
{
        struct sg_store *s = open_store();
        struct sg_record rec;

        for (uint64_t n = 1; n <= 3; n++) {
                rec = sample(n);
                assert_int_equal(sg_store_open_add(s, RING, &rec, NULL), 0);
        }
        assert_int_equal(sg_store_begin(s, NULL), 0);
        rec = sample(2);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_open_drop(s, RING, 2, NULL), 0);
        assert_int_equal(sg_store_open_next(s, RING, 0, &rec, NULL), 0);
        assert_int_equal(rec.exchange, 1);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        assert_int_equal(sg_store_open_drop(s, RING, 1, NULL), 0);
        assert_int_equal(sg_store_open_next(s, RING, 1, &rec, NULL), 0);
        assert_int_equal(rec.exchange, 3);
        assert_int_equal(sg_store_open_drop(s, RING, 3, NULL), 0);
        assert_int_equal(sg_store_open_next(s, RING, 3, &rec, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_commit(s, NULL), 0);
        assert_int_equal(sg_store_open_next(s, RING, 0, &rec, NULL), SG_STORE_E_NONE);
        assert_int_equal(total(s).n_requests, 2);
        sg_store_free(s);
}

static void test_what_is_written_is_there_after_opening_again(void **state)
{
        struct sg_store *s = open_store();
        struct sg_record rec = sample(1);

        assert_int_equal(sg_store_usage_add(s, RING, &rec, NULL), 0);
        sg_store_free(s);
        s = open_store();
        assert_int_equal(total(s).n_requests, 1);
        sg_store_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_marks_are_kept_and_replaced),
                TEST(test_rollback_takes_everything_back),
                TEST(test_open_exchanges_come_back_in_order),
                TEST(test_a_transaction_sees_what_it_closed),
                TEST(test_a_usage_event_keeps_every_field),
                TEST(test_sums_by_group_and_filter),
                TEST(test_bills_are_by_group_model_and_day),
                TEST(test_monstrous_counts_do_not_break_the_sums),
                TEST(test_events_come_newest_first),
                TEST(test_hourly_sums_and_events_agree),
                TEST(test_a_transaction_sees_its_own_sums_and_takes_them_back),
                TEST(test_totals_of_keys_models_and_providers),
                TEST(test_totals_of_groups_go_by_the_tree_as_it_stands),
                TEST(test_which_keys_were_used_since),
                TEST(test_pruning_takes_the_oldest_events_and_no_sums),
                TEST(test_counts),
                TEST(test_text_is_a_value_never_sql),
                TEST(test_what_is_written_is_there_after_opening_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
