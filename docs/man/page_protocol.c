/*
 * scribe-gateway.varlink(7): what the interfaces are described by in Varlink's own language, sorted into methods, types
 * and errors, each with the comment that stands before it.
 */
#include "config/troff.h"
#include "pages.h"
#include "varlink/io_scribe_gateway.h"

extern const char sg_ledger_interface[]; /* of the ledger, whose other headers belong to that program */

struct entry {
        struct sg_str comment, declaration; /* both with their line ends; the comment with its "#" */
};

static size_t count(struct sg_str s, char c)
{
        size_t n = 0;

        for (size_t i = 0; i < s.n; i++)
                n += s.p[i] == c;
        return n;
}

/* A declaration ends with the line that closes its last bracket. False at the end. */
static bool take_entry(struct sg_str *rest, struct entry *ret)
{
        size_t n_open = 0, n_close = 0;
        struct sg_str line;

        *ret = (struct entry){SG_STR_NONE, SG_STR_NONE};
        while (rest->n) {
                const char *start = rest->p;

                (void)sg_str_cut(rest, '\n', &line);
                if (line.n == 0)
                        continue;
                if (line.p[0] == '#' && ret->declaration.n == 0) {
                        ret->comment.p = ret->comment.n ? ret->comment.p : start;
                        ret->comment.n = (size_t)(line.p + line.n + 1 - ret->comment.p);
                        continue;
                }
                ret->declaration.p = ret->declaration.n ? ret->declaration.p : start;
                ret->declaration.n = (size_t)(line.p + line.n + 1 - ret->declaration.p);
                n_open += count(line, '(');
                n_close += count(line, ')');
                if (n_open == n_close)
                        return true;
        }
        return false;
}

static int add_comment(struct sg_buf *b, struct sg_str comment)
{
        struct sg_str line;
        struct sg_buf text;
        int r = 0;

        if (comment.n == 0)
                return 0;
        sg_buf_init(&text, 8192);
        while (comment.n && !r) {
                (void)sg_str_cut(&comment, '\n', &line);
                r = sg_buf_add(&text, sg_str_skip(line, 1));
                if (!r)
                        r = sg_buf_add(&text, comment.n ? SG_STR("\n") : SG_STR_NONE);
        }
        if (!r && sg_buf_length(&text) && sg_buf_view(&text).p[sg_buf_length(&text) - 1] != '.')
                r = sg_buf_add(&text, SG_STR("."));
        if (!r)
                r = sg_buf_add(b, SG_STR(".PP\n"));
        if (!r)
                r = sg_troff_add_text(b, sg_buf_view(&text));
        sg_buf_done(&text);
        return r;
}

static int add_kind(struct sg_buf *b, const char *description, const char *kind, const char *heading)
{
        struct sg_str rest = sg_str_from(description);
        bool has_any = false;
        struct entry e;
        int r = 0;

        while (!r && take_entry(&rest, &e)) {
                struct sg_str after = e.declaration, word;

                (void)sg_str_cut(&after, ' ', &word);
                if (!sg_str_eq(word, sg_str_from(kind)))
                        continue;
                r = has_any ? sg_buf_add(b, SG_STR(".PP\n")) : sg_buf_printf(b, ".SS %s\n", heading);
                has_any = true;
                if (!r)
                        r = sg_troff_add_example(b, e.declaration);
                if (!r)
                        r = add_comment(b, e.comment);
        }
        return r;
}

static int add_interface(struct sg_buf *b, const char *description)
{
        struct sg_str rest = sg_str_from(description);
        struct entry e;
        int r = take_entry(&rest, &e) ? add_comment(b, e.comment) : 0;

        if (!r)
                r = add_kind(b, description, "method", "Methods");
        if (!r)
                r = add_kind(b, description, "type", "Types");
        return r ? r : add_kind(b, description, "error", "Errors");
}

int sg_page_add_gateway(struct sg_buf *b)
{
        return add_interface(b, sg_io_scribe_gateway_description);
}

int sg_page_add_ledger(struct sg_buf *b)
{
        return add_interface(b, sg_ledger_interface);
}
