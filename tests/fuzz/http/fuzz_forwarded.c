/* Any bytes as fields: each line is one of Forwarded (first byte 'F') or X-Forwarded-For. No read outside; what is found is an
 * address; and what a client puts on the left never changes what trusted proxies wrote on the right. */
#include "http/forwarded.h"

static const struct sg_network inside[] = {{{4, {10}}, 8}};
static const struct sg_networks trusted = {inside, 1};

static enum sg_forwarded_result find(struct sg_ip *ret, const struct sg_head *head)
{
        enum sg_forwarded_result r = sg_forwarded_find(ret, head, &trusted);

        SG_ASSERT(r < SG_FORWARDED_N && sg_forwarded_result_text(r)[0]);
        SG_ASSERT(r != SG_FORWARDED_CLIENT || ret->n_bytes == 4 || ret->n_bytes == 16);
        return r;
}

/* Fields of its own, before all others. */
static void check_prefixed(const struct sg_head *head, enum sg_forwarded_result r, const struct sg_ip *ip)
{
        struct sg_head longer = {.n_headers = head->n_headers + 2};
        struct sg_ip again;

        longer.headers[0] = (struct sg_header){SG_STR("X-Forwarded-For"), SG_STR("198.51.100.7")};
        longer.headers[1] = (struct sg_header){SG_STR("Forwarded"), SG_STR("for=198.51.100.7")};
        memcpy(longer.headers + 2, head->headers, head->n_headers * sizeof(head->headers[0]));
        if (r != SG_FORWARDED_CLIENT || sg_networks_have(&trusted, ip))
                return; /* somebody inside: what stands before him is looked at */
        switch (find(&again, &longer)) {
        case SG_FORWARDED_CLIENT:
                SG_ASSERT(sg_ip_is_same(ip, &again));
                return;
        case SG_FORWARDED_DISAGREE:
                return;
        default:
                SG_UNREACHABLE();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str rest = sg_str_make(data ? data : (const uint8_t *)"", size), line;
        static struct sg_head head;
        enum sg_forwarded_result r;
        struct sg_ip ip = {.n_bytes = 0};

        head.n_headers = 0;
        while (rest.n && head.n_headers < 16) {
                (void)sg_str_cut(&rest, '\n', &line);
                if (line.n)
                        head.headers[head.n_headers++] =
                                (struct sg_header){line.p[0] == 'F' ? SG_STR("Forwarded") : SG_STR("X-Forwarded-For"),
                                                   sg_str_trim(sg_str_skip(line, 1))};
        }
        r = find(&ip, &head);
        check_prefixed(&head, r, &ip);
        return 0;
}
