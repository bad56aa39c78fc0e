"""How TAP with files is read, and what counts as a failure."""

from tests.server import REPOSITORY
from tests.sytest.__main__ import PASSING
from tests.sytest.verdicts import Case, lacking, passed, read, write

# As SyTest writes it.
TAP = """\
# File: tests/11register.pl
# Started test HTTPS Server at 127.0.0.1:38265
ok 1 registration is idempotent, with username specified
not ok 2 POST /register rejects registration of usernames with '!'
# Started: 2026-11-01 10:00:00.000
# Got a HTTP 200 response
  ok 1 Prints (a step)
  not ok 2 Fails (another step)
  1..2
not ok 3 Registration of 2 # users
ok 4 Can register with 3pid (7 subtests)
ok 5 Can register using an email address # skip lack of can_send_mail
# File: tests/12login/02cas.pl
not ok 6 registration is idempotent, with username specified
ok 7 Interactive authentication types include SSO
not ok 8 Interactive authentication types include SSO
1..8
""".splitlines()


def test_tests_are_told_apart_by_file_and_name() -> None:
    found = passed(TAP)

    assert found[Case("tests/11register.pl", "registration is idempotent, with username specified")]
    assert not found[Case("tests/12login/02cas.pl", "registration is idempotent, with username specified")]


def test_failures_are_no_passes_whatever_their_name() -> None:
    found = passed(TAP)

    assert not found[Case("tests/11register.pl", "POST /register rejects registration of usernames with '!'")]
    assert not found[Case("tests/11register.pl", "Registration of 2 # users")]


def test_a_skipped_test_did_not_pass() -> None:
    assert not passed(TAP)[Case("tests/11register.pl", "Can register using an email address")]


def test_steps_are_not_tests_and_their_number_is_not_in_the_name() -> None:
    found = passed(TAP)

    assert found[Case("tests/11register.pl", "Can register with 3pid")]
    assert len(found) == 7


def test_of_several_tests_with_one_name_all_have_to_pass() -> None:
    assert not passed(TAP)[Case("tests/12login/02cas.pl", "Interactive authentication types include SSO")]


def test_a_listed_test_that_was_not_run_is_lacking() -> None:
    run, failed, not_run = (Case("tests/a.pl", name) for name in ("one", "two", "three"))

    assert lacking({run, failed, not_run}, {run: True, failed: False}) == sorted([failed, not_run])


def test_a_list_is_read_as_it_was_written() -> None:
    tests = {Case("tests/b.pl", "GET /x # y"), Case("tests/a.pl", "z"), Case("tests/a.pl", "usernames with '\\n'")}

    assert read(write(tests)) == tests


def test_the_list_is_in_order_and_names_nothing_twice() -> None:
    text = PASSING.read_text(encoding="utf-8")

    assert text == write(read(text))


def test_the_plugin_is_where_sytest_looks_for_it() -> None:
    assert (REPOSITORY / "sytest-compat" / "lib" / "SyTest" / "HomeserverFactory" / "Columba.pm").is_file()
