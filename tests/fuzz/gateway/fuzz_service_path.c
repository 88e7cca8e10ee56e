/*
 * A host, a method and a target in three lines, against services that stand fixed and against those of the lines that follow:
 * "PREFIX HOST,HOST METHOD,METHOD", "-" for none. The service found is the best by a simpler reckoning; and however the next
 * server reads a path that is passed on, it stays in the prefix and would have been for the same service.
 */
#include <stdlib.h>

#include "build.h"
#include "gateway/path.h"

#define PATH_BYTES_MAX 2048u

static const char fixed_text[] = "[service \"all\"]\nendpoint = http://h\nprefix = /\n"
                                 "[service \"a\"]\nendpoint = http://h\nprefix = /a/\nstrip_prefix = yes\n"
                                 "[service \"ab\"]\nendpoint = http://h\nprefix = /a/b\n"
                                 "[service \"ab-get\"]\nendpoint = http://h\nprefix = /a/b\nmethod = GET HEAD\n"
                                 "[service \"ab-host\"]\nendpoint = http://h\nprefix = /a/b/\nhost = h.example [::1]\n"
                                 "[service \"ab-star\"]\nendpoint = http://h\nprefix = /a/b\nhost = *.example\n"
                                 "[service \"abc-put\"]\nendpoint = http://h\nprefix = /a/b/c\nmethod = PUT\n"
                                 "[service \"admin\"]\nendpoint = http://h\nprefix = /admin\nhost = h.example\n"
                                 "[service \"v1\"]\nendpoint = http://h\nprefix = /v1/x.y/\n";

struct bytes {
        size_t n;
        char p[PATH_BYTES_MAX + 1];
};

static struct sg_str view(const struct bytes *b)
{
        return sg_str_make(b->p, b->n);
}

static void put(struct bytes *b, char c)
{
        SG_ASSERT(b->n < sizeof(b->p));
        b->p[b->n++] = c;
}

/* ---- the best service, by trying all */

static bool begins(struct sg_str path, struct sg_str prefix)
{
        if (path.n < prefix.n || (prefix.n && memcmp(path.p, prefix.p, prefix.n) != 0))
                return false;
        return path.n == prefix.n || path.p[prefix.n] == '/';
}

static struct sg_str without_port(struct sg_str host)
{
        size_t colon = host.n;

        for (size_t i = 0; i < host.n; i++)
                if (host.p[i] == ':')
                        colon = i;
        for (size_t i = colon + 1; i < host.n; i++)
                if (host.p[i] < '0' || host.p[i] > '9')
                        return host;
        return sg_str_head(host, colon);
}

static bool is_under(struct sg_str host, struct sg_str parent)
{
        const size_t dot = sg_str_find_byte(host, '.');

        return dot > 0 && dot < host.n && sg_str_ieq(sg_str_skip(host, dot + 1), parent);
}

static unsigned host_points(const struct sg_config_service *s, struct sg_str host)
{
        unsigned best = s->n_hosts ? 0 : 1;

        for (size_t i = 0; i < s->n_hosts; i++) {
                const char *wanted = s->hosts[i];

                if (sg_str_ieq(sg_str_from(wanted), host))
                        best = SG_MAX(best, 3u);
                else if (wanted[0] == '*' && is_under(host, sg_str_from(wanted + 2)))
                        best = SG_MAX(best, 2u);
        }
        return best;
}

static bool takes_method(const struct sg_config_service *s, struct sg_str method)
{
        bool is_among = !s->n_methods;

        for (size_t i = 0; i < s->n_methods; i++)
                is_among |= sg_str_eq(sg_str_from(s->methods[i]), method);
        return is_among;
}

/* A number by which services that match are in order; 0: it does not match. */
static size_t points(const struct sg_config_service *s, const struct sg_head *head, struct sg_str path)
{
        const unsigned host = host_points(s, without_port(head->host));
        struct sg_str prefix = sg_str_from(s->prefix);

        if (prefix.p[prefix.n - 1] == '/')
                prefix.n--;
        return host && begins(path, prefix) ? (prefix.n * 4 + host) * 2 + (s->n_methods > 0) : 0;
}

static const struct sg_config_service *find(const struct sg_config *c, const struct sg_head *head, struct sg_str path)
{
        bool has_other_method, should_have = false;
        const struct sg_config_service *found =
                sg_config_find_service(c, head->host, head->method_text, path, &has_other_method);

        SG_ASSERT(!found || (points(found, head, path) && takes_method(found, head->method_text)));
        for (size_t i = 0; i < c->n_services; i++) {
                const struct sg_config_service *s = &c->services[i];
                const size_t n = points(s, head, path);

                if (n && !takes_method(s, head->method_text))
                        should_have = true;
                else if (n && s != found)
                        SG_ASSERT(found && n < points(found, head, path));
        }
        SG_ASSERT(has_other_method == should_have);
        return found;
}

/* ---- what others make of a path */

static int digit_of(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

static void decode(struct bytes *b)
{
        size_t n = 0;

        for (size_t i = 0; i < b->n; i++) {
                const bool is_escape =
                        b->p[i] == '%' && i + 2 < b->n && digit_of(b->p[i + 1]) >= 0 && digit_of(b->p[i + 2]) >= 0;

                b->p[n++] = is_escape ? (char)(digit_of(b->p[i + 1]) * 16 + digit_of(b->p[i + 2])) : b->p[i];
                i += is_escape ? 2 : 0;
        }
        b->n = n;
}

/* Each segment up to its ';'. */
static void cut_parameters(struct bytes *b, bool with_backslashes)
{
        bool is_cut = false;
        size_t n = 0;

        for (size_t i = 0; i < b->n; i++) {
                is_cut = b->p[i] != '/' && !(with_backslashes && b->p[i] == '\\') && (is_cut || b->p[i] == ';');
                if (!is_cut)
                        b->p[n++] = b->p[i];
        }
        b->n = n;
}

static void turn_backslashes(struct bytes *b)
{
        for (size_t i = 0; i < b->n; i++)
                if (b->p[i] == '\\')
                        b->p[i] = '/';
}

/* RFC 3986 section 5.2.4, and slashes joined. A path that climbs above the root shows as empty. */
static void resolve(struct bytes *b)
{
        struct bytes in = *b;
        struct sg_str rest = view(&in), segment;
        bool has_more = true;

        b->n = 0;
        while (has_more) {
                has_more = sg_str_cut(&rest, '/', &segment);
                if (segment.n == 0 || sg_str_eq(segment, SG_STR("."))) {
                        if (!has_more && (b->n == 0 || b->p[b->n - 1] != '/'))
                                put(b, '/');
                        continue;
                }
                if (sg_str_eq(segment, SG_STR(".."))) {
                        while (b->n && b->p[--b->n] != '/')
                                ;
                        continue;
                }
                put(b, '/');
                for (size_t i = 0; i < segment.n; i++)
                        put(b, segment.p[i]);
        }
}

enum way {
        WAY_BACKSLASHES = 1 << 0,
        WAY_PARAMETERS_FIRST = 1 << 1, /* before it decodes */
        WAY_PARAMETERS = 1 << 2,
        WAY_RESOLVES_BETWEEN = 1 << 3, /* two servers, each of which decodes and resolves */
        WAY_STOPS_AT_NUL = 1 << 4,
        WAY_N = 1 << 5,
};

static void read_as_others(struct bytes *b, unsigned way, unsigned n_times)
{
        if (way & WAY_PARAMETERS_FIRST)
                cut_parameters(b, false);
        for (unsigned i = 0; i < n_times; i++) {
                decode(b);
                if (way & WAY_STOPS_AT_NUL)
                        b->n = sg_str_find_byte(view(b), '\0');
                if (way & WAY_PARAMETERS)
                        cut_parameters(b, way & WAY_BACKSLASHES);
                if (way & WAY_BACKSLASHES)
                        turn_backslashes(b);
                if ((way & WAY_RESOLVES_BETWEEN) || i + 1 == n_times)
                        resolve(b);
        }
}

static void check_ways(const struct sg_config *c, const struct sg_config_service *found, const struct sg_head *head,
                       struct sg_str path)
{
        bool is_one;

        SG_ASSERT(sg_path_is_read_as_one(c, found, head, path, &is_one) == 0);
        for (unsigned n_times = 1; n_times <= 2; n_times++)
                for (unsigned way = 0; way < WAY_N; way++) {
                        struct bytes b = {.n = path.n};

                        memcpy(b.p, path.p, path.n);
                        read_as_others(&b, way, n_times);
                        SG_ASSERT(begins(view(&b), sg_service_prefix(found)));
                        if (is_one)
                                SG_ASSERT(find(c, head, view(&b)) == found);
                }
}

/* ---- what is asked of the endpoint */

static void check_target(const struct sg_config_service *s, struct sg_str path, struct sg_str target, size_t n_stripped)
{
        const struct sg_str query = sg_str_skip(target, sg_str_find_byte(target, '?'));
        const char *const own[] = {"", "/own"};

        for (size_t i = 0; i < SG_N_ELEMENTS(own); i++) {
                struct sg_str text, base = sg_str_from(own[i]);
                struct sg_buf b;

                sg_buf_init(&b, 2 * PATH_BYTES_MAX);
                SG_ASSERT(sg_path_add_target(&b, base, target, n_stripped) == 0);
                text = sg_buf_view(&b);
                SG_ASSERT(sg_str_starts(text, base) && sg_str_ends(text, query));
                text = sg_str_skip(sg_str_head(text, text.n - query.n), base.n);
                SG_ASSERT(text.n && text.p[0] == '/' && (text.n == 1 || text.p[1] != '/'));
                SG_ASSERT(sg_path_is_plain(text));
                SG_ASSERT(sg_str_eq(text, sg_str_skip(path, n_stripped)) || path.n == n_stripped);
                SG_ASSERT(n_stripped == 0 || n_stripped == sg_service_prefix(s).n);
                sg_buf_done(&b);
        }
}

static void check(const struct sg_config *c, const struct sg_head *head)
{
        const struct sg_str path = sg_target_path(head->target, NULL);
        const struct sg_config_service *found = find(c, head, path);

        if (!found || path.n > PATH_BYTES_MAX || !sg_path_is_plain(path))
                return;
        check_ways(c, found, head, path);
        check_target(found, path, head->target, 0);
        check_target(found, path, head->target, sg_service_prefix(found).n);
}

/* ---- configurations of the input */

static void add_list(struct sg_buf *b, const char *key, struct sg_str words)
{
        if (words.n && !sg_str_eq(words, SG_STR("-")))
                SG_ASSERT(sg_buf_printf(b, "%s = " SG_STR_FMT "\n", key, SG_STR_ARG(words)) == 0);
}

static struct sg_whole *build_of(struct sg_str lines)
{
        struct sg_whole *w;
        struct sg_buf b;

        sg_buf_init(&b, 1u << 20);
        for (unsigned i = 0; i < 16 && lines.n; i++) {
                struct sg_str line, prefix, hosts;

                (void)sg_str_cut(&lines, '\n', &line);
                (void)sg_str_cut(&line, ' ', &prefix);
                (void)sg_str_cut(&line, ' ', &hosts);
                SG_ASSERT(sg_buf_printf(&b, "[service \"s%u\"]\nendpoint = http://h\nprefix = " SG_STR_FMT "\n", i,
                                        SG_STR_ARG(prefix)) == 0);
                add_list(&b, "host", hosts);
                add_list(&b, "method", line);
        }
        w = build(sg_buf_view(&b));
        sg_buf_done(&b);
        return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str rest = sg_str_make(data ? data : (const uint8_t *)"", size);
        static const struct sg_config *fixed;
        static struct sg_head head;
        struct sg_whole *own;

        if (!fixed)
                fixed = build_fixed(fixed_text);
        (void)sg_str_cut(&rest, '\n', &head.host);
        (void)sg_str_cut(&rest, '\n', &head.method_text);
        (void)sg_str_cut(&rest, '\n', &head.target);
        check(fixed, &head);
        if (!rest.n)
                return 0;
        own = build_of(rest);
        if (own)
                check(&own->config, &head);
        sg_whole_free(own);
        return 0;
}
