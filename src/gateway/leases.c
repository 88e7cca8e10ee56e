/*
 * Redis and the leases: who is connected, what is told of it, and when the leases have their turn. What is asked and
 * answered is leases_ask.c.
 */
#include "gateway/leases.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/message_id.h"
#include "base/random.h"
#include "gateway/leases_internal.h"

#define MAGIC         UINT64_C(0x3154454c46475353) /* "SSGFLET1" */
#define LEAVE_USEC    (300 * SG_USEC_PER_MSEC)
#define WAIT_MAX_USEC (2 * SG_USEC_PER_SEC)

/* ---- turns */

static void look_for_fleet(struct sg_leases *l)
{
        const bool is_alone = l->redis && sg_fleet_is_alone(&l->fleet, sg_loop_now_usec(l->options.loop));

        if (is_alone == l->is_alone)
                return;
        l->is_alone = is_alone;
        sg_limits_set_alone(l->options.limits, is_alone);
}

static void turn(struct sg_leases *l)
{
        look_for_fleet(l);
        leases_take_wants(l);
        if (l->is_alone)
                leases_tend(l);
        leases_ask(l);
}

static void on_scan(struct sg_timer *t, void *owner)
{
        struct sg_leases *l = owner;

        sg_timer_start(&l->scan, LEASES_SCAN_USEC);
        if (!l->redis)
                return;
        look_for_fleet(l);
        leases_tend(l);
        turn(l);
}

static void on_tick(struct sg_timer *t, void *owner)
{
        turn(owner);
}

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_leases *l = owner;

        atomic_store(&l->is_wanted, false);
        turn(l);
}

void sg_leases_want(void *leases)
{
        struct sg_leases *l = leases;

        if (!atomic_exchange(&l->is_wanted, true))
                sg_mailbox_post(l->mailbox, &l->letter);
}

/* ---- what is told */

static void note_out(struct sg_leases *l, const char *why)
{
        (void)snprintf(l->last_error, sizeof(l->last_error), "%s", why);
        if (!l->out_since_wall_usec)
                l->out_since_wall_usec = sg_clock_wall_usec();
        if (l->is_out_told)
                return;
        l->is_out_told = true;
        sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_REDIS_OUT,
                       "the Redis at %s does not share limits: %s; this gateway goes on with what it was granted, then "
                       "with its share, one of %" PRIu64,
                       l->config.url, why, SG_MAX(l->fleet.n_nodes, (uint64_t)1));
}

static void note_back(struct sg_leases *l)
{
        l->out_since_wall_usec = 0;
        if (!l->is_out_told)
                return;
        l->is_out_told = false;
        sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_REDIS_BACK,
                       "the Redis at %s shares limits again, between %" PRIu64 " gateways", l->config.url,
                       l->fleet.n_nodes);
}

void leases_failed(struct sg_leases *l, const char *why)
{
        note_out(l, why);
}

/* A torn file is as good as none: it is only how many there were. */
static void remember_nodes(struct sg_leases *l)
{
        char text[SG_U64_DIGITS_MAX + 1];
        int fd;

        if (l->fleet.n_nodes == l->n_nodes_written)
                return;
        l->n_nodes_written = l->fleet.n_nodes;
        fd = open(l->nodes_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
        if (fd < 0)
                return;
        (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", l->fleet.n_nodes);
        if (write(fd, text, strlen(text)) < 0)
                sg_debug("%s: %s", l->nodes_path, strerrordesc_np(errno));
        close(fd);
}

void leases_answered(struct sg_leases *l)
{
        l->file->heard_usec = l->fleet.heard_usec;
        l->file->n_nodes = l->fleet.n_nodes;
        remember_nodes(l);
        note_back(l);
}

/* ---- Redis */

static void load_script(struct sg_leases *l)
{
        const struct sg_str words[] = {SG_STR("SCRIPT"), SG_STR("LOAD"), sg_str_from(sg_lease_script)};

        l->script[0] = '\0';
        if (sg_redis_send(l->redis, &l->load, words, SG_N_ELEMENTS(words)))
                sg_debug("redis: the script cannot be sent");
}

static void on_loaded(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner)
{
        struct sg_leases *l = owner;
        char words[SG_REDIS_WORDS_BYTES];

        if (!reply)
                return;
        if (reply->kind == SG_REDIS_ERROR) {
                (void)sg_redis_error_words(reply->text, words);
                leases_failed(l, words);
        } else if (reply->kind != SG_REDIS_TEXT || reply->text.n != 40) {
                leases_failed(l, "it takes no scripts");
        } else {
                (void)sg_str_copy(l->script, sizeof(l->script), reply->text);
                l->asked_usec = 0;
                turn(l);
        }
}

void leases_on_script_missing(struct sg_leases *l)
{
        load_script(l);
}

static void on_ready(struct sg_redis *r, void *owner)
{
        load_script(owner);
}

static void on_out(struct sg_redis *r, const char *why, void *owner)
{
        struct sg_leases *l = owner;

        l->script[0] = '\0';
        note_out(l, why);
        if (l->is_leaving)
                leases_all_left(l);
}

static const struct sg_redis_listener listener = {on_ready, on_out};

/* ---- configuration */

static bool is_same_text(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_same_secret(const struct sg_secret *a, const struct sg_secret *b)
{
        return a == b || (a && b && sg_secret_equals(a, sg_secret_bytes(b)));
}

/* Files of TLS may have changed behind the same names. */
static bool is_same(const struct sg_config_redis *a, const struct sg_config_redis *b)
{
        return is_same_text(a->url, b->url) && is_same_text(a->user, b->user) && !b->is_tls &&
               is_same_secret(a->password, b->password) && is_same_text(a->prefix, b->prefix);
}

static void free_config(struct sg_config_redis *c)
{
        const char *const texts[] = {c->url, c->host, c->socket_path, c->user, c->tls_server_name, c->prefix};

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                free((char *)texts[i]);
        sg_secret_unref(c->password);
        *c = (struct sg_config_redis){};
}

static int copy_config(struct sg_config_redis *to, const struct sg_config_redis *from)
{
        const char **const texts[] = {&to->url,   &to->host, &to->socket_path, &to->user, &to->tls_server_name,
                                      &to->prefix};
        int r = 0;

        *to = *from;
        to->ca_file = to->tls_certificate = to->tls_key = NULL; /* read already */
        if (to->password)
                sg_secret_ref(to->password);
        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++)
                if (*texts[i] && !(*texts[i] = strdup(*texts[i])))
                        r = -ENOMEM;
        return r;
}

static int connect_to(struct sg_leases *l, const struct sg_config_redis *c, struct sg_redis **ret, struct sg_error *err)
{
        SG_AUTO(sg_tls_trust_unref) struct sg_tls_trust *trust = NULL;
        SG_AUTO(sg_tls_certificate_unref) struct sg_tls_certificate *certificate = NULL;
        int r = 0;

        if (c->is_tls)
                r = sg_tls_trust_new(&trust, c->ca_file, err);
        if (!r && c->is_tls && c->tls_certificate)
                r = sg_tls_certificate_new(&certificate, c->tls_certificate, c->tls_key, err);
        if (r)
                return r;
        r = sg_redis_new(ret, l->options.loop, l->resolver,
                         &(struct sg_redis_options){.host = c->host,
                                                    .port = c->port,
                                                    .socket_path = c->socket_path,
                                                    .user = c->user,
                                                    .password = c->password,
                                                    .database = c->database,
                                                    .trust = trust,
                                                    .tls_server_name = c->tls_server_name,
                                                    .certificate = certificate,
                                                    .wait_max_usec = WAIT_MAX_USEC},
                         &listener, l);
        return r ? sg_error_set(err, r, c->url, "the connection to Redis could not be set up: %s", strerror(-r)) : 0;
}

static void disconnect(struct sg_leases *l)
{
        if (l->fleet.sent_usec)
                leases_lost(l);
        l->redis = sg_redis_free(l->redis);
        l->script[0] = '\0';
}

/* What an earlier process, or an earlier Redis, has granted: good for a moment only. */
static void begin_fleet(struct sg_leases *l, bool is_other)
{
        const uint64_t now = sg_loop_now_usec(l->options.loop), heard = l->file->heard_usec;
        const bool is_fresh = !is_other && heard && heard <= now && now - heard < SG_LEASE_FRESH_USEC;

        leases_forget(l);
        sg_limits_need_grants(l->options.limits, true, !is_fresh);
        sg_fleet_init(&l->fleet, l->file->n_nodes, now, sg_clock_wall_usec());
        l->asked_usec = 0;
}

int sg_leases_configure(struct sg_leases *l, const struct sg_config_redis *c, struct sg_error *err)
{
        struct sg_redis *redis = NULL;
        struct sg_config_redis config;
        bool is_other;
        int r;

        if (is_same(&l->config, c))
                return 0;
        r = copy_config(&config, c);
        if (!r && c->url)
                r = connect_to(l, c, &redis, err);
        if (r) {
                free_config(&config);
                return r == -ENOMEM ? sg_error_set(err, r, "", "out of memory") : r;
        }
        is_other = l->config.url && !(is_same_text(l->config.url, c->url) && is_same_text(l->config.prefix, c->prefix));
        if (l->redis)
                disconnect(l);
        if (c->url && (is_other || !l->config.url)) {
                begin_fleet(l, is_other);
        } else if (!c->url) {
                leases_forget(l);
                sg_limits_need_grants(l->options.limits, false, false);
                sg_limits_set_alone(l->options.limits, l->is_alone = false);
                l->options.on_moved(l->options.owner);
        }
        free_config(&l->config);
        l->config = config;
        l->redis = redis;
        l->is_out_told = false;
        l->out_since_wall_usec = 0;
        return 0;
}

/* ---- the end */

void leases_all_left(struct sg_leases *l)
{
        void (*on_left)(void *owner) = l->on_left;

        sg_timer_stop(&l->leave_lasts);
        l->on_left = NULL;
        if (on_left)
                on_left(l->left_owner);
}

static void on_leave_lasts(struct sg_timer *t, void *owner)
{
        leases_all_left(owner);
}

void sg_leases_leave(struct sg_leases *l, void (*on_left)(void *owner), void *owner)
{
        const bool is_there = l->redis && sg_redis_is_ready(l->redis) && l->script[0];

        l->is_leaving = true;
        l->on_left = on_left;
        l->left_owner = owner;
        sg_timer_start(&l->leave_lasts, is_there ? LEAVE_USEC : 0);
        leases_ask(l);
}

void sg_leases_rest(struct sg_leases *l)
{
        if (l->redis)
                disconnect(l);
        sg_timer_stop(&l->scan);
        sg_timer_stop(&l->tick);
}

/* ---- birth */

static void make_node(struct leases_file *f)
{
        uint64_t id;

        sg_random_bytes(&id, sizeof(id));
        *f = (struct leases_file){.magic = MAGIC};
        sg_str_put_hex64(f->node, id);
}

static uint64_t read_nodes(const char *path)
{
        struct sg_buf b;
        uint64_t n = 0;

        sg_buf_init(&b, 64);
        if (sg_buf_add_file(&b, path) || sg_buf_length(&b) < 2 ||
            sg_str_to_u64(sg_str_head(sg_buf_view(&b), sg_buf_length(&b) - 1), &n))
                n = 0;
        sg_buf_done(&b);
        return SG_MIN(n, UINT64_C(100000));
}

/* A node's name is as old as its words: both are in the runtime directory. */
static int open_file(struct sg_leases *l, struct sg_error *err)
{
        const char *path = l->options.fleet_path;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640), r = 0;
        void *at = MAP_FAILED;

        if (fd < 0 || ftruncate(fd, sizeof(struct leases_file)))
                r = -errno;
        else
                at = mmap(NULL, sizeof(struct leases_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (!r && at == MAP_FAILED)
                r = -errno;
        if (fd >= 0)
                close(fd);
        if (r)
                return sg_error_set(err, r, path, "the node's file cannot be used: %s", strerror(-r));
        l->file = at;
        if (l->file->magic != MAGIC)
                make_node(l->file);
        if (!l->file->n_nodes || l->file->n_nodes > 100000)
                l->file->n_nodes = read_nodes(l->nodes_path);
        return 0;
}

int sg_leases_new(struct sg_leases **ret, const struct sg_leases_options *options, struct sg_error *err)
{
        SG_AUTO(sg_leases_free) struct sg_leases *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        l->options = *options;
        l->load.on_reply = on_loaded;
        l->question.on_reply = leases_on_reply;
        l->load.owner = l->question.owner = l;
        sg_list_init(&l->entries);
        l->nodes_path = strdup(options->nodes_path);
        r = l->nodes_path ? sg_timer_init(&l->scan, options->loop, on_scan, l) : -ENOMEM;
        if (!r)
                r = sg_timer_init(&l->tick, options->loop, on_tick, l);
        if (!r)
                r = sg_timer_init(&l->leave_lasts, options->loop, on_leave_lasts, l);
        if (!r)
                r = sg_mailbox_new(&l->mailbox, options->loop, on_letter, l);
        if (!r)
                r = sg_resolver_new(&l->resolver, options->loop);
        if (r)
                return sg_error_set(err, r, "", "the leases of limits could not be set up: %s", strerror(-r));
        r = open_file(l, err);
        if (r)
                return r;
        sg_timer_start(&l->scan, LEASES_SCAN_USEC);
        *ret = SG_GIVE(l);
        return 0;
}

struct sg_leases *sg_leases_free(struct sg_leases *l)
{
        if (!l)
                return NULL;
        l->redis = sg_redis_free(l->redis);
        if (l->mailbox)
                sg_mailbox_free(l->mailbox);
        if (l->scan.loop)
                sg_timer_done(&l->scan);
        if (l->tick.loop)
                sg_timer_done(&l->tick);
        if (l->leave_lasts.loop)
                sg_timer_done(&l->leave_lasts);
        leases_forget(l);
        free(l->table);
        if (l->resolver)
                sg_resolver_free(l->resolver);
        if (l->file)
                munmap(l->file, sizeof(*l->file));
        free_config(&l->config);
        free(l->nodes_path);
        free(l);
        return NULL;
}

/* ---- views */

void sg_leases_look(const struct sg_leases *l, struct sg_leases_state *ret)
{
        *ret = (struct sg_leases_state){
                .url = l->config.url,
                .is_connected = l->redis && sg_redis_is_ready(l->redis),
                .is_alone = l->is_alone,
                .is_rebuilding = l->fleet.rebuild != 0,
                .version = l->redis ? sg_redis_version(l->redis) : "",
                .out_since_wall_usec = l->out_since_wall_usec,
                .last_error = l->last_error,
                .n_nodes = l->fleet.n_nodes,
                .n_round_trips = l->n_round_trips,
                .n_granted = l->n_granted,
                .n_leases = l->entries.n,
        };
}

uint64_t sg_leases_bound(const struct sg_leases *l, const struct sg_limited *who, const struct sg_limit *limit)
{
        const struct leases_entry *e = leases_find(l, sg_limit_id(who, limit));

        return e ? sg_lease_bound(&e->lease, &l->fleet) : 0;
}
