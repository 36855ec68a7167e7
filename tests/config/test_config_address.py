"""Addresses and URLs, checked to the letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("[2001:DB8:0::1]:1", ("2001:db8::1", 1)),
        ("Localhost:65535", ("localhost", 65535)),
    ],
)
def test_where_to_listen(text: str, parts: tuple[str, int]) -> None:
    """Host and port; an IPv6 address stands in brackets and comes out without."""
    assert address.split_address(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "h",
        "h:",
        "h:x",
        "h:65536",
        "h:-1",
        "::1:80",
        "[::1]",
        "[h]:80",
        "[fe80::1%eth0]:80",
        "h:80:90",
        "h h:80",
        "1.2.3:80",
        "256.1.1.1:80",
        "-h:80",
        "h..x:80",
        "h:\uff18\uff10",
        "xn--é:80",
        "h:80\n",
    ],
)
def test_where_not_to_listen(text: str) -> None:
    """No host, no port, zones, half addresses and other alphabets are refused."""
    with pytest.raises(ValueError, match=r".+"):
        address.split_address(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("https://api.example.com", ("https", "api.example.com", 443, "")),
        ("HTTP://API.Example.com:8080/", ("http", "api.example.com", 8080, "")),
        ("http://[::1]:8080/v1/", ("http", "::1", 8080, "/v1")),
        ("http://my_service/a/b%20c", ("http", "my_service", 80, "/a/b%20c")),
        ("http://h.", ("http", "h.", 80, "")),
    ],
)
def test_endpoints(text: str, parts: tuple[str, str, int, str]) -> None:
    """Scheme and host in lower case, the scheme's port if none is written, a base path without final slash."""
    assert address.split_url(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "//h",
        "ftp://h",
        "http:/h",
        "http://",
        "http:///x",
        "http://u@h",
        "http://u:p@h",
        "http://h?x",
        "http://h#x",
        "http://h:0",
        "http://h:99999",
        "http://h/ü",
        "http://h/a b",
        "http://h/%zz",
        "http://[::1",
        "http://h\\x",
        " http://h",
        "http://h/a\n",
        "http://h\n",
        "http://1.2.3.4.5",
        "http://a..b",
        "http://" + "a" * 64,
    ],
)
def test_what_is_no_endpoint(text: str) -> None:
    """Credentials, queries, fragments, other schemes and sloppy hosts are refused."""
    with pytest.raises(ValueError, match=r".+"):
        address.split_url(text)


@given(st.text(max_size=30) | st.text("htps:/[]@.%?#a1", max_size=20).map(lambda text: f"http://{text}"))
def test_any_text_is_an_endpoint_or_a_value_error(text: str) -> None:
    """And what is accepted can be written down and read again."""
    try:
        scheme, host, port, base = address.split_url(text)
    except ValueError:
        return
    bracketed = f"[{host}]" if ":" in host else host
    assert address.split_url(f"{scheme}://{bracketed}:{port}{base}") == (scheme, host, port, base)
