/*
 * ledger/node.h - which node a journal belongs to: what tells its rings from those of others in one database
 *
 * Shape    random, made at first use and kept in the file "node" of the journal's directory: a ring and its node come and go
 *          with the same disk
 * Thread   any
 * Errors   -errno with *err
 */
#pragma once

#include "base/error.h"

#define SG_NODE_CHARS 32 /* hex */

int sg_node_read(char ret[SG_NODE_CHARS + 1], const char *directory, struct sg_error *err) SG_MUST_CHECK;
