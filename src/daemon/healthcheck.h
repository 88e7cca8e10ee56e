/*
 * daemon/healthcheck.h - `scribe-gateway --healthcheck`: a client of the service that runs beside it
 *
 * Shape    one question, one answer: GET /health to the gateway, org.varlink.service.GetInfo to the ledger
 * Units    five seconds for all of it
 * Thread   main, instead of the daemon; plain blocking sockets, no event loop
 * Errors   one line on stderr and exit status 1
 */
#pragma once

struct sg_options;

/* 0: the service answers as it should; 1: it does not. */
int sg_healthcheck_run(const struct sg_options *options);
