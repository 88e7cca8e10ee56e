#include <stdlib.h>
#include <string.h>

#include "journal/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes encodes to the same bytes; what the version before wrote to some that decode to the same again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t again[SG_RECORD_BYTES_MAX], third[SG_RECORD_BYTES_MAX];
        struct sg_record rec, other;
        size_t n = 0, m = 0;

        if (sg_record_decode(&rec, data, size) != 0)
                return 0;
        SG_ASSERT(sg_record_encode(&rec, again, sizeof(again), &n) == 0);
        if (data[0] == again[0]) {
                SG_ASSERT(n == size && memcmp(again, data, n) == 0);
                return 0;
        }
        SG_ASSERT(sg_record_decode(&other, again, n) == 0 && other.n_attempts == 0 && other.credential.n == 0);
        SG_ASSERT(sg_record_encode(&other, third, sizeof(third), &m) == 0);
        SG_ASSERT(m == n && memcmp(again, third, n) == 0);
        return 0;
}
