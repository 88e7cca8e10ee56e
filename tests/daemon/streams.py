"""What several files ask of streams."""

import threading

from fake import held_stream
from gateway import bearer


def check_comes_as_it_is_sent(gateway, provider, key, model):
    """The first words reach the client before the provider sends the next."""
    go_on = threading.Event()
    provider.on(model, held_stream(go_on, n_first=2))
    with gateway.connect() as wire:
        wire.request("POST", "/v1/chat/completions", bearer(key), {"model": model, "stream": True, "messages": []})
        answer = wire.read_head()
        pieces = wire.each_piece(answer)
        while b"Hello" not in answer.body:
            next(pieces)
        go_on.set()
        for _ in pieces:
            pass
    assert answer.text() == "Hello there" and answer.events()[-1] == "[DONE]"
