"""The page of a training: what is best, what to type, and what there is of scores."""

import numpy as np
import pandas as pd
import pytest
from lxml import html
from support import trained

from cellquilt.images import data_url
from cellquilt.training.page import command
from cellquilt.unet.card import FORMAT

HOSTILE = "<script>alert(1)</script>.tif"


def root_of(path):
    return html.document_fromstring(path.read_text())


def table(root, label: str) -> list[dict[str, str]]:
    """Return a table's rows by its titles."""
    found = root.xpath(f"//div[@aria-label='{label}']/table")[0]
    titles = [" ".join(title.text_content().split()) for title in found.xpath("thead//th")]
    return [
        dict(zip(titles, (" ".join(c.itertext()).strip() for c in row), strict=True))
        for row in found.xpath("tbody/tr")
    ]


def advised(root) -> list[str]:
    return root.xpath("//ul[@class='findings']/li/code/text()")


def test_the_page_says_what_is_best_and_what_to_type(tmp_path):
    root = root_of(trained.written(tmp_path))
    (typed,) = root.xpath("//pre")
    given = " ".join(typed.text_content().replace("\\\n", " ").split())
    assert given == (
        "nextflow run . --input samplesheet.csv -profile local --segmenter pixelcnn"
        " --compartment whole-cell --whole_cell_median 3 --models"
        " results/training/networks/whole-cell-reference-seed1.keras,"
        "results/training/networks/whole-cell-reference-seed2.keras"
    )
    text = root.text_content()
    assert "the average of the 2 networks of reference" in text and "CC BY 4.0" in text
    assert "90 cells were found where 120 are: neighbours were taken for one" in text
    assert advised(root) == ["--input examples.csv", "--augment full"]
    rows = table(root, "Table of scores")
    assert [row["architecture"] for row in rows] == ["reference", "compact"]
    assert rows[0]["object F1"].startswith("0.725") and "–" in rows[0]["object F1"]
    assert rows[0]["weights"] == "28,123" and rows[0]["training time"] == "1 min 01 s"
    links = {link for link in root.xpath("//a/@href") if not link.startswith("#")}
    assert "../networks/whole-cell-compact-seed2.keras" in links
    assert not any("//" in link for link in links)


def test_folders_with_spaces_are_typed_whole(tmp_path):
    networks = trained.networks((1,))
    found = trained.found(["a.keras"])
    assert command(found, "my results/training").endswith(
        "--models 'my results/training/networks/a.keras'"
    )
    root = root_of(trained.written(tmp_path, networks, kind="single"))
    assert "--seeds 1,2,3" in advised(root)
    assert "an average that is often better" in root.text_content()
    assert [row["object F1"] for row in table(root, "Table of scores")] == ["0.720", "0.650"]


def test_of_u_nets_no_average_is_advised(tmp_path):
    networks = trained.networks((1,))
    for network in networks:
        network.card["format"] = FORMAT
    root = root_of(trained.written(tmp_path, networks, kind="single"))
    assert "--seeds 1,2,3" in advised(root)
    assert "average that is" not in root.text_content()


def test_scores_that_are_new_or_missing(tmp_path):
    compared = pd.DataFrame(
        [
            {"architecture": "unet", "n_replicates": 1, "f1": 0.9, "f1_before": 0.85},
            {"architecture": "compact", "n_replicates": 1, "f1": np.nan, "f1_before": np.nan},
        ]
    ).assign(pixel_accuracy=np.nan)
    compared["dice"] = [0.91234, 0.8]
    nothing = {"f1": None, "f1_before": 0.85, "n_predicted": None, "pixel_accuracy": None}
    root = root_of(trained.written(tmp_path, compared=compared, **nothing))
    assert table(root, "Table of scores") == [
        {
            "architecture": "unet",
            "networks": "1",
            "object F1": "0.900",
            "F1 before": "0.850",
            "dice": "0.9123",
        },
        {
            "architecture": "compact",
            "networks": "1",
            "object F1": "–",
            "F1 before": "–",
            "dice": "0.8",
        },
    ]
    assert "0.850 before it was trained on these images" in root.text_content()


def test_intervals_stay_where_scores_can_be(tmp_path):
    row = {"architecture": "compact", "n_replicates": 2, "f1": 0.96, "f1_low": 0.9, "f1_high": 1.02}
    row |= {"n_predicted": 40.0, "n_predicted_low": -5.0, "n_predicted_high": 85.0}
    root = root_of(trained.written(tmp_path, compared=pd.DataFrame([row])))
    (found,) = table(root, "Table of scores")
    assert found["object F1"].endswith("0.900–1.000")
    assert found["cells found"].endswith("0–85")


def test_networks_that_were_best_at_their_end_ask_for_more_steps(tmp_path):
    networks = trained.networks()
    for network in networks[:3]:
        network.card["training"]["best_step"] = 95
    assert "--train_steps 200" in advised(root_of(trained.written(tmp_path, networks)))


def test_hostile_names_are_text(tmp_path):
    networks = [trained.network("reference", 1, None, (HOSTILE, "b.tif"))]
    networks[0].card["training"]["data_license"] = HOSTILE
    root = root_of(trained.written(tmp_path, networks, kind="single"))
    assert root.xpath("//script") == [] and root.text_content().count(HOSTILE) == 2
    assert "--input examples.csv" not in advised(root)


@pytest.mark.parametrize("name", ["learning_curves", "probabilities"])
def test_pictures_are_in_the_page(tmp_path, name):
    root = root_of(trained.written(tmp_path))
    (source,) = root.xpath(f"//figure[.//a[@href='{name}.png']]//img/@src")
    assert data_url.decode(source).shape[2] == 3
