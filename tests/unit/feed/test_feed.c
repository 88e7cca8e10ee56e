/* The feed against a ledger that the test plays, on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feed/feed.h"
#include "varlink/varlink.h"

#define HEX "000000000000000000000000000000000000000000000000000000000000000"
#define KEY(id, revoked)                                                                                               \
        "{\"id\":" #id ",\"name\":\"k" #id "\",\"digest\":\"" HEX #id "\",\"models\":null,\"revoked\":" #revoked "}"
#define NEWS(keys, version, complete) "{\"changes\":[" keys "],\"version\":" #version ",\"complete\":" #complete "}"

struct world {
        char directory[64], socket[96], picture[96], broken[112];
        struct sg_loop *loop;
        struct sg_varlink_server *ledger;
        struct sg_keytable *table;
        struct sg_feed *feed;
        struct sg_varlink_call *watch;
        unsigned n_watches, n_ready;
        bool (*is_reached)(struct world *w);
        struct sg_timer limit;
};

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        struct world *w = owner;

        w->watch = NULL;
}

static void run_watch(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct world *w = owner;

        assert_true(sg_varlink_call_wants_more(call));
        assert_true(sg_varlink_read(call, parameters, NULL, 0));
        w->watch = call;
        w->n_watches++;
        sg_varlink_call_watch(call, on_gone, w);
}

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("what was awaited did not happen in twenty seconds");
}

static void start_ledger(struct world *w)
{
        static const struct sg_varlink_interface interfaces[] = {{"io.scribe.Ledger", ""}};
        static const struct sg_varlink_method methods[] = {{"io.scribe.Ledger.WatchKeys", SG_VARLINK_VIEW, run_watch}};
        const struct sg_varlink_server_options options = {
                .interfaces = interfaces, .n_interfaces = 1, .methods = methods, .n_methods = 1, .owner = w};
        struct sg_error err;

        assert_int_equal(sg_varlink_server_new(&w->ledger, w->loop, &options), 0);
        assert_int_equal(sg_varlink_server_listen(w->ledger, w->socket, (gid_t)-1, &err), 0);
}

static void stop_ledger(struct world *w)
{
        w->ledger = sg_varlink_server_free(w->ledger);
}

static void on_ready(void *owner)
{
        struct world *w = owner;

        w->n_ready++;
}

static void start_feed(struct world *w)
{
        struct sg_error err;

        if (sg_feed_new(&w->feed, w->loop, w->table, w->socket, w->picture, &err))
                fail_msg("%s: %s", err.where, err.text);
        sg_feed_on_first_picture(w->feed, on_ready, w);
}

/* As after a restart of the gateway. */
static void restart_feed(struct world *w)
{
        w->feed = sg_feed_free(w->feed);
        sg_keytable_free(w->table);
        assert_int_equal(sg_keytable_new(&w->table), 0);
        w->n_ready = 0;
        start_feed(w);
}

static int setup(void **state)
{
        static struct world w;

        memset(&w, 0, sizeof(w));
        strcpy(w.directory, "/tmp/feed-test-XXXXXX");
        if (!mkdtemp(w.directory))
                return -1;
        snprintf(w.socket, sizeof(w.socket), "%s/ledger.socket", w.directory);
        snprintf(w.picture, sizeof(w.picture), "%s/keys.picture", w.directory);
        snprintf(w.broken, sizeof(w.broken), "%s.broken", w.picture);
        sg_rcu_register();
        if (sg_loop_new(&w.loop) || sg_keytable_new(&w.table) || sg_timer_init(&w.limit, w.loop, on_limit, &w))
                return -1;
        *state = &w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;

        sg_feed_free(w->feed);
        sg_varlink_server_free(w->ledger);
        sg_timer_done(&w->limit);
        sg_loop_free(w->loop);
        sg_keytable_free(w->table);
        sg_rcu_unregister();
        sg_rcu_barrier();
        unlink(w->picture);
        unlink(w->broken);
        return rmdir(w->directory);
}

static void after_turn(void *owner)
{
        struct world *w = owner;

        if (w->is_reached(w))
                sg_loop_stop(w->loop);
}

static void until(struct world *w, bool (*is_reached)(struct world *w))
{
        w->is_reached = is_reached;
        if (is_reached(w))
                return;
        sg_timer_start(&w->limit, 20 * SG_USEC_PER_SEC);
        sg_loop_run(w->loop, SG_USEC_NEVER, after_turn, w);
        sg_timer_stop(&w->limit);
}

static bool is_watching(struct world *w)
{
        return w->watch != NULL;
}

static bool is_current(struct world *w)
{
        return sg_feed_get_state(w->feed) == SG_FEED_CURRENT;
}

static bool is_stale(struct world *w)
{
        return sg_feed_get_state(w->feed) == SG_FEED_STALE;
}

static bool is_ready(struct world *w)
{
        return w->n_ready > 0;
}

static bool is_watch_gone(struct world *w)
{
        return w->watch == NULL;
}

static uint64_t awaited_version;
static bool is_at_version(struct world *w)
{
        return sg_feed_version(w->feed) == awaited_version;
}

static void until_version(struct world *w, uint64_t version)
{
        awaited_version = version;
        until(w, is_at_version);
}

static void tell(struct world *w, const char *text)
{
        struct json_object *o = json_tokener_parse(text);

        assert_non_null(o);
        assert_non_null(w->watch);
        assert_true(sg_varlink_reply_more(w->watch, o));
}

static const struct sg_key *find(struct world *w, uint8_t id)
{
        uint8_t digest[SG_APIKEY_DIGEST_BYTES] = {[SG_APIKEY_DIGEST_BYTES - 1] = id};

        return sg_keytable_find(w->table, digest);
}

/* Keys 1 and 2, current. */
static void begin(struct world *w)
{
        start_ledger(w);
        start_feed(w);
        until(w, is_watching);
        tell(w, NEWS(KEY(1, false), 10, false));
        tell(w, NEWS(KEY(2, false), 10, true));
        until(w, is_current);
}

static void test_a_picture_in_batches_makes_it_current(void **state)
{
        struct world *w = *state;

        start_ledger(w);
        start_feed(w);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_EMPTY);
        until(w, is_watching);
        assert_int_equal(w->n_ready, 0);
        tell(w, NEWS(KEY(1, false), 10, false));
        tell(w, NEWS(KEY(2, true), 10, false));
        tell(w, "{\"changes\":null,\"version\":10,\"complete\":true}");
        until(w, is_current);
        until(w, is_ready);
        assert_int_equal(sg_feed_version(w->feed), 10);
        assert_int_equal(sg_keytable_count(w->table), 2);
        assert_false(find(w, 1)->is_revoked);
        assert_true(find(w, 2)->is_revoked);
        assert_int_equal(access(w->picture, F_OK), 0);
        assert_int_equal(w->n_ready, 1);
}

static void test_a_change_is_effective_and_survives_a_cold_start(void **state)
{
        struct world *w = *state;

        begin(w);
        tell(w, NEWS(KEY(1, true), 11, true));
        tell(w, NEWS(KEY(3, false) ",{\"id\":2,\"removed\":true}", 12, true));
        until_version(w, 12);
        assert_true(find(w, 1)->is_revoked);
        assert_null(find(w, 2));
        assert_non_null(find(w, 3));
        stop_ledger(w);
        restart_feed(w);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_STALE);
        assert_int_equal(sg_feed_version(w->feed), 12);
        assert_true(find(w, 1)->is_revoked);
        assert_null(find(w, 2));
        assert_non_null(find(w, 3));
        until(w, is_ready);
}

static void test_the_ledgers_end_makes_it_stale_and_its_return_current(void **state)
{
        struct world *w = *state;

        begin(w);
        stop_ledger(w);
        until(w, is_stale);
        assert_non_null(find(w, 1));
        start_ledger(w);
        until(w, is_watching);
        assert_non_null(find(w, 1));
        tell(w, NEWS(KEY(2, false), 20, true));
        until(w, is_current);
        assert_null(find(w, 1)); /* deleted while we were not told */
        assert_non_null(find(w, 2));
        assert_int_equal(w->n_ready, 1);
}

static void test_half_a_picture_removes_nothing(void **state)
{
        struct world *w = *state;

        begin(w);
        stop_ledger(w);
        until(w, is_stale);
        start_ledger(w);
        until(w, is_watching);
        tell(w, NEWS(KEY(3, false), 20, false));
        stop_ledger(w);
        start_ledger(w);
        until(w, is_watching);
        assert_non_null(find(w, 1));
        assert_non_null(find(w, 2));
        assert_int_equal(sg_feed_version(w->feed), 10);
        tell(w, NEWS(KEY(1, false), 21, true));
        until(w, is_current);
        assert_int_equal(sg_keytable_count(w->table), 1);
}

static void test_nonsense_asks_for_the_whole_again(void **state)
{
        static const char *const wrong[] = {
                "{\"changes\":5}",
                "{\"changes\":[7]}",
                "{\"changes\":[{\"id\":1}],\"version\":11,\"complete\":true}",
                "{\"changes\":[],\"version\":\"x\"}",
                "{\"changes\":[],\"complete\":1}",
        };
        struct world *w = *state;

        begin(w);
        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++) {
                tell(w, wrong[i]);
                until(w, is_stale);
                assert_non_null(find(w, 1));
                until(w, is_watch_gone);
                until(w, is_watching);
                tell(w, NEWS(KEY(1, false), 12, true));
                until(w, is_current);
        }
}

static void test_a_refusal_is_no_picture(void **state)
{
        struct world *w = *state;

        start_ledger(w);
        start_feed(w);
        for (unsigned i = 0; i < 3; i++) {
                until(w, is_watching);
                sg_varlink_fail_text(w->watch, "io.scribe.Ledger.DatabaseFailed", "no");
                w->watch = NULL;
        }
        until(w, is_watching);
        assert_int_equal(w->n_watches, 4);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_EMPTY);
}

static void test_without_anything_start_up_waits_two_seconds(void **state)
{
        struct world *w = *state;
        uint64_t begin_usec = sg_clock_usec();

        start_feed(w);
        until(w, is_ready);
        assert_in_range(sg_clock_usec() - begin_usec, 1900 * SG_USEC_PER_MSEC, 10 * SG_USEC_PER_SEC);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_EMPTY);
}

static void test_a_broken_picture_is_set_aside(void **state)
{
        struct world *w = *state;
        FILE *f = fopen(w->picture, "w");

        fputs("this is\nnot a picture\nof keys\n", f);
        fclose(f);
        start_feed(w);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_EMPTY);
        assert_int_equal(access(w->broken, F_OK), 0);
        start_ledger(w);
        until(w, is_watching);
        tell(w, NEWS(KEY(1, false), 1, true));
        until(w, is_current);
        restart_feed(w);
        assert_int_equal(sg_feed_get_state(w->feed), SG_FEED_STALE);
        assert_non_null(find(w, 1));
}

static void test_a_picture_that_cannot_be_written_does_not_stop_changes(void **state)
{
        struct world *w = *state;

        start_ledger(w);
        start_feed(w);
        snprintf(w->broken, sizeof(w->broken), "%s.new", w->picture);
        assert_int_equal(mkdir(w->broken, 0700), 0); /* in the way of the new file */
        until(w, is_watching);
        tell(w, NEWS(KEY(1, false), 1, true));
        until(w, is_current);
        tell(w, NEWS(KEY(1, true), 2, true));
        until_version(w, 2);
        assert_true(find(w, 1)->is_revoked);
        assert_int_equal(access(w->picture, F_OK), -1);
        assert_int_equal(rmdir(w->broken), 0);
}

/* Several ledgers on one database: one that cannot ask it goes on telling what it knows, and says that it may be less than
 * there is. */
static void test_a_ledger_may_say_that_it_is_stale(void **state)
{
        struct world *w = *state;

        begin(w);
        tell(w, "{\"stale\":true}");
        until(w, is_stale);
        assert_true(sg_feed_is_out(w->feed));
        tell(w, NEWS(KEY(1, true), 11, false));
        until_version(w, 11);
        assert_true(find(w, 1)->is_revoked);
        assert_true(is_stale(w));
        tell(w, "{\"stale\":false}");
        until(w, is_current);
        assert_false(sg_feed_is_out(w->feed));
        assert_int_equal(w->n_watches, 1);
        /* A new picture begins anew, and may be stale from its birth. */
        tell(w, "{\"stale\":1}");
        until(w, is_watch_gone);
        until(w, is_watching);
        tell(w, "{\"changes\":[" KEY(1, false) "],\"version\":12,\"complete\":true,\"stale\":true}");
        until_version(w, 12);
        assert_true(is_stale(w));
        tell(w, "{\"stale\":false}");
        until(w, is_current);
}

static void test_states_have_names(void **state)
{
        for (int s = 0; s < SG_FEED_N; s++)
                assert_true(strlen(sg_feed_state_name((enum sg_feed_state)s)) > 0);
}

static ino_t file_of(struct world *w)
{
        struct stat st;

        assert_int_equal(stat(w->picture, &st), 0);
        return st.st_ino;
}

static void begin_again(struct world *w, const char *first, const char *second)
{
        stop_ledger(w);
        until(w, is_stale);
        until(w, is_watch_gone);
        start_ledger(w);
        until(w, is_watching);
        tell(w, first);
        tell(w, second);
        until(w, is_current);
}

/* A million keys are not written again because the ledger was restarted; what it says anew is. */
static void test_a_picture_that_says_nothing_new_is_not_written_again(void **state)
{
        struct world *w = *state;
        ino_t file;

        begin(w);
        file = file_of(w);
        begin_again(w, NEWS(KEY(1, false), 10, false), NEWS(KEY(2, false), 11, true));
        assert_int_equal(file_of(w), file);
        stop_ledger(w);
        restart_feed(w); /* and not by a new process either */
        assert_int_equal(sg_feed_version(w->feed), 11);
        start_ledger(w);
        until(w, is_watching);
        tell(w, NEWS(KEY(1, false) "," KEY(2, false), 11, true));
        until(w, is_current);
        assert_int_equal(file_of(w), file);

        begin_again(w, NEWS(KEY(1, false), 12, false), NEWS(KEY(2, true), 12, true)); /* revoked meanwhile */
        assert_int_not_equal(file_of(w), file);
        file = file_of(w);
        begin_again(w, NEWS(KEY(2, true), 13, false), "{\"version\":13,\"complete\":true}"); /* removed */
        assert_int_not_equal(file_of(w), file);
        stop_ledger(w);
        restart_feed(w);
        assert_int_equal(sg_keytable_count(w->table), 1);
        assert_true(find(w, 2)->is_revoked);
}

static bool is_first_revoked(struct world *w)
{
        return find(w, 1)->is_revoked;
}

/* Half a picture has changed the table, but not the file; then it says nothing new, and yet must be written. */
static void test_what_half_a_picture_changed_is_written_in_the_end(void **state)
{
        struct world *w = *state;

        begin(w);
        stop_ledger(w);
        until(w, is_watch_gone);
        start_ledger(w);
        until(w, is_watching);
        tell(w, NEWS(KEY(1, true), 11, false));
        until(w, is_first_revoked);
        begin_again(w, NEWS(KEY(1, true), 11, false), NEWS(KEY(2, false), 11, true));
        stop_ledger(w);
        restart_feed(w);
        assert_true(find(w, 1)->is_revoked);
}

/* ---- groups and totals */

static void test_groups_come_before_their_keys_and_survive_a_cold_start(void **state)
{
        struct world *w = *state;
        const struct sg_group *g;

        begin(w);
        tell(w, "{\"groups\":[{\"id\":5,\"name\":\"org\"},{\"id\":6,\"name\":\"team\",\"parent\":5,"
                "\"limits\":[\"8 concurrent\"]}],\"version\":11}");
        tell(w, "{\"groups\":[{\"id\":7,\"name\":\"old\"}],\"version\":12}");
        tell(w, "{\"groups\":[{\"id\":7,\"removed\":true}],\"changes\":[{\"id\":2,\"removed\":true}],\"version\":13}");
        until_version(w, 13);
        stop_ledger(w);
        restart_feed(w);
        assert_int_equal(sg_feed_version(w->feed), 13);
        g = sg_keytable_find_group(w->table, 6);
        assert_non_null(g);
        assert_int_equal(atomic_load(&g->facts)->parent->id, 5);
        assert_int_equal(atomic_load(&g->facts)->limits->at[0].limit.amount, 8);
        assert_null(sg_keytable_find_group(w->table, 7));
        assert_null(find(w, 2));
}

static struct sg_feed_total last_total;
static unsigned n_totals;

static void on_total(const struct sg_feed_total *t, void *owner)
{
        last_total = *t;
        last_total.name = SG_STR_NONE;
        n_totals++;
}

static bool has_totals(struct world *w)
{
        return n_totals == 2;
}

static void test_totals_are_handed_on_and_not_kept(void **state)
{
        struct world *w = *state;
        struct stat before, after;

        n_totals = 0;
        begin(w);
        assert_int_equal(stat(w->picture, &before), 0);
        tell(w, "{\"totals\":[]}");
        sg_feed_on_totals(w->feed, NULL, on_total, w);
        tell(w, "{\"totals\":[{\"of\":\"model\",\"name\":\"gpt\",\"window\":\"day\",\"period\":20000,\"requests\":1,"
                "\"tokens\":2,\"costs\":[]},{\"of\":\"key\",\"id\":1,\"window\":\"month\",\"period\":682,"
                "\"requests\":3,\"tokens\":4,\"costs\":[{\"currency\":\"USD\",\"amount\":\"0.0025\"}]}]}");
        until(w, has_totals);
        assert_int_equal(last_total.of, SG_FEED_TOTAL_KEY);
        assert_int_equal(last_total.id, 1);
        assert_int_equal(last_total.window, SG_WINDOW_MONTH);
        assert_int_equal(last_total.period, 682);
        assert_int_equal(last_total.requests, 3);
        assert_int_equal(last_total.tokens, 4);
        assert_int_equal(last_total.n_costs, 1);
        assert_string_equal(last_total.costs[0].currency, "USD");
        assert_int_equal(last_total.costs[0].micro, 2500);
        assert_int_equal(stat(w->picture, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_true(is_current(w));
}

static void test_wrong_groups_and_totals_end_the_connection(void **state)
{
        static const char *const wrong[] = {
                "{\"groups\":{}}",
                "{\"groups\":[{\"id\":1}]}",
                "{\"totals\":[{}]}",
                "{\"totals\":[{\"of\":\"key\",\"id\":1,\"window\":\"week\",\"period\":1,\"requests\":1,\"tokens\":1}]}",
        };
        struct world *w = *state;

        begin(w);
        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++) {
                tell(w, wrong[i]);
                until(w, is_stale);
                until(w, is_watch_gone);
                until(w, is_watching);
                tell(w, NEWS(KEY(1, false), 10, true));
                until(w, is_current);
        }
        assert_non_null(find(w, 1));
}

#define feed_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                feed_test(test_a_picture_in_batches_makes_it_current),
                feed_test(test_a_change_is_effective_and_survives_a_cold_start),
                feed_test(test_the_ledgers_end_makes_it_stale_and_its_return_current),
                feed_test(test_half_a_picture_removes_nothing),
                feed_test(test_nonsense_asks_for_the_whole_again),
                feed_test(test_a_refusal_is_no_picture),
                feed_test(test_without_anything_start_up_waits_two_seconds),
                feed_test(test_a_broken_picture_is_set_aside),
                feed_test(test_a_picture_that_cannot_be_written_does_not_stop_changes),
                feed_test(test_a_ledger_may_say_that_it_is_stale),
                feed_test(test_a_picture_that_says_nothing_new_is_not_written_again),
                feed_test(test_what_half_a_picture_changed_is_written_in_the_end),
                feed_test(test_groups_come_before_their_keys_and_survive_a_cold_start),
                feed_test(test_totals_are_handed_on_and_not_kept),
                feed_test(test_wrong_groups_and_totals_end_the_connection),
                cmocka_unit_test(test_states_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
