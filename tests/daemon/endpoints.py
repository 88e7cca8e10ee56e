"""What the endpoints of services are in the tests: nginx, and gRPC's own server, each of which can go away and come back."""

import subprocess
from concurrent import futures
from pathlib import Path

import grpc

from gateway import SLOWNESS, free_port, wait_for
from peers import can_connect

SERVING, NOT_SERVING = 1, 2


class Nginx:
    """Answers /health with the status in the file `status`, by `listen` options of the test: "ssl", "http2". A Unix socket
    beside it at `socket`."""

    def __init__(self, directory, options="", extra=""):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.port = free_port()
        self.socket = self.directory / "nginx.sock"
        self.log = self.directory / "access.log"
        self.process = None
        self.options, self.extra = options, extra
        self.say(200)
        self.start()

    def say(self, status):
        """A reload of nginx's, up to the end of its old worker."""
        (self.directory / "nginx.conf").write_text(f"""
daemon off;
user root;
pid {self.directory}/pid;
error_log {self.directory}/error.log info;
events {{ }}
http {{
    log_format asked "$server_protocol $request_method $request_uri $http_host $status $ssl_client_verify";
    access_log {self.log} asked;
    client_body_temp_path {self.directory}/body;
    proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/fastcgi;
    uwsgi_temp_path {self.directory}/uwsgi;
    scgi_temp_path {self.directory}/scgi;
    server {{
        listen 127.0.0.1:{self.port} {self.options};
        listen unix:{self.socket};
        {self.extra}
        location / {{ return {status}; }}
    }}
}}
""")
        if self.process:
            before, old = self.log.stat().st_size if self.log.exists() else 0, self._workers()
            self.process.send_signal(1)
            wait_for(lambda: not old & self._workers(), 20, "the old worker, which still answers as it did, to end")
            wait_for(lambda: self.asked(before)[-1:] and self.asked(before)[-1].split()[4] == str(status), 20,
                     f"nginx to answer {status}")

    def _workers(self):
        return set(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())

    def start(self):
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(["nginx", "-c", str(self.directory / "nginx.conf"), "-p", str(self.directory)],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.directory)
        wait_for(lambda: can_connect(self.port), 20, "nginx")

    def asked(self, since=0):
        """Lines of its log: protocol, method, target, host, status, what it says of the client's certificate."""
        return self.log.read_text()[since:].splitlines() if self.log.exists() else []

    def stop(self):
        if self.process:
            self.process.send_signal(3)  # SIGQUIT leaves its Unix socket; SIGTERM does not
            self.process.wait(20 * SLOWNESS)
            self.process = None
            self.socket.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class GrpcHealth:
    """grpc.health.v1.Health of the C core. Messages are bytes here: what is asked is compared with what protoc would write."""

    def __init__(self, credentials=None):
        self.port = free_port()
        self.credentials = credentials
        self.statuses = {b"": SERVING}  # by the request's bytes
        self.asked = []
        self.server = None
        self.start()

    def _check(self, request, context):
        self.asked.append((request, dict(context.invocation_metadata())))
        if request not in self.statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08" + bytes([self.statuses[request]])

    def start(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        check = grpc.unary_unary_rpc_method_handler(self._check)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),))
        address = f"127.0.0.1:{self.port}"
        port = self.server.add_secure_port(address, self.credentials) if self.credentials else self.server.add_insecure_port(address)
        assert port == self.port
        self.server.start()

    def stop(self):
        if self.server:
            self.server.stop(0).wait()
            self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
