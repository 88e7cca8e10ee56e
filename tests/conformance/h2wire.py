"""HTTP/2 as a client that may say anything: fields as they are given, no rule kept but that of frames."""

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame,
                              SettingsFrame, WindowUpdateFrame)

from wire import Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES = 16384
PROTOCOL_ERROR = 1


class Answer:
    """status, or reset (an error code), or goaway (one, or None: closed without a word)."""

    def __init__(self):
        self.status = self.reset = self.goaway = None
        self.headers, self.body = [], b""
        self.is_whole = self.is_cut = False

    @property
    def is_over(self):
        return self.is_whole or self.reset is not None or self.is_cut

    def __repr__(self):
        ends = f"reset {self.reset} goaway {self.goaway}{' cut' if self.is_cut else ''}"
        return f"<Answer {self.status} {ends} {self.body[:200]!r}>"


class H2Wire(Wire):
    def __init__(self, port, **options):
        super().__init__(port, **options)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.next_id = 1
        self.answers = {}
        self.goaway = None
        self.is_cut = False
        self.send(PREFACE + SettingsFrame(0).serialize())

    def request(self, fields, data=(), trailers=()):
        """Sends it; the number of its stream."""
        stream, self.next_id = self.next_id, self.next_id + 2
        self.answers[stream] = Answer()
        frames = self._head(stream, fields, is_last=not data and not trailers)
        for number, piece in enumerate(data, 1):
            frame = DataFrame(stream, piece)
            if number == len(data) and not trailers:
                frame.flags.add("END_STREAM")
            frames.append(frame)
        if trailers:
            frames += self._head(stream, trailers, is_last=True)
        try:
            self.send(b"".join(frame.serialize() for frame in frames))
        except ConnectionError:
            pass  # cut off already: what was said before can be read
        return stream

    def _head(self, stream, fields, is_last):
        block = self.encoder.encode(fields, huffman=False)
        pieces = [block[at:at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]
        frames = [HeadersFrame(stream, pieces[0])] + [ContinuationFrame(stream, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        if is_last:
            frames[0].flags.add("END_STREAM")
        return frames

    def wait(self, stream):
        answer = self.answers[stream]
        while not answer.is_over:
            self._turn()
        return answer

    def _turn(self):
        while len(self.pending) < 9:
            if not self._more():
                return
        frame, length = Frame.parse_frame_header(memoryview(self.pending[:9]))
        while len(self.pending) < 9 + length:
            if not self._more():
                return
        body, self.pending = self.pending[9:9 + length], self.pending[9 + length:]
        frame.parse_body(memoryview(body))
        self._take(frame)

    def _more(self):
        data = self.receive()
        self.pending += data
        if not data:
            self.is_cut = True
            for answer in self.answers.values():
                answer.is_cut, answer.goaway = not answer.is_whole, self.goaway
        return bool(data)

    def _take(self, frame):
        answer = self.answers.get(frame.stream_id, Answer())
        if isinstance(frame, HeadersFrame):
            assert "END_HEADERS" in frame.flags
            fields = self.decoder.decode(frame.data)
            if not answer.status or answer.status < 200:
                answer.headers, answer.status = fields, int(dict(fields)[":status"])
        elif isinstance(frame, DataFrame):
            answer.body += frame.data
            if frame.flow_controlled_length:
                self.send(WindowUpdateFrame(0, frame.flow_controlled_length).serialize())
        elif isinstance(frame, RstStreamFrame) and answer.reset is None:
            answer.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, (SettingsFrame, PingFrame)) and "ACK" not in frame.flags:
            reply = type(frame)(0)
            reply.flags.add("ACK")
            if isinstance(frame, PingFrame):
                reply.opaque_data = frame.opaque_data
            try:
                self.send(reply.serialize())
            except ConnectionError:
                pass
        if isinstance(frame, (HeadersFrame, DataFrame)) and "END_STREAM" in frame.flags:
            answer.is_whole = True
