"""What the cells of a metadata file mean: found where a column agrees, said where it does not."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composir.errors import DatasetError
from composir.gallery.column_types import COLUMN_TYPES, ColumnReading, read_as, read_texts
from composir.gallery.sidecar import read_metadata
from composir.gallery.written_values import DateOrder, NumberStyle, read_dates, read_numbers


def read(*cells: str) -> ColumnReading:
    return read_texts("x", cells)


@pytest.mark.parametrize(
    ("cells", "values", "told"),
    [
        (["12,50", "7", "-0,5"], [12.5, 7.0, -0.5], "numbers with decimal commas"),
        (["1.234,56", "12,00"], [1234.56, 12.0],
         "numbers with decimal commas, thousands set apart by points"),
        (["1,234.56", "12"], [1234.56, 12.0],
         "numbers with decimal points, thousands set apart by commas"),
        (["1 234,56", "9"], [1234.56, 9.0],
         "numbers with decimal commas, thousands set apart by spaces"),
        (["1\u202f234,5", "2,5"], [1234.5, 2.5],
         "numbers with decimal commas, thousands set apart by spaces"),
        (["1'234.50", "−2"], [1234.5, -2.0],
         "numbers with decimal points, thousands set apart by apostrophes"),
        (["1.234.567", "1.234"], [1234567, 1234], "numbers, thousands set apart by points"),
        (["12,345", "1,234,567"], [12345, 1234567], "numbers, thousands set apart by commas"),
        (["0,500", "1,234"], [0.5, 1.234], "numbers with decimal commas"),
        (["12,50 €", "€ 3", ""], [12.5, 3.0, None], "numbers with decimal commas (in €)"),
        (["$1,234.00", "$5"], [1234.0, 5.0],
         "numbers with decimal points, thousands set apart by commas (in $)"),
        (["12 EUR", "EUR 3"], [12, 3], "numbers (in EUR)"),
        (["1.5", "2"], [1.5, 2.0], "numbers"),
        (["1.234", "2.500"], [1.234, 2.5],
         "numbers (1.234 with decimals; if its point sets thousands apart: "
         "--column x=number:comma)"),
        (["24.12.2023", "1.2.2023"], [date(2023, 12, 24), date(2023, 2, 1)],
         "dates, day.month.year"),
        (["01.02.2023"], [date(2023, 2, 1)], "dates, day.month.year"),
        (["12/24/2023", "01/02/2023"], [date(2023, 12, 24), date(2023, 1, 2)],
         "dates, month/day/year"),
        (["24/12/2023", "01/02/2023"], [date(2023, 12, 24), date(2023, 2, 1)],
         "dates, day/month/year"),
        (["05/05/2023"], [date(2023, 5, 5)], "dates, day/month/year"),
        (["2023-12-24", ""], [date(2023, 12, 24), None], "dates"),
        (["2023/12/24"], [date(2023, 12, 24)], "dates"),
        (["24.12.2023 18:30", "24.12.2023"],
         [datetime(2023, 12, 24, 18, 30), datetime(2023, 12, 24)],
         "dates and times, day.month.year"),
        (["12/24/2023 6:30 PM", "12/24/2023 12:05 am"],
         [datetime(2023, 12, 24, 18, 30), datetime(2023, 12, 24, 0, 5)],
         "dates and times, month/day/year"),
        (["2023-12-24T18:30:00.5"], [datetime(2023, 12, 24, 18, 30, 0, 500000)],
         "dates and times"),
        (["2023-12-24T18:30:00+02:00", "2023-12-24T18:30Z"],
         [datetime(2023, 12, 24, 16, 30), datetime(2023, 12, 24, 18, 30)],
         "dates and times, in UTC"),
        (["TRUE", "false", ""], [True, False, None], "true or false"),
        (["1", "-2"], [1, -2], "whole numbers"),
    ],
)  # fmt: skip
def test_a_format_in_which_all_cells_agree_is_recognised(
    cells: list[str], values: list[object], told: str
) -> None:
    reading = read(*cells)
    assert reading.values == values
    assert {type(value) for value in reading.values if value is not None} == {reading.kind}
    assert reading.told == told


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["01/02/2023", "03/04/2023"],
         "text: 01/02/2023 may be day/month or month/day; say which: --column x=date:dmy or "
         "--column x=date:mdy"),
        (["1,234", "2,500"],
         "text: 1,234 may have decimals or thousands; say which: --column x=number:dot or "
         "--column x=number:comma"),
        (["7 €", "1.234 €"],
         "text: 1.234 € may have decimals or thousands; say which: --column x=number:dot or "
         "--column x=number:comma"),
        (["12 €", "12 $"], "text"),
        (["12,5", "1.5"], "text"),
        (["1 234", "1.234", "1,5"], "text"),
        (["00123", "7"], "text"),
        (["007,50"], "text"),
        (["31.02.2023"], "text"),
        (["24.12.23"], "text"),
        (["24.12.2023", "2023-12-24"], "text"),
        (["24.12.2023", "12/24/2023"], "text"),
        (["2023-12-24 18:30", "2023-12-24T18:30Z"], "text"),
        (["2023-12-24 13:30 PM"], "text"),
        (["24.12.2023 25:00"], "text"),
        (["0001-01-01T00:00+05:00"], "text"),
        (["nan", "1"], "text"),
        (["€"], "text"),
        (["red", "blue"], "text"),
        (["12345678901234567890"], "text (numbers beyond 64 bits)"),
        (["", ""], "text (all cells are empty)"),
        (["1,50"] * 19 + ["n/a"], "text: 1 of 20 cells are no numbers, e.g. 'n/a'"),
        (["24.12.2023"] * 30 + ["soon", "x"], "text: 2 of 32 cells are no dates, e.g. 'soon'"),
    ],
)  # fmt: skip
def test_other_columns_stay_text_and_it_is_said_why(cells: list[str], told: str) -> None:
    reading = read(*cells)
    assert (reading.kind, reading.told) == (str, told)
    assert list(reading.values) == [cell or None for cell in cells]


@pytest.mark.parametrize(
    ("wanted", "cells", "values"),
    [
        ("text", ["00123", "5"], ["00123", "5"]),
        ("number", ["007", "8"], [7, 8]),
        ("number", ["1,50", "2"], [1.5, 2.0]),
        ("number:comma", ["1.234", "5"], [1234, 5]),
        ("number:comma", ["1,234"], [1.234]),
        ("number:dot", ["1,234"], [1234]),
        ("number:dot", ["1e3", ".5"], [1000.0, 0.5]),
        ("number", ["12345678901234567890"], [1.2345678901234567e19]),
        ("bool", ["yes", "No", "1", "false", ""], [True, False, True, False, None]),
        ("date", ["24.12.2023"], [date(2023, 12, 24)]),
        ("date:dmy", ["01/02/2023"], [date(2023, 2, 1)]),
        ("date:mdy", ["01/02/2023", "1/3/2023"], [date(2023, 1, 2), date(2023, 1, 3)]),
        ("date:mdy", ["01.02.2023"], [date(2023, 1, 2)]),
        ("date:ymd", ["2023.02.01"], [date(2023, 2, 1)]),
    ],
)
def test_a_type_that_is_said_is_taken(wanted: str, cells: list[str], values: list[object]) -> None:
    assert read_as(wanted, "m.csv", range(len(cells)), cells).values == values


@pytest.mark.parametrize(
    ("wanted", "cells", "message"),
    [
        ("number", ["5", "n/a"], "m.csv, line 1: 'n/a' is no number, which --column says"),
        ("number:comma", ["1.5"], "'1.5' is no number:comma"),
        ("number", ["1,234"], "not clear which numbers these are; say number:dot or number:comma"),
        ("number", ["12 €", "12 $"], "not all written as number in the same way"),
        ("date", ["01/02/2023"], "say date:ymd or date:dmy or date:mdy"),
        ("date:dmy", ["12/24/2023"], "line 0: '12/24/2023' is no date:dmy"),
        ("bool", ["maybe"], "'maybe' is no bool"),
    ],
)
def test_or_refused(wanted: str, cells: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_as(wanted, "m.csv", range(len(cells)), cells)


class TestFiles:
    def test_types_by_the_name_in_the_file_or_in_the_gallery(self, tmp_path: Path) -> None:
        file = tmp_path / "m.csv"
        file.write_text("file;Price (EUR);Sold\na.jpg;1.234;01/02/2023\n")
        types = {"Price (EUR)": "number:comma", "sold": "date:mdy"}
        sidecar = read_metadata(file, types)
        found = sidecar.for_file(tmp_path / "a.jpg", tmp_path)
        assert found == {"price_eur": 1234, "sold": date(2023, 1, 2)}

    def test_types_for_values_that_json_has_as_text(self, tmp_path: Path) -> None:
        file = tmp_path / "m.jsonl"
        rows = [{"file": "a", "price": "12,50", "code": 7, "day": "2023-12-24"},
                {"file": "b", "price": None, "code": 8.5, "day": ""}]  # fmt: skip
        file.write_text("\n".join(map(json.dumps, rows)))
        plain = read_metadata(file)
        assert plain.columns == {"price": str, "code": float, "day": date}
        said = read_metadata(file, {"price": "number", "code": "text", "day": "text"})
        found = said.for_file(tmp_path / "a", tmp_path)
        assert found == {"price": 12.5, "code": "7", "day": "2023-12-24"}

    @pytest.mark.parametrize(
        ("types", "message"),
        [
            ({"prize": "number"}, "no column 'prize' to give a type; it has price"),
            ({"file": "text"}, "no column 'file'"),
            ({"price": "money"}, "the type 'money' of column 'price' is none of text, number"),
            ({"price": "bool"}, "m.csv, column 'price', line 3: '5' is no bool"),
        ],
    )
    def test_types_that_do_not_fit(
        self, tmp_path: Path, types: dict[str, str], message: str
    ) -> None:
        file = tmp_path / "m.csv"
        file.write_text("file,price\n\na.jpg,5\n")
        with pytest.raises(DatasetError, match=message):
            read_metadata(file, types)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1e9, 1e9).map(lambda number: round(number, 2)), min_size=1, max_size=5))
def test_numbers_written_in_either_style_are_read_back(numbers: list[float]) -> None:
    dotted = [f"{number:,.2f}" for number in numbers]
    assert read_numbers(dotted, NumberStyle.DOT) == numbers
    commas = [text.translate(str.maketrans(",.", ".,")) for text in dotted]
    assert read_numbers(commas, NumberStyle.COMMA) == numbers
    assert read(*commas).values == numbers


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dates(), st.sampled_from(list(DateOrder)), st.sampled_from("-/."))
def test_dates_written_in_any_order_are_read_back(day: date, order: DateOrder, sign: str) -> None:
    parts = {"y": f"{day.year:04d}", "m": f"{day.month:02d}", "d": f"{day.day:02d}"}
    found = read_dates([sign.join(parts[letter] for letter in order.value)], order)
    assert found is not None
    assert found.values == [day]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.text("0123456789.,/-:' €$+TZ\u202fEUR", max_size=12).map(str.strip), max_size=4),
    st.sampled_from(COLUMN_TYPES),
)
def test_whatever_cells_hold_a_column_has_one_type(cells: list[str], wanted: str) -> None:
    reading = read(*cells)
    assert {type(value) for value in reading.values if value is not None} <= {reading.kind}
    assert [value is None for value in reading.values] == [not cell for cell in cells]
    try:
        said = read_as(wanted, "m.csv", range(len(cells)), cells)
    except DatasetError:
        said = None
    assert said is None or len(said.values) == len(cells)
