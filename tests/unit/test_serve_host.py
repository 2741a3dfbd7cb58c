"""Ports and URLs of an endpoint."""

import socket

import pytest

from raylign.errors import ConfigError
from raylign.serve.host import base_url, choose_port


def test_zero_takes_a_port_that_is_free() -> None:
    port = choose_port("127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", port)):
        assert port > 0


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"serve.port is {taken}.*serve.port=0"):
            choose_port("127.0.0.1", taken)


def test_a_host_that_is_not_ours_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        choose_port("192.0.2.1", 8000)


def test_an_ipv6_host_gets_its_brackets() -> None:
    assert base_url("::1", 8000) == "http://[::1]:8000"
    assert base_url("127.0.0.1", 8000) == "http://127.0.0.1:8000"
