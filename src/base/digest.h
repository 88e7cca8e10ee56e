/*
 * base/digest.h - checksums and hex
 *
 * Source   CRC-32C (Castagnoli), RFC 3720 appendix B.4: check value of "123456789" is e3069283
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* crc is 0 at the start, or the result so far. */
uint32_t sg_crc32c(uint32_t crc, const void *data, size_t n);
/* The same by table, whatever the processor offers; for comparison. */
uint32_t sg_crc32c_portable(uint32_t crc, const void *data, size_t n);

/* 2 * n lower-case digits and a NUL. */
void sg_hex(char *out, const void *data, size_t n);
/* 0, or 1 when `text` is not exactly 2 * n hex digits. */
int sg_unhex(void *out, size_t n, const char *text, size_t text_n);
