#include <errno.h>
#include <stdlib.h>

#include "ledger/hours.h"

#define PLACES_MIN 64u

/* ---- rows */

static void mix(uint64_t *hash, struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++)
                *hash = (*hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
        *hash = (*hash ^ 0xff) * UINT64_C(0x100000001b3); /* no byte of UTF-8: "a", "bc" is not "ab", "c" */
}

/* FNV-1a. Who can choose names so that they collide is a key's owner, and slows down a batch of his own. */
static uint64_t hash_of(const struct sg_hour *row)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (row->hour * UINT64_C(0x9e3779b97f4a7c15)) ^ row->key_id;

        mix(&hash, row->key_name);
        mix(&hash, row->model);
        mix(&hash, row->provider);
        mix(&hash, row->upstream_model);
        return hash ^ (hash >> 32);
}

static bool is_same(const struct sg_hour *a, const struct sg_hour *b)
{
        return a->hour == b->hour && a->key_id == b->key_id && sg_str_eq(a->model, b->model) &&
               sg_str_eq(a->upstream_model, b->upstream_model) && sg_str_eq(a->provider, b->provider) &&
               sg_str_eq(a->key_name, b->key_name);
}

/* Where it stands, or may be put. */
static uint32_t *find_place(const struct sg_hours *h, const struct sg_hour *row)
{
        size_t at = (size_t)hash_of(row) & (h->n_places - 1);

        while (h->places[at] && !is_same(h->rows[h->places[at] - 1], row))
                at = (at + 1) & (h->n_places - 1);
        return &h->places[at];
}

static int grow(struct sg_hours *h)
{
        size_t n_places = h->n_places ? 2 * h->n_places : PLACES_MIN;
        struct sg_hour **rows = realloc(h->rows, n_places / 2 * sizeof(struct sg_hour *));
        uint32_t *places;

        if (!rows)
                return -ENOMEM;
        h->rows = rows;
        places = calloc(n_places, sizeof(*places));
        if (!places)
                return -ENOMEM;
        free(h->places);
        h->places = places;
        h->n_places = n_places;
        h->room_rows = n_places / 2;
        for (size_t i = 0; i < h->n_rows; i++)
                *find_place(h, h->rows[i]) = (uint32_t)(i + 1);
        return 0;
}

static struct sg_hour *copy_row(const struct sg_hour *like)
{
        const struct sg_str *const from[] = {&like->key_name, &like->model, &like->provider, &like->upstream_model};
        struct sg_str *to[SG_N_ELEMENTS(from)];
        struct sg_hour *row;
        char *text;
        size_t n = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(from); i++)
                n += from[i]->n;
        row = malloc(sizeof(*row) + n);
        if (!row)
                return NULL;
        *row = *like;
        to[0] = &row->key_name;
        to[1] = &row->model;
        to[2] = &row->provider;
        to[3] = &row->upstream_model;
        text = (char *)(row + 1);
        for (size_t i = 0; i < SG_N_ELEMENTS(from); i++) {
                if (from[i]->n)
                        memcpy(text, from[i]->p, from[i]->n);
                *to[i] = sg_str_make(text, from[i]->n);
                text += from[i]->n;
        }
        return row;
}

static int find_row(struct sg_hours *h, const struct sg_hour *like, struct sg_hour **ret)
{
        uint32_t *place;

        if (h->n_rows == h->room_rows) {
                int r = grow(h);

                if (r)
                        return r;
        }
        place = find_place(h, like);
        if (!*place) {
                struct sg_hour *row = copy_row(like);

                if (!row)
                        return -ENOMEM;
                h->rows[h->n_rows++] = row;
                *place = (uint32_t)h->n_rows;
        }
        *ret = h->rows[*place - 1];
        return 0;
}

/* ---- sums */

static void add_counts(struct sg_hour *row, const struct sg_record *rec)
{
        const uint64_t counts[] = {rec->input_tokens,       rec->output_tokens,         rec->cached_tokens,
                                   rec->cache_write_tokens, rec->cache_write_1h_tokens, rec->reasoning_tokens,
                                   rec->audio_input_tokens, rec->audio_output_tokens,   rec->image_tokens,
                                   rec->duration_usec};
        bool has_tokens = rec->input_tokens > 0 || rec->output_tokens > 0;

        _Static_assert(SG_N_ELEMENTS(counts) == SG_HOUR_COLUMN_N - SG_HOUR_INPUT, "each has its column");
        row->n[SG_HOUR_REQUESTS]++;
        if ((unsigned)rec->outcome < SG_OUTCOME_N)
                row->n[SG_HOUR_OUTCOMES + (int)rec->outcome]++;
        if (rec->certainty < SG_RECORD_CERTAINTY_N)
                row->n[SG_HOUR_CERTAINTIES + rec->certainty]++;
        row->n[SG_HOUR_COUNTED] += has_tokens;
        row->n[SG_HOUR_BILLED] += has_tokens || rec->outcome != SG_OUTCOME_FAILED;
        for (size_t i = 0; i < SG_N_ELEMENTS(counts); i++)
                row->n[SG_HOUR_INPUT + i] += SG_MIN(counts[i], SG_STORE_COUNT_MAX);
}

int sg_hours_add(struct sg_hours *h, const struct sg_record *rec)
{
        uint64_t start = SG_MIN(rec->start_wall_usec, (uint64_t)INT64_MAX);
        const struct sg_hour like = {
                .hour = start / SG_HOUR_USEC,
                .key_id = SG_MIN(rec->key_id, (uint64_t)INT64_MAX),
                .key_name = rec->key_name,
                .model = rec->model,
                .provider = rec->provider,
                .upstream_model = rec->upstream_model,
                .first_wall_usec = start,
                .last_wall_usec = start,
        };
        struct sg_hour *row;
        int r;

        r = find_row(h, &like, &row);
        if (r)
                return r;
        add_counts(row, rec);
        row->first_wall_usec = SG_MIN(row->first_wall_usec, start);
        row->last_wall_usec = SG_MAX(row->last_wall_usec, start);
        h->n_events++;
        return 0;
}

void sg_hours_clear(struct sg_hours *h)
{
        for (size_t i = 0; i < h->n_rows; i++)
                free(h->rows[i]);
        h->n_rows = 0;
        h->n_events = 0;
        if (h->n_places)
                memset(h->places, 0, h->n_places * sizeof(*h->places));
}

void sg_hours_done(struct sg_hours *h)
{
        sg_hours_clear(h);
        free(h->rows);
        free(h->places);
        *h = (struct sg_hours){0};
}

struct sg_hour_range sg_hour_range(uint64_t from_wall_usec, uint64_t to_wall_usec)
{
        uint64_t from = from_wall_usec / SG_HOUR_USEC + (from_wall_usec % SG_HOUR_USEC != 0);
        uint64_t to = to_wall_usec / SG_HOUR_USEC;

        if (from >= to) /* within one hour, or two */
                return (struct sg_hour_range){.head_wall_usec = {from_wall_usec, to_wall_usec}};
        return (struct sg_hour_range){
                .from_hour = from,
                .to_hour = to,
                .head_wall_usec = {from_wall_usec, from * SG_HOUR_USEC},
                .tail_wall_usec = {to * SG_HOUR_USEC, to_wall_usec},
        };
}
