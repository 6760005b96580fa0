"""Tables of notebook 05 and the sentences read from them."""

import pytest
from places import ROOT

from camreader.published import claims, tables
from camreader.published import paper as published

FOLDER = ROOT / "data" / "published"


@pytest.fixture(scope="module")
def paper():
    return published.load(FOLDER)


@pytest.fixture(scope="module")
def ledger(paper):
    return claims.ledger(paper, claims.read_claims(FOLDER))


def test_the_finding_is_read_from_the_tables(paper, ledger):
    found = tables.agreement(paper), tables.helpfulness(paper)
    words = " ".join(tables.findings(paper, *found, ledger))
    for piece in ("75% of 16 images", "6, 11, 13, 14", "kappa 0.20", "p = 0.118 or 0.063"):
        assert piece in words
    facts = len(claims.by_fact(ledger.reset_index()))
    assert f"Of {facts} facts that the paper states ({len(ledger)} rows" in words


def test_agreement_has_the_values_of_facts_section_4(paper):
    """12 of 16 (Wilson .505-.898), kappa .20, AC1 .64; reader and network kappa exactly 0."""
    table = tables.agreement(paper).set_index(["pair", "statistic"])
    raw = table.loc[("radiologist and label", "raw agreement")]
    assert (raw.n, round(raw.low, 3), round(raw.high, 3)) == (16, 0.505, 0.898)
    assert round(table.loc[("radiologist and label", "Cohen's kappa"), "value"], 2) == 0.20
    assert round(table.loc[("radiologist and label", "Gwet's AC1"), "value"], 2) == 0.64
    assert table.loc[("radiologist and network", "Cohen's kappa"), "value"] == 0


def test_helpfulness_is_tried_with_both_answers_that_image_16_may_have_had(paper):
    """FACTS section 4: "Yes" where they agree 9 or 10 of 12, else 1 of 4; p .118 or .063."""
    table = tables.helpfulness(paper).set_index("image_16")
    assert table["yes_agree"].to_dict() == {"Yes": 10, "Some": 9}
    assert table["p"].round(3).to_dict() == {"Yes": 0.063, "Some": 0.118}
    assert (table["yes_differ"] == 1).all() and (table["n_differ"] == 4).all()
