/*
 * grpc.health.v1.Health/Check: HealthCheckRequest is one string, HealthCheckResponse one enum. So little of protocol buffers
 * is read and written by hand; what else stands in an answer is skipped, as their rules for unknown fields want.
 */
#include <inttypes.h>

#include "probe/judge.h"

#define PREFIX_BYTES 5u /* compressed or not, and the length */

enum wire_type {
        WIRE_VARINT = 0,
        WIRE_FIXED64 = 1,
        WIRE_BYTES = 2,
        WIRE_FIXED32 = 5,
};

/* ---- the question */

static size_t put_varint(char out[10], uint64_t v)
{
        size_t n = 0;

        do {
                out[n] = (char)(v & 0x7f);
                v >>= 7;
                if (v)
                        out[n] |= (char)0x80;
                n++;
        } while (v);
        return n;
}

int sg_judge_add_grpc_check(struct sg_buf *b, struct sg_str service)
{
        char field[1 + 10] = {1 << 3 | WIRE_BYTES};
        const size_t n_field = service.n ? 1 + put_varint(field + 1, service.n) : 0, n = n_field + service.n;
        const char prefix[PREFIX_BYTES] = {0, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
        int r = sg_buf_add(b, sg_str_make(prefix, sizeof(prefix)));

        if (!r)
                r = sg_buf_add(b, sg_str_make(field, n_field));
        return r ? r : sg_buf_add(b, service);
}

/* ---- the answer */

static bool read_varint(struct sg_str *rest, uint64_t *ret)
{
        uint64_t v = 0;

        for (size_t i = 0; i < rest->n && i < 10; i++) {
                const uint64_t byte = (unsigned char)rest->p[i];

                v |= (byte & 0x7f) << (7 * i);
                if (!(byte & 0x80)) {
                        *rest = sg_str_skip(*rest, i + 1);
                        *ret = v;
                        return true;
                }
        }
        return false;
}

static bool skip(struct sg_str *rest, uint64_t n)
{
        if (n > rest->n)
                return false;
        *rest = sg_str_skip(*rest, (size_t)n);
        return true;
}

/* The value of one field, of which the tag was read: *ret is changed by one that is a varint. */
static bool read_value(struct sg_str *rest, unsigned wire, uint64_t *ret)
{
        uint64_t n;

        switch (wire) {
        case WIRE_VARINT:
                return read_varint(rest, ret);
        case WIRE_FIXED64:
                return skip(rest, 8);
        case WIRE_BYTES:
                return read_varint(rest, &n) && skip(rest, n);
        case WIRE_FIXED32:
                return skip(rest, 4);
        default:
                return false;
        }
}

/* The last one counts, and one that is not there is 0. */
static bool read_status(struct sg_str message, uint64_t *ret)
{
        *ret = 0;
        while (message.n) {
                uint64_t tag, value;

                if (!read_varint(&message, &tag) || tag >> 3 == 0)
                        return false;
                value = *ret;
                if (!read_value(&message, tag & 7, &value))
                        return false;
                if (tag >> 3 == 1)
                        *ret = value;
        }
        return true;
}

enum sg_judgement sg_judge_grpc_answer(struct sg_str body, struct sg_judge_words *words)
{
        static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
        const unsigned char *p = (const unsigned char *)body.p;
        uint64_t status;

        if (body.n < PREFIX_BYTES || p[0] ||
            ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]) != body.n - PREFIX_BYTES ||
            !read_status(sg_str_skip(body, PREFIX_BYTES), &status))
                return sg_judge_dead(words, SG_PROBE_F_GARBAGE, "the answer is not that of a health check");
        if (status == 1)
                return SG_JUDGEMENT_ALIVE;
        if (status < SG_N_ELEMENTS(names))
                return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it says: %s", names[status]);
        return sg_judge_dead(words, SG_PROBE_F_UNAVAILABLE, "it says: %" PRIu64, status);
}
