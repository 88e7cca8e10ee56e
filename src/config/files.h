/*
 * config/files.h - files of a configuration directory, whole, with errors that say who could not read what
 *
 * Shape    each file is read at once and lent to a function
 * Owner    path and bytes are lent for the call; the bytes are wiped afterwards: somebody may have written a secret
 * Thread   any
 * Errors   0, -ENOMEM, others with the path and what to do; what `each` returns ends the reading and is handed on
 * Limits   SG_CONFIG_FILE_BYTES_MAX a file
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

int sg_config_file_read(const char *path,
                        int (*each)(const char *path, struct sg_str bytes, void *owner, struct sg_error *err),
                        void *owner, struct sg_error *err) SG_MUST_CHECK;
/* All *.conf of a directory but those that begin with a dot, in the order of their bytes. No directory: no files. */
int sg_config_files_read(const char *directory,
                         int (*each)(const char *path, struct sg_str bytes, void *owner, struct sg_error *err),
                         void *owner, struct sg_error *err) SG_MUST_CHECK;
