"""The reader study's figures for every kind of input, each with its source."""

import matplotlib.pyplot as plt
import pytest
from readings_fixture import readings as tidy

from camreader.common.study import Study
from camreader.reader_study import planning, tables
from camreader.reader_study import plots as draw
from camreader.reader_study import study as study_readings


@pytest.fixture(scope="module")
def plan():
    study = study_readings._from_log(tidy(), "by hand", None)
    return planning.planning_table(study, readers=(5, 10))


def figures(study, plan):
    compared, change = tables.readers_table(study), tables.benefit_harm_table(study)
    yield draw.draw_auc_dots(study, compared)
    yield draw.draw_roc(study)
    yield draw.draw_flow(study, tables.flow_table(study))
    yield draw.draw_benefit_harm(study, change)
    yield draw.draw_time(study, tables.time_table(study))
    yield draw.draw_planning(study, plan)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t[t["reader"] == "Ann"],
        lambda t: t.assign(truth="1"),
        lambda t: t.assign(score="8", diagnosis="1"),
        lambda t: t[t["modality"] == "unaided"],
        lambda t: t.assign(cnn_prediction="", seconds="", helpfulness=""),
    ],
    ids=["whole", "one reader", "one class", "all equal", "unaided only", "bare"],
)
def test_every_figure_is_drawn_or_refused_with_its_source(tmp_path, plan, change):
    study = study_readings._from_log(change(tidy()), "by hand", None)
    for k, figure in enumerate(figures(study, plan)):
        draw.save_readers(figure, Study(reports=tmp_path), study, f"f{k}")
        assert figure.get_supxlabel() == study.source
        assert (tmp_path / "figures" / f"f{k}.png").stat().st_size > 3000
    plt.close("all")


def test_a_simulated_figure_is_marked_in_red(plan, tmp_path):
    study = study_readings.load("", Study("nowhere", "none", "nowhere"), 2, 12, design="sequential")
    for figure in figures(study, plan):
        draw.save_readers(figure, Study(reports=tmp_path), study, "figure")
        assert figure.get_supxlabel().startswith("SIMULATED")
        assert figure._supxlabel.get_color() == draw.HARM
    plt.close("all")
