/* Statements with binary parameters, and rows one by one. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>

#include "ledger/pg_link.h"

/* The types' OIDs, which stand for good: pg_type.dat. */
enum {
        TYPE_BOOL = 16,
        TYPE_BYTEA = 17,
        TYPE_INT8 = 20,
        TYPE_TEXT = 25,
        TYPE_TEXT_ARRAY = 1009,
        TYPE_INT8_ARRAY = 1016,
};

/* ---- parameters */

void sg_pg_put16(char *at, uint16_t v)
{
        v = htobe16(v);
        memcpy(at, &v, sizeof(v));
}

void sg_pg_put32(char *at, uint32_t v)
{
        v = htobe32(v);
        memcpy(at, &v, sizeof(v));
}

void sg_pg_put64(char *at, uint64_t v)
{
        v = htobe64(SG_MIN(v, (uint64_t)INT64_MAX));
        memcpy(at, &v, sizeof(v));
}

static void give(struct sg_pg_arguments *a, Oid type, const void *p, size_t n)
{
        SG_ASSERT(a->n < SG_PG_ARGUMENTS_MAX && n <= INT32_MAX);
        a->types[a->n] = type;
        a->values[a->n] = p;
        a->lengths[a->n] = (int)n;
        a->formats[a->n++] = 1;
}

void sg_pg_give_u64(struct sg_pg_arguments *a, uint64_t v)
{
        char *at = a->numbers[SG_MIN(a->n, SG_PG_ARGUMENTS_MAX - 1)];

        sg_pg_put64(at, v);
        give(a, TYPE_INT8, at, 8);
}

void sg_pg_give_bool(struct sg_pg_arguments *a, bool v)
{
        give(a, TYPE_BOOL, v ? "\1" : "\0", 1);
}

void sg_pg_give_text(struct sg_pg_arguments *a, struct sg_str s)
{
        give(a, TYPE_TEXT, s.n ? s.p : "", s.n);
}

void sg_pg_give_text_or_null(struct sg_pg_arguments *a, struct sg_str s)
{
        give(a, TYPE_TEXT, s.n ? s.p : NULL, s.n);
}

void sg_pg_give_bytes(struct sg_pg_arguments *a, const void *p, size_t n)
{
        give(a, TYPE_BYTEA, p, n);
}

void sg_pg_give_array(struct sg_pg_arguments *a, const struct sg_buf *array)
{
        struct sg_str bytes = sg_buf_view(array);
        uint32_t type;

        SG_ASSERT(bytes.n >= 12);
        memcpy(&type, bytes.p + 8, sizeof(type));
        give(a, be32toh(type) == TYPE_TEXT ? TYPE_TEXT_ARRAY : TYPE_INT8_ARRAY, bytes.p, bytes.n);
}

/* array_send() of src/backend/utils/adt/arrayfuncs.c: dimensions, flags, type; length and lower bound of each dimension. */
int sg_pg_array_begin(struct sg_buf *b, bool is_text, size_t n)
{
        char *at;

        sg_buf_clear(b);
        if (sg_buf_reserve(b, 20, &at) != 0)
                return -ENOMEM;
        sg_pg_put32(at, 1);
        sg_pg_put32(at + 4, 0);
        sg_pg_put32(at + 8, is_text ? TYPE_TEXT : TYPE_INT8);
        sg_pg_put32(at + 12, (uint32_t)n);
        sg_pg_put32(at + 16, 1);
        sg_buf_added(b, 20);
        return 0;
}

int sg_pg_array_u64(struct sg_buf *b, uint64_t v)
{
        char *at;

        if (sg_buf_reserve(b, 12, &at) != 0)
                return -ENOMEM;
        sg_pg_put32(at, 8);
        sg_pg_put64(at + 4, v);
        sg_buf_added(b, 12);
        return 0;
}

int sg_pg_array_text(struct sg_buf *b, struct sg_str s)
{
        char *at;

        if (sg_buf_reserve(b, 4 + s.n, &at) != 0)
                return -ENOMEM;
        sg_pg_put32(at, (uint32_t)s.n);
        if (s.n)
                memcpy(at + 4, s.p, s.n);
        sg_buf_added(b, 4 + s.n);
        return 0;
}

/* ---- asking */

static int send_query(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, const char *doing,
                      struct sg_error *err)
{
        static const struct sg_pg_arguments none = {0};

        if (!a)
                a = &none;
        if (!PQsendQueryParams(k->conn, sql, a->n, a->types, a->values, a->lengths, a->formats, 1))
                return sg_pg_broken(k, doing, err);
        return 0;
}

int sg_pg_ask(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, const char *doing,
              struct sg_error *err)
{
        int r = send_query(k, sql, a, doing, err);

        if (!r)
                SG_ASSERT(PQsetSingleRowMode(k->conn));
        return r;
}

int sg_pg_next(struct sg_pg_link *k, PGresult **ret, const char *doing, struct sg_error *err)
{
        PGresult *res = NULL;
        int r;

        for (;;) {
                r = sg_pg_result(k, &res, doing, err);
                if (r)
                        return r;
                if (!res)
                        return SG_STORE_E_NONE;
                switch (PQresultStatus(res)) {
                case PGRES_SINGLE_TUPLE:
                        *ret = res;
                        return 0;
                case PGRES_TUPLES_OK:
                case PGRES_COMMAND_OK:
                        PQclear(res); /* the end of rows; that of the statement follows */
                        break;
                default:
                        return sg_pg_failed(k, res, doing, err);
                }
        }
}

int sg_pg_one(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, PGresult **ret, const char *doing,
              struct sg_error *err)
{
        PGresult *first = NULL, *more = NULL;
        int r, e;

        r = sg_pg_ask(k, sql, a, doing, err);
        if (!r)
                r = sg_pg_next(k, &first, doing, err);
        if (r)
                return r;
        while ((e = sg_pg_next(k, &more, doing, err)) == 0)
                PQclear(more);
        if (e < 0) {
                PQclear(first);
                return e;
        }
        *ret = first;
        return 0;
}

static int run_all(struct sg_pg_link *k, uint64_t *ret_n, const char *doing, struct sg_error *err)
{
        PGresult *res = NULL;
        uint64_t n = 0;
        int r;

        while ((r = sg_pg_result(k, &res, doing, err)) == 0 && res) {
                ExecStatusType status = PQresultStatus(res);

                if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
                        return sg_pg_failed(k, res, doing, err);
                if (sg_str_to_u64(sg_str_from(PQcmdTuples(res)), &n) != 0)
                        n = 0; /* of a statement that touches no rows */
                PQclear(res);
        }
        if (!r && ret_n)
                *ret_n = n;
        return r;
}

int sg_pg_run(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, uint64_t *ret_n,
              const char *doing, struct sg_error *err)
{
        int r = send_query(k, sql, a, doing, err);

        return r ? r : run_all(k, ret_n, doing, err);
}

int sg_pg_script(struct sg_pg_link *k, const char *sql, const char *doing, struct sg_error *err)
{
        if (!PQsendQuery(k->conn, sql))
                return sg_pg_broken(k, doing, err);
        return run_all(k, NULL, doing, err);
}

/* ---- values */

struct sg_str sg_pg_text(const PGresult *res, int column)
{
        if (PQgetisnull(res, 0, column))
                return SG_STR_NONE;
        return sg_str_make(PQgetvalue(res, 0, column), (size_t)PQgetlength(res, 0, column));
}

uint64_t sg_pg_u64(const PGresult *res, int column)
{
        const unsigned char *p = (const unsigned char *)PQgetvalue(res, 0, column);
        int n = PQgetisnull(res, 0, column) ? 0 : PQgetlength(res, 0, column);
        uint64_t v = 0;

        if (n > 8 || (n > 1 && p[0] & 0x80))
                return 0;
        for (int i = 0; i < n; i++)
                v = v << 8 | p[i];
        return v;
}
