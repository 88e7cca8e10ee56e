/* The vault with a systemd-creds and a systemctl played by scripts, which write down what they were told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/vault.h"

#define SECRET "sk-the-secret-of-the-provider"
#define CIPHER "fx-gur-frperg-bs-gur-cebivqre" /* what the script makes of it */

struct world {
        char directory[64], path[128];
        char store[128], credentials[192], dropins[192];
        struct sg_vault vault;
};

static void make_script(struct world *w, const char *name, const char *body)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/bin/%s", w->directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f,
                "#!/bin/sh\n"
                "PATH=/usr/bin:/bin\n"
                "here=%s\n"
                "echo \"%s $*\" >>$here/log\n"
                "env >>$here/env\n"
                "if [ -e $here/%s-fails ]; then echo 'On the way.'; echo 'It is a bad day.' >&2; exit 1; fi\n"
                "%s",
                w->directory, name, name, body);
        fclose(f);
        assert_int_equal(chmod(path, 0755), 0);
}

static void touch(const struct world *w, const char *name)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", w->directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fclose(f);
}

static void untouch(const struct world *w, const char *name)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", w->directory, name);
        assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
        static struct world w;
        char path[128];

        strcpy(w.directory, "/tmp/vault-test-XXXXXX");
        if (!mkdtemp(w.directory))
                return -1;
        snprintf(path, sizeof(path), "%s/bin", w.directory);
        if (mkdir(path, 0755))
                return -1;
        snprintf(w.path, sizeof(w.path), "%s/bin", w.directory);
        setenv("PATH", w.path, 1);
        snprintf(w.credentials, sizeof(w.credentials), "%s/store/service", w.directory);
        snprintf(w.dropins, sizeof(w.dropins), "%s/units/x.service.d", w.directory);
        w.vault = (struct sg_vault){w.credentials, w.dropins};
        make_script(&w, "systemd-creds", "tr a-z n-za-m >\"$4\"\n");
        /* What the manager would find. */
        make_script(&w, "systemctl", "cat $here/units/x.service.d/credential-*.conf >$here/seen 2>/dev/null\nexit 0\n");
        *state = &w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;
        char command[128];

        snprintf(command, sizeof(command), "/bin/rm -rf %s", w->directory);
        setenv("PATH", "/usr/bin:/bin", 1);
        return system(command);
}

/* A file's text, "" when there is none. */
static const char *text_of(const char *directory, const char *name)
{
        static char text[65536];
        char path[512];
        size_t n = 0;
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "r");
        if (f) {
                n = fread(text, 1, sizeof(text) - 1, f);
                fclose(f);
        }
        text[n] = '\0';
        return text;
}

static unsigned mode_of(const char *directory, const char *name)
{
        char path[512];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return stat(path, &st) ? 0 : st.st_mode & 07777;
}

/* Every file of both directories, hidden ones too. */
static void assert_files(struct world *w, const char *wanted)
{
        char command[512], found[1024] = "";
        FILE *f;
        size_t n;

        snprintf(command, sizeof(command),
                 "cd %s && /usr/bin/find store units -type f 2>/dev/null | /usr/bin/sort | /usr/bin/tr '\\n' ' '",
                 w->directory);
        f = popen(command, "r");
        assert_non_null(f);
        n = fread(found, 1, sizeof(found) - 1, f);
        found[n] = '\0';
        pclose(f);
        assert_string_equal(found, wanted);
}

static int set(struct world *w, const char *name, const char *secret, struct sg_error *err)
{
        struct sg_secret *s;
        int r;

        *err = (struct sg_error){.code = 0};
        assert_int_equal(sg_secret_new(&s, sg_str_from(secret)), 0);
        r = sg_vault_set(&w->vault, name, s, err);
        sg_secret_unref(s);
        return r;
}

static void assert_has(const char *text, const char *part)
{
        if (!strstr(text, part))
                fail_msg("'%s' is missing in: %s", part, text);
}

#define BOTH "store/service/moonshot.cred units/x.service.d/credential-moonshot.conf "

static void test_set_stores_both_files_and_tells_the_manager(void **state)
{
        static const mode_t masks[] = {0, 022, 077};
        struct world *w = *state;
        struct sg_error err;
        char wanted[512];

        for (size_t i = 0; i < SG_N_ELEMENTS(masks); i++) {
                mode_t before = umask(masks[i]);

                assert_int_equal(set(w, "moonshot", SECRET, &err), 0);
                umask(before);
                assert_files(w, BOTH);
                assert_string_equal(text_of(w->credentials, "moonshot.cred"), CIPHER);
                assert_int_equal(mode_of(w->credentials, "moonshot.cred"), 0600);
                assert_int_equal(mode_of(w->dropins, "credential-moonshot.conf"), 0644);
                assert_int_equal(mode_of(w->credentials, "."), 0700);
                assert_int_equal(mode_of(w->credentials, ".."), 0700);
                assert_int_equal(mode_of(w->dropins, "."), 0755);
                snprintf(wanted, sizeof(wanted), "[Service]\nLoadCredentialEncrypted=moonshot:%s/moonshot.cred\n",
                         w->credentials);
                assert_has(text_of(w->directory, "seen"), wanted);
                assert_has(text_of(w->directory, "log"), "systemctl daemon-reload\n");
                assert_has(text_of(w->directory, "log"), "systemd-creds encrypt --name=moonshot - /");
                assert_int_equal(sg_vault_remove(&w->vault, "moonshot", &err), 0);
        }
}

static void test_the_secret_stands_in_no_argument_and_no_variable(void **state)
{
        struct world *w = *state;
        struct sg_error err;

        assert_int_equal(set(w, "moonshot", SECRET, &err), 0);
        assert_has(text_of(w->directory, "env"), "PATH=");
        assert_null(strstr(text_of(w->directory, "env"), SECRET));
        assert_null(strstr(text_of(w->directory, "log"), SECRET));
}

static void test_a_long_secret_arrives_whole(void **state)
{
        struct world *w = *state;
        struct sg_error err;
        static char secret[65536 + 1], cipher[65536];

        memset(secret, 'a', 65535);
        memset(cipher, 'n', 65535);
        assert_int_equal(set(w, "long", secret, &err), 0);
        assert_string_equal(text_of(w->credentials, "long.cred"), cipher);
}

static void test_a_failed_encryption_changes_nothing(void **state)
{
        struct world *w = *state;
        struct sg_error err;

        touch(w, "systemd-creds-fails");
        assert_int_equal(set(w, "moonshot", SECRET, &err), -EIO);
        assert_has(err.text, "It is a bad day.");
        assert_null(strstr(err.text, "On the way"));
        assert_has(err.text, "api_key = file:/path");
        assert_files(w, "");
        assert_null(strstr(text_of(w->directory, "log"), "systemctl"));
}

static void test_a_failed_reload_is_undone(void **state)
{
        struct world *w = *state;
        struct sg_error err;

        touch(w, "systemctl-fails");
        assert_int_equal(set(w, "moonshot", SECRET, &err), -EIO);
        assert_has(err.text, "It is a bad day.");
        assert_files(w, "");
        untouch(w, "systemctl-fails");
        assert_int_equal(set(w, "moonshot", SECRET, &err), 0);
        touch(w, "systemctl-fails");
        assert_int_equal(set(w, "moonshot", "another", &err), -EIO);
        assert_files(w, BOTH);
        assert_string_equal(text_of(w->credentials, "moonshot.cred"), CIPHER);
        assert_int_equal(mode_of(w->credentials, "moonshot.cred"), 0600);
        assert_int_equal(sg_vault_remove(&w->vault, "moonshot", &err), -EIO);
        assert_files(w, BOTH);
        assert_string_equal(text_of(w->credentials, "moonshot.cred"), CIPHER);
}

static void test_what_is_missing_is_told_with_the_way_out(void **state)
{
        struct world *w = *state;
        struct sg_error err;
        char path[256];

        snprintf(path, sizeof(path), "%s/systemctl", w->path);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(set(w, "moonshot", SECRET, &err), -ENOENT);
        assert_has(err.text, "there is no systemctl");
        assert_has(err.text, "api_key = file:/path");
        assert_files(w, "");
        snprintf(path, sizeof(path), "%s/systemd-creds", w->path);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(set(w, "moonshot", SECRET, &err), -ENOENT);
        assert_has(err.text, "systemd 250 or later");
        assert_has(err.text, "api_key = file:/path");
        assert_files(w, "");
}

static void test_remove_leaves_nothing(void **state)
{
        struct world *w = *state;
        struct sg_error err;

        assert_int_equal(sg_vault_remove(&w->vault, "moonshot", &err), -ENOENT);
        assert_int_equal(set(w, "moonshot", SECRET, &err), 0);
        assert_int_equal(set(w, "other", SECRET, &err), 0);
        assert_int_equal(sg_vault_remove(&w->vault, "moonshot", &err), 0);
        assert_files(w, "store/service/other.cred units/x.service.d/credential-other.conf ");
        assert_int_equal(mode_of(w->dropins, "."), 0755);
        assert_int_equal(sg_vault_remove(&w->vault, "other", &err), 0);
        assert_int_equal(mode_of(w->credentials, "."), 0);
        assert_int_equal(mode_of(w->dropins, "."), 0);
        assert_string_equal(text_of(w->directory, "seen"), "");
}

/* What systemd writes first, for each kind of key, and how it is called here. */
static void test_list_tells_the_key(void **state)
{
        static const struct {
                const char *name, *text, *key;
        } cases[] = {
                {"a", "WhxqhN+dQJax1aZeCGLxmgAAAAABAAAADAAAABAAAAA\n", "unknown"}, /* near the host's */
                {"b", "WhxqHt+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA\n", "unknown"},
                {"c", "Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAAA\n", "host"},
                {"d", "DHzAexF2RZGcSwvqCLwg/iAAAAABAAAADAAAABAAAAA\n", "tpm2"},
                {"e", "+vfrk0HjQSyhpDb5WikiLw==\n", "unknown"},
                {"f", "+vfrk0HjQSyhpDb5Wik2LwAA\n", "tpm2"},
                {"g", "k6iUCUh0RJCQyvL8k8q1UyAA\n", "host+tpm2"},
                {"h", "r0lQqEkTTrGnOEYwT/MMBSAA\n", "host+tpm2"},
                {"i", "BYRp2vb1QySABUnaD46i+yAA\n", "null"},
                {"j", "", "unknown"},
                {"k", "WhxqhN", "unknown"},
        };
        struct world *w = *state;
        struct sg_vault_entry *entries;
        struct sg_error err;
        char path[256];
        size_t n;

        assert_int_equal(sg_vault_list(&w->vault, &entries, &n, &err), 0);
        assert_int_equal(n, 0);
        sg_vault_list_free(entries, n);
        assert_int_equal(set(w, "b", SECRET, &err), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                FILE *f;

                snprintf(path, sizeof(path), "%s/%s.cred", w->credentials, cases[i].name);
                f = fopen(path, "w");
                assert_non_null(f);
                fputs(cases[i].text, f);
                fclose(f);
        }
        touch(w, "store/service/.hidden.cred");
        touch(w, "store/service/no-credential");
        touch(w, "store/service/.cred");
        touch(w, "store/service/with blank.cred");
        assert_int_equal(sg_vault_list(&w->vault, &entries, &n, &err), 0);
        assert_int_equal(n, SG_N_ELEMENTS(cases));
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(entries[i].name, cases[i].name);
                if (strcmp(entries[i].key, cases[i].key) != 0)
                        fail_msg("%s: %s instead of %s", cases[i].name, entries[i].key, cases[i].key);
                assert_int_equal(entries[i].has_dropin, strcmp(cases[i].name, "b") == 0);
        }
        sg_vault_list_free(entries, n);
}

#define vault_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                vault_test(test_set_stores_both_files_and_tells_the_manager),
                vault_test(test_the_secret_stands_in_no_argument_and_no_variable),
                vault_test(test_a_long_secret_arrives_whole),
                vault_test(test_a_failed_encryption_changes_nothing),
                vault_test(test_a_failed_reload_is_undone),
                vault_test(test_what_is_missing_is_told_with_the_way_out),
                vault_test(test_remove_leaves_nothing),
                vault_test(test_list_tells_the_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
