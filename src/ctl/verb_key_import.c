/*
 * 'key import': the file is read twice. First everything is checked, by the ledger and against what it has, and nothing is
 * changed when a line is wrong; then the keys go in, each batch in a transaction of its own. A batch is made of lines
 * that fit into one call. What was interrupted is done again: a key that is there already is left alone.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define BATCH_BYTES_MAX (128u * 1024u) /* of lines: half a call's */
#define BATCH_KEYS_MAX  1000u

struct name {
        char *text;
        uint64_t line;
};

struct import {
        struct sg_ctl *ctl;
        const char *path;
        FILE *f;
        uint64_t file_bytes, read_bytes, line;
        bool is_check, is_terminal;
        struct json_object *batch;
        uint64_t batch_lines[BATCH_KEYS_MAX];
        size_t batch_bytes;
        uint64_t n_added, n_replaced, n_same, n_groups;
        struct name *names; /* of the check: one twice is found at its end */
        size_t n_names, names_room;
};

static enum sg_ctl_exit fail_line(const struct import *i, uint64_t line, const char *why)
{
        SG_AUTO(sg_text_free) char *shown = sg_ctl_escape(sg_str_from(why));

        if (i->is_terminal)
                fputc('\n', stderr);
        sg_ctl_complain("%s:%llu: %s", i->path, (unsigned long long)line, shown ? shown : "?");
        if (i->is_check)
                sg_ctl_complain("nothing was imported");
        else
                sg_ctl_complain("what stands before that line may be imported already: correct it and import the file "
                                "again, which leaves alone what is there");
        return SG_CTL_FAILED;
}

static void tell_progress(const struct import *i)
{
        if (i->is_terminal && i->file_bytes)
                fprintf(stderr, "\r%s %llu lines, %llu%%", i->is_check ? "checked" : "imported",
                        (unsigned long long)i->line, (unsigned long long)(i->read_bytes * 100 / i->file_bytes));
}

/* ---- batches */

static struct json_object *take_batch(struct import *i)
{
        struct json_object *parameters = json_object_new_object();

        json_object_object_add(parameters, "keys", i->batch);
        json_object_object_add(parameters, "check", json_object_new_boolean(i->is_check));
        json_object_object_add(parameters, "replace", json_object_new_boolean(sg_ctl_has(i->ctl, SG_CTL_REPLACE)));
        json_object_object_add(parameters, "create_groups",
                               json_object_new_boolean(sg_ctl_has(i->ctl, SG_CTL_CREATE_GROUPS)));
        i->batch = json_object_new_array();
        i->batch_bytes = 0;
        return parameters;
}

static enum sg_ctl_exit send_batch(struct import *i)
{
        struct json_object *reply = NULL;
        bool is_refused;
        enum sg_ctl_exit e;

        if (json_object_array_length(i->batch) == 0)
                return SG_CTL_OK;
        e = sg_ctl_ask_refusable(i->ctl, SG_CTL_LEDGER_END, "io.scribe.Ledger.ImportKeys", take_batch(i), "BadImport",
                                 &reply, &is_refused);
        if (e)
                return e;
        if (is_refused) {
                uint64_t at = SG_MIN(sg_ctl_u64(reply, "index"), (uint64_t)BATCH_KEYS_MAX - 1);

                e = fail_line(i, i->batch_lines[at], sg_ctl_text(reply, "message"));
        } else {
                i->n_added += sg_ctl_u64(reply, "added");
                i->n_replaced += sg_ctl_u64(reply, "replaced");
                i->n_same += sg_ctl_u64(reply, "same");
                i->n_groups += sg_ctl_u64(reply, "groups");
                tell_progress(i);
        }
        json_object_put(reply);
        return e;
}

/* ---- lines */

static void remember_name(struct import *i, const char *name)
{
        if (i->n_names == i->names_room) {
                i->names_room = i->names_room ? i->names_room * 2 : 1024;
                i->names = reallocarray(i->names, i->names_room, sizeof(*i->names));
                SG_ASSERT(i->names);
        }
        i->names[i->n_names] = (struct name){strdup(name), i->line};
        SG_ASSERT(i->names[i->n_names].text);
        i->n_names++;
}

/* The line's object; NULL: it is none, or not it alone. */
static struct json_object *parse_line(struct sg_str line)
{
        struct json_tokener *t = json_tokener_new();
        struct json_object *key;

        SG_ASSERT(t);
        json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        key = json_tokener_parse_ex(t, line.p, (int)line.n);
        json_tokener_free(t);
        if (json_object_is_type(key, json_type_object))
                return key;
        json_object_put(key);
        return NULL;
}

static enum sg_ctl_exit take_line(struct import *i, struct sg_str line)
{
        struct json_object *key;
        enum sg_ctl_exit e = SG_CTL_OK;

        if (line.n == 0)
                return SG_CTL_OK;
        if (line.n > BATCH_BYTES_MAX)
                return fail_line(i, i->line, "is too long for a key");
        key = parse_line(line);
        if (!key)
                return fail_line(i, i->line,
                                 "is no JSON object; each line is one key, as 'scribectl key export' writes them");
        if (i->batch_bytes + line.n > BATCH_BYTES_MAX || json_object_array_length(i->batch) == BATCH_KEYS_MAX)
                e = send_batch(i);
        if (e) {
                json_object_put(key);
                return e;
        }
        if (i->is_check)
                remember_name(i, sg_ctl_text(key, "name"));
        i->batch_lines[json_object_array_length(i->batch)] = i->line;
        i->batch_bytes += line.n;
        json_object_array_add(i->batch, key);
        return SG_CTL_OK;
}

static int by_name(const void *a, const void *b)
{
        const struct name *x = a, *y = b;
        int r = strcmp(x->text, y->text);

        return r ? r : (x->line > y->line) - (x->line < y->line);
}

static enum sg_ctl_exit check_names(struct import *i)
{
        char text[256];

        qsort(i->names, i->n_names, sizeof(*i->names), by_name);
        for (size_t k = 1; k < i->n_names; k++) {
                if (strcmp(i->names[k - 1].text, i->names[k].text) != 0)
                        continue;
                (void)snprintf(text, sizeof(text), "the name \"%.64s\" stands in line %llu, too", i->names[k].text,
                               (unsigned long long)i->names[k - 1].line);
                return fail_line(i, i->names[k].line, text);
        }
        return SG_CTL_OK;
}

/* ---- the verb */

static struct sg_str without_end(struct sg_str line)
{
        while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
                line.n--;
        return line;
}

static enum sg_ctl_exit read_all(struct import *i)
{
        char *line = NULL;
        size_t room = 0;
        ssize_t n;
        enum sg_ctl_exit e = SG_CTL_OK;

        i->line = i->read_bytes = i->n_added = i->n_replaced = i->n_same = i->n_groups = 0;
        rewind(i->f);
        while (!e && (n = getline(&line, &room, i->f)) >= 0) {
                i->line++;
                i->read_bytes += (uint64_t)n;
                e = take_line(i, sg_str_trim(without_end(sg_str_make(line, (size_t)n))));
        }
        free(line);
        if (!e && ferror(i->f)) {
                sg_ctl_complain("%s: cannot be read", i->path);
                e = SG_CTL_FAILED;
        }
        if (!e)
                e = send_batch(i);
        if (i->is_terminal)
                fputc('\n', stderr);
        return e;
}

static enum sg_ctl_exit open_file(struct import *i)
{
        struct stat st;

        i->f = fopen(i->path, "re");
        if (!i->f || fstat(fileno(i->f), &st)) {
                sg_ctl_complain("%s: %s", i->path, strerror(errno));
                return SG_CTL_FAILED;
        }
        if (!S_ISREG(st.st_mode)) {
                sg_ctl_complain("%s: is no file; it is read twice, so that nothing changes when a line is wrong",
                                i->path);
                return SG_CTL_FAILED;
        }
        i->file_bytes = (uint64_t)st.st_size;
        return SG_CTL_OK;
}

static void print_result(const struct import *i)
{
        if (sg_ctl_has(i->ctl, SG_CTL_JSON))
                printf("{\n  \"added\": %llu,\n  \"replaced\": %llu,\n  \"same\": %llu,\n  \"groups\": %llu\n}\n",
                       (unsigned long long)i->n_added, (unsigned long long)i->n_replaced, (unsigned long long)i->n_same,
                       (unsigned long long)i->n_groups);
        else if (!sg_ctl_has(i->ctl, SG_CTL_QUIET))
                printf("%llu added, %llu replaced, %llu there already, %llu groups made\n",
                       (unsigned long long)i->n_added, (unsigned long long)i->n_replaced, (unsigned long long)i->n_same,
                       (unsigned long long)i->n_groups);
}

enum sg_ctl_exit sg_ctl_verb_key_import(struct sg_ctl *ctl)
{
        struct import i = {.ctl = ctl,
                           .path = ctl->arguments[0],
                           .is_check = true,
                           .is_terminal = isatty(STDERR_FILENO) && !sg_ctl_has(ctl, SG_CTL_QUIET),
                           .batch = json_object_new_array()};
        enum sg_ctl_exit e = open_file(&i);

        if (!e)
                e = read_all(&i);
        if (!e)
                e = check_names(&i);
        i.is_check = false;
        if (!e)
                e = read_all(&i);
        if (!e)
                print_result(&i);
        for (size_t k = 0; k < i.n_names; k++)
                free(i.names[k].text);
        free(i.names);
        json_object_put(i.batch);
        if (i.f)
                fclose(i.f);
        return e;
}
