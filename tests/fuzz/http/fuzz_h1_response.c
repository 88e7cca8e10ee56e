/* Any bytes as answers, to each kind of request that changes what they mean: the same events however they are cut. */
#include "h1_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const enum sg_method asked[] = {SG_METHOD_GET, SG_METHOD_HEAD, SG_METHOD_CONNECT};

        for (size_t i = 0; i < SG_N_ELEMENTS(asked); i++)
                h1_compare(data, size, SG_H1_CLIENT, asked[i]);
        return 0;
}
