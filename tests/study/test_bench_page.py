"""The benchmark page: readable sections, curves for what grows, everything escaped."""

import json

import page
import pytest
import results
import run
from bs4 import BeautifulSoup


@pytest.fixture
def made(tmp_path):
    """The page of two invented results, parsed."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    sizes = [
        {"slices": n, "method": who, "seconds": n * per, "peak_mb": 400.0, "times_captum": 2.0}
        for n in (1000, 4000, 16000)
        for who, per in (("ours", 0.002), ("captum", 0.004))
    ]
    ingest = {"about": "One pass.", "sizes": sizes, "ratio_to_bare_decoder": 0.83, "holds": True}
    (folder / "ingest.json").write_text(json.dumps(ingest))
    odd = {"<script>alert(1)</script>": "<b>x</b>", "a": {"one": {"ms": 1}, "two": {"ms": 2.5}}}
    (folder / "zz_unknown.json").write_text(json.dumps(odd))
    return BeautifulSoup(page.write_page(folder).read_text(), "html.parser")


def test_sections_stand_in_order_with_titles(made):
    assert [h.text for h in made.find_all("h2")] == [
        "Ratios at a glance",
        page.TITLES["ingest"],
        "zz unknown",
    ]
    assert "Python 3.11" in made.text and "cores" in made.text and "One pass." in made.text


def test_what_grows_with_size_is_drawn_with_a_line_per_method(made):
    figures = made.select(".curves figure")
    assert [f["aria-label"] for f in figures] == ["seconds by slices", "peak, MB by slices"]
    assert len(figures[0].find_all("svg")) == 1


def test_every_ratio_is_in_the_first_table(made):
    rows = [[c.text for c in r.find_all("td")] for r in made.find("table").find_all("tr")[1:]]
    assert [page.TITLES["ingest"], "ratio to bare decoder", "0.83"] in rows
    assert sum("times captum" in row[1] for row in rows) == 6


def test_no_markup_of_a_result_reaches_the_page(made):
    assert not made.find_all("script") and not made.find_all("b")
    assert "<script>alert(1)</script>" in made.text


def test_a_wrong_name_stops_before_anything_is_measured():
    with pytest.raises(SystemExit, match=r"no benchmark called heatmap; known: .*viewer"):
        run.chosen(["heatmap"])


@pytest.mark.parametrize(("within", "status"), [(True, 0), (False, 1), (None, 0)])
def test_a_benchmark_beyond_its_limit_fails_and_its_numbers_are_kept(tmp_path, within, status):
    result = {"seconds": 1.0} | ({} if within is None else {"within_limit": within})
    with pytest.raises(SystemExit) as ended:
        results.finish("some", result, tmp_path)
    assert ended.value.code == status
    assert json.loads((tmp_path / "some.json").read_text()) == result


@pytest.mark.parametrize("script", sorted(run.HERE.glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_benchmark_ends_by_its_limit(script):
    name = script.stem.removeprefix("bench_")
    assert f'finish("{name}", main())' in script.read_text()
