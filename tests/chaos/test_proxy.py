"""Each fault of the proxy strikes as it says, is counted, and is gone when it is lifted."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from tools.proxy import COMMIT, Fault, Proxy, before_brokers, holds, proxies


@contextmanager
def echoing(prefix: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers with what it got; and all that it got."""
    got: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while data := connection.recv(65536):
                got.append(data)
                connection.sendall(prefix + data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}", got
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.fixture
def far() -> Iterator[tuple[str, list[bytes]]]:
    with echoing() as far:
        yield far


@pytest.fixture
def got(far: tuple[str, list[bytes]]) -> list[bytes]:
    return far[1]


@pytest.fixture
def proxy(far: tuple[str, list[bytes]]) -> Iterator[Proxy]:
    with proxies(it=far[0]) as made:
        yield made["it"]


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=2)


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(65536)


def test_without_a_fault_bytes_go_both_ways(proxy: Proxy) -> None:
    with dial(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        assert ask(connection, b"two") == b"two"
    assert proxy.hits == {"connections": 1}


@pytest.mark.parametrize("way", ["requests", "replies"])
def test_latency_delays_one_way(proxy: Proxy, way: str) -> None:
    setattr(proxy, way, Fault(latency=0.2))
    with dial(proxy) as connection:
        began = time.monotonic()
        assert ask(connection, b"one") == b"one"
        assert 0.2 <= time.monotonic() - began < 0.39
    assert proxy.hits["latency"] == 1


def test_a_limited_rate_takes_its_time(proxy: Proxy) -> None:
    proxy.requests = Fault(rate=1000)
    with dial(proxy) as connection:
        began = time.monotonic()
        assert ask(connection, b"." * 200) == b"." * 200
        assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("way", "arrives"), [("requests", False), ("replies", True)])
def test_a_reset_strikes_before_the_server_or_after_it(
    proxy: Proxy, got: list[bytes], *, way: str, arrives: bool
) -> None:
    setattr(proxy, way, Fault(reset=True))
    with dial(proxy) as connection, pytest.raises(ConnectionResetError):
        ask(connection, b"one")
    assert got == ([b"one"] if arrives else [])
    assert proxy.hits["reset"] == 1
    proxy.mend()
    with dial(proxy) as connection:
        assert ask(connection, b"two") == b"two"


def test_a_silent_connection_stays_silent_and_new_ones_speak(proxy: Proxy, got: list[bytes]) -> None:
    proxy.both(Fault(silent=True))
    with dial(proxy) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(connection, b"one")
        proxy.mend()
        with pytest.raises(TimeoutError):
            ask(connection, b"two")
        with dial(proxy) as other:
            assert ask(other, b"three") == b"three"
    assert got == [b"three"]
    assert proxy.hits["silent"] == 1


def test_one_connection_falls_silent(proxy: Proxy, got: list[bytes]) -> None:
    proxy.silence(holds(b"lock"))
    with dial(proxy) as connection, dial(proxy) as other:
        assert ask(other, b"look") == b"look"
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(connection, b"lock")
        assert ask(other, b"lock") == b"lock"
    assert got == [b"look", b"lock"]


def test_a_lost_reply_is_that_of_the_request_that_matches_once(proxy: Proxy, got: list[bytes]) -> None:
    proxy.lose_reply(holds(b"pay"))
    with dial(proxy) as connection:
        assert ask(connection, b"look") == b"look"
        with pytest.raises(ConnectionResetError):
            ask(connection, b"pay")
    with dial(proxy) as connection:
        assert ask(connection, b"pay") == b"pay"
    assert got == [b"look", b"pay", b"pay"]
    assert proxy.hits["lost"] == 1


def test_what_is_looked_for_is_found_across_two_pieces(proxy: Proxy, got: list[bytes]) -> None:
    proxy.lose_reply(holds(b"pay"))
    with dial(proxy) as connection:
        assert ask(connection, b"pa") == b"pa"
        with pytest.raises(ConnectionResetError):
            ask(connection, b"y")
    assert got == [b"pa", b"y"]


def test_a_commit_is_known_by_its_message() -> None:
    assert COMMIT(b"...Q\x00\x00\x00\x0cCOMMIT;\x00")
    assert not COMMIT(b"Q\x00\x00\x00\x1bselect 'COMMIT;' as x\x00")


def test_a_closed_port_refuses_and_opens_again_in_its_place(proxy: Proxy) -> None:
    with dial(proxy) as connection:
        assert ask(connection, b"one") == b"one"
        proxy.close()
        with pytest.raises(ConnectionResetError):
            ask(connection, b"two")
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.mend()
    with dial(proxy) as connection:
        assert ask(connection, b"three") == b"three"
    assert proxy.hits["down"] == 1


def test_a_dead_target_resets(proxy: Proxy) -> None:
    proxy.target = "127.0.0.1:1"
    with pytest.raises((ConnectionResetError, BrokenPipeError)), dial(proxy) as connection:
        ask(connection, b"one")


def test_brokers_send_their_clients_to_the_proxies() -> None:
    with echoing() as (one, _), echoing() as (two, _), proxies(one=one, two=two) as made:
        assert before_brokers(made) == f"{made['one'].address},{made['two'].address}"
        theirs = int(two.rpartition(":")[2]).to_bytes(4, "big")
        frame = b"id 127.0.0.1" + theirs + b" rack"
        with dial(made["one"]) as connection:
            connection.sendall(len(frame).to_bytes(4, "big") + frame[:9])
            connection.sendall(frame[9:])
            expected = frame.replace(theirs, made["two"].port.to_bytes(4, "big"))
            answer = b""
            while len(answer) < 4 + len(frame):
                answer += connection.recv(65536)
    assert answer == len(frame).to_bytes(4, "big") + expected


def test_whoever_comes_while_the_port_is_closed_is_let_go(proxy: Proxy) -> None:
    """A connection that is accepted in that moment would be left open for ever, which Python tells as it is found."""
    over = threading.Event()

    def come() -> None:
        while not over.is_set():
            with suppress(OSError), dial(proxy) as connection:
                connection.sendall(b"x")

    people = [threading.Thread(target=come) for _ in range(4)]
    for each in people:
        each.start()
    try:
        for _ in range(100):
            proxy.close()
            proxy.open()
    finally:
        over.set()
        for each in people:
            each.join()
    proxy.close()
    gc.collect()
    assert proxy._open == set()
