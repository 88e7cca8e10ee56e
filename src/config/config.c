#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/message_id.h"
#include "config/build.h"
#include "config/files.h"
#include "config/prices.h"

static _Atomic uint64_t last_number;

const char *sg_dialect_name(enum sg_dialect d)
{
        static const char *const names[SG_DIALECT_N] = {[SG_DIALECT_OPENAI] = "openai",
                                                        [SG_DIALECT_ANTHROPIC] = "anthropic",
                                                        [SG_DIALECT_AZURE] = "azure",
                                                        [SG_DIALECT_ECHO] = "echo"};

        return (unsigned)d < SG_DIALECT_N ? names[d] : "?";
}

const char *sg_strategy_name(enum sg_strategy s)
{
        static const char *const names[SG_STRATEGY_N] = {[SG_STRATEGY_WEIGHTED] = "weighted",
                                                         [SG_STRATEGY_ORDERED] = "ordered",
                                                         [SG_STRATEGY_LEAST_LATENCY] = "least_latency",
                                                         [SG_STRATEGY_CHEAPEST] = "cheapest"};

        return (unsigned)s < SG_STRATEGY_N ? names[s] : "?";
}

/* ---- files */

static int add_file(const char *path, struct sg_str bytes, void *owner, struct sg_error *err)
{
        struct sg_whole *w = owner;

        return sg_raw_add_bytes(&w->raw, bytes, path, err);
}

static int read_directory(struct sg_whole *w, const char *directory, struct sg_error *err)
{
        struct sg_str name = sg_str_from(directory);
        const char *main_file, *dropins, *prices;
        int r;

        while (name.n > 1 && name.p[name.n - 1] == '/')
                name.n--;
        w->config.directory = sg_pool_dup(&w->pool, name);
        main_file = sg_pool_printf(&w->pool, SG_STR_FMT "/gateway.conf", SG_STR_ARG(name));
        dropins = sg_pool_printf(&w->pool, SG_STR_FMT "/gateway.conf.d", SG_STR_ARG(name));
        prices = sg_pool_printf(&w->pool, SG_STR_FMT "/prices.d", SG_STR_ARG(name));
        if (!w->config.directory || !main_file || !dropins || !prices)
                return -ENOMEM;
        if (access(main_file, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
                return sg_error_set(err, -ENOENT, main_file,
                                    "there is no such file; write one, or name the directory of the configuration with "
                                    "--config DIRECTORY");
        r = sg_config_file_read(main_file, add_file, w, err);
        if (!r)
                r = sg_config_files_read(dropins, add_file, w, err);
        return r ? r : sg_prices_read(&w->config.prices, prices, err);
}

static const char *get_env(const char *name)
{
        return getenv(name);
}

/* What the machine is short of may be there at the next attempt; the rest waits for somebody with an editor. */
static void mark(struct sg_error *err, int r)
{
        if (r != -ENOMEM && r != -EMFILE && r != -ENFILE && r != -EIO)
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
}

static int read_config(struct sg_config **ret, const char *directory, struct sg_surroundings around,
                       struct sg_error *err)
{
        SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
        int r = w ? read_directory(w, directory, err) : -ENOMEM;

        around.get_env = get_env;
        around.knows_users = true;
        if (!r)
                r = sg_environment_apply(&w->raw, &around);
        if (!r)
                r = sg_whole_build(w, &around, err);
        if (r == -ENOMEM)
                return sg_error_set(err, r, directory, "out of memory while reading the configuration");
        if (r) {
                mark(err, r);
                return r;
        }
        w->config.number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
        w->config.read_wall_usec = sg_clock_wall_usec();
        *ret = &SG_GIVE(w)->config;
        return 0;
}

int sg_config_read(struct sg_config **ret, const char *directory, struct sg_error *err)
{
        return read_config(ret, directory, (struct sg_surroundings){.reads_secrets = true}, err);
}

int sg_config_read_for_ledger(struct sg_config **ret, const char *directory, struct sg_error *err)
{
        return read_config(ret, directory, (struct sg_surroundings){.reads_database_secrets = true}, err);
}

int sg_config_read_without_secrets(struct sg_config **ret, const char *directory, struct sg_error *err)
{
        return read_config(ret, directory, (struct sg_surroundings){0}, err);
}

/* ---- life */

struct sg_config *sg_config_ref(struct sg_config *c)
{
        struct sg_whole *w = SG_CONTAINER(c, struct sg_whole, config);

        SG_ASSERT(atomic_fetch_add_explicit(&w->n_refs, 1, memory_order_relaxed) > 0);
        return c;
}

struct sg_config *sg_config_unref(struct sg_config *c)
{
        struct sg_whole *w;
        uint32_t before;

        if (!c)
                return NULL;
        w = SG_CONTAINER(c, struct sg_whole, config);
        before = atomic_fetch_sub_explicit(&w->n_refs, 1, memory_order_acq_rel);
        SG_ASSERT(before > 0);
        if (before == 1)
                sg_whole_free(w);
        return NULL;
}

/* ---- questions */

const struct sg_config_provider *sg_config_find_provider(const struct sg_config *c, struct sg_str name)
{
        for (size_t i = 0; i < c->n_providers; i++)
                if (sg_str_eq(sg_str_from(c->providers[i].name), name))
                        return &c->providers[i];
        return NULL;
}

static bool texts_equal(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

/* As it was written: what is there may be a secret of another process. */
static bool has_same_text(const struct sg_setting *s, const struct sg_config *a, const struct sg_config *b)
{
        const struct sg_raw_line *x = sg_raw_last(sg_raw_find(&sg_whole_of(a)->raw, s->section, SG_STR_NONE), s);
        const struct sg_raw_line *y = sg_raw_last(sg_raw_find(&sg_whole_of(b)->raw, s->section, SG_STR_NONE), s);

        return texts_equal(x ? x->value.p : NULL, y ? y->value.p : NULL);
}

static bool has_same(const struct sg_setting *s, const struct sg_config *a, const struct sg_config *b)
{
        const char *at_a = (const char *)a + s->offset, *at_b = (const char *)b + s->offset;
        const char *text_a, *text_b;

        switch (s->kind) {
        case SG_KIND_SINK:
                return a->log_sink_is_auto == b->log_sink_is_auto && a->log_sink == b->log_sink &&
                       texts_equal(a->log_path, b->log_path);
        case SG_KIND_SECRET:
        case SG_KIND_PEM_FILE:
                return has_same_text(s, a, b);
        case SG_KIND_DIRECTORY:
        case SG_KIND_FILE:
        case SG_KIND_GROUP:
        case SG_KIND_DATABASE:
                memcpy(&text_a, at_a, sizeof(text_a));
                memcpy(&text_b, at_b, sizeof(text_b));
                return texts_equal(text_a, text_b);
        default:
                return memcmp(at_a, at_b, s->width) == 0;
        }
}

static const struct sg_config_listener *find_listener(const struct sg_config *c, const char *name)
{
        for (size_t i = 0; i < c->n_listeners; i++)
                if (strcmp(c->listeners[i].name, name) == 0)
                        return &c->listeners[i];
        return NULL;
}

static bool has_same_listeners(const struct sg_config *a, const struct sg_config *b)
{
        if (a->n_listeners != b->n_listeners)
                return false;
        for (size_t i = 0; i < a->n_listeners; i++) {
                const struct sg_config_listener *other = find_listener(b, a->listeners[i].name);

                if (!other || !texts_equal(a->listeners[i].address, other->address))
                        return false;
        }
        return true;
}

const char *sg_config_needs_restart(const struct sg_config *from, const struct sg_config *to)
{
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                if (!s->needs_restart)
                        continue;
                if (s->section == SG_SECTION_LISTENER ? !has_same_listeners(from, to) : !has_same(s, from, to))
                        return s->key;
        }
        return NULL;
}
