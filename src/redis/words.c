#include <stdio.h>

#include "redis/reply.h"

/* The first word of an error is its code; of what has the code ERR the beginning is matched. */
static const struct advice {
        struct sg_str begins;
        bool is_whole; /* the server or the connection as a whole */
        const char *text;
} advices[] = {
        {SG_STR("MOVED"), true,
         "it belongs to a Redis Cluster; name a Redis that stands alone, or the primary of a Sentinel set, in [redis] "
         "url"},
        {SG_STR("ASK"), true,
         "it belongs to a Redis Cluster; name a Redis that stands alone, or the primary of a Sentinel set, in [redis] "
         "url"},
        {SG_STR("CLUSTERDOWN"), true,
         "it belongs to a Redis Cluster; name a Redis that stands alone, or the primary of a Sentinel set, in [redis] "
         "url"},
        {SG_STR("CROSSSLOT"), true,
         "it belongs to a Redis Cluster; name a Redis that stands alone, or the primary of a Sentinel set, in [redis] "
         "url"},
        {SG_STR("READONLY"), true, "it is a replica, which cannot be written; name the primary in [redis] url"},
        {SG_STR("MASTERDOWN"), true, "it is a replica that has lost its primary; name the primary in [redis] url"},
        {SG_STR("NOREPLICAS"), true,
         "it has fewer replicas than its min-replicas-to-write asks for; mend them, or lower that"},
        {SG_STR("LOADING"), true, "it is loading its data; wait until it is done"},
        {SG_STR("NOAUTH"), true, "it wants a password; set [redis] password"},
        {SG_STR("WRONGPASS"), true, "it knows no such user and password; mend [redis] user and password"},
        {SG_STR("ERR invalid password"), true, "it has another password; mend [redis] password"},
        {SG_STR("ERR AUTH <password> called without any password"), true,
         "it has no password; remove [redis] password"},
        {SG_STR("ERR Client sent AUTH, but no password is set"), true, "it has no password; remove [redis] password"},
        {SG_STR("ERR wrong number of arguments for 'auth' command"), true,
         "it knows no users (Redis before 6); remove [redis] user"},
        {SG_STR("ERR DB index is out of range"), true,
         "it has no such database; mend the number at the end of [redis] url"},
        {SG_STR("ERR invalid DB index"), true, "it has no such database; mend the number at the end of [redis] url"},
        {SG_STR("ERR max number of clients reached"), true, "it has as many clients as it may; raise its maxclients"},
        {SG_STR("NOPERM"), true,
         "the user may not do that; allow it 'ACL SETUSER name ~scribe:* +@fast +@scripting +@read +@write +info "
         "+select' (the pattern is [redis] prefix)"},
        {SG_STR("OOM"), true, "its memory is full; raise its maxmemory"},
        {SG_STR("MISCONF"), true, "it cannot save its data and takes no writes; look into its log"},
        {SG_STR("BUSY"), true,
         "it is busy with somebody's script; look for it with SLOWLOG, or use a Redis of its own"},
        {SG_STR("DENIED"), true,
         "it is in protected mode and serves its own machine only; give it a password or 'protected-mode no'"},
        {SG_STR("ERR unknown command"), true, "it is too old, or no Redis; version 5 or later is needed"},
        {SG_STR("NOSCRIPT"), false, "it does not know the script"},
};

bool sg_redis_error_is(struct sg_str error, struct sg_str word)
{
        return sg_str_starts(error, word) && (error.n == word.n || error.p[word.n] == ' ');
}

/* A stranger's words: what is not printable becomes '?'. */
static void add_printable(char *out, size_t room, struct sg_str s)
{
        const size_t n = sg_str_copy(out, room, s);

        for (size_t i = 0; i < n; i++)
                if (out[i] < ' ' || out[i] > '~')
                        out[i] = '?';
}

bool sg_redis_error_words(struct sg_str error, char out[SG_REDIS_WORDS_BYTES])
{
        const struct advice *a = NULL;
        char said[96];

        add_printable(said, sizeof(said), error);
        for (size_t i = 0; i < SG_N_ELEMENTS(advices) && !a; i++)
                if (sg_str_starts(error, advices[i].begins) &&
                    (sg_str_find_byte(advices[i].begins, ' ') < advices[i].begins.n ||
                     sg_redis_error_is(error, advices[i].begins)))
                        a = &advices[i];
        (void)snprintf(out, SG_REDIS_WORDS_BYTES, a ? "%s (it says: %s)" : "%sit says: %s", a ? a->text : "", said);
        return a && a->is_whole;
}
