/*
 * A provider's export, from bytes to rows. What is read as CSV is written anew, each field in quotes, and must be read as
 * the same; as an export it is refused with a place, or its rows stand in order.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "ctl/csv.h"
#include "ctl/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_quoted(struct sg_buf *b, struct sg_str field)
{
        SG_ASSERT(sg_buf_add(b, SG_STR("\"")) == 0);
        for (size_t i = 0; i < field.n; i++)
                SG_ASSERT(sg_buf_add(b, field.p[i] == '"' ? SG_STR("\"\"") : sg_str_make(field.p + i, 1)) == 0);
        SG_ASSERT(sg_buf_add(b, SG_STR("\"")) == 0);
}

/* All its records, as far as it is good. */
static void write_anew(struct sg_str bytes, struct sg_buf *b)
{
        struct sg_csv c;
        int r;

        SG_ASSERT(sg_csv_init(&c, bytes) == 0);
        while ((r = sg_csv_next(&c)) == 0)
                for (size_t i = 0; i < c.n_fields; i++) {
                        add_quoted(b, c.fields[i]);
                        SG_ASSERT(sg_buf_add(b, i + 1 < c.n_fields ? SG_STR(",") : SG_STR("\r\n")) == 0);
                }
        SG_ASSERT(r == SG_CSV_E_END || (c.problem && c.line > 0));
        sg_csv_done(&c);
}

static void read_export(struct sg_str bytes)
{
        struct sg_export *e = NULL;
        struct sg_error err = {0};
        int r = sg_export_read_bytes(&e, bytes, "f.csv", &err);

        SG_ASSERT(r <= 0 && !r == !err.text[0]);
        if (r)
                return;
        SG_ASSERT(e->first_day <= e->last_day);
        for (size_t i = 0; i < e->n_rows; i++) {
                SG_ASSERT(e->rows[i].day >= e->first_day && e->rows[i].day <= e->last_day && e->rows[i].n_lines > 0);
                SG_ASSERT(i == 0 || e->rows[i - 1].day < e->rows[i].day ||
                          strcmp(e->rows[i - 1].model, e->rows[i].model) < 0);
        }
        sg_export_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_buf first, second;

        sg_buf_init(&first, 64u << 20);
        sg_buf_init(&second, 64u << 20);
        write_anew(sg_str_make(data, size), &first);
        write_anew(sg_buf_view(&first), &second);
        SG_ASSERT(sg_str_eq(sg_buf_view(&first), sg_buf_view(&second)));
        sg_buf_done(&first);
        sg_buf_done(&second);
        read_export(sg_str_make(data, size));
        return 0;
}
