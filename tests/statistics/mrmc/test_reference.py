"""Every published reference value in one table: source, published, ours, equal to its digits.

The table docs/reference.csv is what this test makes; it fails where the committed one differs.
Set CAMREADER_WRITE_REFERENCE=1 to write it anew.
"""

import os
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from camreader.statistics.mrmc import analysis, margins, marks, merits, power, ustatistics
from camreader.statistics.mrmc.anova import Components
from camreader.statistics.mrmc.binormal import fit

DATA = ROOT.parent / "shared" / "reader-data"
TABLE = ROOT / "docs" / "reference.csv"
pytestmark = pytest.mark.skipif(
    not (DATA / "vandyke.csv").exists(),
    reason="the reference readings are not beside this repository (../shared/reader-data)",
)
VANDYKE, FROC, SPLIT = "Van Dyke", "FROC dataset01", "split-plot A"
RJAFROC = "RJafroc (Chakraborty), stored test values"
ROCBOOK = "RJafroc ROC book, sample size estimation"
AOV = "MRMCaov (Smith & Hillis), user guide"
IMRMC = "iMRMC (DIDSR)"
PAIRS = {("treatment 1", "treatment 2"): ("0", "1")}


@cache
def scores(name):
    return analysis.read_scores(DATA / name)


@cache
def vandyke(covariance="jackknife", **options):
    return analysis.obuchowski_rockette(scores("vandyke.csv"), covariance, **dict(options))


@cache
def froc(metric="wafroc"):
    read = marks.read_marks(DATA / "froc_dataset01_marks.csv", DATA / "froc_dataset01_truth.csv")
    return analysis.obuchowski_rockette(read, metric=metric)


@cache
def mitotic(scanner, clustered):
    wide = pd.read_csv(DATA / "mitotic_clustered.csv")
    wide = wide[wide["modalityID"].isin(["microscope", scanner])]
    readers = [name for name in wide if name.startswith("observer")]
    names = {"targetID": "case", "modalityID": "modality", "wsiName": "cluster"}
    long = wide.melt([*names, "truth"], readers, "reader", "score").rename(columns=names)
    long = long.sort_values("modality", kind="stable")  # the microscope first
    return analysis.obuchowski_rockette(long, "delong", cluster=None if clustered else False)


@cache
def u(name):
    return ustatistics.u_statistics(scores(name))


@cache
def franken():
    return analysis.obuchowski_rockette(scores("franken.csv"))


@cache
def binormal(stopped=None):
    """Van Dyke by binormal AUCs. One of its leave-one-out fits has no maximum: along b -> 0 its
    AUC nears 42/44. stopped: the AUC to take for that fit, as of an optimiser that gave up."""

    def auc(positives, negatives, at):
        found = fit(positives, negatives).auc
        return stopped if stopped and abs(found - 42 / 44) < 1e-6 else found

    with mock.patch.dict(merits.FUNCTIONS, binormal_auc=auc):
        return analysis.obuchowski_rockette(scores("vandyke.csv"), metric="binormal_auc")


@cache
def planned(readers, cases, random):
    part = vandyke().components
    return power.power(part, 114, 0.043800322, readers, cases, random)


def per_reader(source, data, quantity, texts, values):
    """One row per reader."""
    for k, (text, value) in enumerate(zip(texts.split(), values, strict=True), start=1):
        yield source, data, f"{quantity}, reader {k}", text, value


def rows():
    """(source, data, quantity, published digits, ours)."""
    first = ".91964573 .85877617 .90386473 .97310789 .82979066"
    second = ".94782609 .90531401 .92173913 .99935588 .92995169"
    result = vandyke()
    for texts, k in ((first, 0), (second, 1)):
        words = f"AUC, treatment {k + 1}"
        yield from per_reader(AOV, VANDYKE, words, texts, result.auc.iloc[k])
    part = result.components
    for name, text, value in (
        ("mean AUC, treatment 1", ".89703704", result.modalities["value"][0]),
        ("mean AUC, treatment 2", ".94083736", result.modalities["value"][1]),
        ("difference", "-.04380032", result.difference),
        ("MS(T)", ".00479617", part.ms_t),
        ("MS(TR)", ".00055103", part.ms_tr),
        ("Var", ".00080229", part.var),
        ("Cov1", ".00034661", part.cov1),
        ("Cov2", ".00034407", part.cov2),
        ("Cov3", ".00023903", part.cov3),
    ):
        yield RJAFROC, VANDYKE, name, text, value
    for covariance, f, ddf, p, low, high in (
        ("jackknife", "4.4563", "15.260", ".051666", "-.08796", ".00036"),
        ("delong", "4.484854", "15.06611", ".05123303", "-.08787", ".00027"),
        ("unbiased", "4.489614", "15.03418", ".0511618", "-.08785", ".00025"),
    ):
        found = vandyke(covariance)
        source = RJAFROC if covariance == "jackknife" else AOV
        values = (found.f, found.ddf, found.p, *found.ci)
        for name, text, value in zip(
            ("F", "ddf", "p", "CI low", "CI high"), (f, ddf, p, low, high), values, strict=True
        ):
            yield source, VANDYKE, f"{covariance}: {name}", text, value
    fixed = analysis.obuchowski_rockette(scores("vandyke.csv"), readers="fixed")
    yield RJAFROC, VANDYKE, "fixed readers: chi2", "5.47595", fixed.f
    yield RJAFROC, VANDYKE, "fixed readers: p", ".0193", fixed.p
    cases = analysis.obuchowski_rockette(scores("vandyke.csv"), cases="fixed")
    yield RJAFROC, VANDYKE, "fixed cases: F", "8.70", cases.f
    yield RJAFROC, VANDYKE, "fixed cases: p", ".0420", cases.p
    yield from nested()
    yield from localisation()
    yield from clusters()
    yield from u_statistics()
    yield from margins_and_others()


def nested():
    own = analysis.obuchowski_rockette(scores("vandyke.csv"), design="nested in readers")
    for name, text, value in (
        ("F", "8.704", own.f),
        ("ddf", "4", own.ddf),
        ("p", ".04195875", own.p),
    ):
        yield AOV, VANDYKE, f"cases nested in readers: {name}", text, value
    own = analysis.obuchowski_rockette(scores("vandyke.csv"), design="nested in modalities")
    for name, text, value in (
        ("F", "2.104491", own.f),
        ("ddf", "68.42325", own.ddf),
        ("p", ".1514363", own.p),
        ("CI low", "-.10404242", own.ci[0]),
        ("CI high", ".01644178", own.ci[1]),
    ):
        yield AOV, VANDYKE, f"cases nested in treatments: {name}", text, value
    split = analysis.obuchowski_rockette(scores("split_plot_A.csv"))
    for name, text, value in (
        ("mean, treatment 1", ".70", split.modalities["value"][0]),
        ("mean, treatment 2", ".67", split.modalities["value"][1]),
        ("F", ".0145985401", split.f),
        ("ddf", "36.25390625", split.ddf),
        ("p", ".9044972812", split.p),
        ("CI low", "-.5706286482", split.ci[0]),
        ("CI high", ".6306286482", split.ci[1]),
    ):
        yield RJAFROC, SPLIT, name, text, value


def localisation():
    found = froc()
    for modality, texts in (
        ("BT", ".76027037 .84061915 .81715239 .81530899 .8278324"),
        ("DM", ".64258544 .70499766 .7518434 .77244265 .68369616"),
    ):
        values = found.estimate.loc[modality]
        yield from per_reader(RJAFROC, FROC, f"wAFROC, {modality}", texts, values)
    part, ci = found.components, found.ci
    for name, text, value in (
        ("MS(T)", ".0255649539", part.ms_t),
        ("MS(TR)", ".0009988829", part.ms_tr),
        ("Var", ".0011080434", part.var),
        ("Cov1", ".0002992351", part.cov1),
        ("Cov2", ".0005718211", part.cov2),
        ("Cov3", ".0002751342", part.cov3),
        ("F", "10.2988252457", found.f),
        ("ddf", "24.702758412", found.ddf),
        ("p", ".0036685784", found.p),
        ("difference", ".1011235955", found.difference),
        ("SE", ".0315107441", found.differences["error"][0]),
        ("CI low", ".0361863845", ci[0]),
        ("CI high", ".1660608065", ci[1]),
    ):
        yield RJAFROC, FROC, f"wAFROC: {name}", text, value
    texts = ".795997191 .8652270599 .8411750936 .8311095506 .8465589888"
    values = froc("hr_auc").estimate.loc["BT"]
    yield from per_reader(RJAFROC, FROC, "HrAuc, BT", texts, values)
    texts = ".80733997 .86722617 .87123755 .84421053 .85658606"
    values = froc("afroc1").estimate.loc["BT"]
    yield from per_reader(RJAFROC, FROC, "AFROC1, BT", texts, values)


def clusters():
    source = "MRMCaov on clustered DeLong covariances (Obuchowski 1997)"
    a, b, plain = (
        mitotic("scanner.A", True),
        mitotic("scanner.B", True),
        mitotic("scanner.A", False),
    )
    for name, text, value in (
        ("microscope, AUC", ".79833166", a.modalities["value"][0]),
        ("scanner A, AUC", ".70096763", a.modalities["value"][1]),
        ("scanner A: F", "34.77017202", a.f),
        ("scanner A: df", "4", a.ddf),
        ("scanner A: p", ".00413752", a.p),
        ("scanner A: SE", ".01651183", a.differences["error"][0]),
        ("scanner B: F", "16.75426688", b.f),
        ("scanner B: df", "4", b.ddf),
        ("scanner B: p", ".01493596", b.p),
        ("scanner A, clusters ignored: F", "24.13444766", plain.f),
        ("scanner A, clusters ignored: df", "8.30230993", plain.ddf),
        ("scanner A, clusters ignored: p", ".00105452", plain.p),
    ):
        yield source, "mitotic figures", name, text, value


def u_statistics():
    found = u("imrmc_unpaired_R3.csv")
    modality, row = found.modalities, found.differences.iloc[0]
    for name, text, value in (
        ("AUC, test A", ".718054735", modality["value"][0]),
        ("AUC, test B", ".627103632", modality["value"][1]),
        ("variance, test A", ".0022329966", modality["variance"][0]),
        ("variance, test B", ".0027580766", modality["variance"][1]),
        ("variance of the difference", ".0121788023", row["variance"]),
        ("df, test A", "49.2701422", modality["df"][0]),
        ("df, test B", "20.9929609", modality["df"][1]),
        ("df of the difference", "3.0", row["df"]),
        ("CI low", "-.260256067", row["low"]),
        ("CI high", ".442158274", row["high"]),
    ):
        yield IMRMC, "unpaired R3", name, text, value


def margins_and_others():
    viper = u("viper_mrmc.imrmc")
    test = margins.non_inferiority(viper, 0.05)
    for name, text, value in (
        ("variance of FFDM minus SFM", ".001103761", viper.differences["variance"][0]),
        ("df", "30.66184", viper.differences["df"][0]),
        ("non-inferiority, margin .05: t", "1.127252", test.t),
        ("non-inferiority, margin .05: one-sided p", ".1341902", test.p),
    ):
        yield IMRMC, "VIPER", name, text, value
    found = franken()
    for name, text, value in (
        ("F", "4.69", found.f),
        ("p", ".1188", found.p),
        ("random readers: df, treatment 1", "70.12", found.modalities["df"][0]),
        ("random readers: df, treatment 2", "253.64", found.modalities["df"][1]),
    ):
        yield AOV, "Franken", name, text, value
    for k, texts in enumerate((".933 .890 .929 .970 .833", ".951 .935 .928 1 .945")):
        words = f"binormal AUC, treatment {k + 1}"
        yield from per_reader(AOV, VANDYKE, words, texts, binormal().auc.iloc[k])
    yield AOV, VANDYKE, "binormal AUC, reader 1, treatment 1", ".9331609", binormal().auc.iloc[0, 0]
    yield AOV, VANDYKE, "binormal AUC, reader 1, treatment 2", ".9508185", binormal().auc.iloc[1, 0]
    # The trust-region search of MRMCaov ends at its 100th step; written anew from its description
    # (R package trust) it stands at .95458 there (docs/statistics.md).
    found = binormal(stopped=0.9545811)
    for name, text, value in (
        ("F", "2.67666", found.f),
        ("ddf", "10.51789", found.ddf),
        ("p", ".1313682", found.p),
    ):
        words = f"binormal {name}, the fit without a maximum as MRMCaov's search leaves it"
        yield AOV, VANDYKE, words, text, value
    for readers, size, random, text in (
        (10, 165, "both", ".80541995"),
        (10, 131, "cases", ".80091813"),
        (10, 53, "readers", ".80496663"),
        (5, 114, "both", ".51"),
    ):
        words = f"power, {readers} readers x {size} cases, random: {random}"
        yield ROCBOOK, VANDYKE, words, text, planned(readers, size, random)
    needed = power.cases_needed(vandyke().components, 114, 0.043800322, 6)
    yield ROCBOOK, VANDYKE, "cases for 6 readers, power .80", "251", needed


def rounded(text, value):
    """Our value with as many decimals as were printed, written the same way."""
    decimals = len(text.partition(".")[2])
    found = f"{float(value):.{decimals}f}"
    return found.replace("0.", ".", 1) if text.lstrip("-").startswith(".") else found


@cache
def table():
    frame = pd.DataFrame(rows(), columns=["source", "data", "quantity", "published", "ours"])
    pairs = zip(frame["published"], frame["ours"], strict=True)
    frame["ours"] = [rounded(text, value) for text, value in pairs]
    return frame.assign(equal=frame["ours"] == frame["published"])


def test_every_reference_value_is_reached_to_its_printed_digits():
    found = table()
    assert len(found) >= 60 and not found.duplicated(["data", "quantity", "published"]).any()
    assert found["equal"].all(), found[~found["equal"]].to_string()


def test_the_committed_table_is_the_one_this_test_makes():
    if os.environ.get("CAMREADER_WRITE_REFERENCE"):
        table().to_csv(TABLE, index=False)
    committed = pd.read_csv(TABLE, dtype=str)
    pd.testing.assert_frame_equal(committed, table().astype({"equal": str}), check_dtype=False)


def test_the_separable_reader_is_the_one_value_not_reached():
    """MRMCaov prints F 2.67666 for the binormal AUC, whose jackknife for the reader with a fit of
    1 is its own; every reader's AUC is reached, F is not (docs/statistics.md says so)."""
    assert binormal().f == pytest.approx(2.67666, rel=0.05)
    assert isinstance(binormal().components, Components) and np.isfinite(binormal().p)
