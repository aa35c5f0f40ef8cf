"""Pictures: told apart by their bytes, and in their places in a prompt."""

from __future__ import annotations

import base64
import copy
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limrank_plugins import Document
from limrank_plugins.data import Query
from limrank_plugins.errors import InputError
from limrank_plugins.images import Image
from limrank_plugins.prompts import Template
from limrank_plugins.segments import Prompt, Segment

HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBP",
}
ONE, TWO, THREE = (Image(b"GIF89a" + bytes([i])) for i in range(3))


@pytest.mark.parametrize("kind", HEADS)
@given(rest=st.binary(max_size=50))
def test_the_kind_is_found_out_and_the_bytes_survive(kind: str, rest: bytes):
    image = Image(HEADS[kind] + rest)
    assert image.media_type == kind
    head, _, data = image.url.partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(data, validate=True) == image.data
    for twin in (
        Image(bytes(bytearray(image.data))),
        copy.deepcopy(image),
        pickle.loads(pickle.dumps(image)),
    ):
        assert (twin, hash(twin), twin.media_type) == (image, hash(image), kind)
    assert Image(image.data + b"x") != image


def test_the_older_gif_is_one_too():
    assert Image(b"GIF87a").media_type == "image/gif"


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"RIFF\x00\x00\x00\x00WAVE", b"RIFF", b"\x89PNG", b"BM6"])
def test_other_bytes_are_no_picture(data: bytes):
    with pytest.raises(InputError, match=f"these {len(data)} bytes"):
        Image(data)


@pytest.mark.parametrize("data", ["text", bytearray(b"GIF89a"), None, 5])
def test_a_picture_is_made_of_bytes(data: object):
    with pytest.raises(InputError, match="must be bytes"):
        Image(data)


def test_a_file_is_read_and_named_where_it_cannot_be(tmp_path: Path):
    good, bad = tmp_path / "a.gif", tmp_path / "b.gif"
    good.write_bytes(ONE.data)
    bad.write_bytes(b"no picture")
    assert Image.open(good) == Image.open(str(good)) == ONE
    with pytest.raises(InputError, match=r"b\.gif: an image must be"):
        Image.open(bad)
    with pytest.raises(InputError, match=r"c\.gif"):
        Image.open(tmp_path / "c.gif")
    with pytest.raises(InputError, match="cannot be read"):
        Image.open(tmp_path)


def test_the_bytes_are_in_no_repr():
    assert "GIF" not in repr(Document("text", images=(ONE,)))


def test_only_pictures_are_taken_for_pictures():
    assert Document("text", images=[ONE, TWO]).images == (ONE, TWO)
    assert Query("q", images=iter([ONE])).images == (ONE,)
    assert hash(Document("text", images=[ONE])) == hash(Document("text", images=(ONE,)))
    for bad in (["a.png"], [ONE, b"GIF89a"]):
        with pytest.raises(InputError, match=r"Image\.open"):
            Document("text", images=bad)


# ---- in prompts ---------------------------------------------------------------------------------


def shape(prompt: Prompt) -> list[object]:
    return [segment.image or segment.text for segment in prompt.segments]


def test_pictures_stand_right_before_what_they_belong_to():
    template = Template("t", "Q: {{ query }}\n{% for d in documents %}D: {{ d }}\n{% endfor %}end", chat=True)
    prompt = template.render("why", ["a", "b"], query_images=[ONE], images=[[TWO, THREE], []])
    assert shape(prompt) == ["Q: ", ONE, "why", "\nD: ", TWO, THREE, "a", "\nD: ", "b", "\nend"]
    assert prompt.images == (ONE, TWO, THREE)
    assert prompt.text == "Q: why\nD: a\nD: b\nend", "a picture has no text"
    assert [segment.shared for segment in prompt.segments[:6]] == [True, True, True, True, False, False]
    for segment in prompt.segments:
        if segment.image is not None:
            assert (segment.text, segment.trusted, segment.cuttable, segment.role) == (
                "",
                False,
                False,
                "user",
            )
    assert [role for role, _ in prompt.messages()] == ["user"]


def test_a_query_that_stands_twice_shows_its_pictures_once():
    template = Template("t", "{{ query }} and {{ document }} and {{ query }}")
    prompt = template.render("why", ["a"], query_images=[ONE], images=[[TWO]])
    assert shape(prompt) == [ONE, "why", " and ", TWO, "a", " and ", "why"]


def test_without_pictures_a_prompt_is_as_it_was():
    template = Template("t", "{{ query }} and {{ document }}")
    plain = template.render("why", ["a"])
    assert plain == template.render("why", ["a"], query_images=[], images=[[]])
    assert plain == template.render("why", ["a"], images=[])
    assert plain.images == ()
    assert plain.then(Segment("x")).images == ()
    assert template.render("why", ["a"], query_images=[ONE]) != template.render(
        "why", ["a"], query_images=[TWO]
    )


def test_the_docs_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (Path(__file__).parents[2] / "docs" / "multimodal.md").read_text("utf-8")
    (tmp_path / "page3.png").write_bytes(b"\x89PNG\r\n\x1a\n, and so on")
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "docs/multimodal.md", "exec"), {})
