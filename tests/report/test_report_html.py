"""The page: inert whatever a model wrote, whole without a network, in order, and plain about what weakens it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from expunge.report import build
from report.make_study import make_study, world

HOSTILE = (
    "\"'></q></title></style></svg><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}\u202egnp.exe\x07"
)
VOID = {"meta", "link", "br", "img", "hr", "input"}
NO_CURVES: dict[str, object] = {"curves": []}
ORDER = [
    "What was to be forgotten",
    "Does the model still say it?",
    "Does it come back?",
    "What did it cost?",
    "Verdict",
    "What was not tested",
    "How to reproduce",
]


class Page(HTMLParser):
    """Tags with their attributes, text by tag, and whether every element was closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def words(self) -> str:
        """All text a reader sees, spaces collapsed."""
        return " ".join(" ".join(text for tag, text in self.texts if tag != "style").split())


def page(run: Path) -> Page:
    return Page(build(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_study(tmp_path_factory.mktemp("usual")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    each = world(HOSTILE, [1])
    each["knowledge"] = HOSTILE
    each["to_forget"] = each["not_tested"] = [HOSTILE]
    each["control"]["kind"] = each["null"]["reason"] = HOSTILE
    each["methods"][0] |= {"label": HOSTILE, "verdict": HOSTILE, "usability": HOSTILE, "reasons": [HOSTILE]}
    each["methods"][0]["worst_points"] = [HOSTILE]
    for curve in each["curves"]:
        curve |= {"label": HOSTILE, "source": HOSTILE, "access": HOSTILE}
    run = make_study(
        tmp_path_factory.mktemp("x") / "<img src=x onerror=alert(3)>", [each], said=HOSTILE, prompt=HOSTILE
    )
    with (run / "recipe.yaml").open("a", encoding="utf-8") as stream:
        stream.write(HOSTILE)
    return page(run)


def test_hostile_text_makes_no_element_and_no_handler(hostile: Page) -> None:
    assert {tag for tag, _ in hostile.tags} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
    } == set()
    assert [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")] == []


def test_hostile_text_is_shown_as_text(hostile: Page) -> None:
    words = hostile.words()
    assert words.count("<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}\\u202egnp.exe\\x07") >= 12
    assert "\u202e" not in words and "\x07" not in words
    assert "Study <img src=x onerror=alert(3)>" in words


def test_policy_forbids_scripts(usual: Path) -> None:
    metas = [attributes for tag, attributes in Page(usual.read_text()).tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'none'" in policy


def test_nothing_is_fetched(usual: Path) -> None:
    source = usual.read_text()
    assert re.findall(r"https?:|//[a-z]|@import|javascript:|data:(?!;)", source.replace("img-src data:;", "")) == []
    found = Page(source)
    links = [value for _, each in found.tags for name, value in each.items() if name in {"href", "src", "xlink:href"}]
    assert links and all(link.startswith("#") for link in links)


def test_every_reference_has_one_target(usual: Path) -> None:
    source = usual.read_text()
    ids = [attributes["id"] for _, attributes in Page(source).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', source)) | set(re.findall(r'labelledby="([^"]+)"', source))
    assert used and used <= set(ids)


def test_sections_stand_in_the_order_asked_for(usual: Path) -> None:
    assert [text for tag, text in Page(usual.read_text()).texts if tag == "h2" and text.strip()] == ORDER


def test_each_world_has_its_part_and_one_table_holds_all(tmp_path: Path) -> None:
    found = page(make_study(tmp_path, [world("k=7", [1, 2]) | NO_CURVES, world("k=1", [1, 2]) | NO_CURVES]))
    heads = [text for tag, text in found.texts if tag == "h2" and text.strip()]
    assert heads == ["All worlds", *ORDER[:-1], *ORDER[:-1], ORDER[-1]]
    assert [each["id"] for tag, each in found.tags if tag == "h2" and each.get("class") == "part"] == ["w0", "w1"]


def test_it_says_that_it_is_not_legal_compliance(usual: Path) -> None:
    assert "It is not legal advice, not a certificate, and not proof of compliance" in Page(usual.read_text()).words()


def test_a_large_valid_study_has_no_caution(usual: Path) -> None:
    assert 'class="caution' not in usual.read_text()


@pytest.mark.parametrize(
    ("each", "sentence"),
    [
        (world("w", [1]), "One replicate only"),
        (world("w", [1, 2], subjects=39), "Too small for “forgotten”: 39 subjects could be scored, 40 are needed."),
        (world("w", [1, 2], valid=False), "This study is invalid; rely on none of its verdicts."),
        (world("w", [1, 2], valid=None), "No null row was run (the recipe says null: false)"),
    ],
)
def test_what_weakens_a_study_is_said(tmp_path: Path, each: dict[str, object], sentence: str) -> None:
    found = page(make_study(tmp_path, [each | NO_CURVES]))
    assert "no attack was run" in found.words()
    assert sentence in found.words()
    assert [a for _, a in found.tags if "caution" in a.get("class", "").split()]


@pytest.mark.parametrize("kind", ["placebo", "none"])
def test_a_study_without_a_never_trained_model_is_reported(tmp_path: Path, kind: str) -> None:
    each = world("w", [1, 2], valid=None)
    each["curves"] = [curve for curve in each["curves"] if curve["role"] == "method"]
    each["control"]["kind"] = kind
    if kind == "none":
        each["control"] |= {"before": None, "after": None, "worst_points": []}
        each["original"] = None
    words = page(make_study(tmp_path, [each])).words()
    assert ("the control is a placebo" in words) == (kind == "placebo")
    assert ("There is no control" in words) == (kind == "none")


def test_the_report_of_a_study_is_the_same_every_time(tmp_path: Path) -> None:
    run = make_study(tmp_path, [world("w", [1])])
    assert build(run).read_bytes() == build(run).read_bytes()
