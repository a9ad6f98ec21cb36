"""Two hosts, in namespaces of this machine (tests/kit/two_hosts.py): pytest -m hosts."""

import time

import pytest
from two_hosts import two_hosts

pytestmark = pytest.mark.hosts


def test_hosts_are_apart_and_joined_by_a_cable(tmp_path):
    """Names, files, processes and addresses of their own; the cable can be slowed, cut and joined; nothing is left."""
    own = tmp_path / "own"
    with two_hosts(tmp_path, apart=[own]) as (a, b):
        for host in (a, b):
            assert (
                host.run("sh", "-c", f"hostname; ls {own}; echo $HOME").stdout == f"{host.name}\n{host.folder}/home\n"
            )
            host.run("touch", own / host.name)
        assert a.run("ls", own).stdout == "alpha\n" and b.run("ls", own).stdout == "beta\n"
        assert (tmp_path / "alpha" / "own" / "alpha").exists() and not list(own.iterdir())
        sleeper = b.start("sleep", "600")
        assert b.run("pgrep", "sleep").stdout and not a.run("pgrep", "sleep").stdout

        read = f"""import socket
server = socket.create_server(("{b.address}", 9))
print("ready", flush=True)
connection = server.accept()[0]
while connection.recv(1 << 16):
    pass
connection.sendall(b"all")"""

        def sends(size):
            """Seconds that `size` bytes take from a to b and an answer back; None: there is none within 9 seconds."""
            write = f"""import socket
connection = socket.create_connection(("{b.address}", 9), 2)
connection.sendall(bytes({size}))
connection.shutdown(socket.SHUT_WR)
connection.settimeout(9)
assert connection.recv(3) == b"all" """
            with b.start("python", "-c", read) as reader:
                assert reader.stdout.readline() == "ready\n"
                start = time.monotonic()
                done = a.run("python", "-c", write)
                reader.kill()
            return time.monotonic() - start if done.returncode == 0 else None

        assert sends(1) is not None
        a.slow("2mbit")
        assert sends(400_000) > 1.2  # 3.2 Mbit
        a.cut()
        assert sends(1) is None
        a.mend()
        assert sends(1) is not None
        b.kill()
        assert sleeper.wait(9) != 0
    assert not (tmp_path / "own" / "beta").exists()
