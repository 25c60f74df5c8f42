import unicodedata

import pytest

from service.errors import Invalid
from service.spec.parse.experiment import parse_experiment
from service.spec.text import clean_name, hidden_positions, is_visible

SPEC = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 3,
}
WRITTEN = {
    "a joined emoji": "\U0001f469\u200d\U0001f4bb run",
    "one with skin and presentation": "\U0001f9d1\U0001f3fd\u200d\u2764\ufe0f\u200d\U0001f9d1\U0001f3ff",
    "a head that shakes": "\U0001f642\u200d\u2194\ufe0f",
    "an emoji of 2022": "\U0001fae8 2022",
    "an emoji of 2024": "\U0001fae9",
    "the flag of Wales": "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "a Persian abbreviation": "\u0647\u200d",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Bengali": "\u09b0\u200d\u09cd\u09af",
    "an old Malayalam chillu": "\u0d28\u0d4d\u200d",
    "an ideograph of 2022": "\U00031350",
}


@pytest.mark.parametrize("name", WRITTEN.values(), ids=WRITTEN)
def test_what_scripts_and_emoji_need_is_kept(name: str) -> None:
    assert clean_name(name) == unicodedata.normalize("NFC", name)
    assert is_visible(name)
    assert parse_experiment(SPEC | {"name": name, "tags": [name]}).spec.name == clean_name(name)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ad\u200dam",
            "ad\u200cam",
            "adam\u200d",
            "\u200dadam",
            "a\u200b",
            "a\u202eb",
            "\ufeffa",
            "a\u00ad",
            "a\nb",
            "a\x00",
        ),
        *("\u0645\u200c", "\u0645\u200ca", "\U0001f469\u200d", "\U0001f469\u200da", "a\u200d\U0001f4bb", "\ue000"),
        *(
            "\u0645\u200c\u200c\u0645",
            "\U000e0067\U000e007f",
            "a\U000e0067",
            "\ufdd0",
            "\U0001fffe",
            "\ud800",
            "\u2065",
        ),
    ],
    ids=ascii,
)
def test_what_nobody_sees_is_refused_by_its_code(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be seen \(U\+"):
        clean_name(text)


@pytest.mark.parametrize("name", ["   ", "\u3000", "\u3164", "\u2800", "\ufe0f", "\u0301"], ids=ascii)
def test_blanks_alone_are_no_name(name: str) -> None:
    assert not is_visible(name)
    with pytest.raises(Invalid) as refused:
        parse_experiment(SPEC | {"name": name, "tags": ["good", name]})
    assert [(each.pointer, each.code) for each in refused.value.problems] == [("/name", "blank"), ("/tags/1", "blank")]


def test_one_spelling_is_one_name() -> None:
    assert clean_name("  cafe\u0301 ") == clean_name("caf\u00e9") == "caf\u00e9"
    assert parse_experiment(SPEC | {"notes": "cafe\u0301"}).spec.notes == "caf\u00e9"
    assert hidden_positions("a\u200db\u202e") == [1, 3]
