#include "ledger/journal_tool.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "journal/survey.h"
#include "ledger/drain_ring.h"
#include "varlink/members.h"

struct tool {
        enum sg_journal_ask ask;
        const char *directory, *stage_directory;
        bool wants_json;
        size_t n_rings, n_failed;
        uint64_t n_waiting;
        const char *id; /* of the ring at hand */
        char scratch[SG_RECORD_BYTES_MAX];
};

enum sg_journal_ask sg_journal_ask_from(const char *word)
{
        static const char *const words[SG_JOURNAL_ASK_N] = {"", "status", "verify", "export"};

        for (int i = 1; i < SG_JOURNAL_ASK_N; i++)
                if (strcmp(word, words[i]) == 0)
                        return (enum sg_journal_ask)i;
        return SG_JOURNAL_NONE;
}

static void print_json(struct json_object *o)
{
        puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
}

/* ---- export */

static void add_close(struct json_object *o, const struct sg_record *rec)
{
        sg_members_add_text(o, "outcome", sg_str_from(sg_outcome_name(rec->outcome)));
        sg_members_add_u64(o, "status", rec->status);
        sg_members_add_text(o, "certainty", sg_str_from(sg_record_certainty_name(rec->certainty)));
        sg_members_add_u64(o, "attempts", rec->n_attempts);
        sg_members_add_u64(o, "input_tokens", rec->input_tokens);
        sg_members_add_u64(o, "output_tokens", rec->output_tokens);
        sg_members_add_u64(o, "cached_tokens", rec->cached_tokens);
        sg_members_add_u64(o, "cache_write_tokens", rec->cache_write_tokens);
        sg_members_add_u64(o, "cache_write_1h_tokens", rec->cache_write_1h_tokens);
        sg_members_add_u64(o, "reasoning_tokens", rec->reasoning_tokens);
        sg_members_add_u64(o, "audio_input_tokens", rec->audio_input_tokens);
        sg_members_add_u64(o, "audio_output_tokens", rec->audio_output_tokens);
        sg_members_add_u64(o, "image_tokens", rec->image_tokens);
        sg_members_add_u64(o, "duration_usec", rec->duration_usec);
        sg_members_add_u64(o, "first_byte_usec", rec->first_byte_usec);
        sg_members_add_u64(o, "answer_bytes", rec->answer_bytes);
        sg_members_add_text(o, "reason", rec->reason);
        sg_members_add_text(o, "raw_usage", rec->raw_usage);
}

static void export_record(const struct sg_record *lent, uint64_t sequence, void *owner)
{
        struct json_object *o = json_object_new_object();
        struct sg_record rec = *lent;
        struct tool *t = owner;

        sg_drain_clean(&rec, t->scratch);
        sg_members_add_text(o, "ring", sg_str_from(t->id));
        sg_members_add_u64(o, "sequence", sequence);
        sg_members_add_text(o, "kind", rec.kind == SG_RECORD_OPEN ? SG_STR("open") : SG_STR("close"));
        sg_members_add_u64(o, "exchange", rec.exchange);
        sg_members_add_u64(o, "start_wall_usec", rec.start_wall_usec);
        sg_members_add_u64(o, "key_id", rec.key_id);
        sg_members_add_text(o, "request_id", rec.request_id);
        sg_members_add_text(o, "key", rec.key_name);
        sg_members_add_text(o, "operation", rec.operation);
        sg_members_add_text(o, "model", rec.model);
        sg_members_add_text(o, "provider", rec.provider);
        sg_members_add_text(o, "upstream_model", rec.upstream_model);
        sg_members_add_text(o, "credential", rec.credential);
        sg_members_add_u64(o, "prompt_bytes", rec.prompt_bytes);
        sg_members_add_bool(o, "stream", rec.flags & SG_RECORD_STREAM);
        if (rec.kind == SG_RECORD_CLOSE)
                add_close(o, &rec);
        print_json(o);
}

/* ---- status and verify */

static void print_survey_json(const struct sg_ring_survey *s)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_text(o, "ring", sg_str_from(s->id));
        sg_members_add_u64(o, "bytes", s->info.bytes);
        sg_members_add_u64(o, "created_wall_usec", s->info.created_wall_usec);
        sg_members_add_u64(o, "writer_pid", s->info.writer_pid);
        sg_members_add_bool(o, "owned", s->info.is_owned);
        sg_members_add_bool(o, "stage", s->info.has_stage);
        sg_members_add_u64(o, "drained", s->drained);
        sg_members_add_u64(o, "written", s->written);
        sg_members_add_u64(o, "waiting", s->n_good);
        sg_members_add_u64(o, "oldest_wall_usec", s->oldest_wall_usec);
        sg_members_add_u64(o, "damaged_places", s->n_bad);
        sg_members_add_u64(o, "lost", s->n_lost);
        sg_members_add_u64(o, "missing", s->n_missing);
        print_json(o);
}

static void print_survey(const struct sg_ring_survey *s)
{
        uint64_t now = sg_clock_wall_usec();

        printf("%s: ", s->id);
        if (s->info.is_owned)
                printf("of process %" PRIu64, s->info.writer_pid);
        else
                printf("without a writer");
        printf(", drained up to %" PRIu64 ", %" PRIu64 " records wait", s->drained, s->n_good);
        if (s->oldest_wall_usec)
                printf(", the oldest since %" PRIu64 " s", (now - SG_MIN(now, s->oldest_wall_usec)) / SG_USEC_PER_SEC);
        if (s->n_bad)
                printf("; DAMAGED in %" PRIu64 " places, %" PRIu64
                       " records cannot be read, the first behind record %" PRIu64 " (offset %" PRIu64 ")",
                       s->n_bad, s->n_lost, s->bad_sequence, s->bad_offset);
        if (s->n_missing)
                printf("; its last %" PRIu64 " records did not reach the disk", s->n_missing);
        puts("");
}

static void look_at(struct tool *t, const char *name)
{
        char path[4096], stage[4096];
        struct sg_ring_survey s;
        int e, length = (int)(strlen(name) - strlen(SG_RING_SUFFIX));
        char id[SG_RING_ID_CHARS + 1];

        (void)snprintf(id, sizeof(id), "%.*s", length, name);
        (void)snprintf(path, sizeof(path), "%s/%s", t->directory, name);
        (void)snprintf(stage, sizeof(stage), "%s/%s" SG_RING_STAGE,
                       t->stage_directory ? t->stage_directory : t->directory, id);
        if (access(stage, F_OK) < 0)
                (void)snprintf(stage, sizeof(stage), "%s/%s" SG_RING_STAGE, t->directory, id);
        t->id = id;
        e = sg_ring_survey(&s, path, stage, t->ask == SG_JOURNAL_EXPORT ? export_record : NULL, t);
        if (e == -ENOENT)
                return; /* drained and removed, meanwhile */
        t->n_rings++;
        if (e) {
                t->n_failed++;
                (void)fprintf(stderr, "%s: %s\n", path, e < 0 ? strerror(-e) : "no ring that this version can read");
                return;
        }
        t->n_failed += s.n_bad != 0;
        t->n_waiting += s.n_good;
        if (t->ask == SG_JOURNAL_EXPORT && s.n_bad)
                (void)fprintf(stderr, "%s: %" PRIu64 " records cannot be read\n", path, s.n_lost);
        else if (t->ask != SG_JOURNAL_EXPORT && t->wants_json)
                print_survey_json(&s);
        else if (t->ask != SG_JOURNAL_EXPORT)
                print_survey(&s);
}

static bool is_ring(const char *name)
{
        size_t n = strlen(name);

        return n == SG_RING_ID_CHARS + strlen(SG_RING_SUFFIX) && strcmp(name + SG_RING_ID_CHARS, SG_RING_SUFFIX) == 0;
}

int sg_journal_tool(enum sg_journal_ask ask, const char *directory, const char *stage_directory, bool wants_json)
{
        static struct tool t;
        DIR *dir = opendir(directory);
        struct dirent *e;

        t = (struct tool){
                .ask = ask, .directory = directory, .stage_directory = stage_directory, .wants_json = wants_json};
        if (!dir) {
                (void)fprintf(stderr, "scribe-ledger: %s: cannot read the journal's directory: %s\n", directory,
                              strerror(errno));
                return EXIT_FAILURE;
        }
        while ((e = readdir(dir)))
                if (is_ring(e->d_name))
                        look_at(&t, e->d_name);
        (void)closedir(dir);
        if (ask != SG_JOURNAL_EXPORT && !wants_json)
                printf("%zu rings, %" PRIu64 " records wait\n", t.n_rings, t.n_waiting);
        if (fflush(stdout) != 0) {
                (void)fprintf(stderr, "scribe-ledger: cannot write: %s\n", strerror(errno));
                return EXIT_FAILURE;
        }
        return t.n_failed && ask != SG_JOURNAL_STATUS ? EXIT_FAILURE : EXIT_SUCCESS;
}
