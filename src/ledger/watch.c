/*
 * Keys and groups in pages: ListKeys, ExportKeys, ListGroups, and WatchKeys, which is told the groups, then the keys, and
 * stays after its last page for each change.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ledger/form.h"
#include "ledger/tree.h"
#include "ledger/verbs.h"

#define PAGE_ROWS    1000u
#define ROWS_AT_ONCE 10000u /* without `more` */

/* What pages are made of. A page of groups reads the whole tree each time: they are few. */
struct kind {
        const char *member;                                              /* of the reply, and of the page's object */
        struct json_object *(*key_json)(const struct sg_store_key *key); /* NULL: groups */
        bool is_change, with_revoked;
};

static const struct kind listed_keys = {"keys", sg_json_key, false, false};
static const struct kind exported_keys = {"keys", sg_json_key_record, false, false};
static const struct kind listed_groups = {"groups", NULL, false, false};
static const struct kind watched_groups = {"groups", NULL, true, false};
/* Revoked ones, too: the gateway tells their callers so. */
static const struct kind watched_keys = {"changes", sg_json_key_change, true, true};

struct filter {
        char name[SG_KEY_NAME_CHARS_MAX + 2], group[SG_KEY_NAME_CHARS_MAX + 1]; /* "": any */
        bool with_revoked;
};

struct watcher {
        struct sg_link link;
        struct sg_ledger_server *server;
        struct sg_varlink_call *call;
        struct page *page; /* that the keeper reads for it; NULL: none */
        const struct kind *kind;
        struct filter filter;
        bool is_at_once;                 /* without `more` */
        bool is_complete;                /* it has the picture */
        uint64_t next_id, version, left; /* left: how many are wanted still */
};

/* Some of the rows. Between two pages the keeper does what others ask; jobs are done in their order, so that a page tells
 * of a change that was told before it, and a change that was told after it. */
struct page {
        struct sg_job job;
        struct watcher *watcher; /* NULL: its client is gone */
        const struct kind *kind;
        struct filter filter;
        uint64_t from_id, limit;
        /* found */
        struct json_object *array;
        bool has_more;             /* from next_id on */
        uint64_t next_id, version; /* next_id 0: none */
        struct sg_refusal refusal;
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

static bool is_watching(const struct watcher *w)
{
        return w->kind->is_change;
}

/* ---- the keeper's part */

/* False: the page is full, and this one begins the next. */
static bool may_add(struct page *p, uint64_t id, uint64_t version)
{
        if (json_object_array_length(p->array) == p->limit) {
                p->next_id = p->has_more ? p->next_id : id;
                p->has_more = true;
                return false;
        }
        p->version = SG_MAX(p->version, version);
        return true;
}

static void add_key(const struct sg_store_key *key, void *owner)
{
        struct page *p = owner;

        if (may_add(p, key->id, key->version))
                json_object_array_add(p->array, p->kind->key_json(key));
}

static int read_keys(struct page *p, struct sg_store *s, struct sg_error *err)
{
        struct sg_store_key_filter filter = {.name = sg_str_from(p->filter.name),
                                             .from_id = p->from_id,
                                             .limit = p->limit + 1,
                                             .with_revoked = p->filter.with_revoked || p->kind->with_revoked};
        struct sg_tree tree;
        int r = 0;

        if (p->filter.group[0])
                r = sg_store_group_find(s, sg_str_from(p->filter.group), &filter.group_id, err);
        if (r != SG_STORE_E_NONE)
                return r ? r : sg_store_key_select(s, &filter, add_key, p, err);
        r = sg_tree_init(&tree, s, false, err);
        if (r)
                return r;
        r = sg_refuse_group(&p->refusal, &tree, p->filter.group);
        sg_tree_done(&tree);
        return r;
}

static int read_groups(struct page *p, struct sg_store *s, struct sg_error *err)
{
        struct sg_tree tree;
        int r = sg_tree_init(&tree, s, !p->kind->is_change, err);

        if (r)
                return r;
        for (size_t i = 0; i < tree.n && !p->has_more; i++) {
                const struct sg_tree_group *g = &tree.at[i];
                const struct sg_store_group row = sg_tree_row(g);

                if (g->id >= p->from_id && may_add(p, g->id, g->version))
                        json_object_array_add(p->array, p->kind->is_change ? sg_json_group_change(&row)
                                                                           : sg_json_group(&tree, g));
        }
        sg_tree_done(&tree);
        return 0;
}

static int read_page(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct page *p = page_of(job);

        p->array = json_object_new_array();
        return p->kind->key_json ? read_keys(p, s, err) : read_groups(p, s, err);
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

/* The last one, or the limit is reached. */
static void send_last_page(struct watcher *w, struct page *p)
{
        struct sg_varlink_call *call = w->call;
        struct json_object *o = wrap(p->kind->member, SG_GIVE(p->array));

        if (p->has_more)
                sg_members_add_u64(o, "next_id", p->next_id);
        watcher_free(w);
        sg_varlink_reply(call, o);
}

static void take_page(struct watcher *w, struct page *p)
{
        size_t n = json_object_array_length(p->array);
        struct sg_varlink_call *call = w->call;

        w->next_id = p->next_id;
        w->version = SG_MAX(w->version, p->version);
        w->left -= n;
        if (w->is_at_once && p->has_more && w->left) {
                watcher_free(w);
                (void)sg_varlink_expect_more(call); /* fails the call, which did not ask for more */
                return;
        }
        if (!is_watching(w) && (!p->has_more || !w->left)) {
                send_last_page(w, p);
                return;
        }
        if (n && !sg_varlink_reply_more(call, wrap(p->kind->member, SG_GIVE(p->array))))
                return;
        if (!p->has_more && w->kind == &watched_keys) {
                tell_complete(w);
                return;
        }
        if (!p->has_more) {
                w->kind = &watched_keys;
                w->next_id = 0;
        }
        sg_varlink_call_when_drained(call, want_page, w);
}

static void fail(struct watcher *w, const struct page *p, int r, const struct sg_error *err)
{
        struct sg_verb_job failed = {.call = w->call};

        watcher_free(w);
        if (r == SG_VERB_E_REFUSED)
                sg_verb_refused(&failed, &p->refusal);
        else
                sg_verb_failed(&failed, err);
}

static void page_is_read(struct sg_job *job, int r, const struct sg_error *err)
{
        struct page *p = page_of(job);
        struct watcher *w = p->watcher;

        if (w) {
                w->page = NULL;
                if (r)
                        fail(w, p, r, err);
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
                                   .kind = w->kind,
                                   .filter = w->filter,
                                   .from_id = w->next_id,
                                   .limit = SG_MIN(w->left, w->is_at_once ? ROWS_AT_ONCE : PAGE_ROWS)};
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
        w->left = w->left ? w->left : UINT64_MAX;
        w->is_at_once = !sg_varlink_call_wants_more(w->call);
        sg_list_push(&s->watchers, &w->link);
        sg_varlink_call_watch(w->call, on_gone, w);
        want_page(w->call, w);
}

/* ---- the verbs */

static bool read_id(struct sg_varlink_call *call, struct json_object *o, const char *name, uint64_t *ret)
{
        int64_t v = o ? json_object_get_int64(o) : 0;

        if (!o)
                return true;
        if (v < 1) {
                sg_varlink_fail_parameter(call, name);
                return false;
        }
        *ret = (uint64_t)v;
        return true;
}

static bool read_filter(struct sg_varlink_call *call, struct json_object *name, struct json_object *group,
                        struct filter *ret)
{
        const char *pattern = name ? json_object_get_string(name) : "";
        const char *group_name = group ? json_object_get_string(group) : "";

        if (name && !sg_form_pattern_is_good(sg_str_from(pattern))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadName"),
                                     "a key's name " SG_FORM_NAME_WORDS "; a * may stand at the end");
                return false;
        }
        if (group && !sg_form_name_is_good(sg_str_from(group_name))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("NoSuchGroup"),
                                     "there is no such group: a group's name " SG_FORM_NAME_WORDS);
                return false;
        }
        (void)snprintf(ret->name, sizeof(ret->name), "%s", pattern);
        (void)snprintf(ret->group, sizeof(ret->group), "%s", group_name);
        return true;
}

void sg_verb_list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *revoked = NULL, *name = NULL, *group = NULL, *limit = NULL, *from = NULL;
        const struct sg_varlink_parameter expected[] = {
                {"include_revoked", SG_VARLINK_BOOL, false, &revoked},
                {"name", SG_VARLINK_STRING, false, &name},
                {"group", SG_VARLINK_STRING, false, &group},
                {"limit", SG_VARLINK_INT, false, &limit},
                {"from_id", SG_VARLINK_INT, false, &from},
        };
        struct watcher w = {.call = call, .kind = &listed_keys};

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)) ||
            !read_id(call, limit, "limit", &w.left) || !read_id(call, from, "from_id", &w.next_id) ||
            !read_filter(call, name, group, &w.filter))
                return;
        w.filter.with_revoked = revoked && json_object_get_boolean(revoked);
        start(owner, &w);
}

void sg_verb_export_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (sg_varlink_read(call, parameters, NULL, 0) && sg_varlink_expect_more(call))
                start(owner, &(struct watcher){.call = call, .kind = &exported_keys});
}

void sg_verb_list_groups(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (sg_varlink_read(call, parameters, NULL, 0))
                start(owner, &(struct watcher){.call = call, .kind = &listed_groups});
}

void sg_verb_watch_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        if (sg_varlink_read(call, parameters, NULL, 0) && sg_varlink_expect_more(call))
                start(owner, &(struct watcher){.call = call, .kind = &watched_groups});
}

size_t sg_watch_count(const struct sg_ledger_server *s)
{
        size_t n = 0;

        SG_LIST_EACH (&s->watchers, k) {
                n += is_watching(SG_CONTAINER(k, struct watcher, link));
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

                if (!is_watching(w))
                        continue;
                w->version = SG_MAX(w->version, version);
                if (news)
                        (void)sg_varlink_reply_more(w->call, json_object_get(news));
                else
                        begin_anew(w);
        }
        json_object_put(news);
}

void sg_watch_tell(struct sg_ledger_server *s, struct json_object *groups, struct json_object *keys, uint64_t version)
{
        struct json_object *news = groups || keys ? json_object_new_object() : NULL;

        if (groups)
                json_object_object_add(news, "groups", groups);
        if (keys)
                json_object_object_add(news, "changes", keys);
        if (news) {
                sg_members_add_u64(news, "version", version);
                sg_others_told(s->others, version);
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
