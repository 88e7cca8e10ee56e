/* The database interface: keys, groups and the audit log. Linked with a fixture for each kind of database. */
#include "store_test.h"

/* ---- keys */

struct keys {
        size_t n;
        struct sg_store_key last;
        char names[200], models[100], limits[100], group[100];
};

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct keys *k = owner;
        size_t at = strlen(k->names);

        k->n++;
        k->last = *key;
        (void)snprintf(k->names + at, sizeof(k->names) - at, SG_STR_FMT " ", SG_STR_ARG(key->name));
        (void)snprintf(k->models, sizeof(k->models), SG_STR_FMT, SG_STR_ARG(key->models));
        (void)snprintf(k->limits, sizeof(k->limits), SG_STR_FMT, SG_STR_ARG(key->limits));
        (void)snprintf(k->group, sizeof(k->group), SG_STR_FMT, SG_STR_ARG(key->group));
}

static struct keys list(struct sg_store *s, uint64_t from, uint64_t limit, bool with_revoked)
{
        const struct sg_store_key_filter filter = {.from_id = from, .limit = limit, .with_revoked = with_revoked};
        struct keys keys = {0};

        assert_int_equal(sg_store_key_select(s, &filter, on_key, &keys, NULL), 0);
        return keys;
}

static void test_a_key_from_birth_to_revocation(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_key key = key_of("alice", 1), other = key_of("alice", 2);
        struct keys keys;
        uint64_t id = 0, found = 0;
        bool is_revoked = true;

        key.models = SG_STR("[\"gpt-*\"]");
        key.expires_wall_usec = 99;
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &found, &is_revoked, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        keys = list(s, id, 1, false);
        assert_int_equal(keys.n, 1);
        assert_int_equal(keys.last.id, id);
        assert_memory_equal(keys.last.digest, key.digest, sizeof(key.digest));
        assert_string_equal(keys.last.prefix, "sk-AbCd");
        assert_string_equal(keys.models, "[\"gpt-*\"]");
        assert_int_equal(keys.last.created_wall_usec, 10);
        assert_int_equal(keys.last.expires_wall_usec, 99);
        assert_int_equal(keys.last.version, 1);

        assert_int_equal(sg_store_key_add(s, &other, &id, NULL), SG_STORE_E_EXISTS);
        other.rotated_wall_usec = 20;
        assert_int_equal(sg_store_key_rotate(s, id, &other, NULL), 0);
        keys = list(s, id, 1, false);
        assert_memory_equal(keys.last.digest, other.digest, sizeof(other.digest));
        assert_int_equal(keys.last.rotated_wall_usec, 20);
        assert_int_equal(keys.last.version, 2); /* what failed did not count */

        assert_int_equal(sg_store_key_revoke(s, id, 30, NULL), 0);
        assert_int_equal(sg_store_key_revoke(s, id, 40, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_key_rotate(s, id, &key, NULL), SG_STORE_E_NONE);
        assert_int_equal(list(s, 0, 10, false).n, 0);
        keys = list(s, 0, 10, true);
        assert_int_equal(keys.n, 1);
        assert_int_equal(keys.last.revoked_wall_usec, 30);
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &found, &is_revoked, NULL), 0);
        assert_int_equal(found, id);
        assert_true(is_revoked);

        /* The name is free again, the id is not. */
        assert_int_equal(sg_store_key_add(s, &key, &found, NULL), 0);
        assert_int_not_equal(found, id);
        assert_int_equal(sg_store_key_find(s, SG_STR("alice"), &id, &is_revoked, NULL), 0);
        assert_int_equal(found, id);
        assert_false(is_revoked);
        sg_store_free(s);
}

static void test_keys_are_listed_in_pages(void **state)
{
        struct sg_store *s = open_store();
        char name[32];
        struct keys keys;
        uint64_t id;

        for (uint8_t n = 0; n < 7; n++) {
                struct sg_store_key key;

                (void)snprintf(name, sizeof(name), "k%d", n);
                key = key_of(name, n);
                assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        }
        keys = list(s, 0, 3, false);
        assert_string_equal(keys.names, "k0 k1 k2 ");
        keys = list(s, keys.last.id + 1, 3, false);
        assert_string_equal(keys.names, "k3 k4 k5 ");
        keys = list(s, keys.last.id + 1, 3, false);
        assert_string_equal(keys.names, "k6 ");
        sg_store_free(s);
}

/* ---- groups, and what changes together */

static uint64_t version_of(struct sg_store *s)
{
        struct sg_store_counts counts;

        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        return counts.key_version;
}

static void test_a_key_has_limits_and_a_group_and_changes_them(void **state)
{
        struct sg_store *s = open_store();
        uint64_t group = add_group(s, "team", 0), id = 0;
        struct sg_store_key key = key_of("alice", 1);
        struct keys keys;

        key.limits = SG_STR("[\"600 requests/minute\"]");
        key.group_id = group;
        assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        keys = list(s, id, 1, false);
        assert_string_equal(keys.limits, "[\"600 requests/minute\"]");
        assert_int_equal(keys.last.group_id, group);
        assert_string_equal(keys.group, "team");

        key.limits = SG_STR_NONE;
        key.group_id = 0;
        key.models = SG_STR("[\"gpt-*\"]");
        key.expires_wall_usec = 77;
        key.name = SG_STR("not changed");
        assert_int_equal(sg_store_key_change(s, id, &key, NULL), 0);
        keys = list(s, id, 1, false);
        assert_string_equal(keys.names, "alice ");
        assert_string_equal(keys.models, "[\"gpt-*\"]");
        assert_string_equal(keys.limits, "");
        assert_string_equal(keys.group, "");
        assert_int_equal(keys.last.group_id, 0);
        assert_int_equal(keys.last.expires_wall_usec, 77);
        assert_int_equal(keys.last.version, 3);
        assert_int_equal(version_of(s), 3);
        assert_int_equal(sg_store_key_change(s, id + 1, &key, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_key_revoke(s, id, 5, NULL), 0);
        assert_int_equal(sg_store_key_change(s, id, &key, NULL), SG_STORE_E_NONE);
        assert_int_equal(version_of(s), 4);
        sg_store_free(s);
}

static void test_changes_of_one_transaction_stand_or_fall_together(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_audit entry = {.wall_usec = 5, .verb = SG_STR("CreateKey"), .subject = SG_STR("key:a")};
        struct sg_store_key again = key_of("a", 9);
        uint64_t id = 0;

        assert_int_equal(sg_store_begin(s, NULL), 0);
        (void)add_key(s, "a", 1, 0);
        assert_int_equal(sg_store_audit_add(s, &entry, NULL), 0);
        sg_store_rollback(s);
        assert_int_equal(list(s, 0, 10, true).n, 0);
        assert_int_equal(version_of(s), 0);

        /* What is refused changes nothing, and the others go on. */
        assert_int_equal(sg_store_begin(s, NULL), 0);
        (void)add_key(s, "a", 1, 0);
        assert_int_equal(sg_store_key_add(s, &again, &id, NULL), SG_STORE_E_EXISTS);
        assert_int_equal(sg_store_key_revoke(s, 99, 5, NULL), SG_STORE_E_NONE);
        (void)add_key(s, "b", 2, 0);
        assert_int_equal(sg_store_commit(s, NULL), 0);
        assert_string_equal(list(s, 0, 10, true).names, "a b ");
        assert_int_equal(version_of(s), 2);
        sg_store_free(s);
}

static const char *selected(struct sg_store *s, const char *name, uint64_t group_id, uint64_t from_id, uint64_t limit)
{
        static struct keys keys;
        const struct sg_store_key_filter filter = {
                .name = sg_str_from(name), .group_id = group_id, .from_id = from_id, .limit = limit};

        keys = (struct keys){0};
        assert_int_equal(sg_store_key_select(s, &filter, on_key, &keys, NULL), 0);
        return keys.names;
}

static void test_keys_are_selected_by_name_and_group(void **state)
{
        struct sg_store *s = open_store();
        uint64_t team = add_group(s, "team", 0);

        (void)add_key(s, "app", 1, team);
        (void)add_key(s, "app-1", 2, 0);
        (void)add_key(s, "app-2", 3, team);
        (void)add_key(s, "APP-3", 4, team);
        (void)add_key(s, "a%_p", 5, 0);
        assert_string_equal(selected(s, "", 0, 0, 9), "app app-1 app-2 APP-3 a%_p ");
        assert_string_equal(selected(s, "*", 0, 0, 9), "app app-1 app-2 APP-3 a%_p ");
        assert_string_equal(selected(s, "app", 0, 0, 9), "app ");
        assert_string_equal(selected(s, "app*", 0, 0, 9), "app app-1 app-2 ");
        assert_string_equal(selected(s, "app-*", 0, 0, 1), "app-1 ");
        assert_string_equal(selected(s, "a%*", 0, 0, 9), "a%_p ");
        assert_string_equal(selected(s, "app-10*", 0, 0, 9), "");
        assert_string_equal(selected(s, "", team, 0, 9), "app app-2 APP-3 ");
        assert_string_equal(selected(s, "app*", team, 2, 9), "app-2 ");
        assert_string_equal(selected(s, "app", team, 0, 9), "app ");
        assert_string_equal(selected(s, "app-1", team, 0, 9), "");
        sg_store_free(s);
}

struct told {
        char text[400];
};

static void tell_group(const struct sg_store_group *group, void *owner)
{
        struct told *t = owner;
        size_t at = strlen(t->text);

        (void)snprintf(t->text + at, sizeof(t->text) - at, SG_STR_FMT "<%d%s" SG_STR_FMT "(%d)@%d ",
                       SG_STR_ARG(group->name), (int)group->parent_id, group->removed_wall_usec ? "!" : "",
                       SG_STR_ARG(group->limits), (int)group->n_keys, (int)group->version);
}

static void tell_key(const struct sg_store_key *key, void *owner)
{
        struct told *t = owner;
        size_t at = strlen(t->text);

        (void)snprintf(t->text + at, sizeof(t->text) - at, SG_STR_FMT ":" SG_STR_FMT "%s@%d ", SG_STR_ARG(key->name),
                       SG_STR_ARG(key->group), key->revoked_wall_usec ? "!" : "", (int)key->version);
}

static void test_a_tree_of_groups(void **state)
{
        struct sg_store *s = open_store();
        uint64_t top = add_group(s, "org", 0), team = add_group(s, "team", top), found = 0;
        struct sg_store_group group = {.name = SG_STR("team")};
        struct told told = {""};

        (void)add_key(s, "a", 1, team);
        (void)add_key(s, "b", 2, team);
        assert_int_equal(sg_store_key_revoke(s, add_key(s, "c", 3, team), 5, NULL), 0);
        assert_int_equal(sg_store_group_add(s, &group, &found, NULL), SG_STORE_E_EXISTS);
        assert_int_equal(sg_store_group_find(s, SG_STR("team"), &found, NULL), 0);
        assert_int_equal(found, team);
        assert_int_equal(sg_store_group_find(s, SG_STR("te"), &found, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_group_list(s, true, tell_group, &told, NULL), 0);
        assert_string_equal(told.text, "org<0(0)@1 team<1(2)@2 ");

        group.limits = SG_STR("[\"5 concurrent\"]");
        assert_int_equal(sg_store_group_change(s, team, &group, NULL), 0);
        assert_int_equal(sg_store_group_remove(s, top, 5, NULL), 0);
        assert_int_equal(sg_store_group_remove(s, top, 5, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_group_change(s, top, &group, NULL), SG_STORE_E_NONE);
        assert_int_equal(sg_store_group_find(s, SG_STR("org"), &found, NULL), SG_STORE_E_NONE);
        told = (struct told){""};
        assert_int_equal(sg_store_group_list(s, true, tell_group, &told, NULL), 0);
        assert_string_equal(told.text, "team<0[\"5 concurrent\"](2)@7 ");
        /* The name is free again, the id is not. */
        assert_true(add_group(s, "org", 0) > team);
        sg_store_free(s);
}

static void test_changes_after_a_version(void **state)
{
        struct sg_store *s = open_store();
        uint64_t team = add_group(s, "team", 0), id = add_key(s, "a", 1, team), version = 0;
        struct told told = {""};

        (void)add_key(s, "b", 2, 0);
        assert_int_equal(sg_store_changes(s, 0, tell_key, tell_group, &told, &version, NULL), 0);
        assert_string_equal(told.text, "team<0(0)@1 a:team@2 b:@3 ");
        assert_int_equal(version, 3);
        told = (struct told){""};
        assert_int_equal(sg_store_changes(s, version, tell_key, tell_group, &told, &version, NULL), 0);
        assert_string_equal(told.text, "");
        assert_int_equal(sg_store_key_revoke(s, id, 5, NULL), 0);
        assert_int_equal(sg_store_group_remove(s, team, 5, NULL), 0);
        assert_int_equal(sg_store_changes(s, version, tell_key, tell_group, &told, &version, NULL), 0);
        assert_string_equal(told.text, "team<0!(0)@5 a:team!@4 ");
        assert_int_equal(version, 5);
        sg_store_free(s);
}

/* ---- audit */

static void on_audit(const struct sg_store_audit *e, void *owner)
{
        struct told *t = owner;
        size_t at = strlen(t->text);

        (void)snprintf(t->text + at, sizeof(t->text) - at,
                       "%d:%d/%d " SG_STR_FMT " " SG_STR_FMT " " SG_STR_FMT " " SG_STR_FMT ">" SG_STR_FMT "; ",
                       (int)e->wall_usec, (int)e->uid, (int)e->pid, SG_STR_ARG(e->user), SG_STR_ARG(e->verb),
                       SG_STR_ARG(e->subject), SG_STR_ARG(e->before), SG_STR_ARG(e->after));
}

static void audit(struct sg_store *s, uint64_t wall_usec, const char *subject)
{
        const struct sg_store_audit entry = {
                .wall_usec = wall_usec,
                .uid = 1000,
                .pid = 7,
                .user = SG_STR("ann"),
                .verb = SG_STR("ChangeKey"),
                .subject = sg_str_from(subject),
                .before = SG_STR("{}"),
        };

        assert_int_equal(sg_store_audit_add(s, &entry, NULL), 0);
}

static const char *audited(struct sg_store *s, uint64_t from, uint64_t to, const char *subject, uint64_t limit)
{
        static struct told told;

        told = (struct told){""};
        assert_int_equal(sg_store_audit_list(s, from, to, sg_str_from(subject), limit, on_audit, &told, NULL), 0);
        return told.text;
}

static void test_the_audit_log_keeps_who_did_what(void **state)
{
        struct sg_store *s = open_store();

        audit(s, 10, "key:a");
        audit(s, 20, "key:ab");
        audit(s, 20, "group:a");
        assert_string_equal(audited(s, 0, UINT64_MAX, "key:a", 9), "10:1000/7 ann ChangeKey key:a {}>; ");
        assert_string_equal(audited(s, 0, UINT64_MAX, "key:*", 9),
                            "20:1000/7 ann ChangeKey key:ab {}>; 10:1000/7 ann ChangeKey key:a {}>; ");
        assert_string_equal(audited(s, 20, UINT64_MAX, "", 1), "20:1000/7 ann ChangeKey group:a {}>; ");
        assert_string_equal(audited(s, 0, 10, "", 9), "");
        sg_store_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, fixture_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_key_from_birth_to_revocation),
                TEST(test_keys_are_listed_in_pages),
                TEST(test_a_key_has_limits_and_a_group_and_changes_them),
                TEST(test_changes_of_one_transaction_stand_or_fall_together),
                TEST(test_keys_are_selected_by_name_and_group),
                TEST(test_a_tree_of_groups),
                TEST(test_changes_after_a_version),
                TEST(test_the_audit_log_keeps_who_did_what),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
