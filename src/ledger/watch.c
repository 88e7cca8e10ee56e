/* Keys in pages: ListKeys, and WatchKeys, which stays after its last page and is told of each change. */
#include <stdlib.h>

#include "ledger/verbs.h"

#define PAGE_KEYS    1000u
#define KEYS_AT_ONCE 10000u /* without `more` */

struct watcher {
        struct sg_link link;
        struct sg_ledger_server *server;
        struct sg_varlink_call *call;
        struct page *page; /* that the keeper reads for it; NULL: none */
        bool is_watching;  /* else ListKeys */
        bool is_at_once;   /* ListKeys without `more` */
        bool with_revoked;
        bool is_complete; /* it has the picture */
        uint64_t next_id, version;
};

/* A share of the keys. Between two of them the keeper does what others ask; jobs are done in their order, so that a page
 * tells of a change that was told before it, and a change that was told after it. */
struct page {
        struct sg_job job;
        struct watcher *watcher; /* NULL: its client is gone */
        bool is_watching, with_revoked;
        uint64_t from_id, limit;
        /* found */
        struct json_object *array;
        uint64_t next_id, version;
};

static struct page *page_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct page, job);
}

static void watcher_free(struct watcher *w)
{
        sg_list_remove(&w->server->watchers, &w->link);
        if (w->page)
                w->page->watcher = NULL;
        if (sg_watch_count(w->server) == 0)
                sg_totals_stop(w->server->totals);
        free(w);
}

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        watcher_free(owner);
}

static void fail(struct watcher *w, const struct sg_error *err)
{
        struct sg_varlink_call *call = w->call;

        watcher_free(w);
        sg_verb_fail_database(call, err);
}

/* ---- the keeper's part */

static void add_to_page(const struct sg_store_key *key, void *owner)
{
        struct page *p = owner;

        json_object_array_add(p->array, p->is_watching ? sg_json_key_change(key) : sg_json_key(key));
        p->next_id = key->id + 1;
        p->version = SG_MAX(p->version, key->version);
}

static int read_page(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct page *p = page_of(job);
        const struct sg_store_key_filter filter = {
                .from_id = p->from_id, .limit = p->limit, .with_revoked = p->with_revoked};

        p->array = json_object_new_array();
        return sg_store_key_select(s, &filter, add_to_page, p, err);
}

/* ---- the loop's */

static struct json_object *wrap(const char *name, struct json_object *array)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, name, array);
        return o;
}

static void want_page(struct sg_varlink_call *call, void *owner);

/* The picture is whole: from here on only changes. A change made since the first page was told as it happened. */
static void tell_complete(struct watcher *w)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_bool(o, "complete", true);
        sg_members_add_u64(o, "version", w->version);
        w->is_complete = true;
        sg_totals_want_all(w->server->totals);
        if (sg_others_is_stale(w->server->others))
                sg_members_add_bool(o, "stale", true);
        (void)sg_varlink_reply_more(w->call, o); /* if it is gone, on_gone comes */
}

static void send_page(struct watcher *w, struct json_object *array, bool is_last)
{
        struct sg_varlink_call *call = w->call;

        if (is_last && !w->is_watching) {
                watcher_free(w);
                sg_varlink_reply(call, wrap("keys", array));
                return;
        }
        if (!sg_varlink_reply_more(call, wrap(w->is_watching ? "changes" : "keys", array)))
                return;
        if (is_last)
                tell_complete(w);
        else
                sg_varlink_call_when_drained(call, want_page, w);
}

static void take_page(struct watcher *w, struct page *p)
{
        bool is_last = json_object_array_length(p->array) < p->limit;
        struct sg_varlink_call *call = w->call;

        w->next_id = p->next_id;
        w->version = SG_MAX(w->version, p->version);
        if (w->is_at_once && !is_last) {
                watcher_free(w);
                (void)sg_varlink_expect_more(call); /* fails the call, which did not ask for more */
                return;
        }
        send_page(w, SG_GIVE(p->array), is_last);
}

static void page_is_read(struct sg_job *job, int r, const struct sg_error *err)
{
        struct page *p = page_of(job);
        struct watcher *w = p->watcher;

        if (w) {
                w->page = NULL;
                if (r)
                        fail(w, err);
                else
                        take_page(w, p);
        }
        json_object_put(p->array);
        free(p);
}

static void want_page(struct sg_varlink_call *call, void *owner)
{
        struct watcher *w = owner;
        struct page *p = calloc(1, sizeof(*p));

        if (p) {
                *p = (struct page){.job = {.run = read_page, .done = page_is_read},
                                   .watcher = w,
                                   .is_watching = w->is_watching,
                                   .with_revoked = w->with_revoked,
                                   .from_id = w->next_id,
                                   .next_id = w->next_id,
                                   .limit = w->is_at_once ? KEYS_AT_ONCE + 1 : PAGE_KEYS};
                if (sg_keeper_post(w->server->keeper, &p->job) == 0) {
                        w->page = p;
                        return;
                }
        }
        free(p);
        watcher_free(w);
        sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "too much waits for the database: try again later");
}

static void start(struct sg_ledger_server *s, const struct watcher *wanted)
{
        struct watcher *w = calloc(1, sizeof(*w));

        if (!w) {
                sg_varlink_fail_text(wanted->call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        *w = *wanted;
        w->server = s;
        sg_list_push(&s->watchers, &w->link);
        sg_varlink_call_watch(w->call, on_gone, w);
        want_page(w->call, w);
}

void sg_verb_list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *revoked = NULL;
        const struct sg_varlink_parameter expected[] = {{"include_revoked", SG_VARLINK_BOOL, false, &revoked}};

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        start(owner, &(struct watcher){.call = call,
                                       .is_at_once = !sg_varlink_call_wants_more(call),
                                       .with_revoked = revoked && json_object_get_boolean(revoked)});
}

void sg_verb_watch_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (!sg_varlink_read(call, parameters, NULL, 0) || !sg_varlink_expect_more(call))
                return;
        /* Revoked ones, too: the gateway tells their callers so. */
        start(owner, &(struct watcher){.call = call, .is_watching = true, .with_revoked = true});
}

size_t sg_watch_count(const struct sg_ledger_server *s)
{
        size_t n = 0;

        SG_LIST_EACH (&s->watchers, k) {
                n += SG_CONTAINER(k, struct watcher, link)->is_watching;
        }
        return n;
}

static void begin_anew(struct watcher *w)
{
        struct sg_varlink_call *call = w->call;

        watcher_free(w);
        sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"),
                             "not every change is known by itself: watch again for the full picture");
}

void sg_watch_tell_news(struct sg_ledger_server *s, struct json_object *news, uint64_t version)
{
        SG_LIST_EACH (&s->watchers, k) {
                struct watcher *w = SG_CONTAINER(k, struct watcher, link);

                if (!w->is_watching)
                        continue;
                w->version = SG_MAX(w->version, version);
                if (news)
                        (void)sg_varlink_reply_more(w->call, json_object_get(news));
                else
                        begin_anew(w);
        }
        json_object_put(news);
}

void sg_watch_tell(struct sg_ledger_server *s, struct json_object *change, uint64_t version)
{
        struct json_object *news = NULL, *array;

        if (change) {
                array = json_object_new_array();
                json_object_array_add(array, change);
                news = wrap("changes", array);
                sg_members_add_u64(news, "version", version);
        }
        sg_watch_tell_news(s, news, version);
}

void sg_watch_tell_stale(struct sg_ledger_server *s, bool is_stale)
{
        sg_watch_tell_news(s, wrap("stale", json_object_new_boolean(is_stale)), 0);
}

/* A watcher that has no picture yet would not know of whom it is told. */
void sg_watch_tell_totals(struct json_object *totals, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct json_object *o = wrap("totals", totals);

        SG_LIST_EACH (&s->watchers, k) {
                struct watcher *w = SG_CONTAINER(k, struct watcher, link);

                if (w->is_complete)
                        (void)sg_varlink_reply_more(w->call, json_object_get(o));
        }
        json_object_put(o);
}
