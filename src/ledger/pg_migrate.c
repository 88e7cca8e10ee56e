/*
 * The schema, by steps that are never changed once released. Their numbers are those of the store (SG_SCHEMA_VERSION);
 * PostgreSQL begins at 3, which has all that SQLite had come to by then.
 *
 * Steps are made by whoever owns the schema, all of them in one transaction under a lock that one ledger at a time has: others
 * that start meanwhile wait, and find the work done. A service that logs in as scribe_ledger may not change the schema, and
 * says what to run. Nothing is copied before: what to do is said in docs/postgresql.md (pg_dump).
 *
 * Of this product is a schema "scribe" that is empty, or has our comment and schema_version.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message_id.h"
#include "ledger/pg.h"

#define FIRST_VERSION   3
#define MIGRATION_USEC  (600 * SG_USEC_PER_SEC)
#define PARTITIONS_USEC (3600 * SG_USEC_PER_SEC)
#define COMMENT         "scribe-gateway: keys, usage and audit of scribe-ledger"

/* Columns by size, so that nothing is lost to alignment. No unique key: each exchange comes once because its row and the
 * ring's mark are one transaction. Texts compare by bytes, as they do in SQLite. */
#define USAGE_COLUMNS                                                                                                  \
        " id bigint NOT NULL DEFAULT nextval('scribe.usage_id'),"                                                      \
        " start_wall_usec bigint NOT NULL,"                                                                            \
        " exchange bigint NOT NULL,"                                                                                   \
        " key_id bigint NOT NULL,"                                                                                     \
        " prompt_bytes bigint NOT NULL,"                                                                               \
        " input_tokens bigint NOT NULL,"                                                                               \
        " output_tokens bigint NOT NULL,"                                                                              \
        " cached_tokens bigint NOT NULL,"                                                                              \
        " cache_write_tokens bigint NOT NULL,"                                                                         \
        " cache_write_1h_tokens bigint NOT NULL,"                                                                      \
        " reasoning_tokens bigint NOT NULL,"                                                                           \
        " audio_input_tokens bigint NOT NULL,"                                                                         \
        " audio_output_tokens bigint NOT NULL,"                                                                        \
        " image_tokens bigint NOT NULL,"                                                                               \
        " duration_usec bigint NOT NULL,"                                                                              \
        " first_byte_usec bigint NOT NULL,"                                                                            \
        " answer_bytes bigint NOT NULL,"                                                                               \
        " flags integer NOT NULL,"                                                                                     \
        " status integer NOT NULL,"                                                                                    \
        " attempts integer NOT NULL,"                                                                                  \
        " outcome smallint NOT NULL,"   /* enum sg_outcome; scribe.usage_event has words */                            \
        " certainty smallint NOT NULL," /* enum sg_record_certainty */                                                 \
        " ring text COLLATE \"C\" NOT NULL,"                                                                           \
        " request_id text COLLATE \"C\" NOT NULL,"                                                                     \
        " key_name text COLLATE \"C\" NOT NULL,"                                                                       \
        " operation text COLLATE \"C\" NOT NULL,"                                                                      \
        " model text COLLATE \"C\" NOT NULL,"                                                                          \
        " provider text COLLATE \"C\" NOT NULL,"                                                                       \
        " upstream_model text COLLATE \"C\" NOT NULL,"                                                                 \
        " credential text COLLATE \"C\" NOT NULL,"                                                                     \
        " reason text COLLATE \"C\" NOT NULL,"                                                                         \
        " raw_usage text COLLATE \"C\" NOT NULL"

#define TABLES                                                                                                         \
        "CREATE TABLE scribe.schema_version (version integer PRIMARY KEY, applied_wall_usec bigint NOT NULL);"         \
        "CREATE TABLE scribe.counter (name text COLLATE \"C\" PRIMARY KEY, value bigint NOT NULL) WITH (fillfactor = " \
        "50);"                                                                                                         \
        "INSERT INTO scribe.counter (name, value) VALUES ('key_version', 0);"                                          \
                                                                                                                       \
        "CREATE TABLE scribe.api_key ("                                                                                \
        " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"                                                         \
        " name text COLLATE \"C\" NOT NULL,"                                                                           \
        " digest bytea NOT NULL UNIQUE CHECK (length(digest) = 32),"                                                   \
        " prefix text COLLATE \"C\" NOT NULL,"                                                                         \
        " models text COLLATE \"C\" CHECK (models LIKE '[%')," /* JSON array of patterns; NULL: all */                 \
        " limits text COLLATE \"C\" CHECK (limits LIKE '[%')," /* JSON array of texts; NULL: none */                   \
        " group_id bigint NOT NULL,"                                                                                   \
        " created_wall_usec bigint NOT NULL,"                                                                          \
        " expires_wall_usec bigint NOT NULL,"                                                                          \
        " revoked_wall_usec bigint NOT NULL,"                                                                          \
        " rotated_wall_usec bigint NOT NULL,"                                                                          \
        " version bigint NOT NULL);"                                                                                   \
        "CREATE UNIQUE INDEX api_key_live_name ON scribe.api_key (name) WHERE revoked_wall_usec = 0;"                  \
        "CREATE INDEX api_key_name ON scribe.api_key (name, revoked_wall_usec);"                                       \
        "CREATE INDEX api_key_group ON scribe.api_key (group_id, revoked_wall_usec);"                                  \
        "CREATE INDEX api_key_version ON scribe.api_key (version);"                                                    \
                                                                                                                       \
        "CREATE TABLE scribe.key_group ("                                                                              \
        " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"                                                         \
        " name text COLLATE \"C\" NOT NULL,"                                                                           \
        " parent_id bigint NOT NULL,"                                                                                  \
        " limits text COLLATE \"C\" CHECK (limits LIKE '[%'),"                                                         \
        " created_wall_usec bigint NOT NULL,"                                                                          \
        " removed_wall_usec bigint NOT NULL,"                                                                          \
        " version bigint NOT NULL);"                                                                                   \
        "CREATE UNIQUE INDEX key_group_live_name ON scribe.key_group (name) WHERE removed_wall_usec = 0;"              \
        "CREATE INDEX key_group_parent ON scribe.key_group (parent_id);"                                               \
                                                                                                                       \
        "CREATE TABLE scribe.audit ("                                                                                  \
        " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"                                                         \
        " wall_usec bigint NOT NULL,"                                                                                  \
        " uid bigint NOT NULL,"                                                                                        \
        " pid bigint NOT NULL,"                                                                                        \
        " user_name text COLLATE \"C\" NOT NULL,"                                                                      \
        " verb text COLLATE \"C\" NOT NULL,"                                                                           \
        " subject text COLLATE \"C\" NOT NULL,"                                                                        \
        " before text COLLATE \"C\" NOT NULL,"                                                                         \
        " after text COLLATE \"C\" NOT NULL);"                                                                         \
        "CREATE INDEX audit_time ON scribe.audit (wall_usec, id);"                                                     \
                                                                                                                       \
        "CREATE TABLE scribe.journal_ring ("                                                                           \
        " id text COLLATE \"C\" PRIMARY KEY,"                                                                          \
        " node text COLLATE \"C\" NOT NULL," /* whose disk it is on */                                                 \
        " sequence bigint NOT NULL,"                                                                                   \
        " position bigint NOT NULL,"                                                                                   \
        " n_lost bigint NOT NULL,"                                                                                     \
        " is_finished boolean NOT NULL) WITH (fillfactor = 50);"                                                       \
                                                                                                                       \
        "CREATE TABLE scribe.open_exchange ("                                                                          \
        " ring text COLLATE \"C\" NOT NULL,"                                                                           \
        " exchange bigint NOT NULL,"                                                                                   \
        " start_wall_usec bigint NOT NULL,"                                                                            \
        " key_id bigint NOT NULL,"                                                                                     \
        " prompt_bytes bigint NOT NULL,"                                                                               \
        " flags bigint NOT NULL,"                                                                                      \
        " request_id text COLLATE \"C\" NOT NULL,"                                                                     \
        " key_name text COLLATE \"C\" NOT NULL,"                                                                       \
        " operation text COLLATE \"C\" NOT NULL,"                                                                      \
        " model text COLLATE \"C\" NOT NULL,"                                                                          \
        " provider text COLLATE \"C\" NOT NULL,"                                                                       \
        " upstream_model text COLLATE \"C\" NOT NULL,"                                                                 \
        " credential text COLLATE \"C\" NOT NULL,"                                                                     \
        " PRIMARY KEY (ring, exchange));"

/* The sums are columns and not JSON: what is summed is what was asked for. */
#define USAGE                                                                                                                     \
        "CREATE SEQUENCE scribe.usage_id CACHE 1000;"                                                                             \
        "CREATE TABLE scribe.usage (" USAGE_COLUMNS ") PARTITION BY RANGE (start_wall_usec);"                                     \
        "CREATE INDEX usage_start ON scribe.usage (start_wall_usec, id);"                                                         \
        "CREATE TABLE scribe.usage_rest PARTITION OF scribe.usage DEFAULT;"                                                       \
                                                                                                                                  \
        "CREATE TABLE scribe.usage_hour ("                                                                                        \
        " hour bigint NOT NULL," /* of the start, since 1970 UTC */                                                               \
        " key_id bigint NOT NULL,"                                                                                                \
        " requests bigint NOT NULL,"                                                                                              \
        " complete bigint NOT NULL,"                                                                                              \
        " truncated bigint NOT NULL,"                                                                                             \
        " client_gone bigint NOT NULL,"                                                                                           \
        " failed bigint NOT NULL,"                                                                                                \
        " cut_off bigint NOT NULL,"                                                                                               \
        " uncertain bigint NOT NULL,"                                                                                             \
        " measured bigint NOT NULL,"                                                                                              \
        " partial bigint NOT NULL,"                                                                                               \
        " estimated bigint NOT NULL,"                                                                                             \
        " counted bigint NOT NULL," /* with tokens */                                                                             \
        " billed bigint NOT NULL,"  /* all but those that failed without tokens */                                                \
        " input_tokens bigint NOT NULL,"                                                                                          \
        " output_tokens bigint NOT NULL,"                                                                                         \
        " cached_tokens bigint NOT NULL,"                                                                                         \
        " cache_write_tokens bigint NOT NULL,"                                                                                    \
        " cache_write_1h_tokens bigint NOT NULL,"                                                                                 \
        " reasoning_tokens bigint NOT NULL,"                                                                                      \
        " audio_input_tokens bigint NOT NULL,"                                                                                    \
        " audio_output_tokens bigint NOT NULL,"                                                                                   \
        " image_tokens bigint NOT NULL,"                                                                                          \
        " duration_usec bigint NOT NULL,"                                                                                         \
        " first_wall_usec bigint NOT NULL,"                                                                                       \
        " last_wall_usec bigint NOT NULL,"                                                                                        \
        " key_name text COLLATE \"C\" NOT NULL,"                                                                                  \
        " model text COLLATE \"C\" NOT NULL,"                                                                                     \
        " provider text COLLATE \"C\" NOT NULL,"                                                                                  \
        " upstream_model text COLLATE \"C\" NOT NULL) WITH (fillfactor = 70);"                                                    \
        "CREATE UNIQUE INDEX usage_hour_row ON scribe.usage_hour"                                                                 \
        " (key_id, hour, model, provider, upstream_model, key_name);"                                                             \
        "CREATE INDEX usage_hour_hour ON scribe.usage_hour (hour);" /* Which transaction was the last to write usage of a key. */ \
        "CREATE TABLE scribe.key_used (key_id bigint PRIMARY KEY, changed bigint NOT NULL);"                                      \
        "CREATE INDEX key_used_changed ON scribe.key_used (changed);"

/* The owner's, for a role that may not change the schema: to make a month's partition, with what of that month has already
 * come to usage_rest, and to drop the oldest that ends before a time. */
#define FUNCTIONS                                                                                                      \
        "CREATE FUNCTION scribe.make_partition(month date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER"          \
        " SET search_path = pg_catalog, pg_temp AS $$"                                                                 \
        " DECLARE"                                                                                                     \
        "  child text := 'usage_' || to_char(month, 'YYYYMM');"                                                        \
        "  low bigint := extract(epoch FROM month)::bigint * 1000000;"                                                 \
        "  high bigint := extract(epoch FROM month + interval '1 month')::bigint * 1000000;"                           \
        " BEGIN"                                                                                                       \
        "  IF month <> date_trunc('month', month)::date OR month NOT BETWEEN '1970-01-01' AND '9999-01-01' THEN"       \
        "   RAISE EXCEPTION 'not the first of a month: %', month;"                                                     \
        "  END IF;"                                                                                                    \
        "  PERFORM pg_advisory_xact_lock(1396131653, 1);"                                                              \
        "  IF to_regclass('scribe.' || child) IS NOT NULL THEN RETURN false; END IF;"                                  \
        "  LOCK TABLE scribe.usage_rest IN ACCESS EXCLUSIVE MODE;"                                                     \
        "  EXECUTE format('CREATE TABLE scribe.%I (LIKE scribe.usage INCLUDING DEFAULTS)', child);"                    \
        "  EXECUTE format('WITH moved AS (DELETE FROM scribe.usage_rest WHERE start_wall_usec >= %s AND"               \
        " start_wall_usec < %s RETURNING *) INSERT INTO scribe.%I SELECT * FROM moved', low, high, child);"            \
        "  EXECUTE format('ALTER TABLE scribe.usage ATTACH PARTITION scribe.%I FOR VALUES FROM (%s) TO (%s)',"         \
        " child, low, high);"                                                                                          \
        "  RETURN true;"                                                                                               \
        " END $$;"                                                                                                     \
                                                                                                                       \
        "CREATE FUNCTION scribe.drop_partition(before_wall_usec bigint) RETURNS bigint LANGUAGE plpgsql"               \
        " SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$"                                                \
        " DECLARE"                                                                                                     \
        "  child text; n bigint;"                                                                                      \
        " BEGIN"                                                                                                       \
        "  PERFORM pg_advisory_xact_lock(1396131653, 1);"                                                              \
        "  SELECT c.relname INTO child FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"                       \
        "   WHERE i.inhparent = 'scribe.usage'::regclass AND c.relname ~ '^usage_[0-9]{6}$'"                           \
        "   AND extract(epoch FROM to_date(substr(c.relname, 7), 'YYYYMM') + interval '1 month')::bigint * 1000000"    \
        "    <= least(before_wall_usec, extract(epoch FROM now())::bigint * 1000000) ORDER BY c.relname LIMIT 1;"      \
        "  IF child IS NULL THEN RETURN NULL; END IF;"                                                                 \
        "  EXECUTE format('SELECT count(*) FROM scribe.%I', child) INTO n;"                                            \
        "  EXECUTE format('DROP TABLE scribe.%I', child);"                                                             \
        "  RETURN n;"                                                                                                  \
        " END $$;"

/* For people and reports. */
#define VIEWS                                                                                                          \
        "CREATE VIEW scribe.usage_event AS SELECT id, to_timestamp(start_wall_usec / 1e6) AS started, request_id, "    \
        "key_id,"                                                                                                      \
        " key_name, operation, model, provider, upstream_model, credential, status,"                                   \
        " (ARRAY['complete', 'truncated', 'client_gone', 'failed', 'cut_off'])[outcome + 1] AS outcome,"               \
        " (ARRAY['none', 'measured', 'partial', 'estimated'])[certainty + 1] AS certainty, reason, attempts,"          \
        " input_tokens, output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,"    \
        " audio_input_tokens, audio_output_tokens, image_tokens, prompt_bytes, answer_bytes,"                          \
        " duration_usec, first_byte_usec, flags & 1 = 1 AS is_stream, raw_usage FROM scribe.usage;"                    \
        "CREATE VIEW scribe.usage_by_hour AS SELECT to_timestamp(h.hour * 3600) AS began, h.* FROM scribe.usage_hour " \
        "h;"                                                                                                           \
        "CREATE VIEW scribe.key AS SELECT k.id, k.name, k.prefix, k.models, k.limits, g.name AS group_name,"           \
        " to_timestamp(nullif(k.created_wall_usec, 0) / 1e6) AS created,"                                              \
        " to_timestamp(nullif(k.expires_wall_usec, 0) / 1e6) AS expires,"                                              \
        " to_timestamp(nullif(k.revoked_wall_usec, 0) / 1e6) AS revoked,"                                              \
        " to_timestamp(nullif(k.rotated_wall_usec, 0) / 1e6) AS rotated"                                               \
        " FROM scribe.api_key k LEFT JOIN scribe.key_group g ON g.id = k.group_id;"

static const struct {
        int version;
        const char *sql;
} steps[] = {
        {3, TABLES USAGE FUNCTIONS VIEWS},
};

/* Again after each migration: of roles that are there. */
static const char grants_sql[] =
        "REVOKE ALL ON SCHEMA scribe FROM PUBLIC;"
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scribe FROM PUBLIC;"
        "DO $$ BEGIN"
        " IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'scribe_ledger') THEN"
        "  GRANT USAGE ON SCHEMA scribe TO scribe_ledger;"
        "  GRANT SELECT ON scribe.schema_version TO scribe_ledger;"
        "  GRANT SELECT, INSERT, UPDATE ON scribe.counter, scribe.api_key, scribe.key_group, scribe.usage_hour, "
        "scribe.key_used TO"
        " scribe_ledger;"
        "  GRANT SELECT, INSERT ON scribe.audit TO scribe_ledger;"
        "  GRANT SELECT, INSERT, UPDATE, DELETE ON scribe.journal_ring, scribe.open_exchange TO scribe_ledger;"
        "  GRANT SELECT, INSERT, DELETE ON scribe.usage TO scribe_ledger;"
        "  GRANT USAGE ON ALL SEQUENCES IN SCHEMA scribe TO scribe_ledger;"
        "  GRANT EXECUTE ON FUNCTION scribe.make_partition(date), scribe.drop_partition(bigint) TO scribe_ledger;"
        " END IF;"
        " IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'scribe_reader') THEN"
        "  GRANT USAGE ON SCHEMA scribe TO scribe_reader;"
        "  GRANT SELECT ON scribe.usage_event, scribe.usage_by_hour, scribe.key TO scribe_reader;"
        " END IF;"
        " END $$;"
        "COMMENT ON SCHEMA scribe IS '" COMMENT "'";

/* ---- looking */

struct finding {
        int version; /* 0: nothing of ours is there */
        bool may_change;
        bool is_there;
        bool lacks_grants; /* roles of ours were made after it */
        char owner[128];
};

static const char look_sql[] =
        "SELECT n.oid IS NOT NULL, pg_get_userbyid(n.nspowner)::text,"
        " CASE WHEN n.oid IS NULL THEN has_database_privilege(d.oid, 'CREATE') ELSE pg_has_role(n.nspowner, 'USAGE') "
        "END,"
        " (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid),"
        " coalesce(obj_description(n.oid, 'pg_namespace') = '" COMMENT "', false)"
        " AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),"
        " pg_get_userbyid(d.datdba)::text,"
        " EXISTS (SELECT FROM pg_roles o WHERE o.rolname IN ('scribe_ledger', 'scribe_reader')"
        "  AND NOT has_schema_privilege(o.oid, n.oid, 'USAGE'))"
        " FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = 'scribe' WHERE d.datname = current_database()";

static int look(struct sg_pg_link *k, struct finding *ret, struct sg_error *err)
{
        static const char doing[] = "cannot look at the schema";
        PGresult *res = NULL;
        bool is_ours, is_empty;
        int r;

        r = sg_pg_one(k, look_sql, NULL, &res, doing, err);
        if (r)
                return r > 0 ? -EIO : r;
        *ret = (struct finding){.is_there = sg_pg_u64(res, 0) != 0, .may_change = sg_pg_u64(res, 2) != 0};
        (void)sg_str_copy(ret->owner, sizeof(ret->owner), sg_pg_text(res, ret->is_there ? 1 : 5));
        ret->lacks_grants = sg_pg_u64(res, 6) != 0;
        is_empty = sg_pg_u64(res, 3) == 0;
        is_ours = sg_pg_u64(res, 4) != 0;
        PQclear(res);
        if (!is_ours && !is_empty) {
                r = sg_error_set(
                        err, -EMEDIUMTYPE, sg_pg_where(k),
                        "the schema \"scribe\" of this database belongs to another program: name another database in "
                        "[ledger] database");
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                return r;
        }
        if (!is_ours)
                return 0;
        r = sg_pg_one(k, "SELECT coalesce(max(version), 0) FROM scribe.schema_version", NULL, &res, doing, err);
        if (r)
                return r > 0 ? -EIO : r;
        ret->version = (int)SG_MIN(sg_pg_u64(res, 0), (uint64_t)INT32_MAX);
        PQclear(res);
        return 0;
}

static int refuse_newer(const struct sg_pg_link *k, int version, struct sg_error *err)
{
        int r = sg_error_set(
                err, -ENOTSUP, sg_pg_where(k),
                "the database has schema version %d, this program knows versions up to %d: install the newer "
                "scribe-gateway again, or restore a backup from before the upgrade",
                version, SG_SCHEMA_VERSION);

        sg_error_needs_mending(err, SG_MESSAGE_DATABASE_NEWER);
        return r;
}

/* Neither mark: once somebody has run it, a further attempt finds what it needs. */
static int refuse_older(const struct sg_pg_link *k, const struct finding *f, struct sg_error *err)
{
        const struct sg_pg_host *h = &k->url.hosts[k->host];
        char has[80];
        int r;

        (void)snprintf(has, sizeof(has),
                       f->version ? "the schema has version %d, this program needs %d"
                                  : "the database has no schema yet",
                       f->version, SG_SCHEMA_VERSION);
        r = sg_error_set(
                err, -EACCES, sg_pg_where(k),
                "%s, and the role %s may not change it: run scribe-ledger --migrate postgresql://%s@%s:%s/%s as its "
                "owner, after a backup (pg_dump)",
                has, k->url.user, f->owner, h->name, h->port, k->url.database);
        sg_error_notable(err, SG_MESSAGE_STORE_FAILING);
        return r;
}

/* ---- changing */

static int run_steps(struct sg_pg_link *k, int version, struct sg_error *err)
{
        static const char doing[] = "cannot bring the schema up to date";
        int r = sg_pg_script(k, "CREATE SCHEMA IF NOT EXISTS scribe", doing, err);

        for (size_t i = 0; i < SG_N_ELEMENTS(steps) && !r; i++) {
                struct sg_pg_arguments a = {0};

                if (steps[i].version <= version)
                        continue;
                r = sg_pg_script(k, steps[i].sql, doing, err);
                sg_pg_give_u64(&a, (uint64_t)steps[i].version);
                sg_pg_give_u64(&a, sg_clock_wall_usec());
                if (!r)
                        r = sg_pg_run(k,
                                      "INSERT INTO scribe.schema_version (version, applied_wall_usec) VALUES ($1, $2)",
                                      &a, NULL, doing, err);
        }
        return r ? r : sg_pg_script(k, grants_sql, doing, err);
}

static int change(struct sg_pg_link *k, struct sg_error *err)
{
        static const char doing[] = "cannot bring the schema up to date";
        struct finding f;
        int r;

        /* Looks again behind the lock: another ledger may have been quicker. */
        r = sg_pg_script(k,
                         "BEGIN; SET LOCAL lock_timeout = '590s'; SET LOCAL statement_timeout = '595s';"
                         " SELECT pg_advisory_xact_lock(1396131653, 0)",
                         doing, err);
        if (!r)
                r = look(k, &f, err);
        if (!r && f.version > SG_SCHEMA_VERSION)
                r = refuse_newer(k, f.version, err);
        if (!r)
                r = run_steps(k, f.version, err);
        if (!r)
                return sg_pg_script(k, "COMMIT", doing, err);
        if (k->conn)
                sg_pg_drop(k);
        return r;
}

int sg_pg_migrate(struct sg_pg_link *k, bool only_look, bool may_be_older, struct sg_error *err)
{
        uint64_t usec = k->answer_usec;
        struct finding f;
        int r;

        _Static_assert(FIRST_VERSION <= SG_SCHEMA_VERSION, "the steps end at the store's version");
        SG_ASSERT(steps[SG_N_ELEMENTS(steps) - 1].version == SG_SCHEMA_VERSION);
        r = look(k, &f, err);
        if (r)
                return r;
        if (f.version > SG_SCHEMA_VERSION)
                return refuse_newer(k, f.version, err);
        if (only_look && (f.version == SG_SCHEMA_VERSION || (may_be_older && f.may_change)))
                return 0;
        if (f.version < SG_SCHEMA_VERSION && (only_look || !f.may_change))
                return refuse_older(k, &f, err);
        if (!f.may_change || (f.version == SG_SCHEMA_VERSION && !f.lacks_grants))
                return 0;
        k->answer_usec = MIGRATION_USEC;
        r = change(k, err);
        k->answer_usec = usec;
        return r;
}

/* ---- partitions */

void sg_pg_make_partitions(struct sg_pg *q)
{
        struct sg_error err = {0};
        uint64_t now = sg_clock_usec();

        if (now < q->partitions_usec || q->in_transaction)
                return;
        q->partitions_usec = now + PARTITIONS_USEC;
        if (sg_pg_run(&q->link,
                      "SELECT scribe.make_partition(m::date) FROM generate_series(date_trunc('month', now() AT TIME "
                      "ZONE 'UTC'),"
                      " date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month', interval '1 month') AS m",
                      NULL, NULL, "cannot make partitions", &err) != 0)
                sg_debug("%s", err.text);
}
