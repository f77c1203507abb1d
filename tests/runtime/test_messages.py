"""Lines on standard error."""

from flowjax_ood.runtime.messages import say, warn


def test_a_line_is_shown_and_not_obeyed(capsys):
    say("no a\x1b[2J\u202e\x9b: größer\n  second line")
    warn("x\r")
    assert capsys.readouterr().err == (
        "no a\\x1b[2J\\u202e\\x9b: größer\n  second line\nwarning: x\\r\n"
    )
