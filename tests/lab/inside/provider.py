"""A provider in OpenAI's dialect on 127.0.0.1:9000. It demands the key whose file it is given.

usage: provider.py FILE

The model "held" streams one event every 0.2 s until somebody gets /release, then ends in order. /seen tells what came.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = open(sys.argv[1]).read().strip()
seen = {"right": 0, "wrong": 0, "held": 0}
lock = threading.Lock()
release = threading.Event()


def count(what, by=1):
    with lock:
        seen[what] += by


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/release":
            release.set()
        with lock:
            self.answer(200, seen)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {SECRET}":
            count("wrong")
            return self.answer(401, {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error"}})
        count("right")
        if asked.get("stream"):
            return self.stream(asked)
        return self.answer(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "from the provider"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})

    def event(self, data):
        text = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def delta(self, model, content, reason=None, usage=None):
        self.event(json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
                               "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], "usage": usage}))

    def stream(self, asked):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.delta(asked["model"], "first ")
        if asked["model"] == "held":
            count("held")
            try:
                while not release.wait(0.2):
                    self.delta(asked["model"], "more ")
            finally:
                count("held", -1)
        self.delta(asked["model"], "last", "stop", {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", 9000), Provider).serve_forever()
