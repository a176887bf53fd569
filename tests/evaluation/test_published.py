"""The published results against the papers' tables, copied line by line as they print them."""

import pytest

from tfar.evaluation import published

DATASETS = {"LIVE1": "LIVE1", "BSDS500": "BSDS500-val", "BSDS500 test": "BSDS500-test", "Urban100": "Urban100"}
METHODS = {
    "EP-GAN paper": {
        "AR-CNN": "AR-CNN",
        "GAN": "Galteri GAN",
        "Baseline": "EP-GAN baseline (MSE)",
    },
    "region-aware paper": {
        "L_B": "Region-aware L_B",
        "L_T": "Region-aware L_T",
        "GAN": "Galteri GAN",
        "ARCNN": "AR-CNN",
        "Proposed": "Region-aware fused",
    },
    "Galteri et al.": {"Our MSE": "Galteri MSE", "Our SSIM": "Galteri SSIM", "Our GAN": "Galteri GAN"},
    "Guo and Chao": {"ARCNN": "AR-CNN", "Baseline": "One-to-many baseline (MSE)"},
}
PSNR_PSNR_B_SSIM = ("psnr", "psnr_b", "ssim")

# Paper, table, columns as (dataset, quality, metrics), lines of the method and its numbers; "-" where there is none.
TABLES = [
    (
        "EP-GAN paper",
        "Table 1",
        [("LIVE1", 10, PSNR_PSNR_B_SSIM), ("BSDS500", 10, PSNR_PSNR_B_SSIM)],
        """
        JPEG 27.77 25.33 0.791 27.61 24.98 0.777
        SA-DCT 28.65 28.01 0.809 28.40 27.51 0.793
        AR-CNN 28.98 28.70 0.822 28.82 28.49 0.805
        L4 29.08 28.71 0.824 - - -
        GAN 27.29 26.60 0.773 - - -
        Baseline 29.45 29.10 0.845 29.30 28.84 0.822
        EP-GAN 28.80 28.04 0.823 28.45 27.59 0.798
        """,
    ),
    (
        "EP-GAN paper",
        "Table 2",
        [("Urban100", 10, PSNR_PSNR_B_SSIM), ("Urban100", 20, PSNR_PSNR_B_SSIM)],
        """
        JPEG 26.95 24.58 0.832 29.29 26.85 0.893
        V-GAN 28.33 27.66 0.859 29.69 29.37 0.905
        EP-GAN 28.58 27.84 0.868 30.75 29.54 0.912
        """,
    ),
    (
        "region-aware paper",
        "Table 1",
        [("LIVE1", 10, PSNR_PSNR_B_SSIM), ("BSDS500", 10, PSNR_PSNR_B_SSIM)],
        """
        JPEG 27.77 25.36 0.791 27.61 24.98 0.777
        AR-CNN 28.97 28.71 0.822 28.82 28.49 0.805
        L4 29.08 28.71 0.824 - - -
        CAS-CNN 29.44 29.19 0.833 - - -
        L_B 29.85 29.43 0.848 29.42 28.90 0.829
        GAN 27.29 26.69 0.773 - - -
        EP-GAN 28.80 28.04 0.823 28.45 27.59 0.798
        L_T 28.73 27.81 0.822 28.32 27.22 0.800
        Proposed 29.41 28.63 0.842 28.95 28.00 0.821
        """,
    ),
    (
        "region-aware paper",
        "Table 2",  # there the methods are the columns
        [("LIVE1", 10, ("e_psnr",)), ("BSDS500", 10, ("e_psnr",))],
        """
        JPEG 21.25 20.91
        ARCNN 21.88 21.51
        EP-GAN 22.01 21.48
        Proposed 22.22 21.68
        """,
    ),
    (
        "Galteri et al.",
        "Table 1",
        [("LIVE1", 10, PSNR_PSNR_B_SSIM), ("BSDS500", 10, PSNR_PSNR_B_SSIM)],
        """
        JPEG 27.77 25.33 0.791 27.58 24.97 0.769
        SA-DCT 28.65 28.01 0.809 - - -
        AR-CNN 29.13 28.74 0.823 28.74 28.38 0.796
        L4 29.08 28.71 0.824 28.75 28.29 0.800
        Our MSE 29.45 29.10 0.834 29.03 28.61 0.807
        Our SSIM 28.94 28.46 0.840 28.52 27.93 0.816
        Our GAN 27.29 26.69 0.773 27.01 26.30 0.746
        """,
    ),
    (
        "Galteri et al.",
        "Table 1",
        [("LIVE1", 20, PSNR_PSNR_B_SSIM), ("BSDS500", 20, PSNR_PSNR_B_SSIM)],
        """
        JPEG 30.07 27.57 0.868 29.72 26.97 0.852
        SA-DCT 30.81 29.82 0.878 - - -
        AR-CNN 31.40 30.69 0.890 30.80 30.08 0.868
        L4 31.42 30.83 0.890 30.90 30.13 0.871
        L8 31.51 30.92 0.891 30.99 30.19 0.872
        Our MSE 31.77 31.26 0.896 31.20 30.48 0.876
        Our SSIM 31.38 30.77 0.900 30.79 29.92 0.882
        Our GAN 28.35 28.10 0.817 28.07 27.76 0.794
        """,
    ),
    (
        "Galteri et al.",
        "Table 1",
        [("LIVE1", 30, PSNR_PSNR_B_SSIM), ("BSDS500", 30, PSNR_PSNR_B_SSIM)],
        """
        JPEG 31.41 28.92 0.900 30.98 28.23 0.886
        SA-DCT 32.08 30.92 0.908 - - -
        AR-CNN 32.69 32.15 0.917 - - -
        Our MSE 33.15 32.51 0.922 32.44 31.41 0.906
        Our SSIM 32.87 32.09 0.925 32.15 30.97 0.909
        Our GAN 28.58 28.75 0.832 28.5 28.00 0.811
        """,
    ),
    (
        "Galteri et al.",
        "Table 1",  # the SSIM of JPEG on BSDS500 is lost from the text
        [("LIVE1", 40, PSNR_PSNR_B_SSIM), ("BSDS500", 40, PSNR_PSNR_B_SSIM)],
        """
        JPEG 32.35 29.96 0.917 31.88 29.14 -
        SA-DCT 32.99 31.79 0.924 - - -
        AR-CNN 33.63 33.12 0.931 - - -
        Our MSE 34.09 33.40 0.935 33.30 32.18 0.921
        Our SSIM 33.82 33.00 0.937 33.04 31.72 0.924
        Our GAN 28.99 28.84 0.837 28.61 28.20 0.815
        """,
    ),
    *(
        ("Guo and Chao", "Table 2", [("BSDS500 test", quality, ("psnr", "ssim", "psnr_b"))], lines)
        for quality, lines in (
            (
                5,
                """
                JPEG 25.36 0.6764 22.91
                ARCNN 26.72 0.7256 26.48
                TNRD 26.81 0.7279 26.65
                DDCN 26.98 0.7333 26.76
                Baseline 27.12 0.7406 26.87
                """,
            ),
            (
                10,
                """
                JPEG 27.80 0.7875 25.10
                ARCNN 29.10 0.8198 28.73
                TNRD 29.16 0.8225 28.81
                DDCN 29.59 0.8381 29.18
                Baseline 29.56 0.8352 29.10
                """,
            ),
            (
                20,
                """
                JPEG 30.05 0.8671 27.22
                ARCNN 31.28 0.8854 30.55
                TNRD 31.41 0.8889 30.83
                DDCN 31.88 0.8996 31.10
                Baseline 31.89 0.8977 31.04
                """,
            ),
        )
    ),
]
DETECTION = """
JPEG 0.587 0.692 0.516 0.434 0.350 0.673 0.71 0.559 0.334 0.559 0.579 0.532 0.691 0.665 0.638 0.260 0.482 0.434 0.707 0.570 0.549
AR-CNN 0.641 0.686 0.523 0.413 0.367 0.702 0.742 0.530 0.363 0.574 0.607 0.581 0.724 0.661 0.658 0.313 0.499 0.526 0.712 0.578 0.570
Galteri MSE 0.647 0.696 0.512 0.406 0.409 0.713 0.75 0.542 0.386 0.546 0.614 0.595 0.713 0.668 0.664 0.310 0.485 0.522 0.676 0.600 0.573
Galteri SSIM 0.655 0.706 0.513 0.417 0.411 0.713 0.746 0.555 0.387 0.538 0.615 0.596 0.720 0.666 0.663 0.308 0.482 0.532 0.668 0.598 0.574
Galteri GAN-Y 0.657 0.696 0.547 0.461 0.354 0.719 0.708 0.673 0.380 0.653 0.605 0.681 0.738 0.661 0.662 0.290 0.608 0.544 0.722 0.600 0.598
Galteri GAN-L1 0.644 0.75 0.524 0.421 0.427 0.691 0.755 0.667 0.402 0.616 0.597 0.679 0.749 0.666 0.664 0.309 0.543 0.587 0.655 0.613 0.598
Galteri GAN 0.666 0.753 0.565 0.475 0.395 0.727 0.770 0.725 0.403 0.684 0.602 0.718 0.753 0.707 0.670 0.303 0.625 0.586 0.712 0.611 0.623
Original 0.698 0.788 0.692 0.559 0.488 0.769 0.798 0.858 0.487 0.762 0.637 0.790 0.802 0.757 0.763 0.376 0.683 0.672 0.777 0.667 0.691
"""  # noqa: E501


def printed():
    """(paper, dataset, quality, method) -> metric -> number, and the tables they are from."""
    found, places = {}, {}
    for paper, table, columns, text in TABLES:
        for line in text.strip().splitlines():
            count = sum(len(metrics) for _, _, metrics in columns)
            *words, numbers = line.split(maxsplit=len(line.split()) - count)
            method, numbers = " ".join(words), numbers.split()
            method = METHODS[paper].get(method, method)
            for dataset, quality, metrics in columns:
                key = (paper, DATASETS[dataset], quality, method)
                values = {name: float(value) for name, value in zip(metrics, numbers) if value != "-"}
                numbers = numbers[len(metrics) :]
                if values:
                    found.setdefault(key, {}).update(values)
                    places.setdefault(key, []).append(table)
    return found, places


def test_every_number_of_the_papers_tables_is_there_and_no_other():
    expected, places = printed()
    lines = [line for line in published.scores() if line["source"].split(", ")[0] in METHODS]
    found = {}
    for line in lines:
        key = (line["source"].split(", ")[0], line["dataset"], line["quality"], line["method"])
        assert key not in found
        found[key] = {name: line[name] for name in (*PSNR_PSNR_B_SSIM, "e_psnr") if name in line}
        assert all(table in line["source"].replace("Tables 1 and 2", "Table 1, Table 2") for table in places[key])
    assert found == expected
    assert len(found) == 96


def test_ar_cnn_has_a_line_of_each_paper_that_prints_another_value():
    values = {
        line["source"].split(", ")[0]: line["psnr"]
        for line in published.scores()
        if (line["method"], line["dataset"], line["quality"]) == ("AR-CNN", "LIVE1", 10)
    }
    assert values == {
        "EP-GAN paper": 28.98,
        "region-aware paper": 28.97,
        "Galteri et al.": 29.13,
        "repositories": 28.96,
    }


def test_detection_is_table_2_of_galteri():
    lines = published.detections()
    assert [line["method"] for line in lines] == [
        line.rsplit(maxsplit=21)[0] for line in DETECTION.strip().splitlines()
    ]
    for line, text in zip(lines, DETECTION.strip().splitlines()):
        *classes, mean = map(float, text.rsplit(maxsplit=21)[1:])
        assert list(line["classes"].values()) == classes and line["map"] == mean
        assert mean == pytest.approx(sum(classes) / 20, abs=1.1e-3)
    jpeg, gan = lines[0]["classes"], lines[6]["classes"]
    gains = {name: round(100 * (gan[name] - jpeg[name]), 1) for name in ("cat", "cow", "dog", "sheep")}
    assert gains == {"cat": 16.6, "cow": 12.5, "dog": 18.6, "sheep": 14.3}  # as Section 4.4 has them


def test_opinion_is_table_3_of_galteri():
    assert [(line["method"], line["mos"], line["deviation"]) for line in published.opinions()] == [
        ("Galteri SSIM", 49.51, 22.72),
        ("Galteri GAN", 68.32, 20.75),
    ]
