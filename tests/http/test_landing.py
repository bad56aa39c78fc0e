"""The page at the root."""

from dataclasses import replace

from homeserver.core.identifiers import ServerName
from homeserver.http.landing import LandingEndpoints
from tests.http.conftest import Serve

LANDING = LandingEndpoints(
    server_name=ServerName("example.org"),
    base_url="https://m.example.org/?a&<b>",
    version="1.0",
    is_registration_open=True,
    needs_registration_token=False,
)


def test_the_page_says_what_this_is_and_runs_nothing(serve: Serve) -> None:
    answer = serve(LANDING).request("GET", "/")
    page = answer.body.decode()

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "example.org" in page
    assert "https://m.example.org/?a&amp;&lt;b&gt;" in page
    assert "Columba 1.0" in page
    assert "<script" not in page
    assert "<style" not in page


def test_the_page_says_who_may_make_an_account(serve: Serve) -> None:
    opened = serve(LANDING).request("GET", "/").body
    by_token = serve(replace(LANDING, needs_registration_token=True)).request("GET", "/").body
    closed = serve(replace(LANDING, is_registration_open=False)).request("GET", "/").body

    assert b"Anybody" in opened
    assert b"registration token" in by_token
    assert b"whoever runs the server" in closed
