"""Tables as CSV, JSON lines and XLSX, written as they come: memory does not grow with the rows.

XLSX is written here because the libraries for it finish a file on the disk before its first byte can be sent.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

Format = Literal["csv", "xlsx", "jsonl"]

# A cell that begins so is a formula to a spreadsheet, and titles are written by strangers (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Excel's own limit is 1,048,576 rows a sheet.
ROWS_A_SHEET = 1_000_000
# Excel's own limit of a cell.
_CELL_CHARACTERS = 32_767
# What XML 1.0 cannot hold, and lone surrogates.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EXCEL_EPOCH = datetime(1899, 12, 30)


class TableWriter(Protocol):
    """Bytes for a header, for rows, and for the end."""

    media_type: str

    def begin(self, columns: Sequence[str]) -> bytes:
        """What comes before the rows."""
        ...

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """Some rows; values are strings, numbers, booleans, times with a zone or None."""
        ...

    def end(self) -> bytes:
        """What comes after the rows."""
        ...


def _harmless(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


class CsvWriter:
    """RFC 4180 in UTF-8 with a byte order mark, by which Excel knows that the Chinese is UTF-8; times as RFC 3339."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def begin(self, columns: Sequence[str]) -> bytes:
        """The mark and the names of the columns."""
        return b"\xef\xbb\xbf" + self.add([columns])

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """Some lines."""
        target = io.StringIO()
        writer = csv.writer(target)
        for row in rows:
            writer.writerow(
                [
                    value.astimezone(self._zone).isoformat() if isinstance(value, datetime) else _harmless(value)
                    for value in row
                ]
            )
        return target.getvalue().encode("utf-8", "replace")

    def end(self) -> bytes:
        """Nothing."""
        return b""


class JsonLinesWriter:
    """An object a line, times as RFC 3339 in UTC."""

    media_type = "application/x-ndjson"

    def __init__(self, _zone: ZoneInfo) -> None:
        self._columns: Sequence[str] = ()

    def begin(self, columns: Sequence[str]) -> bytes:
        """Nothing; the names stand in each line."""
        self._columns = columns
        return b""

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """Some lines."""
        lines = (
            json.dumps(dict(zip(self._columns, row, strict=True)), ensure_ascii=False, default=_json) for row in rows
        )
        return "".join(line + "\n" for line in lines).encode("utf-8", "replace")

    def end(self) -> bytes:
        """Nothing."""
        return b""


def _json(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


class _Pipe(io.RawIOBase):
    """What zipfile writes, to be taken away at once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_STYLES = (
    f'{_HEAD}<styleSheet xmlns="{_MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy-mm-dd hh:mm:ss"/>'
    '</numFmts><fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="2"><xf xfId="0"/>'
    '<xf xfId="0" numFmtId="164" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


class XlsxWriter:
    """Office Open XML; a new sheet each million rows; times are dates in the given zone."""

    media_type = f"{_KIND}.sheet"

    def __init__(self, zone: ZoneInfo, rows_a_sheet: int = ROWS_A_SHEET) -> None:
        self._zone = zone
        self._rows_a_sheet = rows_a_sheet
        self._pipe = _Pipe()
        self._file = zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._sheet: Any = None
        self._sheets = 0
        self._rows = 0
        self._columns: Sequence[str] = ()

    def begin(self, columns: Sequence[str]) -> bytes:
        """The beginning of the archive and of the first sheet."""
        self._columns = columns
        self._open()
        return self._pipe.take()

    def add(self, rows: Iterable[Sequence[Any]]) -> bytes:
        """Some rows, as far as the archive has written them out."""
        for row in rows:
            if self._rows == self._rows_a_sheet:
                self._close()
                self._open()
            self._sheet.write(self._row(row))
            self._rows += 1
        return self._pipe.take()

    def end(self) -> bytes:
        """The rest of the archive."""
        self._close()
        numbers = range(1, self._sheets + 1)
        for name, content in {
            "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/>'
            + "".join(
                f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_KIND}.worksheet+xml"/>'
                for n in numbers
            )
            + "</Types>",
            "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
            f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
            + "".join(f'<sheet name="yuqing {n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
            + "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
            + "".join(
                f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
                for n in numbers
            )
            + f'<Relationship Id="rId{self._sheets + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        }.items():
            self._file.writestr(name, _HEAD + content)
        self._file.writestr("xl/styles.xml", _STYLES)
        self._file.close()
        return self._pipe.take()

    def _open(self) -> None:
        self._sheets += 1
        self._rows = 0
        self._sheet = self._file.open(f"xl/worksheets/sheet{self._sheets}.xml", "w", force_zip64=True)
        self._sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode() + self._row(self._columns))

    def _close(self) -> None:
        self._sheet.write(b"</sheetData></worksheet>")
        self._sheet.close()

    def _row(self, row: Sequence[Any]) -> bytes:
        return f"<row>{''.join(map(self._cell, row))}</row>".encode()

    def _cell(self, value: Any) -> str:
        match value:
            case None:
                return "<c/>"
            case bool():
                return f'<c t="b"><v>{int(value)}</v></c>'
            case int() | float():
                return f"<c><v>{value!r}</v></c>"
            case datetime():
                since = value.astimezone(self._zone).replace(tzinfo=None) - _EXCEL_EPOCH
                return f'<c s="1"><v>{since.total_seconds() / 86400:.6f}</v></c>'
            case _:  # an inline string is never read as a formula
                words = escape(_NOT_XML.sub("", str(value)[:_CELL_CHARACTERS]))
                return f'<c t="inlineStr"><is><t xml:space="preserve">{words}</t></is></c>'


def table_writer(kind: Format, zone: ZoneInfo) -> TableWriter:
    """The writer of a format."""
    makers: dict[Format, type[CsvWriter] | type[XlsxWriter] | type[JsonLinesWriter]] = {
        "csv": CsvWriter,
        "xlsx": XlsxWriter,
        "jsonl": JsonLinesWriter,
    }
    return makers[kind](zone)


def written(writer: TableWriter, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    """A whole small table."""
    yield writer.begin(columns)
    yield writer.add(rows)
    yield writer.end()
