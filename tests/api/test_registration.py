"""Registration, over HTTP: open, with tokens, by the shared secret, by administrators."""

from collections.abc import Iterator

import pytest

from homeserver.services.accounts.shared_secret import SecretWish, proof
from tests.api.client import PASSWORD, V1, Client, numbers
from tests.server import Server, running

ADMIN = "/_synapse/admin/v1/register"
TOKENS = "/_synapse/admin/v1/registration_tokens"
SECRET = "shared s3cret"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server on which an account costs a registration token or the shared secret."""
    settings = {"registration": {"enabled": True, "require_token": True, "shared_secret": SECRET}}
    with running(settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def closed() -> Iterator[Server]:
    """A server on which only administrators make accounts."""
    with running(settings={"registration": {"enabled": False}}) as server:
        yield server


def fresh_name() -> str:
    return f"somebody.{next(numbers)}"


def signed(nonce: str, name: str, *, admin: bool = False, secret: str = SECRET) -> dict[str, object]:
    mac = proof(secret, SecretWish(nonce, name, PASSWORD, "", is_admin=admin))
    return {"nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac}


def by_secret(server: Server, name: str, *, admin: bool = False) -> Client:
    nobody = Client(server.url)
    body = signed(nobody.get(ADMIN)["nonce"], name, admin=admin)
    return nobody.known_as(nobody.post(ADMIN, body=body))


def test_an_account_is_made_in_two_steps(nobody: Client) -> None:
    asked = nobody.post("register", status=401)
    assert asked["flows"] == [{"stages": ["m.login.dummy"]}]
    auth = {"type": "m.login.dummy", "session": asked["session"]}

    # Clients ask with an empty body, and say only then which account they want.
    made = nobody.post("register", body={"username": fresh_name(), "password": PASSWORD, "auth": auth})

    assert nobody.known_as(made).get("account", "whoami")["user_id"] == made["user_id"]


def test_capital_letters_become_small_ones(nobody: Client) -> None:
    name = fresh_name()
    body = {"username": name.upper(), "password": PASSWORD, "auth": {"type": "m.login.dummy"}}

    assert nobody.post("register", body=body)["user_id"].startswith(f"@{name}:")


def test_who_wants_no_login_gets_none(nobody: Client) -> None:
    body = {
        "username": fresh_name(),
        "password": PASSWORD,
        "inhibit_login": True,
        "auth": {"type": "m.login.dummy"},
    }

    assert "access_token" not in nobody.post("register", body=body)


def test_names_that_cannot_be_had(alice: Client, nobody: Client) -> None:
    taken = alice.user_id[1:].split(":")[0]
    for name, errcode in ((taken, "M_USER_IN_USE"), ("not a name", "M_INVALID_USERNAME")):
        nobody.post("register", body={"username": name, "password": PASSWORD}, status=400, errcode=errcode)
        nobody.get("register", "available", query={"username": name}, status=400, errcode=errcode)

    assert nobody.get("register", "available", query={"username": fresh_name()}) == {"available": True}


def test_guests_are_refused(nobody: Client) -> None:
    nobody.post("register", query={"kind": "guest"}, status=403, errcode="M_GUEST_ACCESS_FORBIDDEN")


def test_an_empty_password_is_weak(nobody: Client) -> None:
    body = {"username": fresh_name(), "password": "", "auth": {"type": "m.login.dummy"}}

    nobody.post("register", body=body, status=400, errcode="M_WEAK_PASSWORD")


def test_closed_registration_is_forbidden(closed: Server) -> None:
    nobody = Client(closed.url)

    body = {"username": "somebody", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    nobody.post("register", body=body, status=403, errcode="M_FORBIDDEN")
    validity = f"{V1}/register/m.login.registration_token/validity"
    nobody.get(validity, query={"token": "x"}, status=403, errcode="M_FORBIDDEN")


def test_the_operator_makes_accounts_from_the_shell(closed: Server) -> None:
    told = closed.command("admin", "user", "register", "operator", "--admin", "--password-stdin", text=f"{PASSWORD}\n")
    assert told.returncode == 0, told.stderr

    nobody = Client(closed.url)
    identifier = {"type": "m.id.user", "user": "operator"}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    operator = nobody.known_as(nobody.post("login", body=body))

    assert operator.get(TOKENS) == {"registration_tokens": []}
    again = closed.command("admin", "user", "register", "operator", "--password-stdin", text=f"{PASSWORD}\n")
    assert again.returncode != 0


def test_a_registration_token_lets_as_many_in_as_its_maker_wants(guarded: Server) -> None:
    admin = by_secret(guarded, fresh_name(), admin=True)
    nobody = Client(guarded.url)
    token = admin.post(f"{TOKENS}/new", body={"uses_allowed": 1})["token"]
    asked = nobody.post("register", status=401)
    assert asked["flows"] == [{"stages": ["m.login.registration_token"]}]
    validity = f"{V1}/register/m.login.registration_token/validity"
    assert nobody.get(validity, query={"token": token}) == {"valid": True}

    def register(shown: str, status: int = 200) -> None:
        auth = {"type": "m.login.registration_token", "token": shown, "session": asked["session"]}
        body = {"username": fresh_name(), "password": PASSWORD, "auth": auth}
        answer = nobody.post("register", body=body, status=status)
        if status == 401:
            assert answer["errcode"] == "M_FORBIDDEN"

    register("wrong", 401)
    register(token)

    assert nobody.get(validity, query={"token": token}) == {"valid": False}
    register(token, 401)
    assert admin.get(TOKENS, token)["completed"] == 1
    assert admin.put(TOKENS, token, body={"uses_allowed": None})["uses_allowed"] is None
    register(token)
    admin.delete(TOKENS, token)
    admin.get(TOKENS, token, status=404, errcode="M_NOT_FOUND")


def test_registration_tokens_are_the_administrators_alone(guarded: Server) -> None:
    user = by_secret(guarded, fresh_name())

    user.get(TOKENS, status=403, errcode="M_FORBIDDEN")
    user.post(f"{TOKENS}/new", status=403, errcode="M_FORBIDDEN")
    user.post("/_columba/admin/v1/users", body={"username": "x", "password": "x"}, status=403, errcode="M_FORBIDDEN")
    Client(guarded.url).get(TOKENS, status=401, errcode="M_MISSING_TOKEN")


def test_a_nonce_makes_one_account(guarded: Server) -> None:
    nobody = Client(guarded.url)
    nonce = nobody.get(ADMIN)["nonce"]

    nobody.post(ADMIN, body=signed(nonce, fresh_name()))

    nobody.post(ADMIN, body=signed(nonce, fresh_name()), status=400, errcode="M_UNKNOWN")
    body = signed(nobody.get(ADMIN)["nonce"], fresh_name(), secret="guessed")
    nobody.post(ADMIN, body=body, status=403, errcode="M_FORBIDDEN")


def test_without_a_secret_there_is_no_registration_by_it(nobody: Client) -> None:
    nobody.get(ADMIN, status=400, errcode="M_UNKNOWN")
    nobody.post(ADMIN, body=signed("nonce", "x"), status=400, errcode="M_UNKNOWN")


def test_tokens_and_passwords_are_not_in_the_log(guarded: Server) -> None:
    user = by_secret(guarded, fresh_name())
    other = user.login_again()
    other.get("account", "whoami", query={"access_token": other.access_token})

    for secret in (PASSWORD, SECRET, str(user.access_token), str(other.access_token)):
        assert secret not in guarded.log
