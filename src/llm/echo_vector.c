/* Vectors of the practice provider: eight numbers drawn from a text's hash, of length one. The same text gives the same
 * vector on every machine; similar texts do not give similar ones. */
#include <math.h>
#include <stdio.h>

#include "llm/echo.h"
#include "llm/text.h"

#define N_DIMENSIONS 8u

/* splitmix64: a hash becomes a sequence. */
static uint64_t next_random(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static void unit_vector(uint64_t hash, float ret[N_DIMENSIONS])
{
        double v[N_DIMENSIONS], sum = 0;

        for (unsigned i = 0; i < N_DIMENSIONS; i++) {
                v[i] = (double)(next_random(&hash) >> 11) / (double)(UINT64_C(1) << 52) - 1.0; /* -1 to 1 */
                sum += v[i] * v[i];
        }
        for (unsigned i = 0; i < N_DIMENSIONS; i++)
                ret[i] = (float)(v[i] / sqrt(sum));
}

/* Eight decimals, by hand: printf() would write the point of the locale. */
static void put_number(struct sg_llm_put *o, double v)
{
        uint64_t scaled = (uint64_t)(fabs(v) * 1e8 + 0.5);
        char text[32];

        snprintf(text, sizeof(text), "%s%u.%08u", v < 0 ? "-" : "", (unsigned)(scaled / 100000000u),
                 (unsigned)(scaled % 100000000u));
        sg_llm_put(o, sg_str_from(text));
}

static void put_base64(struct sg_llm_put *o, const float v[N_DIMENSIONS])
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        unsigned char bytes[4 * N_DIMENSIONS + 1] = {0}; /* 32, and a zero to make thirds of */
        char text[44];

        for (unsigned i = 0; i < N_DIMENSIONS; i++) {
                uint32_t bits;

                memcpy(&bits, &v[i], 4);
                for (unsigned k = 0; k < 4; k++)
                        bytes[4 * i + k] = (unsigned char)(bits >> (8 * k)); /* little-endian, as OpenAI sends them */
        }
        for (unsigned i = 0, k = 0; i < sizeof(bytes); i += 3) {
                unsigned n = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];

                for (int shift = 18; shift >= 0; shift -= 6)
                        text[k++] = digits[n >> shift & 63];
        }
        text[43] = '='; /* one byte short of a third */
        sg_llm_put(o, SG_STR("\""));
        sg_llm_put(o, sg_str_make(text, sizeof(text)));
        sg_llm_put(o, SG_STR("\""));
}

static void put_vector(struct sg_llm_put *o, uint64_t hash, bool is_base64)
{
        float v[N_DIMENSIONS];

        unit_vector(hash, v);
        if (is_base64) {
                put_base64(o, v);
                return;
        }
        for (unsigned i = 0; i < N_DIMENSIONS; i++) {
                sg_llm_put(o, i ? SG_STR(",") : SG_STR("["));
                put_number(o, (double)v[i]);
        }
        sg_llm_put(o, SG_STR("]"));
}

int sg_echo_add_vectors(struct sg_echo *e, struct sg_buf *b)
{
        struct sg_str left = sg_buf_view(&e->hashes);
        struct sg_llm_put o = {.to = b};
        uint64_t hash;

        sg_llm_put(&o, SG_STR("{\"object\":\"list\",\"data\":["));
        for (uint64_t i = 0; left.n >= sizeof(hash); i++, left = sg_str_skip(left, sizeof(hash))) {
                memcpy(&hash, left.p, sizeof(hash));
                sg_llm_put(&o, i ? SG_STR(",{\"object\":\"embedding\",\"index\":")
                                 : SG_STR("{\"object\":\"embedding\",\"index\":"));
                sg_llm_put_u64(&o, i);
                sg_llm_put(&o, SG_STR(",\"embedding\":"));
                put_vector(&o, hash, e->is_base64);
                sg_llm_put(&o, SG_STR("}"));
        }
        sg_llm_put(&o, SG_STR("],\"model\":"));
        sg_llm_put_string(&o, e->model);
        sg_llm_put(&o, SG_STR(",\"usage\":{\"prompt_tokens\":"));
        sg_llm_put_u64(&o, e->input_tokens);
        sg_llm_put(&o, SG_STR(",\"total_tokens\":"));
        sg_llm_put_u64(&o, e->input_tokens);
        sg_llm_put(&o, SG_STR("}}"));
        return o.r;
}
