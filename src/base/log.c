#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log_internal.h"

_Atomic int sg_log_level_now = SG_LOG_INFO;
static _Atomic(const char *) identity = "scribe-gateway";
static _Atomic uint64_t n_lost;

static const char *const level_names[] = {
        [SG_LOG_ERR] = "err",   [SG_LOG_WARNING] = "warning", [SG_LOG_NOTICE] = "notice",
        [SG_LOG_INFO] = "info", [SG_LOG_DEBUG] = "debug",
};

void sg_log_set_identity(const char *name)
{
        atomic_store(&identity, name);
}

const char *sg_log_identity(void)
{
        return atomic_load(&identity);
}

void sg_log_set_level(enum sg_log_level level)
{
        SG_ASSERT(level >= SG_LOG_ERR && level <= SG_LOG_DEBUG);
        atomic_store(&sg_log_level_now, (int)level);
}

enum sg_log_level sg_log_get_level(void)
{
        return (enum sg_log_level)atomic_load(&sg_log_level_now);
}

const char *sg_log_level_name(enum sg_log_level level)
{
        SG_ASSERT(level >= SG_LOG_ERR && level <= SG_LOG_DEBUG);
        return level_names[level];
}

int sg_log_level_parse(struct sg_str name, enum sg_log_level *ret)
{
        for (int level = SG_LOG_ERR; level <= SG_LOG_DEBUG; level++)
                if (sg_str_ieq(name, sg_str_from(level_names[level]))) {
                        *ret = (enum sg_log_level)level;
                        return 0;
                }
        return SG_STR_E_SYNTAX;
}

void sg_log_add_lost(uint64_t n)
{
        atomic_fetch_add_explicit(&n_lost, n, memory_order_relaxed);
}

uint64_t sg_log_n_lost(void)
{
        return atomic_load_explicit(&n_lost, memory_order_relaxed);
}

/* A field in a frame: lengths of name (with its NUL) and value, then both. */
struct field_head {
        uint16_t name_n;
        uint16_t value_n;
};

/* What is about to become a frame. */
struct line {
        const struct sg_log_field *fields;
        size_t n_fields;
        size_t name_n[SG_LOG_FIELDS_MAX]; /* with the NUL */
        size_t rest_bytes;                /* of the fields that are not in the frame yet */
};

static size_t field_bytes(const struct line *l, size_t i)
{
        return sizeof(struct field_head) + l->name_n[i] + l->fields[i].value.n;
}

static void line_init(struct line *l, const struct sg_log_field *fields, size_t n_fields)
{
        l->fields = fields;
        l->n_fields = SG_MIN(n_fields, (size_t)SG_LOG_FIELDS_MAX);
        l->rest_bytes = 0;
        for (size_t i = 0; i < l->n_fields; i++) {
                l->name_n[i] = strlen(fields[i].name) + 1;
                l->rest_bytes += field_bytes(l, i);
        }
}

/* The longest head of s of at most n bytes that does not end inside a character. */
static struct sg_str cut(struct sg_str s, size_t n)
{
        if (s.n <= n)
                return s;
        while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
                n--;
        return sg_str_head(s, n);
}

/* Appends one field, its value cut to what leaves the fields after it their share. Returns the end of the frame. */
static size_t put_field(char *frame, size_t at, const struct line *l, size_t i)
{
        const struct sg_log_field *f = &l->fields[i];
        size_t room = SG_LOG_LINE_BYTES_MAX - at;
        size_t share = SG_MAX(room > l->rest_bytes ? room - l->rest_bytes : 0, room / (l->n_fields - i));
        size_t name_n = l->name_n[i];
        struct field_head head;
        struct sg_str value;

        if (share < sizeof(head) + name_n)
                return at;
        value = cut(f->value, share - sizeof(head) - name_n);
        head = (struct field_head){.name_n = (uint16_t)name_n, .value_n = (uint16_t)value.n};
        memcpy(frame + at, &head, sizeof(head));
        at += sizeof(head);
        memcpy(frame + at, f->name, name_n);
        at += name_n;
        if (value.n)
                memcpy(frame + at, value.p, value.n);
        return at + value.n;
}

static size_t message_share(size_t at, size_t fields_bytes)
{
        size_t room = SG_LOG_LINE_BYTES_MAX - at;

        return SG_MAX(room > fields_bytes ? room - fields_bytes : 0, room / 2);
}

SG_PRINTF(4, 0)
static size_t print_message(char *frame, size_t at, size_t fields_bytes, const char *format, va_list args)
{
        size_t share = message_share(at, fields_bytes);
        int n;

        n = vsnprintf(frame + at, share, format, args);
        if (n <= 0)
                return 0;
        if ((size_t)n < share)
                return (size_t)n;
        /* printf() cut it, perhaps inside a character: back to the start of the last one. */
        n = (int)share - 1;
        while (n > 0 && ((unsigned char)frame[at + (size_t)n - 1] & 0xc0) == 0x80)
                n--;
        if (n > 0 && (unsigned char)frame[at + (size_t)n - 1] >= 0xc0)
                n--;
        return (size_t)n;
}

static size_t put_message(char *frame, size_t at, size_t fields_bytes, struct sg_str message)
{
        message = cut(message, message_share(at, fields_bytes));
        if (message.n)
                memcpy(frame + at, message.p, message.n);
        return message.n;
}

static struct sg_log_frame head_of(enum sg_log_level level)
{
        return (struct sg_log_frame){.level = (uint8_t)level, .wall_usec = sg_clock_wall_usec()};
}

/* Returns where the message begins. */
static size_t put_id(char *frame, struct sg_log_frame *head, const char *message_id)
{
        size_t n = message_id ? strlen(message_id) : SG_NAME_BYTES_MAX;

        if (n >= SG_NAME_BYTES_MAX)
                return sizeof(*head);
        head->id_n = (uint16_t)(n + 1);
        memcpy(frame + sizeof(*head), message_id, head->id_n);
        return sizeof(*head) + head->id_n;
}

/* The fields behind the message, which ends at `at`; then the frame is whole, and goes. */
static void line_go(char *frame, struct sg_log_frame *head, size_t at, struct line *l)
{
        for (size_t i = 0; i < l->n_fields; i++) {
                size_t end;

                l->rest_bytes -= field_bytes(l, i);
                end = put_field(frame, at, l, i);
                head->n_fields += end > at;
                at = end;
        }
        head->n_bytes = (uint32_t)at;
        memcpy(frame, head, sizeof(*head));
        if (!sg_log_queue_push(frame, at)) {
                struct sg_log_record r;

                sg_log_read_frame(frame, &r);
                sg_log_write_direct(&r);
        }
}

void sg_log_read_frame(const char *frame, struct sg_log_record *ret)
{
        struct sg_log_frame head;
        const char *at = frame + sizeof(head);

        memcpy(&head, frame, sizeof(head));
        ret->level = (enum sg_log_level)head.level;
        ret->is_report = false;
        ret->wall_usec = head.wall_usec;
        ret->message_id = head.id_n ? at : NULL;
        at += head.id_n;
        ret->message = sg_str_make(at, head.message_n);
        at += head.message_n;
        ret->n_fields = head.n_fields;
        for (size_t i = 0; i < head.n_fields; i++) {
                struct field_head field;

                memcpy(&field, at, sizeof(field));
                at += sizeof(field);
                ret->fields[i] = (struct sg_log_field){at, sg_str_make(at + field.name_n, field.value_n)};
                at += field.name_n + field.value_n;
        }
        SG_ASSERT(at == frame + head.n_bytes);
}

void sg_log_line(enum sg_log_level level, const char *message_id, const struct sg_log_field *fields, size_t n_fields,
                 const char *format, ...)
{
        struct sg_log_frame head = head_of(level);
        char frame[SG_LOG_LINE_BYTES_MAX];
        struct line l;
        va_list args;
        size_t at;

        line_init(&l, fields, n_fields);
        at = put_id(frame, &head, message_id);
        va_start(args, format);
        head.message_n = (uint16_t)print_message(frame, at, l.rest_bytes, format, args);
        va_end(args);
        line_go(frame, &head, at + head.message_n, &l);
}

void sg_log_text(enum sg_log_level level, const char *message_id, const struct sg_log_field *fields, size_t n_fields,
                 struct sg_str message)
{
        struct sg_log_frame head = head_of(level);
        char frame[SG_LOG_LINE_BYTES_MAX];
        struct line l;
        size_t at;

        line_init(&l, fields, n_fields);
        at = put_id(frame, &head, message_id);
        head.message_n = (uint16_t)put_message(frame, at, l.rest_bytes, message);
        line_go(frame, &head, at + head.message_n, &l);
}

void sg_log_error(enum sg_log_level level, const struct sg_error *err)
{
        struct sg_log_field fields[2];
        char number[16];
        size_t n = 0;

        if (!sg_log_wants(level))
                return;
        (void)snprintf(number, sizeof(number), "%d", -err->code);
        fields[n++] = (struct sg_log_field){"ERRNO", sg_str_from(number)};
        if (err->where[0])
                fields[n++] = (struct sg_log_field){"SCRIBE_WHERE", sg_str_from(err->where)};
        sg_log_line(level, err->message_id, fields, n, "%s%s%s", err->where, err->where[0] ? ": " : "", err->text);
}
