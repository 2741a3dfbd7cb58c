"""Where an endpoint listens: a port of this machine, and the URL it gives. This acts, and imports nothing heavy."""

import socket

from raylign.errors import ConfigError


def choose_port(host: str, port: int) -> int:
    """`port` itself, or a free one for 0.

    Raises:
        ConfigError: something listens on the port already, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port closed a moment ago is free
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"serve.port is {port} and cannot be bound on {host}: {(error.strerror or str(error)).lower()}",
            "name another port, or set serve.port=0 to take a free one",
        ) from error


def base_url(host: str, port: int) -> str:
    """The URL a client is given, without a path; every address of this machine includes loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
