"""Files of running text: their encodings, titles and pages, and what is none."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from small_pdfs import pdf

from limrank_plugins.errors import InputError, MissingExtra
from limrank_plugins.html_text import html_text
from limrank_plugins.text_encoding import text_encoding
from limrank_plugins.text_files import TextFile, read_text_file

TEXTS = {
    "cp1252": "L’été dernier, la crème brûlée à côté de l’école était très sucrée — œufs compris.",
    "cp1250": "Zażółć gęślą jaźń. Mleko kwaśnieje, ponieważ bakterie wytwarzają kwas.",
    "cp1251": "Молоко скисает, потому что бактерии вырабатывают кислоту.",
    "cp1253": "Το γάλα πήζει από το οξύ. Το ψωμί φουσκώνει.",
    "cp932": "牛乳は酸で固まります。パンは酵母で膨らみます。",
    "gb18030": "牛奶遇酸会凝结。面包因酵母而发酵膨胀。",
    "cp949": "우유는 산에 의해 응고됩니다. 빵은 효모로 부풀어 오릅니다.",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_another_encoding_is_guessed_and_said(tmp_path: Path, encoding: str):
    pytest.importorskip("charset_normalizer", reason="needs the extra files")
    path = tmp_path / "old.txt"
    path.write_bytes(TEXTS[encoding].encode(encoding))
    assert read_text_file(path) == TextFile(TEXTS[encoding], "old", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["plain.txt", "plain.txt.gz"])
def test_a_mark_says_the_encoding(tmp_path: Path, name: str, encoding: str):
    data = "".join(TEXTS.values()).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert read_text_file(tmp_path / name) == TextFile("".join(TEXTS.values()), "plain")


def test_a_long_file_that_is_not_utf_8_far_behind_its_beginning(tmp_path: Path):
    pytest.importorskip("charset_normalizer", reason="needs the extra files")
    path = tmp_path / "long.txt"
    path.write_bytes(b"plain words\n" * 200_000 + (TEXTS["cp1251"] + "\n").encode("cp1251") * 2000)
    assert text_encoding(path) == "cp1251"
    path.write_bytes("große Worte\n".encode() * 90_000 + b"\xff")
    assert text_encoding(path) == "utf-8", "one wrong byte is damage"
    with pytest.raises(InputError, match=r"long\.txt, line 90001: not UTF-8"):
        read_text_file(path)


def test_the_detector_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("limrank_plugins.text_encoding.has_detector", lambda: False)
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"old\.txt is not UTF-8: pip install 'limrank\[files\]'"):
        read_text_file(tmp_path / "old.txt")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \r\n\t", "is empty"),
        (b"\x7fELF\0\0\x01text", "is no text, whatever its name says"),
        (bytes(range(256)) * 9, "is no text, whatever its name says"),
        ("utf-16 without its mark".encode("utf-16-le"), "is no text"),
    ],
)
def test_what_is_no_text(tmp_path: Path, data: bytes, said: str):
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(InputError, match=rf"x\.txt {said}"):
        read_text_file(tmp_path / "x.txt")


# ---- HTML ---------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html><head><title>Why &amp; how
 it curdles</title><style>p {}</style><script>var hidden = "<p>x</p>";</script></head>
<body><h1>Milk</h1><p>Acid <b>curd</b>les
   milk&nbsp;&mdash; <a href="x">slowly</a>.<br>So does<!-- not --> rennet.</p><noscript>off</noscript>
<ul><li>one<li>two</ul><table><tr><td>a</td><td>b</td></tr></table><script>more()</script></body></html>"""


def test_html_is_what_a_reader_sees():
    title, text = html_text(PAGE)
    assert title == "Why & how it curdles"
    assert text == "Milk\n\nAcid curdles milk — slowly.\nSo does rennet.\n\none\ntwo\n\na b"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<title>T</title><p>no head, <i>no body", ("T", "no head, no body")),
        ("just text", ("", "just text")),
        ("<p>a</p></div></script><p>b", ("", "a\n\nb")),
        ("<svg><title>icon</title><text>x</text></svg>a", ("", "a")),
        ("<svg><title>icon</title></svg><title>T</title>a", ("T", "a")),
        ("<div>" * 50_000 + "deep", ("", "deep")),
        ("<script>never closed <p>x", ("", "")),
        ("<", ("", "<")),
        ("<nav><a>Home</a> <a>Shop</a></nav><p>a", ("", "a")),
        ("<div><nav><ul><li>never closed</div><p>a", ("", "a")),
        ("<header>Logo</header><p>a<footer>© 2026</footer>", ("", "a")),
        (
            "<main><article><header><h1>H</h1></header>a<footer>by B</footer></article></main>",
            ("", "H\n\na\nby B"),
        ),
        ("<main>a</main><footer><section>imprint</section></footer>", ("", "a")),
        ("<header><p>all that there is</header>", ("", "all that there is")),
        ("<header><br><img src=x><input>Logo</header>a", ("", "a")),
        ("<header/>a", ("", "a")),
    ],
)
def test_html_as_it_comes(page: str, expected: tuple[str, str]):
    assert html_text(page) == expected


@pytest.mark.parametrize("tag", ["<a ", "</a ", "<a b='", "<a b=<", "<!--"])
def test_tags_without_an_end_are_refused_before_they_take_minutes(tmp_path: Path, tag: str):
    (tmp_path / "p.html").write_text("<p>a" + tag * 40_000)
    with pytest.raises(InputError, match=r"p\.html: it holds too many tags that never end"):
        read_text_file(tmp_path / "p.html")


def test_a_few_tags_without_an_end_are_text(tmp_path: Path):
    assert html_text("a " + "x < y and " * 1_000)[1].startswith("a x < y and x")
    assert html_text("<p>a</p> <b")[1].startswith("a")


def test_a_character_of_too_many_digits(tmp_path: Path):
    (tmp_path / "p.html").write_text(f"<p>a &#{'9' * 5_000};")
    with pytest.raises(InputError, match=r"p\.html: it holds a character reference of too many digits"):
        read_text_file(tmp_path / "p.html")


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("windows-1251", "cp1251"), ("iso-8859-1", "cp1252"), ("utf-8", "utf-8"), ("no-such", "utf-8")],
)
def test_html_says_its_encoding(tmp_path: Path, declared: str, encoding: str):
    text = TEXTS.get(encoding, "naïve")
    page = f'<html><head><meta charset="{declared}"></head><p>{text}'
    (tmp_path / "p.html").write_bytes(page.encode(encoding))
    assert read_text_file(tmp_path / "p.html").text == text


def test_a_page_that_a_script_writes(tmp_path: Path):
    (tmp_path / "p.htm").write_text("<title>App</title><script>render()</script>")
    with pytest.raises(InputError, match=r"p\.htm shows no text: it is empty, or a script writes it"):
        read_text_file(tmp_path / "p.htm")


# ---- Word ---------------------------------------------------------------------------------------


def test_word_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "docx", None)
    (tmp_path / "w.docx").write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"reading w\.docx needs docx.*pip install 'limrank\[files\]'"):
        read_text_file(tmp_path / "w.docx")


class TestWord:
    """With python-docx itself."""

    @pytest.fixture(autouse=True)
    def _docx(self, tmp_path: Path):
        docx = pytest.importorskip("docx", reason="needs the extra files")
        self.document, self.path = docx.Document(), tmp_path / "brief.docx"

    def read(self) -> TextFile:
        self.document.save(self.path)
        return read_text_file(self.path)

    def test_paragraphs_and_tables_in_their_order(self):
        self.document.add_paragraph("Säure lässt Kasein\tverklumpen.")
        table = self.document.add_table(2, 2)
        for cell, text in zip(table.row_cells(0), ("Milch", "gerinnt"), strict=True):
            cell.text = text
        table.cell(1, 0).merge(table.cell(1, 1)).text = "beide"
        self.document.add_paragraph("")
        self.document.add_paragraph("Ende.")
        self.document.sections[0].header.paragraphs[0].text = "on every page"
        text = "Säure lässt Kasein\tverklumpen.\n\nMilch gerinnt\nbeide\n\nEnde."
        assert self.read() == TextFile(text, "brief")

    def test_what_is_hidden_or_struck_out_is_not_read_and_formulas_are(self):
        paragraph = self.document.add_paragraph("shown ")
        for name in ("hidden", "strike", "double_strike"):
            setattr(paragraph.add_run(name).font, name, True)
        paragraph.add_run("too").font.strike = False
        math = "http://schemas.openxmlformats.org/officeDocument/2006/math"
        formula = paragraph._p.makeelement(f"{{{math}}}oMath")
        text = formula.makeelement(f"{{{math}}}t")
        text.text = "=mc²"
        formula.append(text)
        paragraph._p.append(formula)
        assert self.read().text == "shown too=mc²"

    def test_what_unpacks_to_too_much(self):
        self.document.add_paragraph("a")
        self.document.save(self.path)
        for name, most in (("word/media/x.png", 512), ("word/_rels/x.rels", 256)):
            with zipfile.ZipFile(self.path.with_name(f"{most}.docx"), "w", zipfile.ZIP_DEFLATED) as archive:
                with zipfile.ZipFile(self.path) as whole:
                    for entry in whole.infolist():
                        archive.writestr(entry, whole.read(entry))
                with archive.open(name, "w", force_zip64=True) as part:
                    for _ in range(most + 1):
                        part.write(bytes(1 << 20))
            with pytest.raises(InputError, match="unpacks to more than"):
                read_text_file(self.path.with_name(f"{most}.docx"))

    def test_titles(self):
        self.document.core_properties.title = "Of the properties"
        self.document.add_paragraph("text")
        assert self.read().title == "Of the properties"
        self.document.core_properties.title = "untitled 7"
        assert self.read().title == "brief"
        self.document.add_heading("A  heading", 2)
        self.document.add_heading("The second", 1)
        assert self.read() == TextFile("text\n\nA  heading\n\nThe second", "A heading")

    def test_what_word_puts_around_text(self):
        """Changes that are tracked, content controls, text boxes and the table of contents."""
        from docx.oxml import parse_xml

        main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        compatible = "http://schemas.openxmlformats.org/markup-compatibility/2006"
        box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
        drawn = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
        pieces = (
            "<w:sdt><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>",
            '<w:p><w:ins w:id="1" w:author="a"><w:r><w:t>new </w:t></w:r></w:ins>'
            '<w:del w:id="2" w:author="a"><w:r><w:delText>old </w:delText></w:r></w:del>'
            '<w:moveFrom w:id="3" w:author="a"><w:r><w:t>moved </w:t></w:r></w:moveFrom>'
            "<w:r><w:t>kept</w:t></w:r></w:p>",
            f"<w:p><w:r><w:t>outside</w:t></w:r><w:r>{drawn}</mc:AlternateContent></w:r></w:p>",
        )
        end = self.document.element.body[-1]
        for piece in pieces:
            name_end = piece.index(">")
            spaces = f' xmlns:w="{main}" xmlns:mc="{compatible}"'
            end.addprevious(parse_xml(piece[:name_end] + spaces + piece[name_end:]))
        self.document.add_paragraph("1 Contents ... 7").style = self.document.styles.add_style("toc 1", 1)
        assert self.read().text == "controlled\n\nnew kept\n\noutside\n\nboxed"

    def test_what_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch):
        with pytest.raises(InputError, match=r"brief\.docx holds no text, perhaps images of it"):
            self.read()
        whole = self.path.read_bytes()
        monkeypatch.setattr("limrank_plugins.docx_text.MAX_LINE_BYTES", 100)
        with pytest.raises(InputError, match=r"brief\.docx unpacks to more than 100 bytes"):
            read_text_file(self.path)
        monkeypatch.undo()
        for data in (b"", b"no archive", whole[:2000], whole.replace(b"word/document", b"word/DOCUMENT")):
            self.path.write_bytes(data)
            with pytest.raises(InputError, match=r"brief\.docx is no Word file that can be read"):
                read_text_file(self.path)
        self.path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"encrypted")
        with pytest.raises(InputError, match=r"brief\.docx has a password, or is an older Word file"):
            read_text_file(self.path)


# ---- PDF ----------------------------------------------------------------------------------------


def test_pdf_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pypdf", None)
    (tmp_path / "p.pdf").write_bytes(pdf("x"))
    with pytest.raises(MissingExtra, match=r"reading p\.pdf needs pypdf.*pip install 'limrank\[files\]'"):
        read_text_file(tmp_path / "p.pdf")


class TestPdf:
    """With pypdf itself."""

    @pytest.fixture(autouse=True)
    def _pypdf(self):
        pytest.importorskip("pypdf", reason="needs the extra files")

    def test_pages(self, tmp_path: Path):
        path = tmp_path / "report.pdf"
        path.write_bytes(pdf("Milk cur-\ndles (slowly).", "", "Non-\nSmoking", title="On Milk"))
        file = read_text_file(path)
        assert file == TextFile("Milk curdles (slowly).\n\n\n\nNon-\nSmoking", "On Milk", (0, 24, 26))
        assert [file.page_at(place) for place in (0, 21, 26, 30)] == [1, 1, 3, 3]

    @pytest.mark.parametrize("title", ["", "untitled", "Microsoft Word - a.docx", "report_final_v2"])
    def test_titles_that_programs_write_are_none(self, tmp_path: Path, title: str):
        (tmp_path / "report.pdf").write_bytes(pdf("text", title=title))
        assert read_text_file(tmp_path / "report.pdf").title == "report"

    def test_what_cannot_be_read(self, tmp_path: Path):
        from pypdf import PdfReader, PdfWriter

        path = tmp_path / "p.pdf"
        whole = pdf("some text", "more")
        for data in (b"", b"%PDF-1.4\n", b"no pdf at all", whole[:200]):
            path.write_bytes(data)
            with pytest.raises(InputError, match=r"p\.pdf is no PDF that can be read"):
                read_text_file(path)
        path.write_bytes(pdf("", ""))
        with pytest.raises(InputError, match=r"p\.pdf holds no text, perhaps images of it"):
            read_text_file(path)
        for password in ("secret", ""):
            writer, locked = PdfWriter(clone_from=PdfReader(io.BytesIO(whole))), io.BytesIO()
            writer.encrypt(password, "owner", algorithm="RC4-128")
            writer.write(locked)
            path.write_bytes(locked.getvalue())
            if password:
                with pytest.raises(InputError, match=r"p\.pdf has a password: save it without one"):
                    read_text_file(path)
        assert read_text_file(path).text == "some text\n\nmore", "one that anybody may open"
