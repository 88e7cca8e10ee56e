/* Any bytes as requests: no read outside, heads that hold what they promise, the same events however they are cut; and
 * a target that was accepted has a path. */
#include "h1_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str path, query;
        struct sg_h1_event ev;
        struct sg_head head;
        struct sg_h1 p;

        h1_compare(data, size, SG_H1_SERVER, SG_METHOD_OTHER);
        sg_h1_init(&p, SG_H1_SERVER, NULL);
        if (sg_h1_next(&p, sg_str_make(data, size), &head, &ev) || ev.kind != SG_H1_HEAD)
                return 0;
        path = sg_target_path(head.target, &query);
        SG_ASSERT(path.n > 0 && path.n + query.n <= head.target.n + 1);
        SG_ASSERT(head.method == SG_METHOD_CONNECT || path.p[0] == '/' || path.p[0] == '*');
        for (size_t i = 0; i < head.n_headers; i++)
                (void)sg_header_is_hop(&head, &head.headers[i]);
        return 0;
}
