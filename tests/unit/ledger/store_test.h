/*
 * tests/unit/ledger/store_test.h - the store's tests, whatever database is behind it
 *
 * test_store.c and test_store_keys.c are linked with one fixture for each kind of database (fixture_sqlite.c). A fixture
 * makes an empty database for each test and takes it away again; where it cannot, it fails loudly.
 */
#pragma once

#include "common.h"

int fixture_setup(void **state);
int fixture_teardown(void **state);
const char *fixture_url(void); /* of this test's database, in the options of a store */

#define RING "0123456789abcdef0123456789abcdef"

__attribute__((__unused__)) static int store_setup(void **state)
{
        int r = fixture_setup(state);

        if (!r)
                (void)snprintf(db_url, sizeof(db_url), "%s", fixture_url());
        return r;
}

__attribute__((__unused__)) static struct sg_store_key key_of(const char *name, uint8_t digest)
{
        struct sg_store_key key = {.name = sg_str_from(name), .prefix = "sk-AbCd", .created_wall_usec = 10};

        memset(key.digest, digest, sizeof(key.digest));
        return key;
}

__attribute__((__unused__)) static uint64_t add_key(struct sg_store *s, const char *name, uint8_t digest,
                                                    uint64_t group_id)
{
        struct sg_store_key key = key_of(name, digest);
        uint64_t id = 0;

        key.group_id = group_id;
        assert_int_equal(sg_store_key_add(s, &key, &id, NULL), 0);
        return id;
}

__attribute__((__unused__)) static uint64_t add_group(struct sg_store *s, const char *name, uint64_t parent_id)
{
        const struct sg_store_group group = {
                .name = sg_str_from(name), .parent_id = parent_id, .created_wall_usec = 10};
        uint64_t id = 0;

        assert_int_equal(sg_store_group_add(s, &group, &id, NULL), 0);
        return id;
}
