#!/bin/sh
# service.sh NAME PORT - the example's service in the foreground; TERM ends it
set -eu
umask 077
sed -e "s/@NAME@/$1/g" -e "s/@PORT@/$2/g" "${SERVICE_TEMPLATE:-/etc/service.conf.template}" >"${SERVICE_DIR:-/tmp}/nginx.conf"
exec nginx -c "${SERVICE_DIR:-/tmp}/nginx.conf" -g 'daemon off;'
