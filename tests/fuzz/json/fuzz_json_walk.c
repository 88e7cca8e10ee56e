/* Any bytes: of valid text the walk, which skips values by quotes and brackets, finds what the scanner finds that proves
 * every byte, at every level; of other bytes it ends, and what it gives lies within. */
#include "base/limits.h"
#include "json/scan.h"

/* sg_json_each() by the scanner. */
static bool proved_each(struct sg_json_value in, size_t *at, struct sg_str *ret_name, struct sg_json_value *ret_value)
{
        struct sg_str quoted = SG_STR("\"\"");
        const unsigned char *value;
        struct sg_json_scan s;

        if ((in.kind != SG_JSON_OBJECT && in.kind != SG_JSON_ARRAY) || *at >= in.text.n)
                return false;
        sg_json_scan_init(&s, in.text);
        s.at += *at ? *at : 1;
        sg_json_scan_space(&s);
        if (*at) {
                if (sg_json_scan_peek(&s) != ',')
                        return false;
                s.at++;
                sg_json_scan_space(&s);
        }
        if (in.kind == SG_JSON_OBJECT && !sg_json_scan_name(&s, &quoted))
                return false;
        value = s.at;
        if (!sg_json_scan_value(&s, 1))
                return false;
        *at = (size_t)(s.at - s.begin);
        *ret_name = sg_str_make(quoted.p + 1, quoted.n - 2);
        *ret_value = (struct sg_json_value){sg_json_kind_of(*value), sg_str_make(value, (size_t)(s.at - value))};
        return true;
}

static void compare(struct sg_json_value in, unsigned depth)
{
        struct sg_json_value v, proved;
        struct sg_str name, proved_name;
        size_t at = 0, proved_at = 0;

        SG_ASSERT(depth <= SG_JSON_DEPTH_MAX);
        while (proved_each(in, &proved_at, &proved_name, &proved)) {
                SG_ASSERT(sg_json_each(in, &at, &name, &v) && at == proved_at);
                SG_ASSERT(v.kind == proved.kind && v.text.p == proved.text.p && v.text.n == proved.text.n);
                if (in.kind == SG_JSON_OBJECT)
                        SG_ASSERT(name.p == proved_name.p && name.n == proved_name.n);
                compare(v, depth + 1);
        }
        SG_ASSERT(!sg_json_each(in, &at, &name, &v) && at == proved_at);
}

static void is_within(struct sg_str part, struct sg_str all)
{
        SG_ASSERT(part.p >= all.p && part.p <= all.p + all.n && part.n <= (size_t)(all.p + all.n - part.p));
}

/* Of bytes that were never proved. What is read of a value must stay inside, too. */
static void stray(struct sg_json_value in, unsigned depth)
{
        struct sg_json_value v;
        struct sg_str name;
        size_t at = 0, before = 0;
        uint64_t number;
        char head[16];

        for (; sg_json_each(in, &at, &name, &v); before = at) {
                SG_ASSERT(at > before && at <= in.text.n && v.kind != SG_JSON_NONE && v.text.n > 0);
                is_within(v.text, in.text);
                if (in.kind == SG_JSON_OBJECT) {
                        SG_ASSERT(name.n <= in.text.n - 2);
                        is_within(sg_str_make(name.p - 1, name.n + 2), in.text);
                        SG_ASSERT(name.p[-1] == '"' && name.p[name.n] == '"');
                }
                SG_ASSERT(v.kind != SG_JSON_STRING || (v.text.n > 1 && v.text.p[v.text.n - 1] == '"'));
                (void)sg_json_copy(v, head, sizeof(head), NULL);
                (void)sg_json_u64(v, &number);
                if (depth < 16)
                        stray(v, depth + 1);
        }
        v = sg_json_get(in, SG_STR("content"));
        if (v.kind)
                is_within(v.text, in.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str text = sg_str_make(data, size);
        struct sg_json_value v;

        if (sg_json_check(text, &v, NULL) == 0)
                compare(v, 0);
        stray((struct sg_json_value){SG_JSON_OBJECT, text}, 0);
        stray((struct sg_json_value){SG_JSON_ARRAY, text}, 0);
        return 0;
}
