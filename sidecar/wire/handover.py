"""Listening sockets that several processes share by SO_REUSEPORT, and how one of them leaves without a loss.

The kernel gives each new connection to one of the sockets. When a socket closes, those that it was given and had not
accepted are reset. So whoever leaves first has the kernel give new ones to the other socket (SO_ATTACH_REUSEPORT_CBPF,
socket(7): the program returns the number of a socket of the group, in the order in which they began to listen; a number
that there is not is passed over), accepts what it was given, and then closes.
"""

import socket
import struct
import sys
from pathlib import Path
from typing import Final

_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_RETURN: Final = 0x06
"""BPF_RET | BPF_K: the program's only instruction."""
_LISTENING: Final = "0A"
_TABLES: Final = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}


def sharers(sock: socket.socket) -> int:
    """Sockets that listen at exactly this address, this one included; 1 where the kernel does not tell."""
    table = _TABLES.get(sock.family)
    if table is None:
        return 1
    try:
        lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 1
    wanted = _written(sock)
    entries = (line.split(maxsplit=4) for line in lines)
    return max(1, sum(entry[1] == wanted and entry[3] == _LISTENING for entry in entries))


def steer(sock: socket.socket, number: int) -> bool:
    """Gives new connections of the group to the socket of that number, from 0. False: the kernel cannot."""
    import ctypes  # noqa: PLC0415 - half a megabyte, and few processes share an address

    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, number))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
    except OSError:
        return False
    return True


def _written(sock: socket.socket) -> str:
    """Its address as those tables have it: 32-bit words of the machine's order, in hexadecimal."""
    host, port = sock.getsockname()[:2]
    packed = socket.inet_pton(sock.family, host.partition("%")[0])
    words = (int.from_bytes(packed[place : place + 4], sys.byteorder) for place in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
