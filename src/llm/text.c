#include "llm/text.h"

#include <stdarg.h>
#include <stdio.h>

void sg_llm_fault_set(struct sg_llm_fault *fault, const char *param, const char *format, ...)
{
        va_list args;

        if (!fault)
                return;
        va_start(args, format);
        vsnprintf(fault->text, sizeof(fault->text), format, args);
        va_end(args);
        snprintf(fault->param, sizeof(fault->param), "%s", param);
}

const char *sg_llm_kind_phrase(enum sg_json_kind kind)
{
        static const char *const phrases[SG_JSON_KIND_N] = {
                [SG_JSON_NONE] = "absent",    [SG_JSON_NULL] = "null",        [SG_JSON_FALSE] = "false",
                [SG_JSON_TRUE] = "true",      [SG_JSON_NUMBER] = "a number",  [SG_JSON_STRING] = "a string",
                [SG_JSON_ARRAY] = "an array", [SG_JSON_OBJECT] = "an object",
        };

        return (unsigned)kind < SG_JSON_KIND_N ? phrases[kind] : "?";
}

static bool is_key_byte(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* Providers quote the refused key in their errors, and that key is the gateway's. */
static void mask_keys(char *text)
{
        for (char *p = text; (p = strstr(p, "sk-")); p += 3) {
                size_t n = 3;

                while (is_key_byte(p[n]))
                        n++;
                if ((p == text || !is_key_byte(p[-1])) && n >= 12)
                        memset(p + 3, '*', n - 3);
        }
}

void sg_llm_copy_text(char *out, size_t out_bytes, struct sg_json_value v)
{
        size_t n = 0;

        out[0] = '\0';
        if (v.kind == SG_JSON_STRING)
                (void)sg_json_copy(v, out, out_bytes, &n);
        else if (v.kind == SG_JSON_NUMBER && v.text.n < out_bytes)
                memcpy(out, v.text.p, n = v.text.n);
        out[n] = '\0';
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
                        out[i] = ' ';
        mask_keys(out);
}

bool sg_llm_is_truthy(struct sg_json_value v)
{
        uint64_t number;

        switch (v.kind) {
        case SG_JSON_TRUE:
                return true;
        case SG_JSON_STRING:
                return v.text.n > 2;
        case SG_JSON_NUMBER:
                return !sg_json_u64(v, &number) || number != 0;
        case SG_JSON_ARRAY:
        case SG_JSON_OBJECT:
                return !sg_json_is_empty(v);
        default:
                return false;
        }
}

static bool is_space(char c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

struct sg_str sg_llm_trim(struct sg_str s)
{
        while (s.n > 0 && is_space(s.p[0]))
                s = sg_str_skip(s, 1);
        while (s.n > 0 && is_space(s.p[s.n - 1]))
                s.n--;
        return s;
}
