"""gRPC through a service: the C core (python3-grpcio) as client and server, by HTTP/2 in the clear and over TLS. Messages are bytes:
generic handlers need no .proto."""

import contextlib
import socket
import threading
from concurrent import futures

import grpc
import pytest

from authority import Authority
from gateway import SLOWNESS, Gateway, free_port, wait_for
from test_21_listener_tls import listener
from test_26_services import service

LIMIT = 20 * SLOWNESS
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# No proxy of the environment, no connections shared between channels, no waits of seconds after a refusal.
CHANNEL = [*NO_LIMIT, ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50),
           ("grpc.max_reconnect_backoff_ms", 200)]


class Servant:
    """A server with a method of each shape, and some that go wrong."""

    def __init__(self, credentials=None):
        self.port = free_port()
        self.credentials = credentials
        self.seen = {}  # metadata of the last call of each method
        self.ended = threading.Semaphore(0)  # calls of `hold` and `slow` that are over for the server
        self.server = None
        self.start()

    def start(self):
        shapes = {"unary_unary": ("Echo", "Fail", "Abort", "Slow", "Size"), "stream_unary": ("Sum",),
                  "unary_stream": ("Count", "Hold", "Half"), "stream_stream": ("Talk", "Deaf")}
        handlers = {name: getattr(grpc, f"{shape}_rpc_method_handler")(self.noting(name))
                    for shape, names in shapes.items() for name in names}
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[*NO_LIMIT, ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("scribe.Test", handlers),))
        address = f"127.0.0.1:{self.port}"
        port = self.server.add_secure_port(address, self.credentials) if self.credentials else self.server.add_insecure_port(address)
        assert port == self.port
        self.server.start()

    def noting(self, name):
        method = getattr(self, name.lower())

        def call(request, context):
            self.seen[name] = dict(context.invocation_metadata())
            return method(request, context)
        return call

    def stop(self):
        if self.server:
            self.server.stop(0).wait()
            self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- methods

    def echo(self, request, context):
        context.send_initial_metadata((("x-first", "1"), ("x-first-bin", b"\0\xff\n")))
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", bytes(range(256)))))
        return request

    def fail(self, request, context):
        """An error after the head has gone out: its details stand in the trailers."""
        context.send_initial_metadata((("x-first", "1"),))
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x03abc"),))
        context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
        context.set_details("größer als 100 %\nsagt der Dienst")
        return b""

    def abort(self, request, context):
        """Without a head: one frame is all of the answer."""
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "none left")

    def slow(self, request, context):
        """Answers when nobody waits any more."""
        self.seen["time"] = context.time_remaining()
        over = threading.Event()
        context.add_callback(lambda: (over.set(), self.ended.release()))
        over.wait(LIMIT)
        return b"late"

    def size(self, request, context):
        return bytes(int(request))

    def sum(self, requests, context):
        return str(sum(len(request) for request in requests)).encode()

    def count(self, request, context):
        for i in range(int(request)):
            yield str(i).encode()

    def hold(self, request, context):
        over = threading.Event()
        context.add_callback(lambda: (over.set(), self.ended.release()))
        yield b"first"
        over.wait(LIMIT)

    def half(self, request, context):
        yield b"one"
        yield b"two"
        context.abort(grpc.StatusCode.DATA_LOSS, "no more")

    def talk(self, requests, context):
        yield from requests

    def deaf(self, requests, context):
        """Answers without reading what it is sent."""
        yield b"enough"


class Cable:
    """Between the gateway and a server, so that it can break."""

    def __init__(self, to):
        self.to = to
        self.port = free_port()
        self.mend()

    def mend(self):
        self.ends = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """Everything on it breaks, and nothing more gets on."""
        for end in (self.listener, *self.ends):
            with contextlib.suppress(OSError):  # the other side was first
                end.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()


class Caller:
    """A channel to the service that answers for this host; with an authority to believe, over TLS."""

    def __init__(self, gateway, authority=None, host=None):
        options = CHANNEL + ([("grpc.default_authority", host)] if host else [])
        if authority:
            credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self.channel = grpc.secure_channel(f"127.0.0.1:{gateway.tls}", credentials, options)
        else:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{gateway.port}", options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def method(self, shape, name, of="scribe.Test"):
        return getattr(self.channel, shape)(f"/{of}/{name}", request_serializer=None, response_deserializer=None)

    def ask(self, name, request=b"x", metadata=(), timeout=LIMIT, **options):
        return self.method("unary_unary", name, **options)(request, metadata=metadata, timeout=timeout)

    def fails(self, name, request=b"x", **options):
        """The error that a call ends in."""
        with pytest.raises(grpc.RpcError) as found:
            self.ask(name, request, **options)
        return found.value


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def localhost(authority):
    return authority.issue_files("localhost", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def servant():
    with Servant() as running:
        yield running


@pytest.fixture(scope="module")
def secure_servant(localhost):
    with Servant(grpc.ssl_server_credentials([(localhost[1].read_bytes(), localhost[0].read_bytes())])) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(servant, secure_servant, authority, localhost):
    """By the host that a client asks for: the service in the clear, over TLS, with a key, and one that nobody serves."""
    tls = free_port()
    at, config = f"http://127.0.0.1:{servant.port}", listener(tls, [localhost])
    config += service("plain", prefix="/", protocol="http2", endpoint=at)
    config += service("secure", prefix="/", host="secure.test", protocol="auto", endpoint=f"https://localhost:{secure_servant.port}",
                      ca_file=authority.certificate)
    config += service("keyed", prefix="/", host="keyed.test", protocol="http2", endpoint=at, auth="key")
    config += service("only", prefix="/scribe.Test/", host="only.test", protocol="http2", endpoint=at)
    config += service("nobody", prefix="/", host="nobody.test", protocol="http2", endpoint=f"http://127.0.0.1:{free_port()}")
    config += service("late", prefix="/", host="late.test", protocol="http2", endpoint=at, first_byte_timeout="200ms",
                      between_bytes_timeout="200ms")
    with Gateway(config=config) as running:
        running.tls = tls
        yield running


@pytest.fixture(params=["h2c to h2c", "TLS to h2c", "h2c to TLS", "TLS to TLS"])
def caller(request, gateway, authority):
    here, _, there = request.param.partition(" to ")
    host = "secure.test" if there == "TLS" else None
    with Caller(gateway, authority if here == "TLS" else None, host) as found:
        yield found


@pytest.fixture
def reached(request, caller, servant, secure_servant):
    """The server that this caller's calls come to."""
    return secure_servant if request.node.callspec.params["caller"].endswith("to TLS") else servant


# ---- shapes

def test_unary(caller, reached):
    call = caller.method("unary_unary", "Echo")
    answer, found = call.with_call(b"hello", metadata=(("x-mine", "a"), ("x-mine-bin", b"\0\x01\xfe")), timeout=LIMIT)
    assert answer == b"hello" and found.code() is grpc.StatusCode.OK
    first, last = dict(found.initial_metadata()), dict(found.trailing_metadata())
    assert first["x-first"] == "1" and first["x-first-bin"] == b"\0\xff\n" and first["x-request-id"]
    assert last["x-last"] == "2" and last["x-last-bin"] == bytes(range(256))
    seen = reached.seen["Echo"]
    assert seen["x-mine"] == "a" and seen["x-mine-bin"] == b"\0\x01\xfe" and seen["x-forwarded-for"] == "127.0.0.1"


def test_empty_messages(caller):
    assert caller.ask("Echo", b"") == b""
    assert list(caller.method("unary_stream", "Count")(b"0", timeout=LIMIT)) == []
    assert caller.method("stream_unary", "Sum")(iter([]), timeout=LIMIT) == b"0"


def test_client_stream(caller):
    assert caller.method("stream_unary", "Sum")((bytes(i) for i in range(1000)), timeout=LIMIT) == b"499500"


def test_server_stream(caller):
    assert list(caller.method("unary_stream", "Count")(b"1000", timeout=LIMIT)) == [str(i).encode() for i in range(1000)]


def test_ping_pong(caller):
    """The next message is sent when the last one has come back."""
    turn, n = threading.Semaphore(1), 1000

    def requests():
        for i in range(n):
            assert turn.acquire(timeout=LIMIT)
            yield b"%d" % i
    for i, answer in enumerate(caller.method("stream_stream", "Talk")(requests(), timeout=60 * SLOWNESS)):
        assert answer == b"%d" % i
        turn.release()
    assert i == n - 1


def test_large_messages(caller):
    data = bytes(range(256)) * (16 << 10)  # 4 MiB
    assert caller.ask("Echo", data) == data
    assert caller.ask("Size", b"4194304") == bytes(4 << 20)
    assert [len(answer) for answer in caller.method("stream_stream", "Talk")(iter([data] * 4), timeout=LIMIT)] == [len(data)] * 4


def test_many_calls_at_once(caller):
    call = caller.method("unary_unary", "Echo")
    pending = [call.future(b"%d" % i, timeout=60 * SLOWNESS) for i in range(500)]
    assert [one.result() for one in pending] == [b"%d" % i for i in range(500)]


# ---- errors of the service's

def test_an_error_with_details(caller):
    error = caller.fails("Fail")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION and error.details() == "größer als 100 %\nsagt der Dienst"
    assert dict(error.trailing_metadata())["grpc-status-details-bin"] == b"\x08\x05\x12\x03abc"


def test_an_error_that_is_all(caller):
    error = caller.fails("Abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "none left")
    assert caller.fails("Unheard").code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_error_behind_messages(caller):
    came = []
    with pytest.raises(grpc.RpcError) as found:
        for answer in caller.method("unary_stream", "Half")(b"x", timeout=LIMIT):
            came.append(answer)
    assert came == [b"one", b"two"] and found.value.code() is grpc.StatusCode.DATA_LOSS


def test_an_answer_before_the_requests_end(caller):
    """The server has enough; the rest of the stream is not its business."""
    go_on = threading.Event()

    def requests():
        yield b"first"
        go_on.wait(LIMIT)
    answers = caller.method("stream_stream", "Deaf")(requests(), timeout=LIMIT)
    try:
        assert list(answers) == [b"enough"] and answers.code() is grpc.StatusCode.OK
    finally:
        go_on.set()


# ---- ends

def test_a_deadline(caller, reached):
    """The server is told of it, and the call ends there, too."""
    error = caller.fails("Slow", timeout=0.5 * SLOWNESS)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reached.ended.acquire(timeout=LIMIT)
    assert 0 < reached.seen["time"] < 0.6 * SLOWNESS


def test_a_cancelled_call_ends_at_the_server(caller, reached):
    answers = caller.method("unary_stream", "Hold")(b"x", timeout=LIMIT)
    assert next(answers) == b"first"
    answers.cancel()
    assert reached.ended.acquire(timeout=LIMIT)
    assert caller.ask("Echo") == b"x"


def test_a_client_that_goes_away_ends_its_calls(gateway, servant):
    with Caller(gateway) as caller:
        answers = [caller.method("unary_stream", "Hold")(b"x", timeout=LIMIT) for _ in range(8)]
        assert [next(one) for one in answers] == [b"first"] * 8
    for _ in range(8):
        assert servant.ended.acquire(timeout=LIMIT)


@pytest.mark.parametrize("how", ["stops", "is cut off"])
def test_a_server_that_goes_away(how):
    """UNAVAILABLE for what is open and what comes, until it is there again."""
    with Servant() as servant, Cable(servant.port) as cable:
        config = service("plain", prefix="/", protocol="http2", endpoint=f"http://127.0.0.1:{cable.port}", breaker_time="100ms")
        with Gateway(config=config) as gateway, Caller(gateway) as caller:
            answers = caller.method("unary_stream", "Hold")(b"x", timeout=LIMIT)
            assert next(answers) == b"first"
            if how == "stops":
                servant.stop()
            cable.cut()
            with pytest.raises(grpc.RpcError) as found:
                next(answers)
            assert found.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caller.fails("Echo").code() is grpc.StatusCode.UNAVAILABLE
            cable.mend()
            if how == "stops":
                servant.start()
            wait_for(lambda: succeeds(caller), 20, "a server that has come back")


def succeeds(caller):
    try:
        return caller.ask("Echo") == b"x"
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return False


# ---- what the gateway says itself

@pytest.mark.parametrize("is_tls", [False, True])
def test_a_key_in_the_metadata(gateway, authority, servant, is_tls):
    key = gateway.keys.get("grpc") or gateway.create_key("grpc")
    with Caller(gateway, authority if is_tls else None, "keyed.test") as caller:
        assert caller.ask("Echo", metadata=(("authorization", f"Bearer {key}"),)) == b"x"
        assert servant.seen["Echo"]["x-scribe-key"] == "grpc" and "authorization" not in servant.seen["Echo"]
        for metadata in ((), (("authorization", "Bearer sk-" + "0" * 32),)):
            error = caller.fails("Echo", metadata=metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED and error.details()
        error = caller.fails("Size", bytes(1 << 20), metadata=(("authorization", "Bearer sk-" + "1" * 32),))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED  # before the message was whole


def test_an_unknown_path(gateway):
    with Caller(gateway, host="only.test") as caller:
        assert caller.ask("Echo") == b"x"
    config = service("only", prefix="/scribe.Test/", protocol="http2", endpoint="http://127.0.0.1:9")
    with Gateway(config=config) as other, Caller(other) as caller:
        assert caller.fails("Echo", of="scribe.Other").code() is grpc.StatusCode.UNIMPLEMENTED


def test_no_endpoint(gateway):
    with Caller(gateway, host="nobody.test") as caller:
        for _ in range(8):  # first it cannot be reached, then it is not asked any more
            error = caller.fails("Echo")
            assert error.code() is grpc.StatusCode.UNAVAILABLE and error.details()


def test_a_server_that_is_too_slow(gateway, servant):
    with Caller(gateway, host="late.test") as caller:
        assert caller.fails("Slow").code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answers = caller.method("unary_stream", "Hold")(b"x", timeout=LIMIT)  # and one that begins and then says no more
        assert next(answers) == b"first"
        with pytest.raises(grpc.RpcError) as found:
            next(answers)
        assert found.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED and found.value.details()
    for _ in range(2):
        assert servant.ended.acquire(timeout=LIMIT)


def test_what_is_recorded(gateway, servant):
    with Caller(gateway) as caller:
        _, found = caller.method("unary_unary", "Echo").with_call(b"x", timeout=LIMIT)
        call_id = dict(found.initial_metadata())["x-request-id"]
    line = gateway.wait_log(SCRIBE_REQUEST=call_id)
    assert line["SCRIBE_STATUS"] == "200" and line["SCRIBE_SERVICE"] == "plain" and "SCRIBE_REASON" not in line
