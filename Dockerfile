# Images of scribe-gateway: from scratch, without a shell, run by user 10001 on a read-only root.
#
#   docker build -t scribe-gateway .                               gateway, ledger on SQLite, scribectl
#   docker build -t scribe-gateway:data-plane --target gateway .   without the ledger: no database library
#   docker build -t scribe-gateway:debug --target debug .          both, on Debian, with a shell
#   docker build -t scribe-gateway:service --target service .      a service for the example of several containers: nginx
#
# Keeps to what both Docker and Debian 12's buildah understand. docs/container.md tells how to run them.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev meson ninja-build pkg-config \
        libgnutls28-dev libjson-c-dev libc-ares-dev libnghttp2-dev libhiredis-dev libpq-dev libsqlite3-dev liburcu-dev && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# Nobody speaks to systemd in an image. Flags as for Debian's packages.
RUN CFLAGS="-O2 -g0 -fstack-clash-protection -Wformat -Werror=format-security -D_FORTIFY_SOURCE=2 -ffile-prefix-map=/source=." \
    meson setup /build . --prefix=/usr --sysconfdir=/etc --buildtype=plain -Dsystemd=disabled -Dtests=false && \
    ninja -C /build src/daemon/scribe-gateway src/ledger/scribe-ledger src/ctl/scribectl && \
    strip --strip-unneeded /build/src/daemon/scribe-gateway /build/src/ledger/scribe-ledger /build/src/ctl/scribectl
RUN packaging/container/gather.sh /both /build/src/daemon/scribe-gateway /build/src/ledger/scribe-ledger /build/src/ctl/scribectl && \
    packaging/container/gather.sh /data-plane /build/src/daemon/scribe-gateway /build/src/ctl/scribectl && \
    for out in /both /data-plane; do \
        install -D -m 0644 packaging/container/gateway.conf $out/etc/scribe-gateway/gateway.conf && \
        mkdir -p $out/etc/scribe-gateway/gateway.conf.d && \
        install -D -m 0644 LICENSE $out/usr/share/doc/scribe-gateway/copyright; \
    done && \
    install -m 0644 packaging/container/data-plane.conf /data-plane/etc/scribe-gateway/gateway.conf.d/10-data-plane.conf && \
    mkdir -p /empty /skeleton/run /skeleton/var/lib

# ---- what both images from scratch have: who runs it, where and how

FROM scratch AS empty
COPY --from=build /skeleton /
COPY --from=build --chown=10001:10001 /empty /var/lib/scribe-gateway
COPY --from=build --chown=10001:10001 /empty /run/scribe-gateway
USER 10001:10001
ENV SCRIBE_LISTEN=0.0.0.0:8000
EXPOSE 8000
VOLUME ["/var/lib/scribe-gateway", "/run/scribe-gateway"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["/usr/bin/scribe-gateway", "--healthcheck"]
ENTRYPOINT ["/usr/bin/scribe-gateway", "--container"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="scribe-gateway" \
      org.opencontainers.image.description="The AI and API gateway that behaves like a Unix service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      io.scribe.source="${SOURCE}"

FROM empty AS gateway
LABEL org.opencontainers.image.title="scribe-gateway (data plane)"
COPY --from=build /data-plane /

# ---- with a shell, to look at things

FROM ${BASE} AS debug
COPY --from=build /both.packages /usr/share/doc/scribe-gateway/packages
RUN apt-get update && \
    apt-get install -y --no-install-recommends $(cat /usr/share/doc/scribe-gateway/packages) curl procps strace && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /both/usr/bin/scribe-gateway /both/usr/bin/scribe-ledger /both/usr/bin/scribectl /usr/bin/
COPY --from=build /both/etc/scribe-gateway /etc/scribe-gateway
COPY --from=build /both/usr/share/doc/scribe-gateway/copyright /usr/share/doc/scribe-gateway/copyright
RUN groupadd --gid 10001 scribe-gateway && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/scribe-gateway --shell /usr/sbin/nologin scribe-gateway
COPY --from=build --chown=10001:10001 /empty /var/lib/scribe-gateway
COPY --from=build --chown=10001:10001 /empty /run/scribe-gateway
# As in empty above.
USER 10001:10001
ENV SCRIBE_LISTEN=0.0.0.0:8000
EXPOSE 8000
VOLUME ["/var/lib/scribe-gateway", "/run/scribe-gateway"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["/usr/bin/scribe-gateway", "--healthcheck"]
ENTRYPOINT ["/usr/bin/scribe-gateway", "--container"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="scribe-gateway (debug)" \
      org.opencontainers.image.description="The AI and API gateway that behaves like a Unix service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      io.scribe.source="${SOURCE}"

# ---- a service of the example in compose.yaml: yours take its place

FROM ${BASE} AS service
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light curl && rm -rf /var/lib/apt/lists/*
COPY packaging/container/service.conf.template /etc/service.conf.template
COPY packaging/container/service.sh /usr/bin/service.sh
USER 10002:10002
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/service.sh"]
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="scribe-gateway (an example's service)" io.scribe.source="${SOURCE}"

# ---- both processes: what is built when nothing else is asked for

FROM empty AS single
COPY --from=build /both /
