/* Any bytes as a PROXY header: no read outside, and the outcome is that of the first prefix that has one, however many
 * bytes follow. */
#include "net/proxy_header.h"

static void check_header(const struct sg_proxy_header *h, size_t size)
{
        char out[SG_IP_TEXT_BYTES];

        SG_ASSERT(h->n_bytes >= 15 && h->n_bytes <= size && h->n_bytes <= SG_PROXY_HEADER_BYTES_MAX);
        if (h->kind == SG_PROXY_HEADER_SOURCE)
                SG_ASSERT(sg_ip_text(&h->source, out));
        else
                SG_ASSERT(h->source.n_bytes == 0 && h->source_port == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sg_str all = sg_str_make(data ? data : (const uint8_t *)"", size);
        struct sg_proxy_header whole, cut;
        int r = sg_proxy_header_read(&whole, all);

        if (r)
                SG_ASSERT(r < SG_PROXY_HEADER_E_N && sg_proxy_header_error_text((enum sg_proxy_header_error)r)[0]);
        else
                check_header(&whole, size);
        SG_ASSERT(r != SG_PROXY_HEADER_E_MORE || size < SG_PROXY_HEADER_BYTES_MAX);
        for (size_t n = 0; n < size && n <= SG_PROXY_HEADER_BYTES_MAX; n++) {
                int now = sg_proxy_header_read(&cut, sg_str_head(all, n));

                SG_ASSERT(now == SG_PROXY_HEADER_E_MORE || now == r);
                if (now != SG_PROXY_HEADER_E_MORE)
                        break;
        }
        if (!r && size > whole.n_bytes)
                SG_ASSERT(sg_proxy_header_read(&cut, sg_str_head(all, whole.n_bytes)) == 0 &&
                          cut.n_bytes == whole.n_bytes && cut.kind == whole.kind);
        return 0;
}
