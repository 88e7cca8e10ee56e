#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/log_internal.h"

/* What the line has besides its fields: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, MESSAGE_ID. */
#define OWN_FIELDS 4

bool sg_log_journal_is_built(void)
{
        return true;
}

struct entry {
        struct iovec parts[SG_LOG_FIELDS_MAX + OWN_FIELDS];
        int n_parts;
        struct sg_buf text; /* NAME=value of all parts; reserved once, so that it never moves */
};

static int add_part(struct entry *e, const char *name, struct sg_str value)
{
        size_t before = sg_buf_length(&e->text);
        int r;

        r = sg_buf_add(&e->text, sg_str_from(name));
        if (!r)
                r = sg_buf_add(&e->text, SG_STR("="));
        if (!r)
                r = sg_buf_add(&e->text, value);
        if (!r)
                e->parts[e->n_parts++] = (struct iovec){e->text.data + before, sg_buf_length(&e->text) - before};
        return r;
}

static int add_parts(struct entry *e, const struct sg_log_record *r)
{
        char digit = (char)('0' + r->level);
        int code;

        code = add_part(e, "MESSAGE", r->message);
        if (!code)
                code = add_part(e, "PRIORITY", sg_str_make(&digit, 1));
        if (!code)
                code = add_part(e, "SYSLOG_IDENTIFIER", sg_str_from(sg_log_identity()));
        if (!code && r->message_id)
                code = add_part(e, "MESSAGE_ID", sg_str_from(r->message_id));
        for (size_t i = 0; i < r->n_fields && !code; i++)
                code = add_part(e, r->fields[i].name, r->fields[i].value);
        return code;
}

int sg_log_journal_write(const struct sg_log_record *r)
{
        struct entry e = {0};
        char *at;
        int code;

        sg_buf_init(&e.text, 2 * SG_LOG_LINE_BYTES_MAX);
        code = sg_buf_reserve(&e.text, e.text.max, &at);
        if (!code)
                code = add_parts(&e, r);
        if (!code)
                code = sd_journal_sendv(e.parts, e.n_parts);
        sg_buf_done(&e.text);
        return code;
}
