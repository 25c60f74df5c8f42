"""Hashes of passwords: argon2id with a stated cost, the same for a name that nobody has."""

import time

import anyio

from service.process.passwords import Passwords


def test_a_hash_is_argon2id_of_64_mebibytes_and_holds_no_password() -> None:
    async def made() -> tuple[str, bool, bool]:
        passwords = Passwords()
        stored = await passwords.hash("five small green apples")
        return stored, await passwords.verify("five small green apples", stored), await passwords.verify("six", stored)

    stored, good, wrong = anyio.run(made)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert "apples" not in stored
    assert (good, wrong) == (True, False)


def test_without_an_account_it_takes_as_long_and_never_holds() -> None:
    async def compared() -> tuple[float, float]:
        passwords, took = Passwords(), []
        stored = await passwords.hash("five small green apples")
        await passwords.verify("x", None)  # makes the hash that is nobody's
        for each in (stored, None):
            begin = time.process_time()  # of all threads, however busy the machine is
            for password in ("nobody's", "x", "y"):
                assert not await passwords.verify(password, each)
            took.append(time.process_time() - begin)
        return took[0], took[1]

    known, unknown = anyio.run(compared)
    assert 0.3 < known / unknown < 3
