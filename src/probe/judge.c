#include "probe/judge.h"

#include <stdio.h>

#include "http/h1.h"
#include "sg_build.h"

#define REDIS_LINE_BYTES_MAX 4096u /* the longest in use, -DENIED of protected mode, has some 950 */

enum sg_judgement sg_judge_dead_v(struct sg_judge_words *words, enum sg_probe_fault fault, const char *format,
                                  va_list args)
{
        words->fault = fault;
        vsnprintf(words->text, sizeof(words->text), format, args);
        for (char *c = words->text; *c; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
        return SG_JUDGEMENT_DEAD;
}

enum sg_judgement sg_judge_dead(struct sg_judge_words *words, enum sg_probe_fault fault, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        (void)sg_judge_dead_v(words, fault, format, args);
        va_end(args);
        return SG_JUDGEMENT_DEAD;
}

static uint32_t u32_at(struct sg_str bytes, size_t at)
{
        const unsigned char *p = (const unsigned char *)bytes.p + at;

        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- Redis: PING. Who is refused for want of a password has spoken to a server that serves. */

static bool begins_word(struct sg_str line, struct sg_str word)
{
        return sg_str_starts(line, word) && (line.n == word.n || line.p[word.n] == ' ');
}

static enum sg_judgement judge_redis(struct sg_str answer, struct sg_judge_words *words)
{
        const size_t end = sg_str_find(answer, SG_STR("\r\n"));
        const struct sg_str line = sg_str_head(answer, end);

        if (answer.p[0] != '+' && answer.p[0] != '-')
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not Redis'");
        if (end == answer.n && answer.n < REDIS_LINE_BYTES_MAX)
                return SG_JUDGEMENT_MORE;
        if (end == answer.n)
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the first line of the answer has no end");
        if (sg_str_eq(line, SG_STR("+PONG")) || begins_word(line, SG_STR("-NOAUTH")) ||
            begins_word(line, SG_STR("-NOPERM")))
                return SG_JUDGEMENT_ALIVE;
        if (line.p[0] == '-') /* LOADING, BUSY, MASTERDOWN, DENIED, max number of clients reached */
                return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it says: " SG_STR_FMT,
                                     SG_STR_ARG(sg_str_skip(line, 1)));
        return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer to PING is not PONG");
}

/* ---- PostgreSQL: a startup message, as PQping() sends. An error shows a server that serves, but for 57P03: it is
 * starting up, shutting down or in recovery. SSLRequest would not tell that: the postmaster answers it in any state. */

#define POSTGRES_MESSAGE_BYTES_MAX 8192u

static struct sg_str cut_cstring(struct sg_str *rest)
{
        struct sg_str s;

        (void)sg_str_cut(rest, '\0', &s);
        return s;
}

static enum sg_judgement judge_postgres_error(struct sg_str fields, struct sg_judge_words *words)
{
        struct sg_str code = SG_STR_NONE, text = SG_STR_NONE;

        if (fields.n == 0 || fields.p[fields.n - 1] != '\0')
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "an error of PostgreSQL without its end");
        while (fields.n && fields.p[0]) {
                const char kind = fields.p[0];
                struct sg_str value;

                fields = sg_str_skip(fields, 1);
                value = cut_cstring(&fields);
                if (kind == 'C')
                        code = value;
                else if (kind == 'M')
                        text = value;
        }
        if (sg_str_eq(code, SG_STR("57P03")))
                return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it says: " SG_STR_FMT, SG_STR_ARG(text));
        return SG_JUDGEMENT_ALIVE;
}

/* A postmaster that cannot fork answers as protocol 2 did: E, a text, NUL. */
static enum sg_judgement judge_postgres_text(struct sg_str text, struct sg_judge_words *words)
{
        const size_t end = sg_str_find_byte(text, '\0');

        for (size_t i = 0; i < end; i++)
                if ((text.p[i] < ' ' || text.p[i] > '~') && text.p[i] != '\n')
                        return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not PostgreSQL's");
        if (end == text.n)
                return SG_JUDGEMENT_MORE;
        return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it says: " SG_STR_FMT, SG_STR_ARG(sg_str_head(text, end)));
}

static enum sg_judgement judge_postgres(struct sg_str answer, struct sg_judge_words *words)
{
        while (answer.n) {
                const char kind = answer.p[0];
                uint32_t length;

                if (!strchr("RENv", kind) || !kind)
                        return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not PostgreSQL's");
                if (answer.n < 5)
                        return SG_JUDGEMENT_MORE;
                length = u32_at(answer, 1);
                if (kind == 'E' && length > POSTGRES_MESSAGE_BYTES_MAX)
                        return judge_postgres_text(sg_str_skip(answer, 1), words);
                if (length < 8 || length > POSTGRES_MESSAGE_BYTES_MAX)
                        return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not PostgreSQL's");
                if (kind == 'R') /* it asks for a password, or lets us in */
                        return SG_JUDGEMENT_ALIVE;
                if (answer.n < 1 + length)
                        return SG_JUDGEMENT_MORE;
                if (kind == 'E')
                        return judge_postgres_error(sg_str_make(answer.p + 5, length - 4), words);
                answer = sg_str_skip(answer, 1 + length); /* a notice, or another minor version */
        }
        return SG_JUDGEMENT_MORE;
}

/* ---- Bolt: four offers of versions; the answer is the one taken, or zeros when none is */

static enum sg_judgement judge_bolt(struct sg_str answer, struct sg_judge_words *words)
{
        uint32_t version;

        if (answer.n < 4)
                return SG_JUDGEMENT_MORE;
        version = u32_at(answer, 0);
        if (version == UINT32_C(0x48545450)) /* "HTTP" */
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "HTTP answers there, not Bolt");
        /* Zero, zero, minor, major: of what was offered. */
        if (version && (version >> 16 || (version & 0xff) < 3 || (version & 0xff) > 5))
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not Bolt's");
        return SG_JUDGEMENT_ALIVE;
}

/* ---- HTTP: of a dependency any final answer but a 5xx, since it may want to know who asks; of an endpoint, whose path was
 * named for this, what says that all is well */

/* The status of the final answer when the judgement is ALIVE. */
static enum sg_judgement read_status(struct sg_str answer, unsigned *ret_status, struct sg_judge_words *words)
{
        const struct sg_h1_limits limits = {.head_bytes = SG_JUDGE_BYTES_MAX / 2};
        struct sg_h1_event e;
        struct sg_head head;
        struct sg_h1 h1;
        int r;

        sg_h1_init(&h1, SG_H1_CLIENT, &limits);
        sg_h1_expect(&h1, SG_METHOD_GET);
        for (;;) {
                r = sg_h1_next(&h1, answer, &head, &e);
                if (r)
                        return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not HTTP/1.1's (%s)",
                                             sg_h1_error_name((enum sg_h1_error)r));
                if (e.kind == SG_H1_MORE)
                        return SG_JUDGEMENT_MORE;
                if (e.kind == SG_H1_HEAD && head.status == 101)
                        return sg_judge_dead(words, SG_PROBE_F_GARBAGE,
                                             "it switches to a protocol that nobody asked for");
                if (e.kind == SG_H1_HEAD && head.status >= 200) {
                        *ret_status = head.status;
                        return SG_JUDGEMENT_ALIVE;
                }
                answer = sg_str_skip(answer, e.used);
        }
}

static enum sg_judgement judge_http(struct sg_str answer, struct sg_judge_words *words)
{
        unsigned status;
        const enum sg_judgement j = read_status(answer, &status, words);

        if (j != SG_JUDGEMENT_ALIVE || status < 500)
                return j;
        return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it answers %u", status);
}

static enum sg_judgement judge_check(struct sg_str answer, struct sg_judge_words *words)
{
        unsigned status;
        const enum sg_judgement j = read_status(answer, &status, words);

        if (j != SG_JUDGEMENT_ALIVE || status < 400)
                return j;
        return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "status %u", status);
}

/* ---- all */

static enum sg_judgement judge_within(enum sg_judgement (*judge)(struct sg_str answer, struct sg_judge_words *words),
                                      struct sg_str answer, struct sg_judge_words *words)
{
        enum sg_judgement j;

        if (answer.n == 0)
                return SG_JUDGEMENT_MORE;
        j = judge(answer, words);
        if (j == SG_JUDGEMENT_MORE && answer.n >= SG_JUDGE_BYTES_MAX)
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "%zu bytes that are no answer", answer.n);
        return j;
}

/* path follows prefix in the target. */
static int add_get(struct sg_buf *b, const char *prefix, const char *path, const char *authority)
{
        const struct sg_str pieces[] = {SG_STR("GET "),
                                        sg_str_from(prefix),
                                        sg_str_from(path),
                                        SG_STR(" HTTP/1.1\r\nhost: "),
                                        sg_str_from(authority),
                                        SG_STR("\r\nuser-agent: scribe-gateway/" SG_VERSION " (probe)\r\n"
                                               "accept: */*\r\nconnection: close\r\n\r\n")};
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(pieces) && !r; i++)
                r = sg_buf_add(b, pieces[i]);
        return r;
}

/* Nobody's password is sent; the user's name is for PostgreSQL's log. */
#define POSTGRES_STARTUP                                                                                               \
        "\0\3\0\0"                                                                                                     \
        "user\0scribe-gateway\0"                                                                                       \
        "database\0postgres\0"                                                                                         \
        "application_name\0scribe-gateway\0"

static int add_postgres_question(struct sg_buf *b)
{
        /* Itself and the NUL that ends the list are counted; the literal's own NUL is that one. */
        static const char length[4] = {0, 0, 0, (char)(4 + sizeof(POSTGRES_STARTUP))};
        int r = sg_buf_add(b, sg_str_make(length, sizeof(length)));

        return r ? r : sg_buf_add(b, sg_str_make(POSTGRES_STARTUP, sizeof(POSTGRES_STARTUP)));
}

int sg_judge_add_question(struct sg_buf *b, const struct sg_config_dependency *d)
{
        switch (d->kind) {
        case SG_PROBE_TCP:
                return 0;
        case SG_PROBE_HTTP:
                return add_get(b, "", d->path, d->authority);
        case SG_PROBE_REDIS:
                return sg_buf_add(b, SG_STR("*1\r\n$4\r\nPING\r\n"));
        case SG_PROBE_POSTGRES:
                return add_postgres_question(b);
        case SG_PROBE_BOLT:
                /* The magic, then 5.8 down to 5.0, 4.4 down to 4.2, 4.1, 3. */
                return sg_buf_add(b, SG_STR("\x60\x60\xb0\x17\0\x08\x08\x05\0\x02\x04\x04\0\0\x01\x04\0\0\0\x03"));
        case SG_PROBE_N:
                break;
        }
        SG_UNREACHABLE();
}

int sg_judge_add_check(struct sg_buf *b, const struct sg_config_service *s, const struct sg_config_endpoint *e)
{
        return add_get(b, e->path_prefix, s->health_path, e->authority);
}

enum sg_judgement sg_judge_answer(enum sg_probe_kind kind, struct sg_str answer, struct sg_judge_words *words)
{
        static enum sg_judgement (*const judges[SG_PROBE_N])(struct sg_str answer, struct sg_judge_words * words) = {
                [SG_PROBE_HTTP] = judge_http,
                [SG_PROBE_REDIS] = judge_redis,
                [SG_PROBE_POSTGRES] = judge_postgres,
                [SG_PROBE_BOLT] = judge_bolt,
        };

        SG_ASSERT((unsigned)kind < SG_PROBE_N);
        if (!judges[kind])
                return SG_JUDGEMENT_ALIVE; /* tcp: that there is a connection says it all */
        return judge_within(judges[kind], answer, words);
}

enum sg_judgement sg_judge_check(struct sg_str answer, struct sg_judge_words *words)
{
        return judge_within(judge_check, answer, words);
}
