from __future__ import annotations

import hashlib

import pytest

from flowgimbal.server.access import Access
from flowgimbal.server.budget import Budget
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError
from flowgimbal.server.tokens import Grant, digest, of_pairs, read

TOKEN = "sixteen-letters-"

BAD = [
    ("", "it has no token"),
    ("[camera\n", "it is not TOML"),
    ('token = "x"', "token: not in a table"),
    ("[a]", r"\[a\] needs one of token, sha256"),
    (f'[a]\ntoken = "{TOKEN}"\nsha256 = "{"0" * 64}"', r"\[a\] needs one of token, sha256"),
    ('[a]\ntoken = "short"', r"\[a\] token: not 16 or more"),
    ('[a]\ntoken = "with a blank in the middle"', r"\[a\] token: not 16 or more"),
    ("[a]\ntoken = 1234567890123456", r"\[a\] token: not a string"),
    ('[a]\nsha256 = "12"', r"\[a\] sha256: not 64"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_stream = 1', r"\[a\] max_stream: unknown key"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_streams = 0', r"\[a\] max_streams: not a number above 0"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_streams = 1.5', r"\[a\] max_streams: not a whole number"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_streams = true', r"\[a\] max_streams: not a number"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_pixels_per_second = inf', r"\[a\] max_pixels_per_second: not a number"),
    (f'[a]\ntoken = "{TOKEN}"\nmax_pixels_per_second = nan', r"\[a\] max_pixels_per_second: not a number"),
    (f'[a]\ntoken = "{TOKEN}"\nobserve = "yes"', r"\[a\] observe: neither true nor false"),
    (f'[a]\ntoken = "{TOKEN}"\n[b]\ntoken = "{TOKEN}"', r"\[b\] has the token of \[a\]"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_file_is_refused_by_table_and_key_and_never_quoted(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(text)
    assert TOKEN not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_token_may_stand_as_its_digest():
    limits = "max_streams = 2\nmax_pixels_per_second = 1e6\nobserve = true"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest().upper()
    assert read(f'[a]\ntoken = "{TOKEN}"\n{limits}') == read(f'[a]\nsha256 = "{sha256}"\n{limits}')
    assert read(f'[a]\nsha256 = "{sha256}"') == (Grant("a", digest(TOKEN)),) == of_pairs([f"a:{TOKEN}"])


@pytest.mark.parametrize("pairs", [["no-colon-no-colon"], [":" + TOKEN], ["a:short"], [f"a:{TOKEN}", f"b:{TOKEN}"]])
def test_bad_pairs(pairs):
    with pytest.raises(ValueError, match=r"NAME:TOKEN|token") as caught:
        of_pairs(pairs)
    assert TOKEN not in str(caught.value)


def test_a_server_does_not_start_without_the_tokens_that_it_was_told_of(tmp_path):
    with pytest.raises(StartupError, match=r"tokens_file: .*gone\.toml: No such file"):
        Access(ServeConfig(tokens_file=str(tmp_path / "gone.toml")))
    with pytest.raises(StartupError, match="tokens: number 1 is not NAME:TOKEN"):
        Access(ServeConfig(tokens=("secret-without-name",)))


def test_a_name_is_there_once(tmp_path):
    file, fixed = tmp_path / "tokens.toml", ("a:" + TOKEN,)
    file.write_text(f'[a]\ntoken = "another-{TOKEN}"\n')
    with pytest.raises(StartupError, match=r"\[a\] is there twice"):
        Access(ServeConfig(tokens=fixed, tokens_file=str(file)))
    file.write_text(f'["the page"]\ntoken = "another-{TOKEN}"\n')
    access = Access(ServeConfig(tokens=fixed, tokens_file=str(file)))
    with pytest.raises(StartupError, match=r"\[the page\] is there twice"):
        access.issue("the page")


def test_a_budget_allows_its_rate_and_a_second_at_once():
    second = 1_000_000_000
    budget = Budget(30)
    assert sum(budget.spend(1, 0) for _ in range(100)) == 30
    assert budget.wait_seconds(1) == pytest.approx(1 / 30)
    assert sum(budget.spend(1, second * n // 100) for n in range(1, 1001)) == 300
    assert sum(budget.spend(1, 1000 * second) for _ in range(100)) == 30


def test_what_is_larger_than_a_budget_is_paid_for_afterwards():
    second = 1_000_000_000
    budget = Budget(10)
    assert [budget.spend(40, n * second) for n in range(9)] == [True, *[False] * 3, True, *[False] * 3, True]
