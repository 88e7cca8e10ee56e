"""Web servers of Debian's, as they stand behind the gateway and before it. Each serves the same files by HTTP/1.1 and HTTP/2, in
the clear and over TLS, takes uploads by PUT, and compresses what ends in .txt."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from gateway import SLOWNESS, free_port, wait_for
from peers import can_connect

KINDS = ("http1", "tls1", "h2c", "h2")  # tls1: HTTP/1.1 over TLS


def program(name):
    """Where it is. A test of a real peer is nothing without it."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert found, f"there is no {name}; ./start.sh test installs it"
    return found


class Server:
    """A program in the foreground, in a directory of its own that it may read and write as any user."""

    def __init__(self, name, *uses):
        self.name = name
        self.ports = {}
        for use in uses:  # free_port() holds nothing back: two may be the same
            self.ports[use] = next(port for port in iter(free_port, None) if port not in self.ports.values())
        self.directory = Path(tempfile.mkdtemp(prefix=f"scribe-test-{name}-"))
        self.directory.chmod(0o755)
        self.files, self.uploads = self.directory / "files", self.directory / "files/up"
        self.uploads.mkdir(parents=True)
        self.uploads.chmod(0o777)
        self.process = None

    def run(self, *command, **options):
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen([program(command[0]), *map(str, command[1:])], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, cwd=self.directory, **options)
        try:
            for port in self.ports.values():
                wait_for(lambda: can_connect(port) or self.process.poll() is not None, 20, f"port {port} of {self.name}")
            assert self.process.poll() is None, (self.directory / "output").read_text()
        except AssertionError:
            self.stop()
            raise

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20 * SLOWNESS)
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        if not os.environ.get("SCRIBE_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, kind):
        tls = kind in ("tls1", "h2")
        return f"{'https://localhost' if tls else 'http://127.0.0.1'}:{self.ports[kind]}"

    def asked(self):
        """Of each request: protocol, number of its connection, method, target, status."""
        log = self.directory / "access.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


class Nginx(Server):
    def __init__(self, certificate, front_of):
        """front_of: the port that its own port "front" is a proxy for."""
        super().__init__("nginx", *KINDS, "front")
        paths = "".join(f"    {kind}_temp_path {self.directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(f"""
daemon off;
user root;
worker_processes 1;
pid {self.directory}/pid;
error_log {self.directory}/error.log info;
events {{ worker_connections 1000; }}
http {{
    log_format asked "$server_protocol $connection $request_method $request_uri $status";
    access_log {self.directory}/access.log asked;
    types {{ text/plain txt; application/octet-stream bin; }}
{paths}
    gzip on;
    gzip_types text/plain;
    gzip_vary on;
    gzip_min_length 100;
    server {{
        listen 127.0.0.1:{self.ports["http1"]};
        listen 127.0.0.1:{self.ports["tls1"]} ssl;
        listen 127.0.0.1:{self.ports["h2c"]} http2;
        listen 127.0.0.1:{self.ports["h2"]} ssl http2;
        ssl_certificate {certificate[0]};
        ssl_certificate_key {certificate[1]};
        root {self.files};
        client_max_body_size 0;
        keepalive_requests 100000;
        location /up/ {{ dav_methods PUT DELETE; }}
    }}
    map $http_upgrade $connection_too {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{self.ports["front"]};
        client_max_body_size 0;
        location / {{
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection $connection_too;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_request_buffering off;
        }}
        location /told/anonymous {{ proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    upstream gateway {{ server 127.0.0.1:{front_of}; keepalive 4; }}
}}
""")
        self.run("nginx", "-c", self.directory / "nginx.conf", "-p", self.directory)


class Apache(Server):
    def __init__(self, certificate):
        super().__init__("apache", *KINDS)
        modules = ("mpm_event", "authz_core", "mime", "http2", "ssl", "dav", "dav_fs", "filter", "deflate")
        load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
        hosts = "".join(f"""
Listen 127.0.0.1:{self.ports[kind]}
<VirtualHost 127.0.0.1:{self.ports[kind]}>
    Protocols {protocols}
    {tls}
</VirtualHost>""" for kind, protocols, tls in (("http1", "http/1.1", ""), ("tls1", "http/1.1", "SSLEngine on"), ("h2c", "h2c", ""),
                                                 ("h2", "h2", "SSLEngine on")))
        for name in ("private.key", "certificate"):  # its own user reads nothing of the tests' directories
            shutil.copy(certificate[name == "private.key"], self.directory / name)
        (self.directory / "apache.conf").write_text(f"""
ServerRoot {self.directory}
ServerName localhost
{load}
User www-data
Group www-data
PidFile {self.directory}/pid
Mutex pthread
ErrorLog {self.directory}/error.log
LogFormat "%H %{{c}}L %m %U %>s" asked
CustomLog {self.directory}/access.log asked
DocumentRoot {self.files}
SSLCertificateFile {self.directory}/certificate
SSLCertificateKeyFile {self.directory}/private.key
MaxKeepAliveRequests 0
TypesConfig /dev/null
AddType text/plain .txt
AddType application/octet-stream .bin
AddOutputFilterByType DEFLATE text/plain
DavLockDB {self.uploads}/lock
<Directory {self.files}>
    Require all granted
</Directory>
<Directory {self.uploads}>
    Dav On
</Directory>
{hosts}
""")
        self.run("apache2", "-DFOREGROUND", "-f", self.directory / "apache.conf")


class Haproxy(Server):
    """Hands connections on with a PROXY header to `proxied`, and by HTTP to `plain`."""

    def __init__(self, proxied, plain):
        super().__init__("haproxy", "tcp", "http")
        (self.directory / "haproxy.cfg").write_text(f"""
defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
listen tcp
    mode tcp
    bind 127.0.0.1:{self.ports["tcp"]}
    server gateway 127.0.0.1:{proxied} send-proxy-v2
listen http
    mode http
    option forwardfor
    bind 127.0.0.1:{self.ports["http"]}
    server gateway 127.0.0.1:{plain}
""")
        self.run("haproxy", "-db", "-f", self.directory / "haproxy.cfg")
