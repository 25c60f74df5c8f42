"""What a password must be: long enough, and neither among the common ones nor made of the account's own names.

Length is what counts; rules about kinds of characters are not made (NIST SP 800-63B, 3.1.1.2).
"""

from collections.abc import Iterable, Iterator

from service.errors import Invalid, Problem

MIN_CHARACTERS, MAX_CHARACTERS = 12, 200  # the upper bound keeps the work of hashing small
COMMON = frozenset(  # of twelve characters and more, as published lists of leaked passwords begin
    """
    000000000000 111111111111 123123123123 123456123456 123456789012 1234567890ab 12345678910 123456789101
    1234567891011 123456789abc 1234567890123 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv a1b2c3d4e5f6
    abc123abc123 abcd12345678 abcdefgh1234 abcdefghijkl abcdefghijklm adminadminadmin administrator administrator1
    admin1234567 admin12345678 administrador asdfasdfasdf asdfghjkl123 asdfghjkl1234 baseball1234 changemechangeme
    changeme1234 changeme12345 dragondragon12 football1234 helloworld12 helloworld123 iloveyou1234 iloveyouforever
    letmeinletmein letmein12345 letmein123456 liverpool123 manchester12 michaeljackson mypassword12 mypassword123
    p@ssw0rd1234 p@ssword1234 passw0rd1234 passw0rd12345 password0000 password1111 password1234 password12345
    password123456 password1234567 password12345678 password123456789 passwordpassword princess1234 q1w2e3r4t5y6
    qazwsxedc123 qazwsxedcrfv qweasdzxc123 qwerty123456 qwerty1234567 qwerty12345678 qwertyqwerty qwertyuiop12
    qwertyuiop123 qwertyuiop1234 qwertyuiop[] qwertyuiopas qwertyuiopasdf saddlesaddle secretsecret superman1234
    sunshine1234 testtesttest testtest1234 trustno1trustno1 welcome12345 welcome123456 zaq12wsxcde3 zxcvbnm12345
    zxcvbnmzxcvbnm correcthorsebatterystaple
    """.split()  # noqa: SIM905
)


def check_password(password: str, names: Iterable[str], field: str = "password") -> None:
    """Raise `Invalid` with everything that is wrong with a password of somebody with these names."""
    if found := list(_problems(password, names, f"/{field}")):
        raise Invalid.of(found)


def _problems(password: str, names: Iterable[str], pointer: str) -> Iterator[Problem]:
    plain = password.strip().lower()
    if len(password) < MIN_CHARACTERS:
        yield Problem(pointer, "too_short", "it is too short: several words are easy to keep.", {"min": MIN_CHARACTERS})
    elif plain in COMMON or len(set(plain)) < 4:
        yield Problem(pointer, "common", "it is among those that are tried first: choose one that only you think of.")
    elif any(plain.replace(name.lower(), "", 1).strip("0123456789 !.-_") == "" for name in names if name):
        yield Problem(pointer, "own_name", "it is the name of the account: choose one that others cannot guess.")
