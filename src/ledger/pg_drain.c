/*
 * What the drain writes: marks of rings, open exchanges, usage.
 *
 * A commit whose answer is lost may have happened. Whoever went on from what he believes to be the mark would write the same
 * rows again. So a ring's mark moves only from where this store has seen it to stand (the condition of the UPDATE), and after
 * such a commit nowhere at all until it was asked again: sg_store_ring_get() is how the drain finds out. The same keeps two
 * ledgers from draining one ring.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger/pg.h"

#define ARRAY_BYTES_MAX (64u << 20)

static int no_memory(const struct sg_pg *q, struct sg_error *err)
{
        return sg_error_set(err, -ENOMEM, sg_pg_where(&q->link), "out of memory");
}

/* ---- marks */

static struct sg_pg_mark *find_mark(struct sg_pg *q, const char *id)
{
        for (size_t i = 0; i < q->n_marks; i++)
                if (strcmp(q->marks[i].id, id) == 0)
                        return &q->marks[i];
        return NULL;
}

static int note_mark(struct sg_pg *q, const char *id, enum sg_pg_mark_state state, uint64_t sequence,
                     struct sg_error *err)
{
        struct sg_pg_mark *m = find_mark(q, id);

        if (!m && q->n_marks == q->room_marks) {
                size_t room = q->room_marks ? 2 * q->room_marks : 16;
                struct sg_pg_mark *marks = realloc(q->marks, room * sizeof(*marks));

                if (!marks)
                        return no_memory(q, err);
                q->marks = marks;
                q->room_marks = room;
        }
        if (!m) {
                m = &q->marks[q->n_marks++];
                *m = (struct sg_pg_mark){0};
                (void)sg_str_copy(m->id, sizeof(m->id), sg_str_from(id));
        }
        if (!m->is_written) {
                m->state = state;
                m->sequence = sequence;
        }
        return 0;
}

static void read_ring(const PGresult *res, struct sg_store_ring *ret)
{
        *ret = (struct sg_store_ring){
                .sequence = sg_pg_u64(res, 1),
                .offset = sg_pg_u64(res, 2),
                .n_lost = sg_pg_u64(res, 3),
                .is_finished = sg_pg_u64(res, 4) != 0,
        };
        (void)sg_str_copy(ret->id, sizeof(ret->id), sg_pg_text(res, 0));
}

int sg_pg_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r, e;

        sg_pg_give_text(&a, sg_str_from(id));
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_one(
                        &q->link,
                        "SELECT id, sequence, position, n_lost, is_finished FROM scribe.journal_ring WHERE id = $1", &a,
                        &res, "cannot read a ring's mark", err);
        if (r < 0)
                return r;
        if (r > 0) {
                e = note_mark(q, id, SG_PG_MARK_ABSENT, 0, err);
                return e ? e : r;
        }
        read_ring(res, ret);
        PQclear(res);
        return note_mark(q, id, SG_PG_MARK_KNOWN, ret->sequence, err);
}

/* Collected until the commit; of several in a transaction the last one counts. */
int sg_pg_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_mark *m = find_mark(q, ring->id);
        struct sg_store_ring seen;
        bool is_own;
        int r;

        if (!m) {
                r = sg_pg_ring_get(s, ring->id, &seen, err);
                if (r < 0)
                        return r;
                m = find_mark(q, ring->id);
        }
        if (m->state == SG_PG_MARK_UNCERTAIN)
                return sg_error_set(err, -ESTALE, sg_pg_where(&q->link),
                                    "it is not known up to where ring %s was stored: its mark must be read again",
                                    ring->id);
        r = sg_pg_enter_collecting(q, &is_own, err);
        if (r)
                return r;
        m->put = *ring;
        m->is_put = true;
        return sg_pg_leave(q, is_own, 0, err);
}

int sg_pg_ring_drop(struct sg_store *s, const char *id, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        struct sg_pg_mark *m;
        int r;

        sg_pg_give_text(&a, sg_str_from(id));
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_run(&q->link, "DELETE FROM scribe.journal_ring WHERE id = $1", &a, NULL,
                              "cannot drop a ring's mark", err);
        m = find_mark(q, id);
        if (!r && m)
                *m = q->marks[--q->n_marks];
        return r;
}

/* Only what is on this node's disk: other nodes' rings are theirs to miss. */
int sg_pg_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                    struct sg_error *err)
{
        static const char doing[] = "cannot read the rings' marks";
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_text(&a, sg_str_from(s->options.node));
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_ask(
                        &q->link,
                        "SELECT id, sequence, position, n_lost, is_finished FROM scribe.journal_ring WHERE node = $1",
                        &a, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                struct sg_store_ring ring;

                read_ring(res, &ring);
                PQclear(res);
                each(&ring, owner);
        }
        return r > 0 ? 0 : r;
}

static const char insert_mark_sql[] =
        "INSERT INTO scribe.journal_ring (id, node, sequence, position, n_lost, is_finished)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
static const char move_mark_sql[] =
        "UPDATE scribe.journal_ring SET node = $2, sequence = $3, position = $4, n_lost = $5, is_finished = $6"
        " WHERE id = $1 AND sequence = $7";

static int write_mark(struct sg_pg *q, struct sg_pg_mark *m, struct sg_error *err)
{
        bool is_known = m->is_written || m->state == SG_PG_MARK_KNOWN;
        struct sg_pg_arguments a = {0};
        uint64_t n = 0;
        int r;

        sg_pg_give_text(&a, sg_str_from(m->id));
        sg_pg_give_text(&a, sg_str_from(q->store.options.node));
        sg_pg_give_u64(&a, m->put.sequence);
        sg_pg_give_u64(&a, m->put.offset);
        sg_pg_give_u64(&a, m->put.n_lost);
        sg_pg_give_bool(&a, m->put.is_finished);
        if (is_known)
                sg_pg_give_u64(&a, m->is_written ? m->written : m->sequence);
        r = sg_pg_run(&q->link, is_known ? move_mark_sql : insert_mark_sql, &a, &n, "cannot write a ring's mark", err);
        if (r)
                return r;
        if (n != 1) {
                m->state = SG_PG_MARK_UNCERTAIN;
                return sg_error_set(
                        err, -ESTALE, sg_pg_where(&q->link),
                        "the mark of ring %s was moved by somebody else: does another ledger read the same journal?",
                        m->id);
        }
        m->is_put = false;
        m->is_written = true;
        m->written = m->put.sequence;
        return 0;
}

static int write_marks(struct sg_pg *q, struct sg_error *err)
{
        int r = 0;

        for (size_t i = 0; i < q->n_marks && !r; i++)
                if (q->marks[i].is_put)
                        r = write_mark(q, &q->marks[i], err);
        return r;
}

void sg_pg_marks_committed(struct sg_pg *q)
{
        for (size_t i = 0; i < q->n_marks; i++)
                if (q->marks[i].is_written) {
                        q->marks[i].state = SG_PG_MARK_KNOWN;
                        q->marks[i].sequence = q->marks[i].written;
                }
}

void sg_pg_marks_uncertain(struct sg_pg *q)
{
        for (size_t i = 0; i < q->n_marks; i++)
                if (q->marks[i].is_written)
                        q->marks[i].state = SG_PG_MARK_UNCERTAIN;
}

/* ---- open exchanges */

static struct sg_pg_open *add_open(struct sg_pg_opens *o, const char *ring, uint64_t exchange)
{
        struct sg_pg_open *open;

        if (o->n == o->room) {
                size_t room = o->room ? 2 * o->room : 64;

                open = realloc(o->list, room * sizeof(*open));
                if (!open)
                        return NULL;
                o->list = open;
                o->room = room;
        }
        open = &o->list[o->n++];
        *open = (struct sg_pg_open){.exchange = exchange};
        (void)sg_str_copy(open->ring, sizeof(open->ring), sg_str_from(ring));
        return open;
}

static int collect_open(struct sg_pg *q, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        struct sg_pg_open *open;
        char *out = NULL;
        size_t n = 0;

        if (sg_buf_reserve(&q->records, SG_RECORD_BYTES_MAX, &out) != 0)
                return no_memory(q, err);
        if (sg_record_encode(rec, out, SG_RECORD_BYTES_MAX, &n) != 0)
                return sg_error_set(err, -EINVAL, sg_pg_where(&q->link), "an open record that is too long");
        open = add_open(&q->adds, ring, rec->exchange);
        if (!open)
                return no_memory(q, err);
        open->at = sg_buf_length(&q->records);
        open->n = n;
        sg_buf_added(&q->records, n);
        return 0;
}

int sg_pg_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_own;
        int r = sg_pg_enter_collecting(q, &is_own, err);

        return r ? r : sg_pg_leave(q, is_own, collect_open(q, ring, rec, err), err);
}

/* Exchanges are dropped before others are added: the drain never adds one and drops it in the same transaction, but a caller
 * might. */
static int collect_drop(struct sg_pg *q, const char *ring, uint64_t exchange, struct sg_error *err)
{
        int r;

        if (q->adds.n > 0 && strcmp(q->adds.list[q->adds.n - 1].ring, ring) == 0) {
                r = sg_pg_enter(q, err);
                if (r)
                        return r;
        }
        return add_open(&q->drops, ring, exchange) ? 0 : no_memory(q, err);
}

int sg_pg_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_own;
        int r = sg_pg_enter_collecting(q, &is_own, err);

        return r ? r : sg_pg_leave(q, is_own, collect_drop(q, ring, exchange, err), err);
}

static const char open_next_sql[] =
        "SELECT exchange, start_wall_usec, key_id, request_id, key_name, operation, model, provider, upstream_model,"
        " prompt_bytes, flags, credential FROM scribe.open_exchange"
        " WHERE ring = $1 AND exchange > $2 ORDER BY exchange LIMIT 1";

/* The first question is about what the transaction has dropped so far, too; the next ones are about exchanges behind those that
 * were collected since. */
int sg_pg_open_next(struct sg_store *s, const char *ring, uint64_t after, struct sg_record *ret, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_text(&a, sg_str_from(ring));
        sg_pg_give_u64(&a, after);
        r = after && q->in_transaction && q->adds.n == 0 && !q->is_copying ? sg_pg_begin_now(q, err)
                                                                           : sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_one(&q->link, open_next_sql, &a, &res, "cannot read an open exchange", err);
        if (r)
                return r;
        PQclear(q->lent);
        q->lent = res;
        *ret = (struct sg_record){
                .kind = SG_RECORD_OPEN,
                .exchange = sg_pg_u64(res, 0),
                .start_wall_usec = sg_pg_u64(res, 1),
                .key_id = sg_pg_u64(res, 2),
                .request_id = sg_pg_text(res, 3),
                .key_name = sg_pg_text(res, 4),
                .operation = sg_pg_text(res, 5),
                .model = sg_pg_text(res, 6),
                .provider = sg_pg_text(res, 7),
                .upstream_model = sg_pg_text(res, 8),
                .prompt_bytes = sg_pg_u64(res, 9),
                .flags = (uint32_t)sg_pg_u64(res, 10),
                .credential = sg_pg_text(res, 11),
        };
        return 0;
}

static const char drop_sql[] = "DELETE FROM scribe.open_exchange o USING unnest($1, $2) AS n (ring, exchange)"
                               " WHERE o.ring = n.ring AND o.exchange = n.exchange";

static int write_drops(struct sg_pg *q, struct sg_error *err)
{
        const struct sg_pg_opens *drops = &q->drops;
        struct sg_pg_arguments a = {0};
        struct sg_buf rings, exchanges;
        int r;

        if (drops->n == 0)
                return 0;
        sg_buf_init(&rings, ARRAY_BYTES_MAX);
        sg_buf_init(&exchanges, ARRAY_BYTES_MAX);
        r = sg_pg_array_begin(&rings, true, drops->n);
        if (!r)
                r = sg_pg_array_begin(&exchanges, false, drops->n);
        for (size_t i = 0; i < drops->n && !r; i++) {
                r = sg_pg_array_text(&rings, sg_str_from(drops->list[i].ring));
                if (!r)
                        r = sg_pg_array_u64(&exchanges, drops->list[i].exchange);
        }
        if (!r) {
                sg_pg_give_array(&a, &rings);
                sg_pg_give_array(&a, &exchanges);
                r = sg_pg_run(&q->link, drop_sql, &a, NULL, "cannot drop open exchanges", err);
        } else
                r = no_memory(q, err);
        sg_buf_done(&rings);
        sg_buf_done(&exchanges);
        q->drops.n = 0;
        return r;
}

static const char add_sql[] =
        "INSERT INTO scribe.open_exchange (ring, exchange, start_wall_usec, key_id, prompt_bytes, flags, request_id,"
        " key_name, operation, model, provider, upstream_model, credential)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT (ring, exchange) DO UPDATE SET start_wall_usec = $3, key_id = $4, prompt_bytes = $5, flags = $6,"
        " request_id = $7, key_name = $8, operation = $9, model = $10, provider = $11, upstream_model = $12,"
        " credential = $13";

static int write_add(struct sg_pg *q, const struct sg_pg_open *open, struct sg_error *err)
{
        struct sg_str bytes = sg_str_make(sg_buf_view(&q->records).p + open->at, open->n);
        struct sg_pg_arguments a = {0};
        struct sg_record rec;

        if (sg_record_decode(&rec, bytes.p, bytes.n) != 0)
                SG_UNREACHABLE(); /* it was encoded here */
        sg_pg_give_text(&a, sg_str_from(open->ring));
        sg_pg_give_u64(&a, open->exchange);
        sg_pg_give_u64(&a, rec.start_wall_usec);
        sg_pg_give_u64(&a, rec.key_id);
        sg_pg_give_u64(&a, rec.prompt_bytes);
        sg_pg_give_u64(&a, rec.flags);
        sg_pg_give_text(&a, rec.request_id);
        sg_pg_give_text(&a, rec.key_name);
        sg_pg_give_text(&a, rec.operation);
        sg_pg_give_text(&a, rec.model);
        sg_pg_give_text(&a, rec.provider);
        sg_pg_give_text(&a, rec.upstream_model);
        sg_pg_give_text(&a, rec.credential);
        return sg_pg_run(&q->link, add_sql, &a, NULL, "cannot write an open exchange", err);
}

static int write_adds(struct sg_pg *q, struct sg_error *err)
{
        int r = 0;

        for (size_t i = 0; i < q->adds.n && !r; i++)
                r = write_add(q, &q->adds.list[i], err);
        q->adds.n = 0;
        sg_buf_clear(&q->records);
        return r;
}

/* ---- usage */

int sg_pg_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_own;
        int r;

        r = sg_pg_enter_collecting(q, &is_own, err);
        if (r)
                return r;
        r = sg_pg_copy_row(q, ring, rec, err);
        if (!r && sg_hours_add(&q->hours, rec) != 0)
                r = no_memory(q, err);
        return sg_pg_leave(q, is_own, r, err);
}

/* ---- all of it */

static bool has_collected(const struct sg_pg *q)
{
        for (size_t i = 0; i < q->n_marks; i++)
                if (q->marks[i].is_put)
                        return true;
        return q->is_copying || sg_buf_length(&q->rows) > 0 || q->adds.n > 0 || q->drops.n > 0;
}

int sg_pg_flush(struct sg_pg *q, struct sg_error *err)
{
        int r;

        if (!has_collected(q))
                return 0;
        r = sg_pg_begin_now(q, err);
        if (!r)
                r = sg_pg_copy_end(q, err);
        if (!r)
                r = write_drops(q, err);
        if (!r)
                r = write_adds(q, err);
        if (!r)
                r = write_marks(q, err);
        /* Last, since other ledgers may wait for these rows. */
        return r ? r : sg_pg_hours_flush(q, err);
}

void sg_pg_forget(struct sg_pg *q)
{
        sg_buf_clear(&q->rows);
        sg_buf_clear(&q->records);
        q->is_copying = false;
        q->adds.n = q->drops.n = 0;
        sg_hours_clear(&q->hours);
        for (size_t i = 0; i < q->n_marks; i++)
                q->marks[i].is_put = q->marks[i].is_written = false;
}

void sg_pg_drain_done(struct sg_pg *q)
{
        sg_hours_done(&q->hours);
        sg_buf_done(&q->rows);
        sg_buf_done(&q->records);
        free(q->adds.list);
        free(q->drops.list);
        free(q->marks);
        PQclear(q->lent);
}
