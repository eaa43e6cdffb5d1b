"""Which language is spoken: the one asked for, else the environment's; and what becomes of a sentence in it."""

import string
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.language import LanguageError, joint, language, listing, passage, retell, say, stored, use_language
from compare.language.choice import VARIABLES, language_of


@pytest.mark.parametrize(
    ("environment", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zh-Hans"}, "zh"),
        ({"LANG": "zh.GB18030"}, "zh"),
        ({"LANG": "ZH_cn"}, "zh"),
        ({"LANG": "zha"}, "en"),  # Zhuang has a code of three letters
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),  # empty is as good as unset
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LC_ALL": "en_GB", "LC_MESSAGES": "zh_CN"}, "en"),
        ({"LANG": "en_GB", "LANGUAGE": "de:zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN", "LANGUAGE": "de:fr"}, "en"),
        ({"LANG": "en_GB", "LC_ALL": "en_GB", "BACKPROOF_LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN", "LC_ALL": "zh_CN", "BACKPROOF_LANG": "en"}, "en"),
    ],
)
def test_the_environment_tells_the_language(environment: dict[str, str], spoken: str) -> None:
    assert language_of(environment) == spoken


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(string.printable, max_size=12)))
def test_whatever_the_environment_holds_a_language_is_spoken(environment: dict[str, str]) -> None:
    assert language_of(environment) in ("en", "zh")


def test_what_is_asked_for_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROOF_LANG", "zh")
    assert language() == "zh"
    use_language("en")
    assert language() == "en"
    use_language(None)
    assert language() == "zh"


def test_a_language_without_a_translation_is_refused_and_nothing_changes() -> None:
    use_language("zh")
    with pytest.raises(LanguageError, match=r"'fr'.*en, zh"):
        use_language("fr")
    assert language() == "zh"


def test_threads_do_not_choose_for_each_other() -> None:
    heard: list[str] = []

    def chinese() -> None:
        use_language("zh")
        heard.append(language())

    thread = threading.Thread(target=chinese)
    thread.start()
    thread.join()
    assert heard == ["zh"]
    assert language() == "en"


def test_a_sentence_is_said_with_its_values() -> None:
    assert say("{count:,} steps", count=12000) == "12,000 steps"
    use_language("zh")
    assert say("{count:,} steps", count=12000) == "12,000 步"


def test_a_sentence_without_a_translation_is_said_in_english() -> None:
    use_language("zh")
    assert say("Nobody has translated {this}.", this="that") == "Nobody has translated that."


def test_sentences_and_names_are_joined_as_their_language_does() -> None:
    assert passage(["One.", "", "Two."]) == "One. Two."
    assert listing(["a", "b"]) == "a, b"
    assert joint("facts") == "; "
    use_language("zh")
    assert passage(["一。", "", "二。"]) == "一。二。"
    assert listing(["a", "b"]) == "a、b"
    assert joint("facts") == "；"


def test_a_recorded_sentence_is_english_and_is_retold() -> None:
    use_language("zh")
    kept = stored("{tensor} has shape {found}; wanted {wanted}.", tensor="x.output", found=(2, 3), wanted=(3, 2))
    assert kept == "x.output has shape (2, 3); wanted (3, 2)."
    assert retell(kept) == "x.output 的形状为 (2, 3)；应为 (3, 2)。"
    use_language("en")
    assert retell(kept) == kept


def test_sentences_within_a_recorded_sentence_are_retold_too() -> None:
    use_language("zh")
    assert retell("The bias is not added. And: The bias is added twice.") == "没有加上偏置。并且：偏置加了两次。"
    assert retell("a[0] is nan on the manual side. Both sides have it.") == "a[0] 在手工一侧为 nan。两侧都是如此。"
    told = retell(
        "The derivative is wrong: the witnesses side with autograd; the manual gradient is 0.05 times autograd's."
    )
    assert told == "导数错了：各见证都支持自动微分；手工梯度是自动微分的 0.05 倍。"


def test_what_is_not_ours_is_told_as_it_stands() -> None:
    use_language("zh")
    for text in ("", "A network of my own: {curly} 100 %.", "f.forward", "nan", "</script>"):
        assert retell(text) == text


def test_a_long_text_is_none_of_ours_and_is_not_searched() -> None:
    """So a hostile record, whose text looks like many of our sentences at once, does not keep the reader waiting."""
    use_language("zh")
    assert retell(f"The bias is not added. And: {'x' * 900}") != f"The bias is not added. And: {'x' * 900}"
    long = f"The bias is not added. And: {'x' * 3000}"
    assert retell(long) == long
