/* Keys in pages: ListKeys, and WatchKeys, which stays after its last page and is told of each change. */
#include <stdlib.h>

#include "ledger/verbs.h"

#define PAGE_KEYS    1000u
#define KEYS_AT_ONCE 10000u /* without `more` */

struct watcher {
        struct sg_link link;
        struct sg_ledger_server *server;
        struct sg_varlink_call *call;
        bool is_watching; /* else ListKeys */
        bool with_revoked;
        uint64_t next_id;
};

struct page {
        struct json_object *array;
        bool is_watching;
        uint64_t next_id;
};

static void watcher_free(struct watcher *w)
{
        sg_list_remove(&w->server->watchers, &w->link);
        free(w);
}

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        watcher_free(owner);
}

static void add_to_page(const struct sg_store_key *key, void *owner)
{
        struct page *p = owner;

        json_object_array_add(p->array, p->is_watching ? sg_json_key_change(key) : sg_json_key(key));
        p->next_id = key->id + 1;
}

static int read_page(struct watcher *w, uint64_t limit, struct json_object **ret, struct sg_error *err)
{
        struct page page = {json_object_new_array(), w->is_watching, w->next_id};
        const struct sg_store_key_filter filter = {
                .from_id = w->next_id, .limit = limit, .with_revoked = w->with_revoked};
        int r = sg_store_key_select(w->server->store, &filter, add_to_page, &page, err);

        if (r) {
                json_object_put(page.array);
                return r;
        }
        w->next_id = page.next_id;
        *ret = page.array;
        return 0;
}

static struct json_object *wrap(const char *name, struct json_object *array)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, name, array);
        return o;
}

/* The picture is whole: from here on only changes. A change made since the first page was told as it happened. */
static int tell_complete(struct watcher *w, struct sg_error *err)
{
        struct sg_store_counts counts;
        struct json_object *o;
        int r;

        r = sg_store_count(w->server->store, 0, &counts, err);
        if (r)
                return r;
        o = json_object_new_object();
        sg_members_add_bool(o, "complete", true);
        sg_members_add_u64(o, "version", counts.key_version);
        (void)sg_varlink_reply_more(w->call, o); /* if it is gone, on_gone comes */
        return 0;
}

static void send_page(struct sg_varlink_call *call, void *owner)
{
        struct watcher *w = owner;
        struct json_object *array = NULL;
        struct sg_error err = {0};
        bool is_last;
        int r;

        r = read_page(w, PAGE_KEYS, &array, &err);
        if (r) {
                watcher_free(w);
                sg_verb_fail_database(call, &err);
                return;
        }
        is_last = json_object_array_length(array) < PAGE_KEYS;
        if (is_last && !w->is_watching) {
                watcher_free(w);
                sg_varlink_reply(call, wrap("keys", array));
                return;
        }
        if (!sg_varlink_reply_more(call, wrap(w->is_watching ? "changes" : "keys", array)))
                return;
        if (!is_last) {
                sg_varlink_call_when_drained(call, send_page, w);
                return;
        }
        if (tell_complete(w, &err) != 0) {
                watcher_free(w);
                sg_verb_fail_database(call, &err);
        }
}

static void start(struct sg_ledger_server *s, struct sg_varlink_call *call, bool is_watching, bool with_revoked)
{
        struct watcher *w = calloc(1, sizeof(*w));

        if (!w) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        *w = (struct watcher){.server = s, .call = call, .is_watching = is_watching, .with_revoked = with_revoked};
        sg_list_push(&s->watchers, &w->link);
        sg_varlink_call_watch(call, on_gone, w);
        send_page(call, w);
}

static void list_at_once(struct sg_ledger_server *s, struct sg_varlink_call *call, bool with_revoked)
{
        struct watcher w = {.server = s, .with_revoked = with_revoked};
        struct json_object *array = NULL;
        struct sg_error err = {0};
        int r;

        r = read_page(&w, KEYS_AT_ONCE + 1, &array, &err);
        if (r) {
                sg_verb_fail_database(call, &err);
                return;
        }
        if (json_object_array_length(array) > KEYS_AT_ONCE) {
                json_object_put(array);
                (void)sg_varlink_expect_more(call); /* fails the call, which did not ask for more */
                return;
        }
        sg_varlink_reply(call, wrap("keys", array));
}

void sg_verb_list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *revoked = NULL;
        const struct sg_varlink_parameter expected[] = {{"include_revoked", SG_VARLINK_BOOL, false, &revoked}};
        bool with_revoked;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        with_revoked = revoked && json_object_get_boolean(revoked);
        if (sg_varlink_call_wants_more(call))
                start(owner, call, false, with_revoked);
        else
                list_at_once(owner, call, with_revoked);
}

void sg_verb_watch_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (!sg_varlink_read(call, parameters, NULL, 0) || !sg_varlink_expect_more(call))
                return;
        /* Revoked ones, too: the gateway tells their callers so. */
        start(owner, call, true, true);
}

void sg_watch_tell(struct sg_ledger_server *s, struct json_object *change, uint64_t version)
{
        struct json_object *o = NULL, *array;

        if (change) {
                array = json_object_new_array();
                json_object_array_add(array, change);
                o = wrap("changes", array);
                sg_members_add_u64(o, "version", version);
        }
        SG_LIST_EACH (&s->watchers, k) {
                struct watcher *w = SG_CONTAINER(k, struct watcher, link);
                struct sg_varlink_call *call = w->call;

                if (!w->is_watching)
                        continue;
                if (o) {
                        (void)sg_varlink_reply_more(call, json_object_get(o));
                        continue;
                }
                watcher_free(w);
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"),
                                     "a change could not be read: watch again for the full picture");
        }
        json_object_put(o);
}
