/* Any bytes: slicing and checking agree, the reader stays inside, and after any edit the text is valid and shows it. */
#include "json/slice.h"

static struct sg_str join(struct sg_str text, struct sg_json_edit edit, struct sg_buf *b)
{
        struct sg_str pieces[SG_JSON_PIECES_MAX];
        size_t n_bytes, n = sg_json_splice(text, &edit, 1, pieces, &n_bytes);

        sg_buf_clear(b);
        for (size_t i = 0; i < n; i++)
                SG_ASSERT(sg_buf_add(b, pieces[i]) == 0);
        SG_ASSERT(sg_buf_length(b) == n_bytes);
        return sg_buf_view(b);
}

static void edit(struct sg_str text, struct sg_json_want *want)
{
        struct sg_json_value whole;
        unsigned n = want->n;
        struct sg_buf b;

        sg_buf_init(&b, text.n + 64);
        SG_ASSERT(sg_json_check(text, &whole, NULL) == 0);
        if (n > 0) {
                struct sg_json_want again = {.name = want->name};

                SG_ASSERT(sg_json_slice_last(join(text, sg_json_edit_value(text, want, SG_STR("[7]")), &b), &again, 1,
                                             NULL) == 0);
                SG_ASSERT(again.n == n && sg_str_eq(again.value.text, SG_STR("[7]")));
                SG_ASSERT(sg_json_slice_last(join(text, sg_json_edit_cut(text, want), &b), &again, 1, NULL) == 0);
                SG_ASSERT(again.n == n - 1);
        }
        if (whole.kind == SG_JSON_OBJECT) {
                struct sg_json_want again = {.name = SG_STR("new")};
                struct sg_str member = sg_json_is_empty(whole) ? SG_STR("\"new\":0") : SG_STR("\"new\":0,");

                SG_ASSERT(sg_json_slice_last(join(text, sg_json_edit_front(text, whole, member), &b), &again, 1,
                                             NULL) == 0);
                SG_ASSERT(again.n > 0);
        }
        sg_buf_done(&b);
}

static size_t walk(struct sg_json_value in, unsigned depth)
{
        struct sg_json_value v;
        size_t at = 0, n = 1;
        uint64_t number;
        struct sg_buf b;
        char head[16];

        if (in.kind == SG_JSON_STRING) {
                sg_buf_init(&b, in.text.n);
                SG_ASSERT(sg_json_add_decoded(&b, in) == 0 && sg_str_is_utf8(sg_buf_view(&b)));
                SG_ASSERT(sg_json_text_is(in, sg_buf_view(&b)));
                SG_ASSERT(sg_json_copy(in, head, sizeof(head), NULL) == (sg_buf_length(&b) < sizeof(head)));
                sg_buf_done(&b);
        }
        (void)sg_json_u64(in, &number);
        while (depth < 16 && sg_json_each(in, &at, NULL, &v))
                n += walk(v, depth + 1);
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_json_want wants[] = {{.name = SG_STR("model")}, {.name = SG_STR("stream")}, {.name = SG_STR("")}};
        struct sg_str text = sg_str_make(data, size);
        struct sg_json_value v = {0};
        struct sg_json_fault fault;
        int checked = sg_json_check(text, &v, &fault), r, strict;

        SG_ASSERT(checked == 0 || (fault.offset <= size && fault.what));
        r = sg_json_slice_last(text, wants, 3, NULL);
        SG_ASSERT((r == 0) == (checked == 0 && v.kind == SG_JSON_OBJECT));
        if (checked == 0)
                walk(v, 0);
        if (r == 0)
                for (size_t i = 0; i < 3; i++)
                        edit(text, &wants[i]);
        strict = sg_json_slice(text, wants, 3, &fault);
        SG_ASSERT(strict == r || strict == SG_JSON_E_DUPLICATE);
        return 0;
}
