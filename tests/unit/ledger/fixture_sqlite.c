#include "store_test.h"

int fixture_setup(void **state)
{
        return test_setup(state);
}

int fixture_teardown(void **state)
{
        return test_teardown(state);
}

const char *fixture_url(void)
{
        return db_url;
}
