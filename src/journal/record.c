#include <endian.h>
#include <string.h>

#include "journal/record.h"

#define RECORD_VERSION       2u
#define RECORD_VERSION_FIRST 1u /* without credential, attempts and cache_write_1h: rings that an upgrade finds */

_Static_assert(SG_RECORD_CLOSE_BYTES_MAX <= SG_RECORD_BYTES_MAX, "a close record fits into a record");

const char *sg_outcome_name(enum sg_outcome o)
{
        static const char *const names[SG_OUTCOME_N] = {"complete", "truncated", "client_gone", "failed", "cut_off"};

        return (unsigned)o < SG_OUTCOME_N ? names[o] : "unknown";
}

const char *sg_record_certainty_name(uint32_t c)
{
        static const char *const names[SG_RECORD_CERTAINTY_N] = {"none", "measured", "partial", "estimated"};

        return c < SG_RECORD_CERTAINTY_N ? names[c] : "unknown";
}

/* ---- the form, once for both directions
 *
 *      u8 version, u8 kind, u16 zero, u32 flags, u64 x 4
 *      close: u32 outcome, u32 status, u32 certainty, u32 attempts, u64 x 12
 *      strings, each u16 length and bytes: seven, or nine in a close
 *
 * The first version had zero for the attempts, not the last of the u64s of a close, and no credential.
 */

#define COMMON_U64S    4
#define CLOSE_U64S     12
#define CLOSE_U64S_1   11
#define OPEN_STRS      7
#define CLOSE_STRS     9
#define STR_CREDENTIAL 6

struct fields {
        uint64_t *common[COMMON_U64S];
        uint64_t *close[CLOSE_U64S];
        struct sg_str *strs[CLOSE_STRS];
};

static const uint16_t str_max[CLOSE_STRS] = {
        SG_REQUEST_ID_BYTES_MAX,   SG_NAME_BYTES_MAX,          SG_RECORD_OPERATION_BYTES_MAX,
        SG_RECORD_MODEL_BYTES_MAX, SG_NAME_BYTES_MAX,          SG_RECORD_MODEL_BYTES_MAX,
        SG_NAME_BYTES_MAX,         SG_RECORD_REASON_BYTES_MAX, SG_RAW_USAGE_BYTES_MAX,
};

#define CLOSE_FIXED_BYTES (8 + 8 * COMMON_U64S + 16 + 8 * CLOSE_U64S + 2 * CLOSE_STRS)
_Static_assert(CLOSE_FIXED_BYTES + SG_REQUEST_ID_BYTES_MAX + 3 * SG_NAME_BYTES_MAX + SG_RECORD_OPERATION_BYTES_MAX +
                               2 * SG_RECORD_MODEL_BYTES_MAX + SG_RECORD_REASON_BYTES_MAX + SG_RAW_USAGE_BYTES_MAX <=
                       SG_RECORD_CLOSE_BYTES_MAX,
               "room kept for a close record");

static struct fields fields_of(struct sg_record *rec)
{
        return (struct fields){
                .common = {&rec->exchange, &rec->start_wall_usec, &rec->key_id, &rec->prompt_bytes},
                .close = {&rec->input_tokens, &rec->output_tokens, &rec->cached_tokens, &rec->cache_write_tokens,
                          &rec->reasoning_tokens, &rec->audio_input_tokens, &rec->audio_output_tokens,
                          &rec->image_tokens, &rec->duration_usec, &rec->first_byte_usec, &rec->answer_bytes,
                          &rec->cache_write_1h_tokens},
                .strs = {&rec->request_id, &rec->key_name, &rec->operation, &rec->model, &rec->provider,
                         &rec->upstream_model, &rec->credential, &rec->reason, &rec->raw_usage},
        };
}

void sg_record_fit(struct sg_record *rec)
{
        struct fields f = fields_of(rec);

        for (size_t i = 0; i < CLOSE_STRS - 1; i++) {
                size_t n = f.strs[i]->n;

                if (n <= str_max[i])
                        continue;
                n = str_max[i];
                while (n > 0 && ((unsigned char)f.strs[i]->p[n] & 0xc0) == 0x80)
                        n--;
                f.strs[i]->n = n;
        }
        if (rec->raw_usage.n > SG_RAW_USAGE_BYTES_MAX)
                rec->raw_usage = SG_STR_NONE;
        if ((unsigned)rec->outcome >= SG_OUTCOME_N)
                rec->outcome = SG_OUTCOME_FAILED;
        if (rec->certainty >= SG_RECORD_CERTAINTY_N)
                rec->certainty = SG_RECORD_CERTAINTY_NONE;
}

/* ---- bytes */

struct cursor {
        unsigned char *p;
        size_t n; /* bytes left */
        bool ok;
};

static unsigned char *take(struct cursor *c, size_t n)
{
        unsigned char *p = c->p;

        if (!c->ok || n > c->n) {
                c->ok = false;
                return NULL;
        }
        c->p += n;
        c->n -= n;
        return p;
}

static inline void put(struct cursor *c, uint64_t v, size_t n_bytes)
{
        unsigned char *p = take(c, n_bytes);

        v = htole64(v);
        if (p)
                memcpy(p, &v, n_bytes);
}

static uint64_t get(struct cursor *c, size_t n_bytes)
{
        const unsigned char *p = take(c, n_bytes);
        uint64_t v = 0;

        for (size_t i = 0; p && i < n_bytes; i++)
                v |= (uint64_t)p[i] << (8 * i);
        return v;
}

int sg_record_encode(const struct sg_record *rec, void *out, size_t out_bytes, size_t *ret_n)
{
        struct sg_record copy = *rec;
        struct fields f = fields_of(&copy);
        struct cursor c = {out, out_bytes, true};
        bool is_close = rec->kind == SG_RECORD_CLOSE;

        SG_ASSERT(is_close || rec->kind == SG_RECORD_OPEN);
        put(&c, RECORD_VERSION, 1);
        put(&c, rec->kind, 1);
        put(&c, 0, 2);
        put(&c, rec->flags, 4);
        for (size_t i = 0; i < COMMON_U64S; i++)
                put(&c, *f.common[i], 8);
        if (is_close) {
                put(&c, rec->outcome, 4);
                put(&c, rec->status, 4);
                put(&c, rec->certainty, 4);
                put(&c, rec->n_attempts, 4);
                for (size_t i = 0; i < CLOSE_U64S; i++)
                        put(&c, *f.close[i], 8);
        }
        for (size_t i = 0; i < (is_close ? CLOSE_STRS : OPEN_STRS); i++) {
                unsigned char *p;

                if (f.strs[i]->n > str_max[i])
                        return SG_RECORD_E_ROOM;
                put(&c, f.strs[i]->n, 2);
                p = take(&c, f.strs[i]->n);
                if (p && f.strs[i]->n)
                        memcpy(p, f.strs[i]->p, f.strs[i]->n);
        }
        if (!c.ok)
                return SG_RECORD_E_ROOM;
        *ret_n = out_bytes - c.n;
        return 0;
}

static void get_close(struct cursor *c, struct sg_record *rec, const struct fields *f, uint64_t version)
{
        uint64_t outcome = get(c, 4);

        rec->status = (uint32_t)get(c, 4);
        rec->certainty = (uint32_t)get(c, 4);
        rec->n_attempts = (uint32_t)get(c, 4);
        if ((version == RECORD_VERSION_FIRST && rec->n_attempts != 0) || outcome >= SG_OUTCOME_N ||
            rec->certainty >= SG_RECORD_CERTAINTY_N)
                c->ok = false;
        rec->outcome = (enum sg_outcome)outcome;
        for (size_t i = 0; i < (version == RECORD_VERSION_FIRST ? CLOSE_U64S_1 : CLOSE_U64S); i++)
                *f->close[i] = get(c, 8);
}

int sg_record_decode(struct sg_record *ret, const void *data, size_t n)
{
        struct sg_record rec = {0};
        struct fields f = fields_of(&rec);
        struct cursor c = {(unsigned char *)(uintptr_t)data, n, true}; /* only read from here */
        uint64_t kind, version = get(&c, 1);
        bool is_close;

        if (version < RECORD_VERSION_FIRST || version > RECORD_VERSION)
                return SG_RECORD_E_BAD;
        kind = get(&c, 1);
        is_close = kind == SG_RECORD_CLOSE;
        if ((!is_close && kind != SG_RECORD_OPEN) || get(&c, 2) != 0)
                return SG_RECORD_E_BAD;
        rec.kind = (enum sg_record_kind)kind;
        rec.flags = (uint32_t)get(&c, 4);
        for (size_t i = 0; i < COMMON_U64S; i++)
                *f.common[i] = get(&c, 8);
        if (is_close)
                get_close(&c, &rec, &f, version);
        for (size_t i = 0; i < (is_close ? CLOSE_STRS : OPEN_STRS); i++) {
                uint64_t len;
                const unsigned char *p;

                if (i == STR_CREDENTIAL && version == RECORD_VERSION_FIRST)
                        continue;
                len = get(&c, 2);
                p = take(&c, len);
                if (!p || len > str_max[i])
                        return SG_RECORD_E_BAD;
                *f.strs[i] = sg_str_make(p, len);
        }
        if (!c.ok || c.n != 0)
                return SG_RECORD_E_BAD;
        *ret = rec;
        return 0;
}
