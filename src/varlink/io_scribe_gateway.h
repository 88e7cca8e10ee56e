/*
 * varlink/io_scribe_gateway.h - what the gateway's control socket can be asked, in Varlink's own language
 *
 * Shape    one string, shared by the server (control/) and by who wants to know the shapes (ctl/)
 * Units    _usec wall time or durations in microseconds, _bytes
 */
#pragma once

#define SG_GATEWAY_INTERFACE            "io.scribe.Gateway"
#define SG_GATEWAY_E_CONFIG_REJECTED    "io.scribe.Gateway.ConfigRejected"
#define SG_GATEWAY_E_BAD_LEVEL          "io.scribe.Gateway.BadLevel"
#define SG_GATEWAY_E_NO_SUCH_SERVICE    "io.scribe.Gateway.NoSuchService"
#define SG_GATEWAY_E_NO_SUCH_ENDPOINT   "io.scribe.Gateway.NoSuchEndpoint"
#define SG_GATEWAY_E_NO_SUCH_LANE       "io.scribe.Gateway.NoSuchLane"
#define SG_GATEWAY_E_AMBIGUOUS_ENDPOINT "io.scribe.Gateway.AmbiguousEndpoint"

extern const char sg_io_scribe_gateway_description[];
