"""Settings files: what a person wrote stays, line by line."""

import stat
from pathlib import Path

import pytest

from scripts import dotenv

EXAMPLE = """# Port of HTTPS.
HTTPS_PORT=443

# How many containers.
BACKEND_REPLICAS=3
FRONTEND_REPLICAS=2
"""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=plain", "plain"),
        ("KEY=", ""),
        ("  KEY = spaced  ", "spaced"),
        ("export KEY=exported", "exported"),
        ('KEY="with # inside"', "with # inside"),
        ("KEY='single'", "single"),
        ("KEY=value # a remark", "value"),
        ("KEY=a#b", "a#b"),
        ("KEY=a=b", "a=b"),
    ],
)
def test_one_line_is_read_as_compose_reads_it(line: str, value: str) -> None:
    assert dotenv.values(line) == {"KEY": value}


def test_the_last_of_two_lines_wins_and_is_the_one_that_is_named() -> None:
    entry = dotenv.parse("A=1\n\n# remark\nA=2\n")["A"]
    assert (entry.value, entry.line) == ("2", 4)


def test_a_line_without_equals_sign_is_named() -> None:
    with pytest.raises(dotenv.BadLineError, match=r"line 2 .*'HTTPS_PORT'"):
        dotenv.parse("A=1\nHTTPS_PORT\n")


def test_assigning_changes_one_line_only() -> None:
    text = "# kept\nA=1\nB=2 # remark\n"
    assert dotenv.assign(text, "A", "9") == "# kept\nA=9\nB=2 # remark\n"
    assert dotenv.assign("A=1", "C", "3") == "A=1\nC=3\n"


def test_an_empty_file_becomes_the_example_with_the_chosen_values() -> None:
    text, added = dotenv.with_missing("", EXAMPLE, {"HTTPS_PORT": "8443"})
    assert text == EXAMPLE.replace("443", "8443")
    assert added == ["HTTPS_PORT", "BACKEND_REPLICAS", "FRONTEND_REPLICAS"]


def test_new_settings_arrive_with_their_comment_and_old_lines_stay() -> None:
    mine = "BACKEND_REPLICAS=7\nMY_OWN=1"
    text, added = dotenv.with_missing(mine, EXAMPLE, {"BACKEND_REPLICAS": "9"})
    assert added == ["HTTPS_PORT", "FRONTEND_REPLICAS"]
    assert text == (
        "BACKEND_REPLICAS=7\nMY_OWN=1\n\n# Port of HTTPS.\nHTTPS_PORT=443\n"
        "\n# How many containers.\nFRONTEND_REPLICAS=2\n"
    )
    assert dotenv.with_missing(text, EXAMPLE, {}) == (text, [])


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    dotenv.write_atomically(target, "one\n", 0o444)
    dotenv.write_atomically(target, "two\n", 0o444)
    assert target.read_text() == "two\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert [path.name for path in target.parent.iterdir()] == ["file"]
