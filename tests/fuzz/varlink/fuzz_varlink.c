/* What a server does with a connection's bytes before a method runs: frames, the call, its parameters, and an answer.
 */
#include "varlink/message.h"

static void read_call(struct sg_str text)
{
        struct json_object *s, *i, *b, *l;
        const struct sg_varlink_parameter expected[] = {{"s", SG_VARLINK_STRING, true, &s},
                                                        {"i", SG_VARLINK_INT, false, &i},
                                                        {"b", SG_VARLINK_BOOL, false, &b},
                                                        {"l", SG_VARLINK_STRINGS, false, &l}};
        struct sg_varlink_request r;
        struct sg_varlink_answer a;
        struct sg_buf out;
        const char *bad = NULL;
        int e = sg_varlink_request_parse(&r, text, &bad);

        SG_ASSERT((e == SG_VARLINK_E_MEMBER) == (bad != NULL));
        SG_ASSERT(e || r.method);
        sg_buf_init(&out, 8 * SG_VARLINK_CALL_BYTES_MAX);
        if (!e && !sg_varlink_check(r.parameters, expected, SG_N_ELEMENTS(expected)))
                SG_ASSERT(json_object_is_type(s, json_type_string));
        /* What we send back can be read back. */
        if (!e && !sg_varlink_add_reply(&out, NULL, r.parameters, false)) {
                SG_ASSERT(sg_varlink_answer_parse(&a, sg_str_head(sg_buf_view(&out), sg_buf_length(&out) - 1)) == 0);
                sg_varlink_answer_done(&a);
        }
        sg_varlink_request_done(&r);
        if (sg_varlink_answer_parse(&a, text) == 0)
                SG_ASSERT(json_object_is_type(a.whole, json_type_object));
        sg_varlink_answer_done(&a);
        sg_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_buf in;
        struct sg_str text;
        size_t scanned = 0;

        sg_buf_init(&in, SG_VARLINK_CALL_BYTES_MAX + 2);
        for (size_t at = 0, n; at < size; at += n) {
                n = SG_MIN(size - at, (size_t)1 + data[at] % 61);
                if (sg_buf_add(&in, sg_str_make(data + at, n)))
                        break;
                while (sg_varlink_frame(&in, &scanned, SG_VARLINK_CALL_BYTES_MAX, &text) == 0) {
                        read_call(text);
                        sg_buf_take(&in, text.n + 1);
                        scanned = 0;
                }
        }
        sg_buf_done(&in);
        return 0;
}
